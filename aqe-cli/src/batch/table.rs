//! Figures and gaps of a run as a table: packages, their files, and the sum.

use aqe_core::batch::coverage::{FileSummary, LineRange, Summary, Tally, Totals};
use unicode_width::UnicodeWidthStr;

use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// However narrow a terminal is, so many cells show uncovered lines.
const LEAST_GAPS: usize = 20;

/// How a table looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colors: Colors,
    /// The width that lists of lines are cut to; `None` shows all of them.
    pub(super) width: Option<usize>,
}

/// One line.
struct Row {
    name: String,
    totals: Totals,
    kind: Kind,
    gaps: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Package,
    File,
    Sum,
}

/// One kind of figures.
struct Column {
    title: &'static str,
    of: fn(&Totals) -> Tally,
}

const COLUMNS: [Column; 3] = [
    Column {
        title: "Lines",
        of: |totals| totals.lines,
    },
    Column {
        title: "Branches",
        of: |totals| totals.branches,
    },
    Column {
        title: "Functions",
        of: |totals| totals.functions,
    },
];

/// The table.
pub(super) fn of(summary: &Summary, look: Look) -> String {
    let rows = rows(summary);
    // What no report says anything about needs no column.
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| column.title == "Lines" || (column.of)(&summary.totals).total > 0)
        .collect();
    let names = rows.iter().map(|row| row.name.width()).max().unwrap_or(0);
    let widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let counts = rows.iter().map(|row| count((column.of)(&row.totals)).len());
            counts.max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    let mut head = " ".repeat(names);
    for (column, width) in columns.iter().zip(&widths) {
        head.push_str(&format!("  {:>1$}", column.title, PERCENT + 2 + width));
    }
    let used = head.width() + 2;
    head.push_str("  Not covered");
    text.push_str(&format!("{}\n", look.colors.faint(head)));
    for row in &rows {
        let pad = " ".repeat(names - row.name.width());
        let mut line = match row.kind {
            Kind::File => row.name.clone(),
            Kind::Package | Kind::Sum => look.colors.strong(&row.name).to_string(),
        };
        line.push_str(&pad);
        for (column, width) in columns.iter().zip(&widths) {
            let tally = (column.of)(&row.totals);
            let figure = paint(tally, look.colors);
            line.push_str(&format!("  {figure}  {:>width$}", count(tally)));
        }
        if !row.gaps.is_empty() {
            let room = look.width.map(|width| width.saturating_sub(used));
            line.push_str("  ");
            line.push_str(&list(&row.gaps, room));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn rows(summary: &Summary) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut files: Vec<&FileSummary> = summary.files.iter().collect();
    // Stable: the files of a package stay in the order of their paths.
    files.sort_by_key(|file| &file.package);
    let mut files = files.into_iter().peekable();
    for package in &summary.packages {
        rows.push(Row {
            name: one_line(&package.name),
            totals: package.totals,
            kind: Kind::Package,
            gaps: Vec::new(),
        });
        while let Some(file) = files.next_if(|file| file.package == package.name) {
            rows.push(Row {
                name: format!("  {}", one_line(&file.path)),
                totals: file.totals,
                kind: Kind::File,
                gaps: gaps(file),
            });
        }
    }
    rows.push(Row {
        name: counted(summary.totals.files, "file"),
        totals: summary.totals,
        kind: Kind::Sum,
        gaps: Vec::new(),
    });
    rows
}

/// Lines that were not executed, and then those that were, but not with every outcome of their branches.
fn gaps(file: &FileSummary) -> Vec<String> {
    let lines = file.uncovered_lines.iter().map(LineRange::to_string);
    let branches = file.partial_branches.iter().map(|branch| {
        let outcomes = branch.outcomes.uncovered();
        let s = if outcomes == 1 { "" } else { "es" };
        format!("{} ({outcomes} branch{s})", branch.line)
    });
    lines.chain(branches).collect()
}

/// As many as fit into the room, and how many more there are.
pub(super) fn list(texts: &[String], room: Option<usize>) -> String {
    let all = texts.join(", ");
    let Some(room) = room.map(|room| room.max(LEAST_GAPS)) else {
        return all;
    };
    if all.width() <= room {
        return all;
    }
    let mut shown = String::new();
    for (index, text) in texts.iter().enumerate() {
        let rest = format!("… {} more", texts.len() - index);
        if index > 0 && shown.width() + text.width() + 2 + rest.width() > room {
            return shown + &rest;
        }
        shown.push_str(text);
        shown.push_str(", ");
    }
    all
}

/// The cells of "100.0 %".
const PERCENT: usize = 7;

/// The percentage as a tally writes it, rounded down, in the colours of `llvm-cov report`.
pub(super) fn paint(tally: Tally, colors: Colors) -> String {
    let text = percent(tally);
    let text = format!("{text:>PERCENT$}");
    match tally.percent() {
        None => colors.faint(text).to_string(),
        Some(_) if tally.uncovered() == 0 => colors.good(text).to_string(),
        Some(percent) if percent >= 80.0 => colors.odd(text).to_string(),
        Some(_) => colors.bad(text).to_string(),
    }
}

/// `75.0 %`, or `-`.
pub(super) fn percent(tally: Tally) -> String {
    let text = tally.to_string();
    match text.split_once(" (") {
        Some((percent, _)) => percent.to_owned(),
        None => "-".to_owned(),
    }
}

/// `3/4`, or nothing.
fn count(tally: Tally) -> String {
    match tally.total {
        0 => String::new(),
        total => format!("{}/{total}", tally.covered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_between_ranges_and_says_how_many_are_left() {
        let texts: Vec<String> = (1..=9).map(|n| format!("{n}0-{n}5")).collect();
        assert_eq!(list(&texts, None).split(", ").count(), 9);
        assert_eq!(list(&texts, Some(61)), list(&texts, None));
        assert_eq!(
            list(&texts, Some(60)),
            "10-15, 20-25, 30-35, 40-45, 50-55, 60-65, 70-75, … 2 more"
        );
        assert_eq!(list(&texts, Some(0)), "10-15, … 8 more");
        assert_eq!(list(&["1".repeat(30)], Some(20)), "1".repeat(30));
    }
}
