//! How an entry is put, where there is more to say than its key and its value.

use std::time::Duration;

use crate::backend::TimeToLive;
use crate::clock::{Millis, to_millis};
use crate::error::{CompareError, PutError};
use crate::namespace::Namespace;
use crate::segment::extras::{Extras, MOST_TAGS, Sliding, TAG};
use crate::store::{Core, Version};
use crate::writing::{Expected, deadline, into_put_error};

/// How an entry is put: for how long, and under which tags. By default as [`Namespace::put`] puts it.
///
/// ```
/// use std::time::Duration;
/// use aqe_memory::{EntryOptions, ManualClock, MemoryConfig, Store};
///
/// let clock = ManualClock::new();
/// let store = Store::with_clock(MemoryConfig::default(), &clock)?;
/// // Kept for as long as somebody reads it every minute, for an hour at most.
/// let session = EntryOptions::default()
///     .time_to_idle(Duration::from_secs(60))
///     .time_to_live(Duration::from_secs(3600));
/// store.put_with(b"session/1", b"admin", &session)?;
/// for _ in 0..61 {
///     clock.advance(Duration::from_secs(59));
///     assert!(store.get(b"session/1").is_some());
/// }
/// // The hour is over.
/// clock.advance(Duration::from_secs(1));
/// assert!(store.get(b"session/1").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryOptions {
    /// When the entry ends whatever happens.
    pub time_to_live: TimeToLive,
    /// For how long the entry lives after it was put, and after each read of it. `None`: reads do not matter.
    ///
    /// What counts as a read is what [`get`](Namespace::get), [`get_versioned`](Namespace::get_versioned),
    /// [`get_many`](Namespace::get_many) and the loading calls find; looking whether there is an entry, listing and iterating
    /// do not. To the clock's tick, an entry that nobody reads for this long is never given, and one that is read lives on.
    ///
    /// In a folder not every read is written down: a record is written anew when it is behind by more than an eighth of this
    /// time. After the process was killed an entry may therefore end sooner than it would have, by that much at most, and
    /// never later.
    pub time_to_idle: Option<Duration>,
    /// What else the entry belongs to, for [`invalidate_tag`](Namespace::invalidate_tag): up to 16 texts of up to 255 bytes.
    pub tags: Vec<String>,
}

impl EntryOptions {
    /// Sets [`time_to_live`](Self::time_to_live).
    #[must_use]
    pub fn time_to_live(mut self, time_to_live: impl Into<TimeToLive>) -> Self {
        self.time_to_live = time_to_live.into();
        self
    }

    /// Sets [`time_to_idle`](Self::time_to_idle).
    #[must_use]
    pub fn time_to_idle(mut self, time_to_idle: impl Into<Option<Duration>>) -> Self {
        self.time_to_idle = time_to_idle.into();
        self
    }

    /// Sets [`tags`](Self::tags).
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.tags = tags.into_iter().map(T::into).collect();
        self
    }

    /// Does something with what the options come to now.
    pub(crate) fn with_terms<R>(
        &self,
        core: &Core,
        use_them: impl FnOnce(&Terms<'_>) -> R,
    ) -> Result<R, PutError> {
        let mut tags = [0; MOST_TAGS * TAG];
        let tags = self.hash_tags(core, &mut tags)?;
        let now = core.now();
        let time_to_live = match self.time_to_live {
            TimeToLive::OfStore => core.config.time_to_live,
            TimeToLive::For(time_to_live) => Some(time_to_live),
            TimeToLive::Forever => None,
        };
        let cap = deadline(now, time_to_live);
        let sliding = self.time_to_idle.map(|idle| Sliding {
            idle: to_millis(idle),
            cap,
        });
        Ok(use_them(&Terms {
            now,
            deadline: sliding.map_or(cap, |sliding| sliding.until(now)),
            extras: Extras { sliding, tags },
        }))
    }

    fn hash_tags<'a>(
        &self,
        core: &Core,
        hashes: &'a mut [u8; MOST_TAGS * TAG],
    ) -> Result<&'a [u8], PutError> {
        let hashes = hashes.get_mut(..self.tags.len() * TAG);
        let hashes = hashes.ok_or(PutError::TooManyTags {
            count: self.tags.len(),
            most: MOST_TAGS,
        })?;
        for (tag, hash) in self.tags.iter().zip(hashes.chunks_exact_mut(TAG)) {
            hash.copy_from_slice(&core.shared.marks.hash(tag)?.to_le_bytes());
        }
        Ok(hashes)
    }
}

/// What a put entry's record says beside key and value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) now: Millis,
    pub(crate) deadline: Millis,
    pub(crate) extras: Extras<'a>,
}

impl Terms<'_> {
    /// Those of an entry that ends at some time, and that is all.
    pub(crate) fn until(deadline: Millis, now: Millis) -> Self {
        Self {
            now,
            deadline,
            extras: Extras::default(),
        }
    }
}

impl Namespace {
    /// Puts a value, in place of what the key had, as the options say.
    ///
    /// # Errors
    ///
    /// [`PutError`]; what the key had is still there then.
    pub fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        options: &EntryOptions,
    ) -> Result<Version, PutError> {
        let put = options.with_terms(&self.core, |terms| {
            let anything = Expected::Anything;
            self.core.put_on(self.number, key, value, terms, anything)
        })?;
        put.map_err(into_put_error)
    }

    /// [`compare_and_set`](Self::compare_and_set) as the options say.
    ///
    /// # Errors
    ///
    /// As [`compare_and_set`](Self::compare_and_set).
    pub fn compare_and_set_with(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
        options: &EntryOptions,
    ) -> Result<Version, CompareError> {
        options.with_terms(&self.core, |terms| {
            let expected = Expected::Version(expected);
            self.core.put_on(self.number, key, value, terms, expected)
        })?
    }
}
