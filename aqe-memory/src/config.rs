//! Settings of a store.

use std::time::Duration;

use crate::codec::Method;

/// How much a store holds, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// The most bytes of memory that the store takes, both tiers and the index together: resident pages, not estimates.
    /// 1 GiB by default. At least a megabyte (1,000,000 bytes).
    pub max_size: u64,
    /// The part of it for entries that are kept as they are, which is where reads are fastest. `None`, the default, is 256 MiB,
    /// or a quarter of a `max_size` below 1 GiB. What is as large as `max_size` leaves no room for compressed entries. Less
    /// than an eighth of `max_size` is taken for that: what comes in has to be somewhere before it is compressed.
    pub cache_size: Option<u64>,
    /// How long an entry lives that says nothing else. Seven days by default; `None` is for ever.
    pub time_to_live: Option<Duration>,
    /// The most bytes that files of a store in a folder take. 4 GiB by default. A value for which there is no room then is
    /// refused, since what a folder has taken it keeps.
    pub max_disk_size: u64,
    /// How values are made small. LZ4 by default.
    pub compression: Compression,
    /// The time between two looks of the background at every entry in memory, which free what is over one by one, and move the
    /// rest together. An hour by default. What is over together is freed together without such a look.
    pub cleanup_interval: Duration,
    /// The share of `max_size`, in percent, above which there is such a look at once and again, ahead of need. 80 by default.
    pub gc_threshold: u8,
    /// Whether values are made smaller still in the background, when nothing was put for some seconds. That takes a tenth of a
    /// processor at most. On by default.
    pub recompress: bool,
    /// The share of the machine's memory, or of the limit of a control group that the process is in, in percent, beyond which the
    /// store makes way for others: it gives up uncompressed entries first, down to an eighth of `max_size` in all, and
    /// grows again when there is room. 90 by default; `None` is never.
    pub pressure_threshold: Option<u8>,
    /// Whose keys seal what is compressed and what is on disk. `None` by default: nothing is sealed.
    #[cfg(feature = "encryption")]
    pub keys: Option<Keys>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            max_size: 1 << 30,
            cache_size: None,
            time_to_live: Some(Duration::from_secs(7 * 24 * 3600)),
            max_disk_size: 4 << 30,
            compression: Compression::default(),
            cleanup_interval: Duration::from_secs(3600),
            gc_threshold: 80,
            recompress: true,
            pressure_threshold: Some(90),
            #[cfg(feature = "encryption")]
            keys: None,
        }
    }
}

/// The least that a store can work with: room for a few segments of each tier.
const LEAST: u64 = 1_000_000;

impl MemoryConfig {
    /// Sets [`max_size`](Self::max_size).
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = bytes;
        self
    }

    /// Sets [`cache_size`](Self::cache_size).
    #[must_use]
    pub fn cache_size(mut self, bytes: impl Into<Option<u64>>) -> Self {
        self.cache_size = bytes.into();
        self
    }

    /// Sets [`time_to_live`](Self::time_to_live).
    #[must_use]
    pub fn time_to_live(mut self, time_to_live: impl Into<Option<Duration>>) -> Self {
        self.time_to_live = time_to_live.into();
        self
    }

    /// Sets [`compression`](Self::compression).
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets [`max_disk_size`](Self::max_disk_size).
    #[must_use]
    pub fn max_disk_size(mut self, bytes: u64) -> Self {
        self.max_disk_size = bytes;
        self
    }

    /// Sets [`cleanup_interval`](Self::cleanup_interval).
    #[must_use]
    pub fn cleanup_interval(mut self, interval: Duration) -> Self {
        self.cleanup_interval = interval;
        self
    }

    /// Sets [`gc_threshold`](Self::gc_threshold).
    #[must_use]
    pub fn gc_threshold(mut self, percent: u8) -> Self {
        self.gc_threshold = percent;
        self
    }

    /// Sets [`recompress`](Self::recompress).
    #[must_use]
    pub fn recompress(mut self, recompress: bool) -> Self {
        self.recompress = recompress;
        self
    }

    /// Sets [`pressure_threshold`](Self::pressure_threshold).
    #[must_use]
    pub fn pressure_threshold(mut self, percent: impl Into<Option<u8>>) -> Self {
        self.pressure_threshold = percent.into();
        self
    }

    /// Seals what is compressed and what is on disk with keys of a provider: a
    /// [`MasterKeys`](crate::crypt::MasterKeys), or one of the program's own.
    #[cfg(feature = "encryption")]
    #[must_use]
    pub fn keys(mut self, keys: impl crate::crypt::KeyProvider) -> Self {
        self.keys = Some(Keys(std::sync::Arc::new(keys)));
        self
    }

    pub(crate) fn sizes(&self) -> Result<Sizes, ConfigError> {
        if self.max_size < LEAST {
            return Err(ConfigError::TooSmall {
                max_size: self.max_size,
            });
        }
        let cache_size = self
            .cache_size
            .unwrap_or_else(|| (self.max_size / 4).min(256 << 20));
        if cache_size > self.max_size {
            return Err(ConfigError::CacheSize {
                cache_size,
                max_size: self.max_size,
            });
        }
        if !(1..=100).contains(&self.gc_threshold) {
            return Err(ConfigError::GcThreshold {
                percent: self.gc_threshold,
            });
        }
        if let Some(percent) = self.pressure_threshold
            && !(1..=100).contains(&percent)
        {
            return Err(ConfigError::PressureThreshold { percent });
        }
        if self.cleanup_interval.is_zero() {
            return Err(ConfigError::CleanupInterval);
        }
        let cache = cache_size.max(self.max_size / 8);
        // Small enough for a tier to have many of them, so that giving one up takes little of it.
        let segment = (cache / 64).next_power_of_two();
        Ok(Sizes {
            total: self.max_size,
            cache,
            segment: segment.clamp(8 << 10, 1 << 20) as u32,
        })
    }
}

