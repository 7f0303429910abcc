//! `aqe memory optimize` and `cleanup`: what they did to a store.

use aqe_core::memory::{Cleanup, Footprint, Optimize};
use serde::Serialize;

use super::{Opened, print_json};
use crate::args::MemoryCommon;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::columns::{bytes, entries};
use crate::report::style::counted;

/// What `--json` prints: the library's report, and where.
#[derive(Debug, Serialize)]
struct Document<R> {
    folder: String,
    #[serde(flatten)]
    report: R,
}

/// Makes values smaller, and says how much that gave.
pub(super) fn optimize(
    opened: &Opened,
    how: Optimize,
    common: &MemoryCommon,
) -> Result<Exit, Failure> {
    let report = opened.store.optimize(how);
    let stopped = report.stopped.clone();
    if common.json {
        print_json(&document(opened, report))?;
    } else {
        output::print(&format!(
            "{} of {} looked at written anew, {} smaller: {} are {} now\n{}",
            counted(report.segments_rewritten, "segment"),
            report.segments_judged,
            counted(report.values_recompressed, "value"),
            bytes(report.record_bytes_before),
            bytes(report.record_bytes_after),
            change(&report.before, &report.after),
        ))?;
    }
    match stopped {
        None => Ok(Exit::Success),
        Some(why) => Err(Failure::new(
            Exit::Environment,
            format!("it was not brought to its end: {why}"),
        )
        .hint("what was done is done; the next call goes on with the rest")),
    }
}

/// Gives back what is over, and says how much that was.
pub(super) fn cleanup(
    opened: &Opened,
    how: Cleanup,
    common: &MemoryCommon,
) -> Result<Exit, Failure> {
    let report = opened.store.cleanup_with(how);
    if common.json {
        print_json(&document(opened, report))?;
    } else {
        output::print(&format!(
            "{} over, {} written anew\n{}",
            entries(report.expired),
            counted(report.segments_rewritten, "segment"),
            change(&report.before, &report.after),
        ))?;
    }
    Ok(Exit::Success)
}

fn document<R>(opened: &Opened, report: R) -> Document<R> {
    Document {
        folder: opened.folder.to_string_lossy().into_owned(),
        report,
    }
}

fn change(before: &Footprint, after: &Footprint) -> String {
    format!(
        "on disk {} instead of {}, in memory {} instead of {}\n",
        bytes(after.disk_bytes),
        bytes(before.disk_bytes),
        bytes(after.resident_bytes),
        bytes(before.resident_bytes),
    )
}
