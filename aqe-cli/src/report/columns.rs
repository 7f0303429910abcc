//! Figures in columns: a head, and rows with a name at their end.

use aqe_core::ByteSize;
use unicode_width::UnicodeWidthStr;

use crate::report::style::Colors;
use crate::report::text::one_line;

/// A table whose last column is on the left and all others on the right.
pub(crate) struct Columns {
    rows: Vec<Vec<String>>,
}

impl Columns {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        Self {
            rows: vec![head.map(str::to_owned).to_vec()],
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The lines, with a strong head.
    pub(crate) fn text(&self, colors: Colors) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].width());
            cells.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths).take(columns - 1) {
                line.push_str(&" ".repeat(width - cell.width()));
                line.push_str(cell);
                line.push_str("  ");
            }
            line.push_str(row.last().map_or("", String::as_str));
            let line = match number {
                0 => colors.strong(line).to_string(),
                _ => line,
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

/// Bytes as people read them.
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

/// A count of entries.
pub(crate) fn entries(count: u64) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

/// How many times smaller, or a dash.
pub(crate) fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
}

/// A namespace's name; the one without a name has no letters.
pub(crate) fn namespace(name: &str) -> String {
    match name {
        "" => "(no name)".to_owned(),
        name => one_line(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_on_the_right_and_names_on_the_left() {
        let mut columns = Columns::new(["Entries", "Bytes", "Namespace"]);
        assert!(columns.is_empty());
        columns.row(["7".to_owned(), "12 KiB".to_owned(), "runs".to_owned()]);
        columns.row(["12345678".to_owned(), "測".to_owned(), "x".to_owned()]);
        assert_eq!(
            columns.text(Colors::Off),
            " Entries   Bytes  Namespace\n       7  12 KiB  runs\n12345678      測  x\n"
        );
    }
}
