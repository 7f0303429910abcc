//! Reading the journal without trusting it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::line::{self, MAX_LINE_BYTES};
use super::{FORMAT_VERSION, Record};

/// One line of the journal, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A record.
    Record(Record),
    /// A whole record of a kind or shape that this version does not know.
    Unknown,
    /// A line that is not what was written: damaged, too long, or a repetition.
    Damaged {
        /// Where it starts, in bytes from the start of the file.
        offset: u64,
    },
}

/// What was found in a journal, besides its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadReport {
    /// Records that were understood.
    pub records: u64,
    /// Whole records of kinds that this version does not know.
    pub unknown: u64,
    /// Damaged lines.
    pub damaged: u64,
    /// Records that the sequence numbers say were written and that are not there, or are in damaged lines.
    pub missing: u64,
    /// Bytes of a last line without an end: the write that was under way when the process was killed.
    pub torn_bytes: u64,
    /// The length of the file without the torn last line.
    pub whole_bytes: u64,
    /// The sequence number of the record to come.
    pub next_sequence: u64,
}

impl ReadReport {
    /// Whether every record that was written is there. A torn last line is no damage: nobody was told that it was
    /// written.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.damaged == 0 && self.missing == 0
    }
}

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The system could not read the file.
    #[error("cannot read the journal")]
    Io(#[from] io::Error),
    /// A newer version wrote it, in a format that this version would misread.
    #[error(
        "the journal has format {found} and this version reads up to {FORMAT_VERSION}; use the version that wrote it"
    )]
    TooNew {
        /// The format it says it has.
        found: u32,
    },
}

/// Streams the entries of a journal, holding one line at a time.
///
/// After the last entry, [`report`](Self::report) tells what else was found. After an error nothing more comes.
#[derive(Debug)]
pub struct JournalReader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
    /// Bytes read so far, all of them part of lines that were handed out or of a torn one.
    offset: u64,
    report: ReadReport,
    done: bool,
}

impl JournalReader<File> {
    /// Opens a journal for reading; a run may be writing it meanwhile.
    ///
    /// # Errors
    ///
    /// What the system says when it does not open.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).map(Self::new)
    }
}

impl<R: Read> JournalReader<R> {
    /// Reads from the start of a journal.
    pub fn new(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(32 * 1024, input),
            line: Vec::new(),
            offset: 0,
            report: ReadReport::default(),
            done: false,
        }
    }

    /// What was found so far.
    #[must_use]
    pub fn report(&self) -> ReadReport {
        self.report
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        let start = self.offset;
        match self.read_line()? {
            End::OfFile => {
                self.report.torn_bytes = self.offset - start;
                return Ok(None);
            }
            End::OfLine => self.report.whole_bytes = self.offset,
        }
        let decoded = if self.line.len() < MAX_LINE_BYTES {
            line::decode(&self.line)
        } else {
            None
        };
        let Some((sequence, json)) =
            decoded.filter(|(sequence, _)| *sequence >= self.report.next_sequence)
        else {
            self.report.damaged += 1;
            return Ok(Some(Entry::Damaged { offset: start }));
        };
        self.report.missing += sequence - self.report.next_sequence;
        self.report.next_sequence = sequence.saturating_add(1);
        match serde_json::from_slice(json) {
            Ok(Record::RunStarted { format, .. }) if format > FORMAT_VERSION => {
                Err(ReadError::TooNew { found: format })
            }
            Ok(record) => {
                self.report.records += 1;
                Ok(Some(Entry::Record(record)))
            }
            // The checksum holds, so this is what was written: by a version that knows more.
            Err(_) => {
                self.report.unknown += 1;
                Ok(Some(Entry::Unknown))
            }
        }
    }

    /// Reads up to the next line end. Of a line that is too long, only as much is kept as shows that it is.
    fn read_line(&mut self) -> io::Result<End> {
        self.line.clear();
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            if available.is_empty() {
                return Ok(End::OfFile);
            }
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = &available[..end.unwrap_or(available.len())];
            let room = MAX_LINE_BYTES - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let used = part.len() + usize::from(end.is_some());
            self.input.consume(used);
            self.offset += used as u64;
            if end.is_some() {
                return Ok(End::OfLine);
            }
        }
    }
}

impl<R: Read> Iterator for JournalReader<R> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let entry = self.next_entry().transpose();
        self.done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

enum End {
    OfLine,
    OfFile,
}

