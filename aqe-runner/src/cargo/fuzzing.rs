//! Doors to the readers of cargo's output for the programs in `fuzz/`; no other build has them.

use super::{cfg_expr, messages, metadata};

/// Reads a text as everything that cargo and the compiler print: messages, metadata, and, split at a NUL byte, a
/// condition with the settings that it is about.
///
/// # Panics
///
/// If a condition has no opposite.
pub fn read(text: &[u8]) {
    let _ = messages::read(text, |message| drop(message));
    let _ = metadata::read(text);
    let text = String::from_utf8_lossy(text);
    let (condition, settings) = text.split_once('\0').unwrap_or((&text, ""));
    let holds = |condition: &str| cfg_expr::holds(&format!("cfg({condition})"), settings);
    let (plain, opposite) = (holds(condition), holds(&format!("not({condition})")));
    // The opposite is one level deeper, which can be one too many.
    if let (Some(plain), Some(opposite)) = (plain, opposite) {
        assert_ne!(plain, opposite, "{condition}");
    }
}
