//! A namespace: what is asked of a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{CompareError, PutError};
use crate::reading::Look;
use crate::store::{Core, Version};
use crate::sweeper::Sweeper;
use crate::value::Value;
use crate::writing::{Expected, into_put_error};

/// Entries of their own, with keys of their own, in the memory of one store.
#[derive(Clone)]
pub struct Namespace {
    /// Before the core: the thread has ended, and holds the core no longer, when the last handle lets go of it.
    pub(crate) sweeper: Option<Arc<Sweeper>>,
    pub(crate) core: Arc<Core>,
    pub(crate) number: u16,
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Namespace").field(&self.name()).finish()
    }
}

impl Namespace {
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// Its name; empty for the namespace that the store itself is.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        self.core.names.name(self.number)
    }

    /// The value of a key, if there is one and its time is not over.
    #[inline]
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Value> {
        self.core.read(self.number, key).map(|(value, _)| value)
    }

    /// The value of a key and its version, for [`compare_and_set`](Self::compare_and_set).
    #[must_use]
    pub fn get_versioned(&self, key: &[u8]) -> Option<(Value, Version)> {
        self.core.read(self.number, key)
    }

    /// Puts a value, in place of what the key had, for the store's
    /// [time to live](crate::MemoryConfig::time_to_live).
    ///
    /// # Errors
    ///
    /// [`PutError`]; what the key had is still there then.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<Version, PutError> {
        let lifetime = self.core.config.time_to_live;
        self.core
            .put(self.number, key, value, lifetime, Expected::Anything)
            .map_err(into_put_error)
    }

    /// Puts a value for as long as `time_to_live`, to the millisecond, beyond 24 days to the second.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_for(
        &self,
        key: &[u8],
        value: &[u8],
        time_to_live: Duration,
    ) -> Result<Version, PutError> {
        self.core
            .put(
                self.number,
                key,
                value,
                Some(time_to_live),
                Expected::Anything,
            )
            .map_err(into_put_error)
    }

    /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none.
    ///
    /// # Errors
    ///
    /// [`CompareError::Changed`] with the version that is there; or that the value cannot be put.
    pub fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
    ) -> Result<Version, CompareError> {
        let lifetime = self.core.config.time_to_live;
        let expected = Expected::Version(expected);
        self.core.put(self.number, key, value, lifetime, expected)
    }

    /// [`compare_and_set`](Self::compare_and_set) for as long as `time_to_live`.
    ///
    /// # Errors
    ///
    /// As [`compare_and_set`](Self::compare_and_set).
    pub fn compare_and_set_for(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
        time_to_live: Duration,
    ) -> Result<Version, CompareError> {
        let expected = Expected::Version(expected);
        self.core
            .put(self.number, key, value, Some(time_to_live), expected)
    }

    /// Removes a key's entry. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`PutError::Disk`] and [`PutError::DiskFull`], if the store has a folder and that it is gone cannot be written there; the
    /// entry is still there then.
    pub fn remove(&self, key: &[u8]) -> Result<bool, PutError> {
        self.core.remove(self.number, key, None)
    }

    /// Removes a key's entry if it has this version still. Says whether it had.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn compare_and_remove(&self, key: &[u8], expected: Version) -> Result<bool, PutError> {
        self.core.remove(self.number, key, Some(expected))
    }

    /// Whether a key has an entry. It does not count as a read of it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        self.core.look(self.number, key).is_some()
    }

    /// The keys that begin with `prefix` and are greater than `after`, in order, `most` at most.
    ///
    /// A key that has an entry from the beginning of the call to its end is among them. The call looks at every key of the
    /// store, and locks out those who put for a part of the keys at a time.
    #[must_use]
    pub fn keys(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Vec<Box<[u8]>> {
        self.core.keys(self.number, prefix, after, most, Look::Peek)
    }
}
