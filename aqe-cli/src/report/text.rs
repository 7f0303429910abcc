//! Text from tests, made fit to be shown.
//!
//! A test may print anything: control characters that clear the screen or move the cursor, or marks that reverse the
//! direction of what follows. Of those only line ends, tabs and colours are let through; the others are shown as
//! symbols, so that nothing is hidden and nothing takes effect.

use super::style::Colors;

/// Longer sequences are no colours.
const MAX_SEQUENCE: usize = 64;

/// Shows a name or a reason on one line without colours.
pub(crate) fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for symbol in text.chars() {
        match symbol {
            '\n' | '\r' | '\t' => shown.push(' '),
            _ => push_harmless(symbol, &mut shown),
        }
    }
    shown
}

/// Shows at most `limit` characters of a text on one line.
pub(crate) fn short_line(text: &str, limit: usize) -> String {
    let mut rest = text.trim().chars();
    let mut shown = one_line(&rest.by_ref().take(limit).collect::<String>());
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Appends what a test printed, each line behind `indent`. Colours stay when colours are wanted, and end with the text.
pub(crate) fn push_output(text: &str, colors: Colors, indent: &str, shown: &mut String) {
    let mut has_color = false;
    let mut rest = text;
    let mut at_line_start = true;
    while let Some(symbol) = rest.chars().next() {
        if let Some(sequence) = color_sequence(rest) {
            if colors == Colors::On {
                has_color = true;
                shown.push_str(sequence);
            }
            rest = &rest[sequence.len()..];
            continue;
        }
        rest = &rest[symbol.len_utf8()..];
        if symbol == '\r' && rest.starts_with('\n') {
            continue;
        }
        if std::mem::take(&mut at_line_start) && symbol != '\n' {
            shown.push_str(indent);
        }
        match symbol {
            '\n' => {
                shown.push('\n');
                at_line_start = true;
            }
            '\t' => shown.push('\t'),
            _ => push_harmless(symbol, shown),
        }
    }
    if !at_line_start {
        shown.push('\n');
    }
    if has_color {
        shown.push_str("\x1b[0m");
    }
}

/// The colour sequence (ECMA-48, SGR) that a text starts with.
fn color_sequence(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters
        .bytes()
        .take(MAX_SEQUENCE)
        .position(|byte| !matches!(byte, b'0'..=b'9' | b';' | b':'))?;
    (parameters.as_bytes().get(end) == Some(&b'm')).then(|| &text[.."\x1b[".len() + end + 1])
}

fn push_harmless(symbol: char, shown: &mut String) {
    match symbol {
        // Unicode has a picture for each of the old control characters.
        '\0'..='\x1f' => shown.extend(char::from_u32(0x2400 + u32::from(symbol))),
        '\x7f' => shown.push('\u{2421}'),
        // The newer ones, and the marks that change the direction of the text after them.
        '\u{80}'..='\u{9f}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => {
            shown.extend(symbol.escape_unicode());
        }
        _ => shown.push(symbol),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str, colors: Colors) -> String {
        let mut shown = String::new();
        push_output(text, colors, "  ", &mut shown);
        shown
    }

    #[test]
    fn only_line_ends_tabs_and_colours_take_effect() {
        let table = [
            ("", "", ""),
            ("a\n\nb", "  a\n\n  b\n", "  a\n\n  b\n"),
            ("a\tb\r\nc\n", "  a\tb\n  c\n", "  a\tb\n  c\n"),
            ("10%\r20%\n", "  10%␍20%\n", "  10%␍20%\n"),
            (
                "\x1b[1;31mred\x1b[0m\n",
                "  red\n",
                "\x1b[1;31m  red\x1b[0m\n\x1b[0m",
            ),
            ("\x1b[2Jgone\x07", "  ␛[2Jgone␇\n", "  ␛[2Jgone␇\n"),
            ("\x1b]0;title\x07\x1b", "  ␛]0;title␇␛\n", "  ␛]0;title␇␛\n"),
            (
                "\u{9b}2J\u{202e}abc\x7f",
                "  \\u{9b}2J\\u{202e}abc␡\n",
                "  \\u{9b}2J\\u{202e}abc␡\n",
            ),
        ];
        for (text, bare, colored) in table {
            assert_eq!(output(text, Colors::Off), bare, "{text:?}");
            assert_eq!(output(text, Colors::On), colored, "{text:?}");
        }
        let endless = format!("\x1b[{}m", "1;".repeat(100));
        assert!(output(&endless, Colors::On).starts_with("  ␛["));
    }

    #[test]
    fn a_name_stays_on_its_line() {
        assert_eq!(one_line("a\nb\t\x1b[31mc"), "a b ␛[31mc");
        assert_eq!(short_line("  größe\nx ", 4), "größ…");
        assert_eq!(short_line("größe", 5), "größe");
    }
}
