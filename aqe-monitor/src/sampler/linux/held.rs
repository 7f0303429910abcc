//! A file of `/proc` or `/sys` that is opened once, and read from its beginning each time.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The most that is read of a file. The longest of them has a line for each disk or interface.
const MAX_BYTES: usize = 1 << 18;

#[derive(Debug, Default)]
pub(super) struct Held {
    file: Option<File>,
}

impl Held {
    /// Opens the file if it is wanted, there, and may be read.
    pub(super) fn open(wanted: bool, path: impl AsRef<Path>) -> Self {
        let file = wanted.then(|| File::open(path).ok()).flatten();
        Self { file }
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// What the file says now; `None` if it is not open, or cannot be read any more.
    pub(super) fn read<'b>(&self, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
        let file = self.file.as_ref()?;
        let mut filled = 0;
        loop {
            if filled == buffer.len() {
                if filled >= MAX_BYTES {
                    break;
                }
                buffer.resize((2 * filled).max(4_096), 0);
            }
            // A short read is the end of these files, as long as there was room for more.
            let read = file.read_at(&mut buffer[filled..], filled as u64).ok()?;
            filled += read;
            if read == 0 || filled < buffer.len() {
                break;
            }
        }
        Some(&buffer[..filled])
    }
}
