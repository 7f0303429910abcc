//! Text that may stand in an XML document.

/// The text without terminal sequences and without the characters that XML 1.0 (section 2.2) cannot hold, not even
/// escaped. A tab becomes four blanks and a carriage return is dropped.
///
/// An unterminated sequence ends with its line, so that it cannot swallow the rest of a report.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => skip_sequence(&mut rest),
            '\n' => clean.push('\n'),
            '\t' => clean.push_str("    "),
            '\u{fffe}' | '\u{ffff}' => clean.push('\u{fffd}'),
            char if char.is_control() => {}
            char => clean.push(char),
        }
    }
    clean
}

/// Skips what follows an escape character: `[` … up to a letter or the like, `]` … up to BEL or ESC `\`, or the one
/// character of a short sequence.
fn skip_sequence(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.peek().copied() {
        Some('[') => {
            rest.next();
            while rest
                .next_if(|char| ('\u{20}'..='\u{3f}').contains(char))
                .is_some()
            {}
            rest.next_if(|char| ('\u{40}'..='\u{7e}').contains(char));
        }
        Some(']') => {
            while rest
                .next_if(|&char| char != '\u{7}' && char != '\u{1b}' && char != '\n')
                .is_some()
            {}
            rest.next_if_eq(&'\u{7}');
        }
        Some('(' | ')') => {
            rest.next();
            rest.next_if(|char| !char.is_control());
        }
        Some(char) if ('\u{30}'..='\u{7e}').contains(&char) => {
            rest.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_go_and_text_stays() {
        let table = [
            ("plain größe 𝄞\n", "plain größe 𝄞\n"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}[32mok\u{1b}(B\u{1b}[m", "ok"),
            ("a\tb\r\nc", "a    b\nc"),
            ("\u{1b}]8;;https://x\u{1b}\\link\u{1b}]8;;\u{7}!", "link!"),
            ("\u{1b}]never ended\nnext line", "\nnext line"),
            ("\u{1b}[31", ""),
            ("\u{1b}[\nkept", "\nkept"),
            ("nul\0bell\u{7}del\u{7f}c1\u{9b}", "nulbelldelc1"),
            ("\u{fffe}\u{ffff}\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}"),
            ("\u{1b}é", "é"),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_left_can_stand_in_xml(text in any::<String>()) {
            let clean = clean(&text);
            let allowed = |char: char| char == '\n' || (char >= ' ' && !matches!(char, '\u{fffe}' | '\u{ffff}'));
            prop_assert!(clean.chars().all(allowed), "{:?}", clean);
            prop_assert_eq!(&super::clean(&clean), &clean);
        }
    }
}
