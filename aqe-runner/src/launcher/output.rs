//! Captured output: bounded in memory, then in a file, then counted.
//!
//! Whatever happens to the file (no space left, folder missing or read-only), the process is still drained, so that it
//! never blocks on us, and the result says what is missing and why.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Cursor, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::launch::{Capture, SpillDirectory};

/// What one stream of a process carried.
///
/// A kept head, contiguous from the first byte, and, when bytes were dropped, the last few of them as a tail. A spill
/// file is deleted with this value, unless [`keep_file`](Self::keep_file) takes it.
#[derive(Debug, Default)]
pub struct Output {
    head: Head,
    head_bytes: u64,
    dropped: u64,
    tail: Vec<u8>,
    spill_error: Option<io::Error>,
}

#[derive(Debug)]
enum Head {
    Memory(Vec<u8>),
    File(SpillPath),
}

impl Default for Head {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl Output {
    /// Returns how many bytes the stream carried in all.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.head_bytes + self.dropped + self.tail.len() as u64
    }

    /// Returns how many bytes are missing between the kept head and the kept tail; 0 when everything is here.
    #[must_use]
    pub fn truncated_bytes(&self) -> u64 {
        self.dropped
    }

    /// Returns how many bytes are kept, head and tail.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.head_bytes + self.tail.len() as u64
    }

    /// Returns whether the stream carried nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total_bytes() == 0
    }

    /// Returns the head when it is in memory, else `None`.
    ///
    /// This is everything unless [`truncated_bytes`](Self::truncated_bytes) is above 0.
    #[must_use]
    pub fn in_memory(&self) -> Option<&[u8]> {
        match &self.head {
            Head::Memory(bytes) => Some(bytes),
            Head::File(_) => None,
        }
    }

    /// Returns the path of the spill file when the head is in one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.head {
            Head::Memory(_) => None,
            Head::File(path) => Some(&path.0),
        }
    }

    /// Returns the last bytes (at most 16 KiB) of a stream of which bytes were dropped; empty otherwise.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Returns why output that did not fit in memory could not be put in a file, if that happened.
    #[must_use]
    pub fn spill_error(&self) -> Option<&io::Error> {
        self.spill_error.as_ref()
    }

    /// Reads at most `limit` bytes of the head.
    ///
    /// # Errors
    ///
    /// When the spill file cannot be opened or read.
    pub fn read_head(&self, limit: usize) -> io::Result<Vec<u8>> {
        if let Head::Memory(bytes) = &self.head {
            return Ok(bytes[..limit.min(bytes.len())].to_vec());
        }
        let mut bytes = Vec::new();
        self.reader()?.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads the last bytes that the stream carried, at most `limit` and without a gap.
    ///
    /// # Errors
    ///
    /// When the spill file cannot be opened or read.
    pub fn read_tail(&self, limit: usize) -> io::Result<Vec<u8>> {
        if self.dropped > 0 {
            return Ok(self.tail[self.tail.len().saturating_sub(limit)..].to_vec());
        }
        match &self.head {
            Head::Memory(bytes) => Ok(bytes[bytes.len().saturating_sub(limit)..].to_vec()),
            Head::File(path) => {
                let mut file = File::open(&path.0)?;
                file.seek(SeekFrom::Start(
                    self.head_bytes.saturating_sub(limit as u64),
                ))?;
                let mut bytes = Vec::new();
                file.take(limit as u64).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Returns a reader over the head, from its first byte.
    ///
    /// # Errors
    ///
    /// When the spill file cannot be opened.
    pub fn reader(&self) -> io::Result<OutputReader<'_>> {
        Ok(OutputReader(match &self.head {
            Head::Memory(bytes) => Source::Memory(Cursor::new(bytes)),
            Head::File(path) => Source::File(File::open(&path.0)?.take(self.head_bytes)),
        }))
    }

    /// Hands over the spill file, if there is one: from here on the caller deletes it.
    #[must_use]
    pub fn keep_file(mut self) -> Option<PathBuf> {
        match &mut self.head {
            Head::Memory(_) => None,
            Head::File(path) => Some(std::mem::take(&mut path.0)),
        }
    }
}

/// Reads an [`Output`].
#[derive(Debug)]
pub struct OutputReader<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Memory(Cursor<&'a Vec<u8>>),
    File(io::Take<File>),
}

impl Read for OutputReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Source::Memory(bytes) => bytes.read(buffer),
            Source::File(file) => file.read(buffer),
        }
    }
}

/// A spill file's path, deleted when dropped; empty once handed over.
#[derive(Debug)]
struct SpillPath(PathBuf);

impl Drop for SpillPath {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // A file that somebody else has already removed is as gone as it should be.
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// Takes a stream's bytes in while its process runs.
#[derive(Debug)]
pub(super) struct Sink {
    limits: Capture,
    store: Store,
    head_bytes: u64,
    /// Bytes that did not go to the head, those in `tail` included.
    overflow: u64,
    tail: Tail,
    spill_error: Option<io::Error>,
}

#[derive(Debug)]
enum Store {
    Memory(Vec<u8>),
    File(File, SpillPath),
}

impl Sink {
    pub(super) fn new(limits: Capture) -> Self {
        Self {
            limits,
            store: Store::Memory(Vec::new()),
            head_bytes: 0,
            overflow: 0,
            tail: Tail::default(),
            spill_error: None,
        }
    }

