//! The configuration as typed values.
//!
//! Whoever reads a [`Config`] meets no text and no unit to guess: a time is a [`Duration`], an amount of memory a
//! [`ByteSize`], a limit that must not be zero a [`NonZeroUsize`]. `Default` is the configuration of somebody who wrote
//! nothing, tuned for a standard machine (8 cores, 16 GB); each field says what its default is meant for.

use std::num::{NonZeroU8, NonZeroU16, NonZeroUsize};
use std::time::Duration;

use bytesize::ByteSize;

use super::Percent;
use super::receivers::{EmailSettings, SlackSettings, WebhookSettings};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3600);

/// Everything that `qe.config.yaml` can say.
///
/// Comes from [`Loader`](super::Loader) when all layers count, from [`Config::parse`] when only one text does, or from
/// `Config::default()`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Config {
    /// `queue`: how many operations run at once and what happens when one fails.
    pub queue: QueueSettings,
    /// `batch`: how large inputs are cut and when a run gives up.
    pub batch: BatchSettings,
    /// `memory`: bounds and upkeep of the memory store.
    pub memory: MemorySettings,
    /// `execution`: how work is spread over workers and agents.
    pub execution: ExecutionSettings,
    /// `monitoring`: what is measured, kept, alerted on and shown.
    pub monitoring: MonitoringSettings,
    /// `performance`: how far tuning may go.
    pub performance: PerformanceSettings,
    /// `run`: how test suites are run.
    pub run: RunSettings,
    /// `log`: how much is logged.
    pub log: LogSettings,
}

/// Section `queue`.
///
/// `max_concurrent`, `batch_size` and `timeout` follow the detected [`Preset`](super::Preset) when nobody sets them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct QueueSettings {
    /// Operations that run at the same time. Default 10: operations that wait more than they compute, on 8 cores.
    pub max_concurrent: NonZeroUsize,
    /// Operations taken from the queue per turn. Default 5: half of the default concurrency, so that one turn never
    /// fills every slot.
    pub batch_size: NonZeroUsize,
    /// Time limit of one attempt. Default 30 s.
    pub timeout: Duration,
    /// Attempts after the first; 0 means that a failure is final. Default 3.
    pub retry_attempts: u32,
    /// Wait before an attempt is repeated. Default 1 s.
    pub retry_delay: Duration,
    /// Number of priorities, 1–64. Default 5: critical, high, medium, low, background.
    pub priority_levels: NonZeroU8,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self {
            max_concurrent: nonzero(10),
            batch_size: nonzero(5),
            timeout: Duration::from_secs(30),
            retry_attempts: 3,
            retry_delay: Duration::from_secs(1),
            priority_levels: match NonZeroU8::new(5) {
                Some(levels) => levels,
                None => NonZeroU8::MIN,
            },
        }
    }
}

/// Section `batch`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchSettings {
    /// Items per chunk. Default 20: files of source code.
    pub chunk_size: NonZeroUsize,
    /// Chunks processed at the same time. Default 5.
    pub concurrency: NonZeroUsize,
    /// Items between two checkpoints, which is also how many a killed run repeats at most. Default 100.
    pub checkpoint_interval: NonZeroUsize,
    /// Share of the available memory above which no chunk is started. Default 80 %.
    pub memory_threshold: Percent,
    /// Errors after which a run gives up; one more than this aborts. Default 5.
    pub error_threshold: usize,
}

impl Default for BatchSettings {
    fn default() -> Self {
        Self {
            chunk_size: nonzero(20),
            concurrency: nonzero(5),
            checkpoint_interval: nonzero(100),
            memory_threshold: Percent::saturating(80),
            error_threshold: 5,
        }
    }
}

/// Section `memory`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MemorySettings {
    /// Most memory the store holds. Default 1 GB.
    pub max_size: ByteSize,
    /// Whether entries are compressed. Default `true`.
    pub compression: bool,
    /// Whether entries are encrypted at rest and in the compressed tier. Default `true`.
    pub encryption: bool,
    /// Size of the uncompressed tier, part of `max_size`. Default 256 MB, or a quarter of `max_size` when only that was
    /// set, to less than 1 GB.
    pub cache_size: ByteSize,
    /// Time after which an entry expires. Default 7 days.
    pub retention_period: Duration,
    /// Time between two background clean-ups. Default 1 h.
    pub cleanup_interval: Duration,
    /// Share of `max_size` above which memory is reclaimed at once. Default 80 %.
    pub gc_threshold: Percent,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            max_size: ByteSize::gb(1),
            compression: true,
            encryption: true,
            cache_size: ByteSize::mb(256),
            retention_period: 7 * DAY,
            cleanup_interval: HOUR,
            gc_threshold: Percent::saturating(80),
        }
    }
}

