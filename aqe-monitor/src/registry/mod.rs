//! Counters, gauges and histograms that cost next to nothing to feed, and everything that reads them.
//!
//! A program registers its metrics once, keeps the handles, and counts through them:
//!
//! ```
//! use aqe_monitor::registry::{Metric, Registry, Unit};
//!
//! let registry = Registry::new();
//! let done = registry.counter(Metric::new("jobs_done_total").help("Jobs that have ended well."))?;
//! let took = registry.histogram(Metric::new("job_seconds").unit(Unit::Seconds))?;
//! let failed = registry.counters("jobs_failed_total")?;
//!
//! done.increment();
//! took.record_duration(std::time::Duration::from_millis(12));
//! failed.with(&[("reason", "timeout")]).increment();
//!
//! let text = registry.to_openmetrics();
//! assert!(text.contains("jobs_done_total 1\n"));
//! assert!(text.contains("jobs_failed_total{reason=\"timeout\"} 1\n"));
//! # Ok::<_, aqe_monitor::registry::RegisterError>(())
//! ```
//!
//! # What it costs
//!
//! Each thread counts in memory of its own, with neither locks nor locked instructions. That memory is 8 bytes for each
//! counter and thread that uses it, in pages of 4 KiB, and stays for the next thread when one ends. Nothing piles up when
//! nobody reads. Bounds: 65,536 counters and gauges, 4,096 histograms and 1,024 threads at a time count in this way;
//! what is beyond any of them is counted too, at the price of a locked addition. Metrics and series are bounded by
//! [`Limits`].
//!
//! Readers take no lock that a writer waits for, save that a histogram whose narrow cell is full, or whose
//! first value of a size arrives, waits until a snapshot of that histogram is taken. A reader sees each value
//! whole, but different values at slightly different moments.

mod buckets;
mod cells;
mod counter;
mod encode;
mod error;
#[cfg(feature = "metrics")]
mod facade;
mod family;
mod gauge;
mod histogram;
mod labels;
mod local;
mod metric;
#[cfg(feature = "otlp")]
mod otlp;
mod set;
mod slot;
mod snapshot;
mod sync;
mod testing;
mod tree;

#[cfg(all(loom, test))]
mod loom_tests;

pub use self::buckets::{Bucket, HistogramSnapshot};
pub use self::counter::Counter;
pub use self::encode::CONTENT_TYPE;
pub use self::error::{LabelError, RegisterError};
#[cfg(feature = "metrics")]
pub use self::facade::MetricsRecorder;
pub use self::family::{Family, Instrument};
pub use self::gauge::Gauge;
pub use self::histogram::Histogram;
pub use self::labels::LabelSet;
pub use self::metric::{Kind, Metric, Unit};
#[cfg(feature = "otlp")]
pub use self::otlp::OtlpEncoder;
pub use self::set::{Limits, Registry};
pub use self::snapshot::{MetricSnapshot, SeriesSnapshot, Value};
pub use self::testing::TestRecorder;
