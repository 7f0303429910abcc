//! The part of a terminal that is drawn again and again.

use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The size of a terminal, in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

impl Size {
    /// Asks the terminal; 80 × 24 when it does not say.
    pub(crate) fn of_terminal() -> Self {
        match terminal_size::terminal_size() {
            // A terminal that was never told its size says 0.
            Some((width, height)) if width.0 > 0 && height.0 > 0 => Self {
                width: width.0.into(),
                height: height.0.into(),
            },
            _ => Self {
                width: 80,
                height: 24,
            },
        }
    }
}

/// Remembers what is drawn, so that it can be taken away.
///
/// **Invariant:** the cursor stands at the end of the block's last line, or at the start of a line if nothing is drawn.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// The widths of the lines of the block.
    drawn: Vec<usize>,
    is_cursor_hidden: bool,
}

impl Screen {
    /// The bytes that take the block away, print `permanent` (whole lines) and draw the new block below.
    ///
    /// Each line of the block fits the width, or it would wrap and the count of lines be wrong.
    pub(crate) fn frame(&mut self, permanent: &str, block: &[String], size: Size) -> String {
        let mut bytes = String::new();
        self.erase(size, &mut bytes);
        bytes.push_str(permanent);
        if block.is_empty() {
            self.show_cursor(&mut bytes);
            return bytes;
        }
        if !std::mem::replace(&mut self.is_cursor_hidden, true) {
            bytes.push_str("\x1b[?25l");
        }
        for (index, line) in block.iter().enumerate() {
            if index > 0 {
                bytes.push('\n');
            }
            bytes.push_str(line);
            self.drawn.push(shown_width(line));
        }
        bytes
    }

    fn erase(&mut self, size: Size, bytes: &mut String) {
        if self.drawn.is_empty() {
            return;
        }
        // A terminal that became narrower has wrapped the lines that are too wide for it now.
        let rows: usize = self
            .drawn
            .drain(..)
            .map(|width| width.div_ceil(size.width.max(1)).max(1))
            .sum();
        bytes.push('\r');
        if rows > 1 {
            let _ = write!(bytes, "\x1b[{}A", rows - 1);
        }
        bytes.push_str("\x1b[J");
    }

    fn show_cursor(&mut self, bytes: &mut String) {
        if std::mem::take(&mut self.is_cursor_hidden) {
            bytes.push_str("\x1b[?25h");
        }
    }
}

/// The cells that a line takes, colours aside.
pub(super) fn shown_width(line: &str) -> usize {
    let mut parts = line.split("\x1b[");
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    let rest = parts.map(|part| part.split_once('m').map_or(0, |(_, text)| text.width()));
    first + rest.sum::<usize>()
}

/// Cuts a text without colours to so many cells; what was cut shows as `…`.
pub(super) fn fit(text: &str, cells: usize) -> String {
    if text.width() <= cells {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 0;
    for symbol in text.chars() {
        let width = symbol.width().unwrap_or(0);
        // One cell stays free for the mark.
        if used + width + 1 > cells {
            break;
        }
        used += width;
        shown.push(symbol);
    }
    if cells > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_cells() {
        for (text, cells, expected) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("測試測試", 8, "測試測試"),
            ("測試測試", 7, "測試測…"),
            ("測試測試", 6, "測試…"),
            ("x", 0, ""),
            ("xy", 1, "…"),
        ] {
            assert_eq!(fit(text, cells), expected);
            assert!(fit(text, cells).width() <= cells);
        }
    }

    #[test]
    fn colours_take_no_cells() {
        assert_eq!(shown_width("\x1b[1;31m測a\x1b[0mb"), 4);
    }
}