/// Section `execution`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExecutionSettings {
    /// Whether independent work runs in parallel. Default `true`.
    pub parallel: bool,
    /// Agents that run at the same time. Default 10.
    pub max_concurrent: NonZeroUsize,
    /// How work is spread over the lanes of an engine, which are what a program adds to `Engine::lanes`; an engine without
    /// lanes has one queue, and nothing to choose. Default round-robin.
    pub load_balancing: LoadBalancing,
    /// Whether the threads that an engine starts for its queue are pinned to CPUs. There are none unless the program asks
    /// for them with `EngineBuilder::threads`: others are the program's own, and are left alone. Default `true`.
    pub affinity: bool,
    /// Which operation of the queue runs next, and whether its limit is `queue.maxConcurrent` or follows what is measured
    /// below that. Default adaptive.
    pub scheduling: Scheduling,
    /// Whether results of file operations are cached on disk. Default `false`.
    pub disk_cache: bool,
    /// Connections kept open per remote end; `None` (written `off` or `0`) opens one per request. Default `None`.
    pub connection_pool: Option<NonZeroUsize>,
}

impl Default for ExecutionSettings {
    fn default() -> Self {
        Self {
            parallel: true,
            max_concurrent: nonzero(10),
            load_balancing: LoadBalancing::default(),
            affinity: true,
            scheduling: Scheduling::default(),
            disk_cache: false,
            connection_pool: None,
        }
    }
}

/// Section `monitoring`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MonitoringSettings {
    /// Whether metrics are collected. Default `true`.
    pub enabled: bool,
    /// Time between two samples. Default 5 s.
    pub interval: Duration,
    /// How long samples are kept. Default 30 days.
    pub retention: Duration,
    /// `monitoring.alerting`; written as `true` or `false`, only its `enabled` is set.
    pub alerting: AlertingSettings,
    /// `monitoring.dashboard`; written as `true` or `false`, only its `enabled` is set.
    pub dashboard: DashboardSettings,
}

impl Default for MonitoringSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(5),
            retention: 30 * DAY,
            alerting: AlertingSettings::default(),
            dashboard: DashboardSettings::default(),
        }
    }
}

/// Section `monitoring.alerting`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlertingSettings {
    /// Whether thresholds raise alerts. Default `true`.
    pub enabled: bool,
    /// `monitoring.alerting.thresholds`.
    pub thresholds: AlertThresholds,
    /// `monitoring.alerting.email`.
    pub email: EmailSettings,
    /// `monitoring.alerting.slack`.
    pub slack: SlackSettings,
    /// `monitoring.alerting.webhook`.
    pub webhook: WebhookSettings,
}

impl Default for AlertingSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            thresholds: AlertThresholds::default(),
            email: EmailSettings::default(),
            slack: SlackSettings::default(),
            webhook: WebhookSettings::default(),
        }
    }
}

/// Section `monitoring.alerting.thresholds`: an alert is raised above each of these.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AlertThresholds {
    /// Share of the CPU time available. Default 85 %.
    pub cpu_usage: Percent,
    /// Share of the memory available. Default 80 %.
    pub memory_usage: Percent,
    /// Run time of one operation. Default 30 s.
    pub execution_time: Duration,
    /// Share of operations that fail. Default 5 %.
    pub error_rate: Percent,
}

impl Default for AlertThresholds {
    fn default() -> Self {
        Self {
            cpu_usage: Percent::saturating(85),
            memory_usage: Percent::saturating(80),
            execution_time: Duration::from_secs(30),
            error_rate: Percent::saturating(5),
        }
    }
}

/// Section `monitoring.dashboard`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct DashboardSettings {
    /// Whether the web page is served. Default `true`.
    pub enabled: bool,
    /// TCP port of the web page. Default 3000.
    pub port: NonZeroU16,
    /// Whether the web page asks who is there. Default `false`.
    pub authentication: bool,
}

