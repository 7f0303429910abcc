//! What a log is written to: a file, or in tests something that fails when it is told to.

use std::fs::File;
use std::io;

/// Bytes that can be overwritten and made durable. Writes come from one thread at a time; `sync` may run beside them.
pub(crate) trait Medium: Send + Sync + 'static {
    /// Writes all of `bytes` at `offset`, beyond the present end as well.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns when everything written before the call is durable.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(self, bytes, offset)
    }

    /// The position is shared, but only one thread writes at a time and nobody reads.
    #[cfg(not(unix))]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        use std::io::{Seek, SeekFrom, Write};
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    /// `fdatasync` where there is one: into blocks that have been written before it is one request to the device,
    /// without a commit of the file system's journal.
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
