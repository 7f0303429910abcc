//! `aqe memory diagnose`: what is wrong with a store, and what takes its memory.

use std::fmt::Write;

use aqe_core::memory::{Diagnosis, Finding, Severity};
use serde::Serialize;

use super::analyze::{tier, up_to};
use super::{Opened, colors, print_json};
use crate::args::MemoryCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::{Columns, bytes, namespace};
use crate::report::style::Colors;
use crate::report::text::one_line;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Document<'a> {
    folder: String,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    sites: Option<&'a [aqe_core::memory::AllocationSite]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sites_left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<aqe_core::memory::ProcessMemory>,
}

/// Prints the diagnosis.
pub(super) fn run(
    opened: &Opened,
    show_allocations: bool,
    common: &MemoryCommon,
) -> Result<Exit, Failure> {
    let diagnosis = opened.store.diagnose();
    if common.json {
        print_json(&Document {
            folder: opened.folder.to_string_lossy().into_owned(),
            findings: &diagnosis.findings,
            sites: show_allocations.then_some(&diagnosis.sites[..]),
            sites_left_out: show_allocations.then_some(diagnosis.sites_left_out),
            process: diagnosis.process.filter(|_| show_allocations),
        })?;
    } else {
        let colors = colors(common);
        let mut text = findings(&diagnosis, colors);
        if show_allocations {
            text.push('\n');
            text.push_str(&allocations(&diagnosis, colors));
        }
        output::print(&text)?;
    }
    let is_lost = |finding: &Finding| finding.severity == Severity::Critical;
    Ok(match diagnosis.findings.iter().any(is_lost) {
        true => Exit::EntriesLost,
        false => Exit::Success,
    })
}

fn findings(diagnosis: &Diagnosis, colors: Colors) -> String {
    let mut text = String::new();
    if diagnosis.findings.is_empty() {
        return format!("{}\n", colors.good("nothing is wrong with the store"));
    }
    for finding in &diagnosis.findings {
        let severity = match finding.severity {
            Severity::Critical => colors.bad("critical"),
            Severity::Warning => colors.odd("warning"),
            _ => colors.strong("info"),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{severity}: {}", one_line(&finding.cause));
        if let Some(place) = &finding.place {
            let _ = write!(text, " ({})", one_line(place));
        }
        let _ = writeln!(
            text,
            "\n  found {} {}, where {} would be no reason to say anything",
            figure(finding.value),
            finding.unit,
            figure(finding.threshold),
        );
        let _ = writeln!(text, "  {} {}", colors.good("hint:"), finding.advice);
        if let Some(setting) = finding.setting {
            let _ = writeln!(text, "  setting: {setting}");
        }
    }
    text
}

fn allocations(diagnosis: &Diagnosis, colors: Colors) -> String {
    let mut table = Columns::new(["Entries", "Bytes", "Put", "Tier", "Namespace"]);
    for site in &diagnosis.sites {
        table.row([
            site.entries.to_string(),
            bytes(site.bytes),
            up_to(site.age_up_to_ms),
            tier(site.tier).to_owned(),
            namespace(&site.namespace),
        ]);
    }
    let mut text = table.text(colors);
    if diagnosis.sites_left_out > 0 {
        let _ = writeln!(text, "and {} smaller ones", diagnosis.sites_left_out);
    }
    if let Some(process) = diagnosis.process {
        let _ = writeln!(
            text,
            "this process takes {}: {} of the store, {} of all the rest",
            bytes(process.resident_bytes),
            bytes(process.store_bytes),
            bytes(process.other_bytes)
        );
    }
    text
}

/// A count without decimals, a share with two.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}