/// How values are made small. What was stored in one way can be read in whatever way new values are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// They are stored as they are.
    None,
    /// As blocks of LZ4, with dictionaries that are made of each namespace's own values: quick.
    #[default]
    Lz4,
    /// As such blocks, with as much searching as makes them a fifth smaller: as quick to read, and some twenty times slower to
    /// write.
    Lz4High,
    /// With Zstandard and such dictionaries: smaller, and slower to write and to read.
    #[cfg(feature = "zstd")]
    Zstd,
    /// The same with more searching.
    #[cfg(feature = "zstd")]
    ZstdHigh,
}

impl Compression {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::None => Method::Store,
            Self::Lz4 => Method::Lz4Fast,
            Self::Lz4High => Method::Lz4High,
            #[cfg(feature = "zstd")]
            Self::Zstd => Method::ZstdFast,
            #[cfg(feature = "zstd")]
            Self::ZstdHigh => Method::ZstdHigh,
        }
    }

    /// What makes values smaller still that were stored in this way; `None` if nothing does.
    pub(crate) fn high(self) -> Option<Method> {
        match self {
            Self::None => None,
            Self::Lz4 | Self::Lz4High => Some(Method::Lz4High),
            #[cfg(feature = "zstd")]
            Self::Zstd | Self::ZstdHigh => Some(Method::ZstdHigh),
        }
    }
}

/// A provider of master keys, as part of settings. Two are equal if they are the same one.
#[cfg(feature = "encryption")]
#[derive(Clone)]
pub struct Keys(pub(crate) std::sync::Arc<dyn crate::crypt::KeyProvider>);

#[cfg(feature = "encryption")]
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(feature = "encryption")]
impl PartialEq for Keys {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(feature = "encryption")]
impl Eq for Keys {}

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
    /// `cache_size` is larger than `max_size`.
    #[error(
        "`cache_size` is {cache_size} bytes, a part of `max_size`, which is {max_size}: make it smaller"
    )]
    CacheSize {
        /// What was set.
        cache_size: u64,
        /// What the store may take in all.
        max_size: u64,
    },
    /// `gc_threshold` is no percentage.
    #[error("`gc_threshold` is {percent} percent; make it 1 to 100")]
    GcThreshold {
        /// What was set.
        percent: u8,
    },
    /// `pressure_threshold` is no percentage.
    #[error("`pressure_threshold` is {percent} percent; make it 1 to 100")]
    PressureThreshold {
        /// What was set.
        percent: u8,
    },
    /// `cleanup_interval` is zero.
    #[error("`cleanup_interval` is zero; make it an hour, say")]
    CleanupInterval,
    /// The provider of keys gave none.
    #[error("no key to seal entries with: {reason}")]
    Keys {
        /// What it said.
        reason: String,
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
