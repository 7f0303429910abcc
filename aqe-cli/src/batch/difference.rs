//! What has changed since the baseline, for people.

use aqe_core::batch::coverage::{Difference, FileDifference, FileTotals, LineRange, Tally, Totals};

use super::table::{Look, list, percent};
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// The figures of the run, and each file with its lines.
pub(super) fn of(difference: &Difference, look: Look) -> String {
    let colors = look.colors;
    let title = colors.strong("Since the baseline:");
    if difference.is_empty() {
        return format!("{title} nothing has changed\n");
    }
    let figures = figures(&difference.before, &difference.after, colors);
    let mut text = format!("{title} {figures}\n");
    for file in &difference.changed {
        text.push_str(&changed(file, look));
    }
    for (files, word) in [
        (&difference.added, "added"),
        (&difference.removed, "removed"),
    ] {
        for file in files {
            text.push_str(&only_once(file, word));
        }
    }
    text
}

/// The lines, and what else has changed.
fn figures(before: &Totals, after: &Totals, colors: Colors) -> String {
    let mut text = format!("lines {}", step(before.lines, after.lines, colors));
    for (what, before, after) in [
        ("branches", before.branches, after.branches),
        ("functions", before.functions, after.functions),
    ] {
        if before != after {
            text.push_str(&format!(", {what} {}", step(before, after, colors)));
        }
    }
    text
}

/// `75.0 % → 50.0 % (-25.0)`.
fn step(before: Tally, after: Tally, colors: Colors) -> String {
    let text = format!("{} → {}", percent(before), percent(after));
    let (Some(was), Some(is)) = (before.percent(), after.percent()) else {
        return text;
    };
    let points = format!("({:+.1})", is - was);
    match is.partial_cmp(&was) {
        Some(std::cmp::Ordering::Less) => format!("{text} {}", colors.bad(points)),
        Some(std::cmp::Ordering::Greater) => format!("{text} {}", colors.good(points)),
        _ => text,
    }
}

fn changed(file: &FileDifference, look: Look) -> String {
    let colors = look.colors;
    let moved = match file.source_changed {
        true => ", source changed",
        false => "",
    };
    let figures = figures(&file.before, &file.after, colors);
    let mut text = format!("  {}: {figures}{moved}\n", one_line(&file.path));
    for (what, ranges) in [
        ("not covered any more", &file.newly_uncovered),
        ("new, not covered", &file.new_and_uncovered),
        ("covered now", &file.newly_covered),
    ] {
        if ranges.is_empty() {
            continue;
        }
        let ranges: Vec<String> = ranges.iter().map(LineRange::to_string).collect();
        let used = what.len() + 6;
        let room = look.width.map(|width| width.saturating_sub(used));
        text.push_str(&format!("    {what}: {}\n", list(&ranges, room)));
    }
    text
}

fn only_once(file: &FileTotals, word: &str) -> String {
    let lines = file.totals.lines;
    let of = match lines.total {
        0 => String::new(),
        total => format!(" of {}", counted(total, "line")),
    };
    format!(
        "  {}: {word}, {}{of}\n",
        one_line(&file.path),
        percent(lines)
    )
}
