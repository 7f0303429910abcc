//! `aqe memory analyze`: what a store is made of.

use aqe_core::memory::{Analysis, EntryTier, HistogramBar};
use serde_json::{Map, Value};

use super::sampled::Growth;
use super::{Opened, colors, print_json};
use crate::args::MemoryCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::{Columns, bytes, entries, namespace, ratio};
use crate::report::style::{Colors, counted};
use crate::report::text::short_line;

/// Characters of a key.
const MAX_KEY: usize = 60;

/// Prints the analysis.
pub(super) fn run(
    opened: &Opened,
    show_trends: bool,
    common: &MemoryCommon,
) -> Result<Exit, Failure> {
    let analysis = opened.store.analyze();
    let growth = show_trends.then(|| Growth::of(&opened.runs, &analysis.trends));
    if common.json {
        print_json(&document(opened, &analysis, growth.as_ref())?)?;
    } else {
        let colors = colors(common);
        let mut text = text(&analysis, colors);
        if let Some(growth) = growth {
            text.push('\n');
            text.push_str(&growth.text(colors));
        }
        output::print(&text)?;
    }
    Ok(Exit::Success)
}

/// The analysis as it is, but for the store's own trends, which begin when it is opened.
fn document(
    opened: &Opened,
    analysis: &Analysis,
    growth: Option<&Growth>,
) -> Result<Value, Failure> {
    let value = |result: serde_json::Result<Value>| {
        result.map_err(|error| Failure::of(Exit::Environment, &error))
    };
    let mut document = Map::new();
    let folder = opened.folder.to_string_lossy().into_owned();
    document.insert("folder".to_owned(), Value::String(folder));
    if let Value::Object(parts) = value(serde_json::to_value(analysis))? {
        document.extend(parts.into_iter().filter(|(name, _)| name != "trends"));
    }
    if let Some(growth) = growth {
        document.insert("trends".to_owned(), value(serde_json::to_value(growth))?);
    }
    Ok(Value::Object(document))
}

fn text(analysis: &Analysis, colors: Colors) -> String {
    let stats = &analysis.stats;
    let mut text = format!(
        "{}, {} on disk, {} in memory",
        entries(stats.entries),
        bytes(stats.disk_bytes),
        bytes(stats.resident_bytes),
    );
    if analysis.expired_entries > 0 {
        text.push_str(&format!(
            "; {} of {} are over and not cleared away yet",
            analysis.expired_entries,
            bytes(analysis.expired_bytes)
        ));
    }
    text.push('\n');
    for table in [
        tiers(analysis),
        namespaces(analysis),
        dictionaries(analysis),
        bars(&analysis.ages, "Put"),
        bars(&analysis.remaining, "Lives"),
        largest(analysis),
    ] {
        if !table.is_empty() {
            text.push('\n');
            text.push_str(&table.text(colors));
        }
    }
    text
}

fn tiers(analysis: &Analysis) -> Columns {
    let mut table = Columns::new(["Entries", "Bytes", "Values", "Stored", "Ratio", "Tier"]);
    for part in analysis.tiers.iter().filter(|part| part.amount.entries > 0) {
        table.row([
            part.amount.entries.to_string(),
            bytes(part.amount.bytes),
            bytes(part.amount.value_bytes),
            bytes(part.amount.stored_bytes),
            ratio(part.amount.ratio()),
            tier(part.tier).to_owned(),
        ]);
    }
    table
}

fn namespaces(analysis: &Analysis) -> Columns {
    let mut table = Columns::new(["Entries", "Bytes", "Values", "Stored", "Ratio", "Namespace"]);
    for part in &analysis.namespaces {
        table.row([
            part.all.entries.to_string(),
            bytes(part.all.bytes),
            bytes(part.all.value_bytes),
            bytes(part.all.stored_bytes),
            ratio(part.compressed.ratio()),
            namespace(&part.name),
        ]);
    }
    table
}

fn dictionaries(analysis: &Analysis) -> Columns {
    let mut table = Columns::new([
        "Entries",
        "Values",
        "Stored",
        "Ratio",
        "Memory",
        "Dictionary",
    ]);
    for part in &analysis.dictionaries {
        let newest = if part.is_newest { ", newest" } else { "" };
        table.row([
            part.amount.entries.to_string(),
            bytes(part.amount.value_bytes),
            bytes(part.amount.stored_bytes),
            ratio(part.amount.ratio()),
            bytes(part.memory_bytes),
            format!("{} of {}{newest}", part.number, namespace(&part.namespace)),
        ]);
    }
    table
}

fn bars(bars: &[HistogramBar], title: &str) -> Columns {
    let mut table = Columns::new(["Entries", "Bytes", title]);
    for bar in bars.iter().filter(|bar| bar.entries > 0) {
        table.row([
            bar.entries.to_string(),
            bytes(bar.bytes),
            up_to(bar.up_to_ms),
        ]);
    }
    table
}

fn largest(analysis: &Analysis) -> Columns {
    let mut table = Columns::new(["Bytes", "Value", "Namespace", "Largest entries"]);
    for entry in &analysis.largest {
        table.row([
            bytes(entry.bytes),
            bytes(entry.value_bytes),
            namespace(&entry.namespace),
            short_line(&entry.key.escape_ascii().to_string(), MAX_KEY),
        ]);
    }
    table
}

pub(super) fn tier(tier: EntryTier) -> &'static str {
    match tier {
        EntryTier::Uncompressed => "in memory, uncompressed",
        EntryTier::Compressed => "in memory, compressed",
        EntryTier::Disk => "on disk only",
        _ => "elsewhere",
    }
}

/// The bound of a bar: always a whole number of its unit.
pub(super) fn up_to(millis: Option<u64>) -> String {
    let Some(millis) = millis else {
        return "longer".to_owned();
    };
    let units = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute")];
    let unit = units.into_iter().find(|(unit, _)| millis >= *unit);
    let (unit, name) = unit.unwrap_or((1_000, "second"));
    format!("up to {}", counted(millis / unit, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told_in_their_unit() {
        for (millis, text) in [
            (Some(1_000), "up to 1 second"),
            (Some(10_000), "up to 10 seconds"),
            (Some(600_000), "up to 10 minutes"),
            (Some(6 * 3_600_000), "up to 6 hours"),
            (Some(86_400_000), "up to 1 day"),
            (Some(30 * 86_400_000), "up to 30 days"),
            (None, "longer"),
        ] {
            assert_eq!(up_to(millis), text);
        }
    }
}
