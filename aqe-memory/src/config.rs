//! Settings of a store.

use std::time::Duration;

/// How much a store holds, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// The most bytes of memory that the store takes, both tiers and the index together: resident pages, not estimates.
    /// 1 GiB by default. At least 2 MiB.
    pub max_size: u64,
    /// The part of it for entries that are kept as they are, which is where reads are fastest. 256 MiB by default.
    /// What is as large as `max_size` leaves no room for compressed entries.
    pub cache_size: u64,
    /// How long an entry lives that says nothing else. Seven days by default; `None` is for ever.
    pub time_to_live: Option<Duration>,
    /// The most bytes that files of a store in a folder take. 4 GiB by default. A value for which there is no room then is
    /// refused, since what a folder has taken it keeps.
    pub max_disk_size: u64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_size: 1 << 30,
            cache_size: 256 << 20,
            time_to_live: Some(Duration::from_secs(7 * 24 * 3600)),
            max_disk_size: 4 << 30,
        }
    }
}

/// The least that a store can work with: room for a few segments of each tier.
const LEAST: u64 = 2 << 20;

impl MemoryConfig {
    /// Sets [`max_size`](Self::max_size).
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets [`cache_size`](Self::cache_size).
    #[must_use]
    pub fn cache_size(mut self, bytes: u64) -> Self {
        self.cache_size = bytes;
        self
    }

    /// Sets [`time_to_live`](Self::time_to_live).
    #[must_use]
    pub fn time_to_live(mut self, time_to_live: impl Into<Option<Duration>>) -> Self {
        self.time_to_live = time_to_live.into();
        self
    }

    /// Sets [`max_disk_size`](Self::max_disk_size).
    #[must_use]
    pub fn max_disk_size(mut self, bytes: u64) -> Self {
        self.max_disk_size = bytes;
        self
    }

    pub(crate) fn sizes(&self) -> Result<Sizes, ConfigError> {
        if self.max_size < LEAST {
            return Err(ConfigError::TooSmall {
                max_size: self.max_size,
            });
        }
        if self.cache_size < LEAST / 4 || self.cache_size > self.max_size {
            return Err(ConfigError::CacheSize {
                cache_size: self.cache_size,
                max_size: self.max_size,
            });
        }
        // Small enough for a tier to have many of them, so that giving one up takes little of it.
        let segment = (self.cache_size / 64).next_power_of_two();
        Ok(Sizes {
            total: self.max_size,
            cache: self.cache_size,
            segment: segment.clamp(16 << 10, 1 << 20) as u32,
        })
    }
}

/// Settings with which no store can work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `max_size` is too small.
    #[error("`max_size` is {max_size} bytes; give the store at least {LEAST}")]
    TooSmall {
        /// What was set.
        max_size: u64,
    },
    /// `cache_size` is too small, or larger than `max_size`.
    #[error("`cache_size` is {cache_size} bytes; it must be between {} and `max_size`, {max_size}", LEAST / 4)]
    CacheSize {
        /// What was set.
        cache_size: u64,
        /// What the store may take in all.
        max_size: u64,
    },
    /// There is no thread for the listener.
    #[error("the system gives no thread for the listener: {reason}")]
    NoThread {
        /// What the system said.
        reason: String,
    },
}

/// Checked sizes, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) total: u64,
    pub(crate) cache: u64,
    pub(crate) segment: u32,
}