#[cfg(test)]
mod tests {
    use super::super::record::samples;
    use super::*;
    use proptest::prelude::*;

    fn journal() -> Vec<u8> {
        let mut bytes = Vec::new();
        for (sequence, record) in (0..).zip(samples::records()) {
            line::encode(&mut bytes, sequence, &record).unwrap();
        }
        bytes
    }

    fn read(bytes: &[u8]) -> (Vec<Entry>, ReadReport) {
        let mut reader = JournalReader::new(bytes);
        let entries = reader.by_ref().collect::<Result<_, _>>().unwrap();
        (entries, reader.report())
    }

    /// Every entry is one of the written records, in order; nothing invented, nothing changed.
    fn assert_only_written(entries: &[Entry]) {
        let written = samples::records();
        let mut rest = written.as_slice();
        for entry in entries {
            let Entry::Record(record) = entry else {
                continue;
            };
            let Some(position) = rest.iter().position(|written| written == record) else {
                panic!("{record:?} was never written, or not in this place");
            };
            rest = &rest[position + 1..];
        }
    }

    #[test]
    fn every_truncation_keeps_the_lines_before_it() {
        let bytes = journal();
        for cut in 0..bytes.len() {
            let (entries, report) = read(&bytes[..cut]);
            let whole = bytes[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(entries.len(), whole);
            assert_only_written(&entries);
            assert_eq!(
                (report.records, report.damaged, report.missing),
                (whole as u64, 0, 0)
            );
            assert_eq!(report.whole_bytes + report.torn_bytes, cut as u64);
        }
    }

    #[test]
    fn every_flipped_bit_is_seen_and_costs_two_lines_at_most() {
        let bytes = journal();
        let lines = samples::records().len() as u64;
        for index in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[index] ^= 1 << bit;
                let (entries, report) = read(&flipped);
                assert_only_written(&entries);
                assert!(
                    report.damaged > 0 || report.torn_bytes > 0,
                    "bit {bit} of byte {index}"
                );
                assert!(
                    report.records >= lines - 2,
                    "bit {bit} of byte {index}: {report:?}"
                );
            }
        }
    }

    #[test]
    fn a_lost_line_and_a_repeated_one_are_seen() {
        let bytes = journal();
        let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
        let (_, report) = read(&[lines[0], lines[2], lines[3]].concat());
        assert_eq!(
            (report.records, report.missing, report.is_whole()),
            (3, 1, false)
        );
        let (_, report) = read(&[lines[0], lines[1], lines[1], lines[2]].concat());
        assert_eq!((report.records, report.damaged, report.missing), (3, 1, 0));
    }

    #[test]
    fn records_of_later_versions_are_skipped_and_counted() {
        let json = r#"0 {"kind":"new-kind","x":1}"#;
        let line = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        let (entries, report) = read(line.as_bytes());
        assert_eq!(entries, [Entry::Unknown]);
        assert_eq!((report.unknown, report.is_whole()), (1, true));
    }

    #[test]
    fn a_format_of_the_future_is_refused() {
        let mut record = samples::records().remove(0);
        if let Record::RunStarted { format, .. } = &mut record {
            *format = FORMAT_VERSION + 1;
        }
        let mut bytes = Vec::new();
        line::encode(&mut bytes, 0, &record).unwrap();
        let mut reader = JournalReader::new(bytes.as_slice());
        let error = reader.next().unwrap().unwrap_err();
        assert!(
            error.to_string().contains("use the version that wrote it"),
            "{error}"
        );
        assert!(reader.next().is_none());
    }

    #[test]
    fn an_endless_line_is_read_in_bounded_memory() {
        let endless = io::repeat(b'x').take(8 * MAX_LINE_BYTES as u64);
        let bytes = journal();
        let mut reader = JournalReader::new(endless.chain(&b"\n"[..]).chain(bytes.as_slice()));
        assert!(matches!(
            reader.next(),
            Some(Ok(Entry::Damaged { offset: 0 }))
        ));
        assert!(reader.line.capacity() <= 2 * MAX_LINE_BYTES);
        assert_eq!(reader.by_ref().count(), samples::records().len());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..2000) {
            let mut mixed = journal();
            let at = at.min(mixed.len());
            mixed.splice(at..at, bytes.iter().copied());
            let (entries, _) = read(&mixed);
            assert_only_written(&entries);
            let _ = read(&bytes);
        }
    }
}