impl Default for DashboardSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            port: match NonZeroU16::new(3000) {
                Some(port) => port,
                None => NonZeroU16::MIN,
            },
            authentication: false,
        }
    }
}

/// Section `performance`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct PerformanceSettings {
    /// How far components may trade memory and fairness for speed. Default normal.
    pub optimization_level: OptimizationLevel,
}

/// Section `run`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunSettings {
    /// Tests that run at the same time. Default [`Jobs::Auto`].
    pub jobs: Jobs,
    /// Attempts after the first; a test that passes on a later one is reported as flaky. Default 0, because a retry that
    /// nobody asked for hides faults.
    pub retries: u32,
    /// Time limit of one attempt of a test; `None` (written `off`) sets no limit. Default 10 min: longer than any test
    /// that is run while somebody waits, shorter than the patience of a CI service.
    pub timeout: Option<Duration>,
    /// Time between asking a test's processes to end and killing them. Default 10 s.
    pub grace_period: Duration,
    /// How long a test's output may stay open after the test ended before the test counts as leaking. Default 200 ms.
    pub leak_timeout: Duration,
    /// Whether the first failure ends the run. Default `false`.
    pub fail_fast: bool,
    /// How tests are separated. Default process.
    pub isolation: Isolation,
    /// Output kept in memory per stream of a running test; what exceeds it goes to a file. Default 256 KiB: 10 jobs with
    /// two streams each hold 5 MiB at worst.
    pub max_output: ByteSize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            jobs: Jobs::Auto,
            retries: 0,
            timeout: Some(Duration::from_secs(600)),
            grace_period: Duration::from_secs(10),
            leak_timeout: Duration::from_millis(200),
            fail_fast: false,
            isolation: Isolation::default(),
            max_output: ByteSize::kib(256),
        }
    }
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct LogSettings {
    /// The least severe message that is logged. Default warn.
    pub level: LogLevel,
}

/// How many tests run at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Jobs {
    /// As many as the machine, its affinity mask and its cgroup give cores; written `auto`.
    #[default]
    Auto,
    /// Exactly this many.
    Count(NonZeroUsize),
}

impl Jobs {
    /// The number of jobs on a machine with `cores` cores.
    #[must_use]
    pub fn on(self, cores: NonZeroUsize) -> NonZeroUsize {
        match self {
            Self::Auto => cores,
            Self::Count(count) => count,
        }
    }
}

/// Declares an enum whose variants have one written form each.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[non_exhaustive]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every variant with the text that stands for it in the file, in the order in which help shows them.
            pub(crate) const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant),)+];

            /// The text that stands for this variant in the file.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

choice! {
    /// How work is spread over lanes.
    LoadBalancing {
        /// Each lane in turn.
        #[default]
        RoundRobin = "round-robin",
        /// The one of two lanes, drawn at random, that has less to do.
        LeastLoaded = "least-loaded",
        /// Any lane.
        Random = "random",
    }
}

choice! {
    /// Which operation runs next.
    Scheduling {
        /// By priority, with a limit that follows measured run times and failures, up to `queue.maxConcurrent`.
        #[default]
        Adaptive = "adaptive",
        /// In the order of submission.
        Fifo = "fifo",
        /// By priority.
        Priority = "priority",
    }
}

choice! {
    /// How far components may trade memory and fairness for speed.
    OptimizationLevel {
        /// Not at all.
        Off = "off",
        /// Where it costs nothing that anybody would notice.
        #[default]
        Normal = "normal",
        /// Wherever it helps throughput.
        Aggressive = "aggressive",
    }
}

choice! {
    /// How tests are separated from one another.
    Isolation {
        /// Each test has a process of its own.
        #[default]
        Process = "process",
        /// Tests of one binary share a process; whatever does not pass is run again alone.
        Batch = "batch",
    }
}

choice! {
    /// Severity of log messages.
    LogLevel {
        /// Nothing is logged.
        Off = "off",
        /// What failed.
        Error = "error",
        /// What may fail soon.
        #[default]
        Warn = "warn",
        /// What happens.
        Info = "info",
        /// What helps to find a fault.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

/// A limit that is written in this crate and is not zero.
pub(super) const fn nonzero(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count) {
        Some(count) => count,
        None => NonZeroUsize::MIN,
    }
}
