//! What the program prints, compared with what it printed when somebody last read it.

use std::fs;
use std::path::Path;

/// Set `UPDATE_SNAPSHOTS=1` to write what the program says now, and read the difference before committing it.
pub(crate) fn check_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    assert!(
        text == expected,
        "{name} is not what it was; UPDATE_SNAPSHOTS=1 writes it anew. Now:\n{text}"
    );
}
