//! Verdicts on disk as they come, so that a killed run loses none that was shown.
//!
//! A run has a folder of its own, named by its [`RunId`]; the journal in it is a text file of one record per line:
//!
//! ```text
//! <crc32, 8 hex digits> <sequence number> <record as JSON>
//! ```
//!
//! The first record is [`Record::RunStarted`] and carries the format version. The checksum covers everything after it
//! up to the line end, so a flipped byte, a torn write and a lost line are all seen, and a reader finds its way again
//! at the next line. [`JournalWriter`] gathers records and hands them to the system with one `write` per flush; what
//! was flushed survives the death of the process (a power cut only after [`JournalWriter::sync`]). [`JournalReader`]
//! streams in bounded memory and never trusts the file.
//!
//! **Invariant:** a record that [`JournalWriter::flush`] returned `Ok` for is read back, or its line is reported as
//! damaged; it is never silently missing or different.

mod folder;
mod line;
mod reader;
mod record;
mod run_id;
mod writer;

pub use folder::{FolderError, JOURNAL_FILE, Pruned, RunFolder, RunsFolder};
pub use reader::{Entry, JournalReader, ReadError, ReadReport};
pub use record::{FORMAT_VERSION, Record, RunCounts};
pub use run_id::{ParseRunIdError, RunId};
pub use writer::{JournalError, JournalWriter, MAX_BACKLOG_BYTES};
