//! The table of all keys: path, range, whether it is in effect, and what it means.
//!
//! Everything else walks this table: reading a file, env and flags, listing, suggestions, the editor. A key that is not
//! here does not exist, and a key that is here cannot be forgotten by one of them.

use std::fmt;
use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

use bytesize::ByteSize;

use super::model::{Config, Jobs, nonzero};
use super::setting::{Raw, Refusal, Setting, within};
use super::{Percent, suggest};

/// Whether setting a key changes anything yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// The value is used.
    InEffect,
    /// The value is read and checked and changes nothing, for the reason given: a lower-case fragment.
    NotYet(&'static str),
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InEffect => f.write_str("in effect"),
            Self::NotYet(reason) => write!(f, "not yet in effect: {reason}"),
        }
    }
}

/// One key of `qe.config.yaml`.
pub struct Key {
    path: &'static str,
    summary: &'static str,
    effect: Effect,
    quoted: bool,
    read: fn(&mut Config, Raw<'_>) -> Result<(), Refusal>,
    render: fn(&Config) -> String,
}

impl Key {
    /// The dotted path, such as `queue.maxConcurrent`.
    #[must_use]
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// What the key means: one line.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        self.summary
    }

    /// Whether the key changes anything yet.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The value of the key in `config`, in the form in which a file may hold it.
    #[must_use]
    pub fn value_in(&self, config: &Config) -> String {
        (self.render)(config)
    }

    /// Whether a new value of this key gets quotes.
    pub(super) fn quoted(&self) -> bool {
        self.quoted
    }

    /// Reads a value into `config`, which stays as it was when the value is refused.
    pub(super) fn read_into(&self, config: &mut Config, raw: Raw<'_>) -> Result<(), Refusal> {
        (self.read)(config, raw)
    }

    /// The place of the key in the table.
    pub(super) fn index(&self) -> usize {
        // The table has a few dozen entries and this is called once per assignment; a map would not be faster.
        KEYS.iter()
            .position(|key| key.path == self.path)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("path", &self.path)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

/// All keys, in the order in which they are listed.
#[must_use]
pub fn keys() -> &'static [Key] {
    &KEYS
}

/// The key with this path; shorthands are not resolved.
pub(super) fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The `enabled` key that a section with one may be replaced by: `monitoring.alerting: true`.
pub(super) fn shorthand(section: &str) -> Option<&'static Key> {
    KEYS.iter()
        .find(|key| key.path.strip_suffix(".enabled") == Some(section))
}

/// Whether keys stand below this path.
pub(super) fn is_section(path: &str) -> bool {
    children(path).next().is_some()
}

/// The names that may stand directly below a section; the empty path is the file itself. Repeats neighbours.
pub(super) fn children(section: &str) -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter_map(move |key| {
        let below = if section.is_empty() {
            key.path
        } else {
            key.path.strip_prefix(section)?.strip_prefix('.')?
        };
        below.split('.').next()
    })
}

/// What to do about a key that does not exist: the one that was meant, or those that do exist in its section.
pub(super) fn help_for_unknown(path: &str) -> String {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", path));
    if !path.is_empty() && is_section(path) {
        let mut known: Vec<&str> = children(path).collect();
        known.dedup();
        return format!("it is a section; its keys: {}", known.join(", "));
    }
    if key(section).is_some() {
        return format!("`{section}` takes a single value");
    }
    if !section.is_empty() && !is_section(section) {
        // The slip may be in the section's own name.
        let (parent, wrong) = section.rsplit_once('.').unwrap_or(("", section));
        return match suggest::nearest(wrong, children(parent)) {
            Some(near) => match join(&join(parent, near), name) {
                exact if key(&exact).is_some() || is_section(&exact) => did_you_mean("", &exact),
                near => help_for_unknown(&near),
            },
            None => help_for_unknown(wrong),
        };
    }
    if let Some(near) = suggest::nearest(name, children(section)) {
        return did_you_mean(section, near);
    }
    // A right name in the wrong section, such as `queue.retries`.
    let elsewhere = KEYS
        .iter()
        .find(|key| key.path.rsplit('.').next() == Some(name));
    if let Some(key) = elsewhere {
        return did_you_mean("", key.path);
    }
    let mut known: Vec<&str> = children(section).collect();
    known.dedup();
    if section.is_empty() {
        format!("known sections: {}", known.join(", "))
    } else {
        format!("known in {section}: {}", known.join(", "))
    }
}

