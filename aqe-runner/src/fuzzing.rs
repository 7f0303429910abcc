//! Doors to inner parsers for the programs in `fuzz/`; no other build has them.

use std::io::Cursor;

use crate::elf;

/// Asks both questions about a program file.
///
/// # Panics
///
/// If an answer is larger than the file that it comes from.
pub fn elf(file: &[u8]) {
    if let Ok(libraries) = elf::needed_libraries(&mut Cursor::new(file)) {
        assert!(libraries.iter().all(|name| name.len() <= file.len()));
    }
    let _ = elf::has_static_test_main(&mut Cursor::new(file));
}