    /// Takes the next bytes of the stream; never fails, never keeps more than the limits allow.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // Once a byte is dropped the head is complete: a later one would follow a gap that nothing marks.
        if self.overflow > 0 {
            return self.drop_bytes(bytes);
        }
        let mut bytes = bytes;
        if let Store::Memory(kept) = &mut self.store
            && kept.len() + bytes.len() > self.limits.memory_limit
        {
            // Memory is filled before a file is tried: a file can be created on a full disk and then take nothing, and
            // with nothing to move there it would be found out too late to have a head at all.
            let room = self.limits.memory_limit.saturating_sub(kept.len());
            let (fitting, rest) = bytes.split_at(room);
            kept.extend_from_slice(fitting);
            self.head_bytes += room as u64;
            bytes = rest;
            self.spill();
        }
        let room = self.room();
        let (fitting, rest) =
            bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
        let taken = self.append(fitting);
        self.head_bytes += taken as u64;
        self.drop_bytes(&fitting[taken..]);
        self.drop_bytes(rest);
    }

    pub(super) fn finish(self) -> Output {
        let tail = self.tail.into_bytes();
        Output {
            head: match self.store {
                Store::Memory(mut bytes) => {
                    // Many results may be held at once: the growth reserve of each would be half of all they cost.
                    bytes.shrink_to_fit();
                    Head::Memory(bytes)
                }
                Store::File(_, path) => Head::File(path),
            },
            head_bytes: self.head_bytes,
            dropped: self.overflow - tail.len() as u64,
            tail,
            spill_error: self.spill_error,
        }
    }

    /// How many more bytes the head may take.
    fn room(&self) -> u64 {
        match &self.store {
            Store::Memory(kept) => self.limits.memory_limit.saturating_sub(kept.len()) as u64,
            Store::File(..) => self.limits.spill_limit.saturating_sub(self.head_bytes),
        }
    }

    /// Appends to the head and says how many bytes of `bytes` are in it.
    fn append(&mut self, bytes: &[u8]) -> usize {
        match &mut self.store {
            Store::Memory(kept) => {
                kept.extend_from_slice(bytes);
                bytes.len()
            }
            Store::File(file, _) => match write_most(file, bytes) {
                (taken, None) => taken,
                (taken, Some(error)) => {
                    self.spill_error = Some(error);
                    taken
                }
            },
        }
    }

    /// Moves the head to a file; when that is impossible it stays in memory and the reason is kept.
    fn spill(&mut self) {
        let Store::Memory(kept) = &self.store else {
            return;
        };
        // A file that may hold no more than memory does would only add a way to fail.
        if self.limits.spill_limit <= kept.len() as u64 {
            return;
        }
        let directory = match &self.limits.spill_directory {
            SpillDirectory::Nowhere => return,
            SpillDirectory::Temporary => std::env::temp_dir(),
            SpillDirectory::At(directory) => directory.to_path_buf(),
        };
        let moved = create(&directory).and_then(|(mut file, path)| {
            file.write_all(kept)?;
            Ok((file, path))
        });
        match moved {
            Ok((file, path)) => self.store = Store::File(file, path),
            Err(error) => self.spill_error = Some(error),
        }
    }

    fn drop_bytes(&mut self, bytes: &[u8]) {
        self.overflow += bytes.len() as u64;
        self.tail.push(bytes);
    }
}

