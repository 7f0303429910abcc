//! Writes a log again without what it says several times over.
//!
//! What grows without need are the ranges and frames of records: a run of a thousand million items has ten million of
//! them and is one range. Results stay as they are. The new file is complete and synced before it gets the name, so
//! a crash leaves either the old log or the new one.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::contents::write_ranges;
use super::done::DoneSet;
use super::entry::Entry;
use super::error::CheckpointError;
use super::files::{NotReplaced, replace, write_zeros};
use super::frame::{Frame, Kind};
use super::header::{HEADER_LEN, Identity};
use super::scan::{Image, scan};
use super::system::call;
use super::writer::FIRST_SEGMENT;

/// Smaller logs are left alone.
const LEAST: u64 = 1 << 20;

/// Ranges in one record, so that it stays small.
const RANGES: usize = 16_384;

/// A record of results is written when it has so many bytes.
const RESULT_BYTES: usize = 256 << 10;

/// Whether at least half of the log could be spared.
pub(super) fn is_worthwhile(image: &Image) -> bool {
    would_spare(image.end, image.result_bytes)
}

/// Whether at least half of a log of `len` bytes could be spared, of which `result_bytes` are records with results.
///
/// Ranges are not counted: a set with so many holes that they take half of the log is written again once for each
/// doubling of the log, which is little in all.
pub(super) fn would_spare(len: u64, result_bytes: u64) -> bool {
    len >= LEAST && result_bytes.saturating_add(HEADER_LEN as u64) < len / 2
}

/// Puts a compacted copy of `file` at `path`. The copy says what `image` says, and nothing else.
pub(super) fn compact(
    path: &Path,
    file: &File,
    identity: &Identity,
    image: &Image,
) -> Result<(File, Image), NotReplaced> {
    let mut copy = Image::default();
    let file = replace(path, |new| {
        let mut out = Out {
            path,
            file: BufWriter::with_capacity(RESULT_BYTES, new),
            image: Image {
                end: HEADER_LEN as u64,
                ..Image::default()
            },
            buffer: Vec::new(),
        };
        call(path, || out.file.write_all(&identity.encode()))
            .map_err(CheckpointError::io("compact"))?;
        let with_results = copy_results(file, image.end, &mut out)?;
        let without = difference(&image.done, &[&with_results, &image.skipped]);
        out.ranges(Kind::Done, &without)?;
        out.ranges(Kind::Skipped, &image.skipped)?;
        copy = out.finish()?;
        Ok(())
    })?;
    copy.done = image.done.clone();
    copy.skipped = image.skipped.clone();
    Ok((file, copy))
}

/// Copies the results and returns the items that have one.
fn copy_results(file: &File, end: u64, out: &mut Out<'_>) -> Result<DoneSet, CheckpointError> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))
        .map_err(CheckpointError::io("compact"))?;
    let mut with_results = DoneSet::default();
    let mut entry = Entry::new();
    let result = |item: u64, bytes: &[u8]| {
        with_results.insert(item..item + 1);
        entry.result(item, |buffer| {
            buffer.extend_from_slice(bytes);
            Ok(())
        })?;
        if entry.bytes() >= RESULT_BYTES {
            out.results(&mut entry)?;
        }
        Ok(())
    };
    scan(file.take(end), |_| Ok(()), result)?;
    out.results(&mut entry)?;
    Ok(with_results)
}

/// What is in `set` and in none of `others`.
fn difference(set: &DoneSet, others: &[&DoneSet]) -> DoneSet {
    let mut rest = DoneSet::default();
    let mut excluded = DoneSet::default();
    for range in others.iter().flat_map(|other| other.ranges()) {
        excluded.insert(range);
    }
    for range in set.ranges() {
        let mut from = range.start;
        while let Some(gap) = excluded.next_gap(from, range.end) {
            from = gap.end;
            rest.insert(gap);
            if from >= range.end {
                break;
            }
        }
    }
    rest
}

struct Out<'a> {
    path: &'a Path,
    file: BufWriter<&'a mut File>,
    image: Image,
    buffer: Vec<u8>,
}

impl Out<'_> {
    fn ranges(&mut self, kind: Kind, set: &DoneSet) -> Result<(), CheckpointError> {
        let mut ranges = set.ranges().peekable();
        while ranges.peek().is_some() {
            let part: Vec<_> = ranges.by_ref().take(RANGES).collect();
            let mut contents = Vec::new();
            write_ranges(&part, &mut contents);
            self.record(kind, &contents)?;
        }
        Ok(())
    }

    fn results(&mut self, entry: &mut Entry) -> Result<(), CheckpointError> {
        entry.settle();
        let mut written = Ok(());
        entry.with_results(|_, contents| {
            if written.is_ok() {
                written = self.record(Kind::Results, contents);
            }
        });
        entry.clear();
        written
    }

    fn record(&mut self, kind: Kind, contents: &[u8]) -> Result<(), CheckpointError> {
        self.buffer.clear();
        // Everything before a record is on disk when the file gets its name.
        let place = (self.image.end, self.image.end);
        Frame::write(kind, self.image.sequence, place, contents, &mut self.buffer);
        call(self.path, || self.file.write_all(&self.buffer))
            .map_err(CheckpointError::io("compact"))?;
        self.image.sequence += 1;
        self.image.end += self.buffer.len() as u64;
        if kind == Kind::Results {
            self.image.result_bytes += self.buffer.len() as u64;
        }
        Ok(())
    }

    fn finish(self) -> Result<Image, CheckpointError> {
        let mut image = self.image;
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .map_err(CheckpointError::io("compact"))?;
        call(self.path, || write_zeros(file, FIRST_SEGMENT))
            .map_err(CheckpointError::io("compact"))?;
        image.len = image.end + FIRST_SEGMENT;
        image.clean = true;
        Ok(image)
    }
}
