//! How long and how much a history keeps.

use std::time::Duration;

use super::error::HistoryError;

/// Settings of a [`History`](super::History).
///
/// The defaults fit 400 series at one tick every five seconds for thirty days.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryConfig {
    /// How long samples are kept; 30 days. What is older goes when a block is sealed.
    pub retention: Duration,
    /// How long rollups by minute are kept; two days. Rollups by hour are kept as long as samples. From samples, minutes can be had
    /// of any time.
    pub minutes: Duration,
    /// How large the file may become; 1 GiB. The oldest block goes first. The write-ahead log beside it has at most
    /// 64 MiB more.
    pub max_bytes: u64,
    /// How many ticks wait in rows of their own before they are sealed into a compressed block; 720, which is an hour of ticks
    /// every five seconds.
    pub block_ticks: u32,
    /// How many series there may be; 10,000.
    pub max_series: u32,
    /// How many runs are kept, the newest; 10,000.
    pub max_runs: u32,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            retention: 30 * DAY,
            minutes: 2 * DAY,
            max_bytes: 1 << 30,
            block_ticks: 720,
            max_series: 10_000,
            max_runs: 10_000,
        }
    }
}

impl HistoryConfig {
    /// Sets [`retention`](Self::retention).
    #[must_use]
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = time;
        self
    }

    /// Sets [`minutes`](Self::minutes).
    #[must_use]
    pub fn minutes(mut self, time: Duration) -> Self {
        self.minutes = time;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`block_ticks`](Self::block_ticks).
    #[must_use]
    pub fn block_ticks(mut self, ticks: u32) -> Self {
        self.block_ticks = ticks;
        self
    }

    /// Sets [`max_series`](Self::max_series).
    #[must_use]
    pub fn max_series(mut self, series: u32) -> Self {
        self.max_series = series;
        self
    }

    /// Sets [`max_runs`](Self::max_runs).
    #[must_use]
    pub fn max_runs(mut self, runs: u32) -> Self {
        self.max_runs = runs;
        self
    }

    pub(super) fn check(&self) -> Result<(), HistoryError> {
        let wrong = |setting, problem| Err(HistoryError::Setting { setting, problem });
        if self.retention.is_zero() {
            return wrong("retention", "is zero, which keeps nothing");
        }
        if self.max_bytes < 1 << 20 {
            return wrong(
                "max_bytes",
                "is below 1 MiB, which has no room for one block",
            );
        }
        if !(1..=super::MAX_BLOCK_TICKS).contains(&self.block_ticks) {
            return wrong("block_ticks", "is not between 1 and 4096");
        }
        if !(1..=super::MAX_SERIES).contains(&self.max_series) {
            return wrong("max_series", "is not between 1 and 1,000,000");
        }
        if self.max_runs == 0 {
            return wrong("max_runs", "is zero, which keeps no run");
        }
        Ok(())
    }
}