/// Creates a spill file that only this user can read.
fn create(directory: &Path) -> io::Result<(File, SpillPath)> {
    /// Tells the files of this process apart; a restarted process with the same id meets `create_new` and goes on.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    /// Names tried before the folder is declared unusable.
    const ATTEMPTS: u32 = 100;

    let mut options = OpenOptions::new();
    // Never an existing file: in a shared temporary folder it could be a link that somebody put there.
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        // Relaxed: the number only has to be different each time.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("aqe-output-{}-{number}", std::process::id()));
        match options.open(&path) {
            Ok(file) => return Ok((file, SpillPath(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// Writes as much as can be written, and says how much that was.
fn write_most(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// The last bytes of what was dropped: a failing test says why in its last lines.
#[derive(Debug, Default)]
struct Tail {
    /// At most twice `KEPT` long, so that the oldest half is moved out once per `KEPT` bytes.
    bytes: Vec<u8>,
}

impl Tail {
    const KEPT: usize = 16 * 1_024;

    fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(Self::KEPT)..];
        if self.bytes.len() + bytes.len() > 2 * Self::KEPT {
            self.bytes.drain(..self.bytes.len() - Self::KEPT);
        }
        self.bytes.extend_from_slice(bytes);
    }

    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes
            .drain(..self.bytes.len().saturating_sub(Self::KEPT));
        self.bytes.shrink_to_fit();
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(memory: usize, spill: u64, directory: Option<&Path>) -> Capture {
        Capture::default()
            .memory_limit(memory)
            .spill_limit(spill)
            .spill_directory(directory.map(Path::to_owned))
    }

    fn everything(output: &Output) -> Vec<u8> {
        output.read_head(usize::MAX).unwrap()
    }

    #[test]
    fn what_fits_stays_in_memory_and_touches_no_disk() {
        let mut sink = Sink::new(capture(8, 100, Some(Path::new("/nonexistent"))));
        sink.push(b"1234");
        sink.push(b"5678");
        let output = sink.finish();
        assert_eq!(output.in_memory(), Some(&b"12345678"[..]));
        assert_eq!(
            (output.total_bytes(), output.len(), output.truncated_bytes()),
            (8, 8, 0)
        );
        assert!(output.spill_error().is_none() && output.file().is_none() && !output.is_empty());
    }

    #[test]
    fn the_byte_over_the_limit_moves_everything_to_a_private_file_that_goes_with_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::new(capture(4, 100, Some(folder.path())));
        sink.push(b"1234");
        sink.push(b"5");
        sink.push(b"6789");
        let output = sink.finish();
        assert_eq!(everything(&output), b"123456789");
        assert_eq!(output.read_head(3).unwrap(), b"123");
        assert_eq!(output.read_tail(3).unwrap(), b"789");
        assert_eq!(output.in_memory(), None);
        let path = output.file().unwrap().to_owned();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(output);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_file_outlives_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::new(capture(0, 100, Some(folder.path())));
        sink.push(b"text");
        let path = sink.finish().keep_file().unwrap();
        assert_eq!(fs::read(path).unwrap(), b"text");
    }

    #[test]
    fn past_the_spill_limit_bytes_are_counted_and_the_last_ones_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::new(capture(4, 10, Some(folder.path())));
        sink.push(b"0123456789abc");
        for _ in 0..100 {
            sink.push(&[b'x'; 1_000]);
        }
        sink.push(b"the end");
        let output = sink.finish();
        assert_eq!(everything(&output), b"0123456789");
        assert_eq!(output.total_bytes(), 13 + 100_000 + 7);
        assert_eq!(output.tail().len(), Tail::KEPT);
        assert_eq!(
            output.truncated_bytes(),
            output.total_bytes() - 10 - Tail::KEPT as u64
        );
        assert_eq!(output.read_tail(7).unwrap(), b"the end");
        assert!(output.spill_error().is_none());
    }

    #[test]
    fn without_a_usable_folder_the_head_stays_in_memory_and_the_reason_is_told() {
        let mut sink = Sink::new(capture(4, 100, Some(Path::new("/nonexistent/folder"))));
        sink.push(b"12");
        sink.push(b"345678");
        sink.push(b"9");
        let output = sink.finish();
        assert_eq!(output.in_memory(), Some(&b"1234"[..]));
        assert_eq!(
            (
                output.tail(),
                output.truncated_bytes(),
                output.total_bytes()
            ),
            (&b"56789"[..], 0, 9)
        );
        assert_eq!(
            output.spill_error().unwrap().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_keeps_what_was_written_and_tells_how_much_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = Sink::new(capture(0, 1_000_000, Some(folder.path())));
        sink.push(b"head");
        // A device that is always full stands in for the rest of the disk.
        let Store::File(file, _) = &mut sink.store else {
            panic!("spilled")
        };
        *file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        sink.push(&[b'x'; 40_000]);
        sink.push(b"end");
        let output = sink.finish();
        assert_eq!(everything(&output), b"head");
        assert_eq!(output.total_bytes(), 40_007);
        assert_eq!(output.read_tail(3).unwrap(), b"end");
        assert_eq!(
            output.spill_error().unwrap().kind(),
            io::ErrorKind::StorageFull
        );
    }

    #[test]
    fn no_folder_means_memory_only() {
        let mut sink = Sink::new(capture(2, 100, None));
        sink.push(b"1234");
        let output = sink.finish();
        assert_eq!(
            (output.in_memory(), output.tail()),
            (Some(&b"12"[..]), &b"34"[..])
        );
        assert!(output.spill_error().is_none());
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        #[test]
        fn any_cut_of_the_stream_gives_the_same_output(
            chunks in proptest::collection::vec(0_usize..40_000, 0..8),
            memory in 0_usize..50_000,
            spill in 0_u64..100_000,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let whole: Vec<u8> = (0..chunks.iter().sum()).map(|at: usize| (at % 251) as u8).collect();
            let mut sink = Sink::new(capture(memory, spill, Some(folder.path())));
            let mut rest = &whole[..];
            for length in chunks {
                let (chunk, after) = rest.split_at(length);
                sink.push(chunk);
                rest = after;
            }
            let output = sink.finish();
            let head = everything(&output);
            assert!(whole.starts_with(&head));
            assert!(whole.ends_with(output.tail()));
            assert_eq!(output.total_bytes(), whole.len() as u64);
            assert_eq!(head.len() as u64 + output.tail().len() as u64 + output.truncated_bytes(), whole.len() as u64);
            assert!(head.len() as u64 <= (memory as u64).max(spill));
            if whole.len() <= memory || whole.len() as u64 <= spill {
                assert_eq!(head, whole);
            }
        }
    }
}
