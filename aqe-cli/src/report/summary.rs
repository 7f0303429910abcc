//! The last words of a run.

use std::fmt::Write;
use std::time::Duration;

use aqe_runner::journal::RunCounts;
use aqe_runner::run::StopReason;

use super::Look;
use super::ledger::{Ledger, Noted, Notes};
use super::style::{Human, Painted, counted};
use super::text::one_line;

/// Says how the run went: what failed and how to run it again, what was odd, and the counts last, where people look.
pub(super) fn push(
    ledger: &Ledger,
    look: &Look,
    duration: Duration,
    counts: &RunCounts,
    stopped: Option<StopReason>,
    out: &mut String,
) {
    // Without tests there is nothing to sum up; the program says why there are none.
    if ledger.plan.tests == 0 && counts.run() == 0 {
        return;
    }
    let colors = look.colors;
    section(
        out,
        "flaky",
        &ledger.flaky,
        |label| colors.odd(label),
        |_| None,
    );
    section(
        out,
        "left processes behind",
        &ledger.leaks,
        |label| colors.odd(label),
        |_| None,
    );
    section(
        out,
        "failed",
        &ledger.failures,
        |label| colors.bad(label),
        |note| Some(look.rerun.command(&note.test)),
    );
    let _ = writeln!(out, "\n{} in {}", totals(counts, look), Human(duration));
    if let Some(line) = not_run(ledger, counts, stopped) {
        let _ = writeln!(out, "{}", colors.odd(line));
    }
    if let Some(journal) = &ledger.plan.journal {
        let _ = writeln!(
            out,
            "{}",
            colors.faint(format_args!("journal: {}", journal.display()))
        );
    }
}

fn section<'a>(
    out: &mut String,
    title: &str,
    notes: &'a Notes,
    paint: impl Fn(&'static str) -> Painted<&'static str>,
    command: impl Fn(&'a Noted) -> Option<String>,
) {
    if notes.named.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}:");
    for note in &notes.named {
        let (binary, name) = (
            one_line(note.test.binary.as_str()),
            one_line(note.test.name.as_str()),
        );
        let _ = writeln!(out, "{:>9} {binary} {name}", paint(note.label));
        let _ = writeln!(out, "{:9} {}", "", note.reason);
        if let Some(command) = command(note) {
            let _ = writeln!(out, "{:9} {}", "", one_line(&command));
        }
    }
    if notes.unnamed > 0 {
        let _ = writeln!(
            out,
            "{:9} and {} more, which the journal names",
            "", notes.unnamed
        );
    }
}

/// `450 tests run: 447 passed (1 flaky, 1 leaky), 3 failed (1 timed out); 4 ignored`.
fn totals(counts: &RunCounts, look: &Look) -> String {
    let colors = look.colors;
    let mut text = format!("{} run: ", counted(counts.run(), "test"));
    let passed = format!("{} passed", counts.passes());
    let _ = write!(
        text,
        "{}{}",
        colors.good(passed),
        among(&[(counts.flaky, "flaky"), (counts.leaked, "leaky")])
    );
    let failed = format!("{} failed", counts.failures());
    let failed = if counts.failures() == 0 {
        colors.plain(failed)
    } else {
        colors.bad(failed)
    };
    let _ = write!(
        text,
        ", {failed}{}",
        among(&[(counts.timed_out, "timed out")])
    );
    if counts.ignored > 0 {
        let _ = write!(text, "; {} ignored", counts.ignored);
    }
    text
}

/// ` (1 flaky, 2 leaky)`, or nothing.
fn among(parts: &[(u64, &str)]) -> String {
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

fn not_run(ledger: &Ledger, counts: &RunCounts, stopped: Option<StopReason>) -> Option<String> {
    let planned = ledger.plan.tests;
    let missing = planned.saturating_sub(counts.run());
    if missing == 0 {
        return None;
    }
    let why = match stopped {
        Some(StopReason::FirstFailure) => ": the run was to end with the first failure",
        Some(StopReason::Signal { .. }) => ": the run was interrupted",
        _ => "",
    };
    let have = if missing == 1 { "has" } else { "have" };
    Some(format!(
        "{missing} of {} {have} no result{why}",
        counted(planned, "test")
    ))
}
