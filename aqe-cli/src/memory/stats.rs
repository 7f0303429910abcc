//! `aqe memory stats`: how much a store holds.

use std::fmt::Write;

use aqe_core::memory::StoreStats;
use serde::Serialize;

use super::{Opened, colors, print_json};
use crate::args::MemoryCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::{bytes, namespace};
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    folder: String,
    stats: StoreStats,
    namespaces: Vec<Namespace>,
    /// Damaged places in files; `aqe memory diagnose` names them.
    damaged_places: usize,
}

#[derive(Debug, Serialize)]
struct Namespace {
    name: String,
    entries: u64,
}

/// Prints the figures.
pub(super) fn run(opened: &Opened, common: &MemoryCommon) -> Result<Exit, Failure> {
    let document = Document::of(opened);
    if common.json {
        print_json(&document)?;
    } else {
        output::print(&document.text(colors(common)))?;
    }
    Ok(Exit::Success)
}

impl Document {
    pub(super) fn of(opened: &Opened) -> Self {
        let store = &opened.store;
        let names = store.namespaces().into_iter();
        let namespaces = names.filter_map(|name| {
            // It is there already, so that nothing is written.
            let keys = store.namespace(&name).ok()?.keys(b"", None, usize::MAX);
            Some(Namespace {
                name: name.to_string(),
                entries: keys.len() as u64,
            })
        });
        Self {
            folder: opened.folder.to_string_lossy().into_owned(),
            namespaces: namespaces.filter(|it| it.entries > 0).collect(),
            // After the look at all keys, which clears nothing away.
            stats: store.stats(),
            damaged_places: store.damage().len(),
        }
    }

    pub(super) fn stats(&self) -> &StoreStats {
        &self.stats
    }

    pub(super) fn text(&self, colors: Colors) -> String {
        let stats = &self.stats;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {value}", colors.strong(format!("{name:<11}")));
        };
        line("Store", one_line(&self.folder));
        line("Entries", stats.entries.to_string());
        for part in &self.namespaces {
            line("", format!("{} in {}", part.entries, namespace(&part.name)));
        }
        line("On disk", bytes(stats.disk_bytes));
        line(
            "In memory",
            format!(
                "{}: {} uncompressed, {} compressed, {} of the index",
                bytes(stats.resident_bytes),
                bytes(stats.uncompressed_bytes),
                bytes(stats.compressed_bytes),
                bytes(stats.index_bytes)
            ),
        );
        if self.damaged_places > 0 {
            let places = counted(self.damaged_places as u64, "place");
            let told = format!("{places}; `aqe memory diagnose` names them");
            line("Damaged", colors.bad(told).to_string());
        }
        text
    }
}