fn did_you_mean(section: &str, name: &str) -> String {
    format!("did you mean `{}`?", join(section, name))
}

pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() {
        name.to_owned()
    } else {
        format!("{section}.{name}")
    }
}

/// A build without the queue has nobody who would use its settings.
const QUEUE: Effect = if cfg!(feature = "queue") {
    InEffect
} else {
    Effect::NotYet("this build has no queue (feature `queue`)")
};
/// A build without the batch processor has nobody who would use its settings.
const BATCH: Effect = if cfg!(feature = "batch") {
    InEffect
} else {
    Effect::NotYet("this build has no batch processor (feature `batch`)")
};
/// A build without the memory store has nobody who would use its settings.
const MEMORY: Effect = if cfg!(feature = "memory") {
    InEffect
} else {
    Effect::NotYet("this build has no memory store (feature `memory`)")
};
const SEALING: Effect = Effect::NotYet("a program gives its store keys itself");
/// A build without the monitor has nobody who would use its settings.
const MONITOR: Effect = if cfg!(feature = "monitor") {
    InEffect
} else {
    Effect::NotYet("this build has no monitor (feature `monitor`)")
};
/// A build without the history keeps no samples.
const HISTORY: Effect = if cfg!(feature = "monitor-history") {
    InEffect
} else {
    Effect::NotYet("this build keeps no history (feature `monitor-history`)")
};
/// A build without alerts has nobody who would use their settings.
const ALERTS: Effect = if cfg!(feature = "alerts") {
    InEffect
} else {
    Effect::NotYet("this build has no alerts (feature `alerts`)")
};
const DASHBOARD: Effect = Effect::NotYet("there is no dashboard yet");
const AGENTS: Effect = Effect::NotYet("there are no agents yet");
const FILES: Effect = Effect::NotYet("there are no file operations yet");
const NETWORK: Effect = Effect::NotYet("nothing opens connections yet");
const TUNING: Effect = Effect::NotYet("no component tunes itself yet");
const LOGGING: Effect = Effect::NotYet("no component writes a log yet");
use Effect::InEffect;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Ten years: longer than any data of a test run is of use, short enough that sums of times cannot overflow.
const DECADE: Duration = Duration::from_secs(3650 * 86_400);
/// No machine that runs tests has a petabyte of memory; larger amounts are slips of the keyboard.
const MOST_MEMORY: ByteSize = ByteSize::pib(1);

/// The queue keeps one bit per priority in a word.
const MOST_PRIORITIES: NonZeroU8 = match NonZeroU8::new(64) {
    Some(most) => most,
    None => NonZeroU8::MIN,
};

/// One entry of the table: path, field, optional range, effect, summary.
macro_rules! key {
    ($path:literal, $($field:ident).+, $effect:expr, $summary:literal) => {
        key!(@ $path, $($field).+, |_| Ok(()), $effect, $summary)
    };
    ($path:literal, $($field:ident).+, $least:expr => $most:expr, $effect:expr, $summary:literal) => {
        key!(@ $path, $($field).+, |value| within(Some(value), &$least, &$most), $effect, $summary)
    };
    // For optional values, the range applies to those that are there.
    ($path:literal, $($field:ident).+, some $least:expr => $most:expr, $effect:expr, $summary:literal) => {
        key!(@ $path, $($field).+, |value| within(value.as_ref(), &$least, &$most), $effect, $summary)
    };
    (@ $path:literal, $($field:ident).+, $check:expr, $effect:expr, $summary:literal) => {
        Key {
            path: $path,
            summary: $summary,
            effect: $effect,
            quoted: {
                const fn quoted<T: Setting>(_: fn(&Config) -> &T) -> bool {
                    T::QUOTED
                }
                quoted(|config| &config.$($field).+)
            },
            read: |config, raw| read(&mut config.$($field).+, raw, $check),
            render: |config| Setting::render(&config.$($field).+),
        }
    };
}

