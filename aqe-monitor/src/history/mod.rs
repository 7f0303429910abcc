//! What was measured, in one SQLite file that people's own tools can query.
//!
//! A [`History`] writes: each [`append`](History::append) commits the values of all series at a moment, and takes tens of microseconds.
//! Any number of [`HistoryReader`]s read meanwhile, in this process and in others.
//!
//! ```
//! use std::time::Duration;
//! use aqe_monitor::history::{History, HistoryConfig, HistoryReader, Kind, Moment, SeriesKey, Tick};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("history.db");
//! let mut history = History::open(&path, HistoryConfig::default())?;
//! let depth = history.series(&SeriesKey::new("queue_depth", &[("queue", "main")])?, Kind::Gauge, "")?;
//!
//! let start = Moment::now();
//! let mut tick = Tick::new();
//! for second in 0..100_u32 {
//!     tick.clear();
//!     tick.set(depth, f64::from(second % 10));
//!     history.append(start.after(Duration::from_secs(second.into())), &mut tick)?;
//! }
//!
//! // In any process, while the history is being written.
//! let reader = HistoryReader::open(&path)?;
//! let range = start.wall..start.wall.after(Duration::from_secs(100));
//! let answer = reader.points(depth, range, 10)?;
//! assert_eq!(answer.points.len(), 10);
//! assert_eq!((answer.points[3].summary.min, answer.points[3].summary.max), (0.0, 9.0));
//! # Ok(()) }
//! ```
//!
//! # With other tools
//!
//! ```text
//! $ sqlite3 history.db "SELECT datetime(start, 'unixepoch'), min, avg, max FROM samples_rollup
//!       WHERE resolution = 'hour' AND name = 'queue_depth' AND json_extract(labels, '$.queue') = 'main'"
//! ```
//!
//! | view | columns | what it shows |
//! | --- | --- | --- |
//! | `series` | `id, name, labels, kind, unit` | what is measured; labels are a JSON object |
//! | `samples_rollup` | `resolution, series, name, labels, start, n, min, max, avg, sum, last` | by `minute` (two days) and `hour` (all), up to the last tick (histograms: up to the last sealing). What is not sealed yet is a row of its own, so that a period that is not over may have two |
//! | `samples_recent` | `series, name, labels, at, value` | single samples of counters and gauges that are not sealed yet: the last hour or less |
//! | `chunks` | `series, name, labels, first_at, last_at, n, min, max, avg, sum, last, bytes` | headers of sealed chunks |
//! | `histogram_rollup` | `resolution, series, name, labels, start, count, sum, buckets` | what is sealed; buckets as JSON: precision, sum, then number and count of each ([`Buckets`]) |
//! | `runs` | `id, name, version, labels, started, ended` | runs of whatever is measured |
//! | `results` | `run, run_name, version, labels, started, name, value` | what runs came to |
//! | `clock_steps` | `seq, at, seconds` | how far the wall clock was set, and when |
//!
//! All times in views are seconds since 1970. Tables without a view may change with any version; open the file read-only
//! (`sqlite3 -readonly`), for what others write into it may make it a damaged one.
//!
//! # What is kept, and where
//!
//! A tick is one row, as JSON. After [`block_ticks`](HistoryConfig::block_ticks) of them, they are *sealed*: each series becomes one
//! compressed chunk with a header (`n, min, max, sum, last`, first and last time), and is added to its rollups by minute and by hour.
//! Histograms keep buckets that can be added up over any time, not percentiles, which cannot.
//!
//! What is older than [`retention`](HistoryConfig::retention) goes at the next sealing; if the file would become larger than
//! [`max_bytes`](HistoryConfig::max_bytes), the oldest block goes first. Space that becomes free is used again; the file shrinks
//! only by [`History::compact`]. The log beside the file (`-wal`) has at most 64 MiB: when it has reached them because some
//! program keeps a transaction open, ticks are refused until that one has ended.
//!
//! # What survives what
//!
//! | event | what is lost |
//! | --- | --- |
//! | the process is killed | the tick that was being committed, if any |
//! | the machine loses power | ticks since the log was last taken over into the file (some minutes); the file stays whole |
//! | the disk is full | ticks, each with [`HistoryError::Full`], until there is room; what is there stays |
//! | a value in the file is damaged | that row; it is counted in [`Points::damaged`], never shown |
//! | the file's structure is damaged | the next writer sets the file aside under another name and begins a new one ([`Opened::SetAside`]) |
//! | a newer version has written it | nothing; it is refused ([`HistoryError::Newer`]) and left alone |
//!
//! # Clocks
//!
//! Ticks are numbered, and the order of the numbers is the order of writing. Their wall times may go back when the clock is set; no
//! tick is lost or moved for that. A range of time gives all samples whose wall time lies in it, so that an hour that the clock
//! showed twice has twice the samples. `last` is what was *written* last. Every step of two seconds or more is kept (`clock_steps`). After a
//! step forward of more than an hour, nothing is dropped for its age for a day, so that a clock that was wrong for a while
//! costs nothing; likewise if a history goes on after a gap of more than half its retention. Samples with times in the future stay until they are old, or room is needed.
//!
//! # Processes
//!
//! One [`History`] at a time writes a file; another is refused, with the number of the process that has it
//! ([`HistoryError::InUse`]). The right is a lock of the system on a file beside (`-writer`), so that it ends with its process. Locks and the
//! shared memory of the log work on local file systems, not on network ones.

mod buckets;
mod chunk;
mod clock;
mod config;
mod error;
mod export;
mod file;
mod range;
mod reader;
mod retain;
mod rows;
mod runs;
mod schema;
mod seal;
mod series;
mod summary;
mod tick;
mod time;
mod times;
mod writer;

pub use buckets::Buckets;
pub use config::HistoryConfig;
pub use error::HistoryError;
pub use export::Exported;
pub use file::SetAside;
pub use range::{HistogramPoint, HistogramPoints, Point, Points};
pub use reader::{HistoryReader, Resolution, Sample, Samples};
pub use runs::{Run, RunId, RunResult};
pub use seal::Sealed;
pub use series::{Kind, SeriesId, SeriesInfo, SeriesKey};
pub use summary::Summary;
pub use tick::Tick;
pub use time::{Moment, Timestamp};
pub use writer::{Appended, History, Opened};

/// How many ticks a block may have, whatever the settings: a reader allocates no more than that.
const MAX_BLOCK_TICKS: u32 = 4096;

/// How many series the settings may allow.
const MAX_SERIES: u32 = 1_000_000;

/// Bytes as a chunk of a block with so many ticks; gives how many values it has. For fuzzing.
#[doc(hidden)]
#[must_use]
pub fn read_any_chunk(bytes: &[u8], block: u16) -> Option<usize> {
    let block = usize::from(block).min(MAX_BLOCK_TICKS as usize);
    let chunk = chunk::decode(bytes, block)?;
    let again = chunk::decode(&chunk::encode(&chunk, block), block);
    assert!(
        again.as_ref() == Some(&chunk),
        "what was read is written and read again"
    );
    Some(chunk.values.len())
}

/// Bytes as the times of a block and as the text of a tick. For fuzzing.
#[doc(hidden)]
pub fn read_any_tick(bytes: &[u8], block: u16) {
    if let Some(times) = times::decode(bytes, usize::from(block)) {
        assert!(times.is_sorted() && times.len() == usize::from(block));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = tick::read_body(text, |_, _| ());
        let _ = tick::read_buckets(text);
        let _ = series::labels_from_json(text);
    }
}
