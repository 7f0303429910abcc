//! Reads a log from its start, and decides where it ends.
//!
//! A record that is not whole is one of two things. If it was being written when the machine stopped, nothing after it
//! had been promised to anybody: the log ends there. If it had been safe on disk before, something has damaged it,
//! and what follows cannot be trusted to be complete: the log is refused. A later record says which of the two it is,
//! because each one states how much of the file was safe when it was written.

use std::io::{self, Read};

use super::contents::Contents;
use super::done::DoneSet;
use super::error::{CheckpointError, Damage};
use super::frame::{ALIGN, FRAME_LEN, Frame, Kind, MAX_CONTENTS};
use super::header::{HEADER_LEN, Identity};

/// How much is asked of the reader at once, in bytes.
const READ: usize = 1 << 20;

/// What a log says, and where it ends.
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// Every item that is done, skipped ones included.
    pub(crate) done: DoneSet,
    /// Those of them that were skipped.
    pub(crate) skipped: DoneSet,
    /// The number of the next record.
    pub(crate) sequence: u64,
    /// Where the next record goes.
    pub(crate) end: u64,
    /// The bytes of records with results.
    pub(crate) result_bytes: u64,
    /// Whether nothing but zeros follows.
    pub(crate) clean: bool,
    /// The length of the file.
    pub(crate) len: u64,
}

/// Reads a whole log. `header` sees what stands in front, and may refuse it; `result` gets the result of each item that
/// has one, in the order in which they were written.
pub(crate) fn scan(
    reader: impl Read,
    header: impl FnOnce(&Identity) -> Result<(), CheckpointError>,
    mut result: impl FnMut(u64, &[u8]) -> Result<(), CheckpointError>,
) -> Result<Image, CheckpointError> {
    let mut window = Window::new(reader);
    header(&Identity::decode(window.at_least(HEADER_LEN)?)?)?;
    window.consume(HEADER_LEN);
    let mut image = Image::default();
    while let Some(frame) = whole_record(&mut window, image.sequence)? {
        let offset = window.offset;
        let end = FRAME_LEN + frame.len as usize;
        let contents = &window.at_least(end)?[FRAME_LEN..end];
        image
            .apply(frame, contents, &mut result)
            .map_err(|refusal| match refusal {
                Refusal::Damage(what) => damaged(offset, what),
                Refusal::Result(error) => error,
            })?;
        window.consume(FRAME_LEN + frame.padded_len());
    }
    image.end = window.offset;
    image.clean = is_end(&mut window)?;
    image.len = window.offset;
    Ok(image)
}

/// The frame of the record at the window's start, if all of it is there and as it was written.
fn whole_record(
    window: &mut Window<impl Read>,
    sequence: u64,
) -> Result<Option<Frame>, CheckpointError> {
    let offset = window.offset;
    let Some(frame) = Frame::read(window.at_least(FRAME_LEN)?, offset) else {
        return Ok(None);
    };
    if frame.sequence != sequence || frame.len as usize > MAX_CONTENTS {
        return Ok(None);
    }
    let whole = FRAME_LEN + frame.padded_len();
    let contents = window
        .at_least(whole)?
        .get(FRAME_LEN..FRAME_LEN + frame.len as usize);
    let is_whole = contents.is_some_and(|it| crc32fast::hash(it) == frame.checksum);
    // The filling behind the contents may be cut off: nothing is in it.
    Ok(is_whole.then_some(frame))
}

/// Reads what follows the last whole record; whether it is all zeros. Refuses a log of which something that was safe is
/// not whole.
fn is_end(window: &mut Window<impl Read>) -> Result<bool, CheckpointError> {
    let end = window.offset;
    let mut clean = true;
    loop {
        let bytes = window.at_least(FRAME_LEN)?;
        if bytes.is_empty() {
            return Ok(clean);
        }
        let available = bytes.len();
        let mut seen = 0;
        while seen + FRAME_LEN <= available {
            let here = &window.bytes()[seen..];
            // Most of it is zeros, which are passed over quickly.
            if here[..ALIGN] != [0; ALIGN] {
                clean = false;
                if let Some(frame) = Frame::read(here, window.offset + seen as u64)
                    && frame.durable > end
                {
                    let what = match Frame::read(window.bytes(), end) {
                        Some(first) if seen == 0 && first == frame => Damage::Sequence,
                        _ => Damage::Record,
                    };
                    return Err(damaged(end, what));
                }
            }
            seen += ALIGN;
        }
        if seen == 0 {
            // Less than a frame is left.
            clean &= window.bytes().iter().all(|&byte| byte == 0);
            seen = available;
        }
        window.consume(seen);
    }
}

fn damaged(offset: u64, what: Damage) -> CheckpointError {
    CheckpointError::Damaged {
        path: None,
        offset,
        what,
    }
}

enum Refusal {
    Damage(Damage),
    Result(CheckpointError),
}

impl Image {
    fn apply(
        &mut self,
        frame: Frame,
        contents: &[u8],
        result: &mut impl FnMut(u64, &[u8]) -> Result<(), CheckpointError>,
    ) -> Result<(), Refusal> {
        let unreadable = || Refusal::Damage(Damage::Contents);
        let kind = frame.kind.ok_or_else(unreadable)?;
        let mut contents = Contents::new(contents);
        let ranges = contents.ranges().ok_or_else(unreadable)?;
        for range in &ranges {
            if self.done.insert(range.clone()) != range.end - range.start {
                return Err(Refusal::Damage(Damage::Repetition));
            }
            if kind == Kind::Skipped {
                self.skipped.insert(range.clone());
            }
        }
        if kind == Kind::Results {
            self.result_bytes += FRAME_LEN as u64 + frame.padded_len() as u64;
            for item in ranges.into_iter().flatten() {
                let bytes = contents.result().ok_or_else(unreadable)?;
                result(item, bytes).map_err(Refusal::Result)?;
            }
        }
        if !contents.is_empty() {
            return Err(unreadable());
        }
        self.sequence += 1;
        Ok(())
    }
}

/// A reader and the bytes of it that have been read and not yet been consumed.
struct Window<R> {
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    /// The place of `start` in the file.
    offset: u64,
    is_over: bool,
}

impl<R: Read> Window<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            is_over: false,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// At least so many bytes, or all that are left.
    fn at_least(&mut self, len: usize) -> Result<&[u8], CheckpointError> {
        if self.bytes().len() < len && !self.is_over {
            self.fill(len).map_err(CheckpointError::io("read"))?;
        }
        Ok(self.bytes())
    }

    #[cold]
    fn fill(&mut self, len: usize) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let wanted = len.max(READ);
        let missing = wanted.saturating_sub(self.buffer.len()) as u64;
        let read = self
            .reader
            .by_ref()
            .take(missing)
            .read_to_end(&mut self.buffer)?;
        self.is_over = (read as u64) < missing;
        Ok(())
    }

    fn consume(&mut self, len: usize) {
        let len = len.min(self.bytes().len());
        self.start += len;
        self.offset += len as u64;
    }
}