fn read<T: Setting>(
    field: &mut T,
    raw: Raw<'_>,
    check: impl FnOnce(&T) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let value = T::read(raw)?;
    check(&value)?;
    *field = value;
    Ok(())
}

fn jobs_within(jobs: &Jobs) -> Result<(), Refusal> {
    match jobs {
        Jobs::Auto => Ok(()),
        Jobs::Count(count) => within(Some(count), &nonzero(1), &nonzero(10_000)),
    }
}

static KEYS: [Key; 56] = [
    key!("queue.maxConcurrent", queue.max_concurrent, nonzero(1) => nonzero(100_000), QUEUE,
        "operations that run at the same time"),
    key!("queue.batchSize", queue.batch_size, nonzero(1) => nonzero(10_000), QUEUE,
        "operations taken from the queue per turn"),
    key!("queue.timeout", queue.timeout, MILLISECOND => 7 * DAY, QUEUE,
        "time limit of one attempt"),
    key!("queue.retryAttempts", queue.retry_attempts, 0 => 100, QUEUE,
        "attempts after the first"),
    key!("queue.retryDelay", queue.retry_delay, Duration::ZERO => DAY, QUEUE,
        "wait before an attempt is repeated"),
    key!("queue.priorityLevels", queue.priority_levels, NonZeroU8::MIN => MOST_PRIORITIES, QUEUE,
        "number of priorities"),
    key!("batch.chunkSize", batch.chunk_size, nonzero(1) => nonzero(1_000_000), BATCH,
        "items per chunk"),
    key!("batch.concurrency", batch.concurrency, nonzero(1) => nonzero(10_000), BATCH,
        "chunks processed at the same time"),
    key!("batch.checkpointInterval", batch.checkpoint_interval, nonzero(1) => nonzero(1_000_000_000), BATCH,
        "items between two checkpoints"),
    key!("batch.memoryThreshold", batch.memory_threshold, Percent::saturating(1) => Percent::FULL, BATCH,
        "share of memory above which no chunk is started"),
    key!("batch.errorThreshold", batch.error_threshold, 0 => 1_000_000_000, BATCH,
        "errors after which a run gives up"),
    key!("memory.maxSize", memory.max_size, ByteSize::mb(1) => MOST_MEMORY, MEMORY,
        "most memory the store holds"),
    key!(
        "memory.compression",
        memory.compression,
        MEMORY,
        "whether entries are compressed"
    ),
    key!(
        "memory.encryption",
        memory.encryption,
        SEALING,
        "whether entries are encrypted"
    ),
    key!("memory.cacheSize", memory.cache_size, ByteSize::b(0) => MOST_MEMORY, MEMORY,
        "size of the uncompressed tier, part of memory.maxSize"),
    key!("memory.retentionPeriod", memory.retention_period, SECOND => DECADE, MEMORY,
        "time after which an entry expires"),
    key!("memory.cleanupInterval", memory.cleanup_interval, SECOND => 30 * DAY, MEMORY,
        "time between two background clean-ups"),
    key!("memory.gcThreshold", memory.gc_threshold, Percent::saturating(1) => Percent::FULL, MEMORY,
        "share of memory.maxSize above which memory is reclaimed at once"),
    key!(
        "execution.parallel",
        execution.parallel,
        AGENTS,
        "whether independent work runs in parallel"
    ),
    key!("execution.maxConcurrent", execution.max_concurrent, nonzero(1) => nonzero(100_000), AGENTS,
        "agents that run at the same time"),
    key!(
        "execution.loadBalancing",
        execution.load_balancing,
        QUEUE,
        "how work is spread over the lanes of an engine"
    ),
    key!(
        "execution.affinity",
        execution.affinity,
        QUEUE,
        "whether threads that an engine starts for its queue are pinned to CPUs"
    ),
    key!(
        "execution.scheduling",
        execution.scheduling,
        QUEUE,
        "which operation runs next, and whether the limit adapts itself"
    ),
    key!(
        "execution.diskCache",
        execution.disk_cache,
        FILES,
        "whether results of file operations are cached on disk"
    ),
    key!("execution.connectionPool", execution.connection_pool, some nonzero(1) => nonzero(10_000), NETWORK,
        "connections kept open per remote end, or off"),
    key!(
        "monitoring.enabled",
        monitoring.enabled,
        MONITOR,
        "whether metrics are collected"
    ),
    key!("monitoring.interval", monitoring.interval, Duration::from_millis(100) => DAY, MONITOR,
        "time between two samples"),
    key!("monitoring.retention", monitoring.retention, MINUTE => DECADE, HISTORY,
        "how long samples are kept"),
    key!(
        "monitoring.alerting.enabled",
        monitoring.alerting.enabled,
        ALERTS,
        "whether thresholds raise alerts"
    ),
    key!(
        "monitoring.alerting.thresholds.cpuUsage",
        monitoring.alerting.thresholds.cpu_usage,
        ALERTS,
        "alert above this share of the CPU time"
    ),
    key!(
        "monitoring.alerting.thresholds.memoryUsage",
        monitoring.alerting.thresholds.memory_usage,
        ALERTS,
        "alert above this share of the memory"
    ),
    key!("monitoring.alerting.thresholds.executionTime", monitoring.alerting.thresholds.execution_time,
        MILLISECOND => 7 * DAY, ALERTS, "alert above this run time of one operation"),
    key!(
        "monitoring.alerting.thresholds.errorRate",
        monitoring.alerting.thresholds.error_rate,
        ALERTS,
        "alert above this share of failing operations"
    ),
    key!(
        "monitoring.alerting.email.server",
        monitoring.alerting.email.server,
        ALERTS,
        "mail server that takes alerts, or off"
    ),
    key!(
        "monitoring.alerting.email.port",
        monitoring.alerting.email.port,
        ALERTS,
        "its port, or auto for that of the encryption"
    ),
    key!(
        "monitoring.alerting.email.encryption",
        monitoring.alerting.email.encryption,
        ALERTS,
        "how the connection to it is protected"
    ),
    key!(
        "monitoring.alerting.email.from",
        monitoring.alerting.email.from,
        ALERTS,
        "address that alerts come from"
    ),
    key!(
        "monitoring.alerting.email.to",
        monitoring.alerting.email.to,
        ALERTS,
        "addresses that get alerts, with commas between"
    ),
    key!(
        "monitoring.alerting.email.user",
        monitoring.alerting.email.user,
        ALERTS,
        "name to log in with at the mail server, or off"
    ),
    key!(
        "monitoring.alerting.email.password",
        monitoring.alerting.email.password,
        ALERTS,
        "where the password is: env:NAME or file:PATH"
    ),
    key!(
        "monitoring.alerting.slack.webhook",
        monitoring.alerting.slack.webhook,
        ALERTS,
        "where the address of Slack's webhook is: env:NAME or file:PATH, or off"
    ),
    key!(
        "monitoring.alerting.webhook.url",
        monitoring.alerting.webhook.url,
        ALERTS,
        "address that gets alerts as JSON, or where it is: env:NAME or file:PATH, or off"
    ),
    key!(
        "monitoring.alerting.webhook.key",
        monitoring.alerting.webhook.key,
        ALERTS,
        "where the key of its signature is: env:NAME or file:PATH, or off"
    ),
    key!(
        "monitoring.dashboard.enabled",
        monitoring.dashboard.enabled,
        DASHBOARD,
        "whether the web page is served"
    ),
    key!("monitoring.dashboard.port", monitoring.dashboard.port, NonZeroU16::MIN => NonZeroU16::MAX, DASHBOARD,
        "TCP port of the web page"),
    key!(
        "monitoring.dashboard.authentication",
        monitoring.dashboard.authentication,
        DASHBOARD,
        "whether the web page asks who is there"
    ),
    key!(
        "performance.optimizationLevel",
        performance.optimization_level,
        TUNING,
        "how far components may trade memory and fairness for speed"
    ),
    key!(@ "run.jobs", run.jobs, jobs_within, InEffect,
        "tests that run at the same time, or auto for one per core"),
    key!("run.retries", run.retries, 0 => 100, InEffect,
        "attempts after the first"),
    key!("run.timeout", run.timeout, some MILLISECOND => 7 * DAY, InEffect,
        "time limit of one attempt of a test, or off"),
    key!("run.gracePeriod", run.grace_period, Duration::ZERO => HOUR, InEffect,
        "time between asking a test to end and killing it"),
    key!("run.leakTimeout", run.leak_timeout, Duration::ZERO => MINUTE, InEffect,
        "how long output may stay open after a test ended"),
    key!(
        "run.failFast",
        run.fail_fast,
        InEffect,
        "whether the first failure ends the run"
    ),
    key!(
        "run.isolation",
        run.isolation,
        InEffect,
        "process: one process per test; batch: tests of a binary share one"
    ),
    key!("run.maxOutput", run.max_output, ByteSize::kib(4) => ByteSize::gib(1), InEffect,
        "output kept in memory per stream before it goes to a file"),
    key!(
        "log.level",
        log.level,
        LOGGING,
        "the least severe message that is logged"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_lies_in_its_range_and_is_read_back() {
        let defaults = Config::default();
        for key in keys() {
            let text = key.value_in(&defaults);
            let mut config = Config::default();
            let raw = Raw {
                text: &text,
                quoted: key.quoted(),
            };
            assert_eq!(key.read_into(&mut config, raw), Ok(()), "{}", key.path());
            assert_eq!(config, defaults, "{}", key.path());
        }
    }

    /// A wrong field in the table would let one key write another key's value.
    #[test]
    fn every_key_changes_its_own_value_and_no_other() {
        for changed in keys() {
            let mut config = Config::default();
            let before = changed.value_in(&config);
            let other = [
                "false",
                "true",
                "7",
                "random",
                "fifo",
                "off",
                "batch",
                "7s",
                "7h",
                "17MB",
                "tls",
                "env:PLACE",
                "a@example.org",
            ]
            .into_iter()
            .map(|text| Raw {
                text,
                quoted: false,
            })
            .find(|raw| {
                changed.read_into(&mut config, *raw).is_ok() && changed.value_in(&config) != before
            });
            assert!(
                other.is_some(),
                "{} takes none of the samples",
                changed.path()
            );
            for key in keys() {
                let same = key.value_in(&config) == key.value_in(&Config::default());
                assert_eq!(
                    same,
                    key.path() != changed.path(),
                    "{} after {}",
                    key.path(),
                    changed.path()
                );
            }
        }
    }

    #[test]
    fn the_guides_defaults_are_ours() {
        let defaults = Config::default();
        for (path, value) in [
            ("queue.maxConcurrent", "10"),
            ("queue.batchSize", "5"),
            ("queue.timeout", "30s"),
            ("queue.retryAttempts", "3"),
            ("queue.retryDelay", "1s"),
            ("queue.priorityLevels", "5"),
            ("batch.chunkSize", "20"),
            ("batch.concurrency", "5"),
            ("batch.checkpointInterval", "100"),
            ("batch.memoryThreshold", "80%"),
            ("batch.errorThreshold", "5"),
            ("memory.maxSize", "1GB"),
            ("memory.compression", "true"),
            ("memory.encryption", "true"),
            ("memory.cacheSize", "256MB"),
            ("memory.retentionPeriod", "7days"),
            ("memory.cleanupInterval", "1h"),
            ("memory.gcThreshold", "80%"),
            ("execution.parallel", "true"),
            ("execution.maxConcurrent", "10"),
            ("execution.loadBalancing", "round-robin"),
            ("execution.affinity", "true"),
            ("execution.scheduling", "adaptive"),
            ("monitoring.enabled", "true"),
            ("monitoring.interval", "5s"),
            ("monitoring.retention", "30days"),
            ("monitoring.alerting.enabled", "true"),
            ("monitoring.alerting.thresholds.cpuUsage", "85%"),
            ("monitoring.alerting.thresholds.memoryUsage", "80%"),
            ("monitoring.alerting.thresholds.executionTime", "30s"),
            ("monitoring.alerting.thresholds.errorRate", "5%"),
            ("monitoring.dashboard.enabled", "true"),
            ("monitoring.dashboard.port", "3000"),
            ("monitoring.dashboard.authentication", "false"),
        ] {
            let found = key(path).map(|key| key.value_in(&defaults));
            assert_eq!(found.as_deref(), Some(value), "{path}");
        }
    }

    #[test]
    fn ranges_name_their_ends() {
        for (path, text, reason, help) in [
            (
                "queue.maxConcurrent",
                "100001",
                "must be at most 100000, not 100001",
                "allowed: 1 to 100000",
            ),
            (
                "queue.timeout",
                "0",
                "must be at least 1ms, not 0s",
                "allowed: 1ms to 7days",
            ),
            (
                "memory.maxSize",
                "5kB",
                "must be at least 1MB, not 5kB",
                "allowed: 1MB to 1PiB",
            ),
            (
                "run.timeout",
                "30days",
                "must be at most 7days, not 30days",
                "allowed: 1ms to 7days",
            ),
            (
                "run.jobs",
                "10001",
                "must be at most 10000, not 10001",
                "allowed: 1 to 10000",
            ),
            (
                "execution.connectionPool",
                "10001",
                "must be at most 10000, not 10001",
                "allowed: 1 to 10000",
            ),
        ] {
            let raw = Raw {
                text,
                quoted: false,
            };
            let refusal = key(path)
                .unwrap()
                .read_into(&mut Config::default(), raw)
                .unwrap_err();
            assert_eq!(
                (refusal.reason.as_str(), refusal.help.as_deref()),
                (reason, Some(help)),
                "{path}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_likely_one() {
        for (path, help) in [
            ("queue.maxConcurent", "did you mean `queue.maxConcurrent`?"),
            (
                "queue.max_concurrent",
                "did you mean `queue.maxConcurrent`?",
            ),
            ("quue", "did you mean `queue`?"),
            ("quue.timeout", "did you mean `queue.timeout`?"),
            ("queue.retries", "did you mean `run.retries`?"),
            (
                "monitoring.alerting.threshold",
                "did you mean `monitoring.alerting.thresholds`?",
            ),
            ("rnu.timeout", "did you mean `run.timeout`?"),
            ("queue.timeot.x", "`queue.timeout` takes a single value"),
            (
                "performance.colour",
                "known in performance: optimizationLevel",
            ),
            (
                "performance",
                "it is a section; its keys: optimizationLevel",
            ),
            (
                "colour",
                "known sections: queue, batch, memory, execution, monitoring, performance, run, log",
            ),
            (
                "a.b.c",
                "known sections: queue, batch, memory, execution, monitoring, performance, run, log",
            ),
        ] {
            assert_eq!(help_for_unknown(path), help, "{path}");
        }
    }
}
