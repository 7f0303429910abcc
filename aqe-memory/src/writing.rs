//! How an entry is put into memory, replaced and removed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::clock::{Millis, to_millis};
use crate::error::{CompareError, PutError};
use crate::index::{KeyHash, Shard, Slot};
use crate::options::Terms;
use crate::segment::Lifetime;
use crate::segment::raw::{self, Content};
use crate::shared::kept_of;
use crate::stats::Cause;
use crate::store::{Core, Version};
use crate::tiers::Reserved;

/// The most bytes that a key has.
pub(crate) const MOST_KEY: usize = u16::MAX as usize;

pub(crate) fn into_put_error(error: CompareError) -> PutError {
    match error {
        CompareError::Put(error) => error,
        CompareError::Changed { .. } => unreachable!("nothing was expected of the entry"),
    }
}

/// What has to be there for a value to be put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    Anything,
    /// An entry of this version, or none.
    Version(Option<Version>),
}

impl Expected {
    pub(crate) fn check(
        self,
        current: impl FnOnce() -> Option<Version>,
    ) -> Result<(), CompareError> {
        let Self::Version(expected) = self else {
            return Ok(());
        };
        let current = current();
        match current == expected {
            true => Ok(()),
            false => Err(CompareError::Changed { current }),
        }
    }
}

/// A record that lies where it belongs, and is still to be published.
pub(crate) struct Written<'a> {
    reserved: Reserved<'a>,
    namespace: u16,
    key: &'a [u8],
    size: u64,
    pub(crate) hash: KeyHash,
    version: Version,
}

impl Core {
    pub(crate) fn put(
        &self,
        namespace: u16,
        key: &[u8],
        value: &[u8],
        time_to_live: Option<Duration>,
        expected: Expected,
    ) -> Result<Version, CompareError> {
        let now = self.clock.now();
        let terms = Terms::until(deadline(now, time_to_live), now);
        self.put_on(namespace, key, value, &terms, expected)
    }

    pub(crate) fn put_on(
        &self,
        namespace: u16,
        key: &[u8],
        value: &[u8],
        terms: &Terms<'_>,
        expected: Expected,
    ) -> Result<Version, CompareError> {
        self.check(key, value)?;
        if self.folder.is_some() {
            return self.put_logged(namespace, key, value, terms, expected);
        }
        let (deadline, now) = (terms.deadline, terms.now);
        let _putting = self.shared.marks.put_begins(&terms.extras);
        let hash = self.shared.index.hash(namespace, key);
        if !terms.extras.are_any()
            && let Some(version) =
                self.overwrite(hash, (namespace, key), value, (deadline, now), expected)?
        {
            return Ok(version);
        }
        let size = raw::size(key.len(), value.len(), false, &terms.extras);
        let (reserved, is_due) = {
            let mut tiers = self.tiers.lock();
            let reserved = tiers.place(&self.shared, hash, size, deadline, now);
            (reserved, std::mem::take(&mut tiers.wants_training))
        };
        let reserved = reserved.map_err(PutError::from)?;
        // SAFETY: the place was reserved for a record of this size, just now.
        let written = unsafe { self.write(reserved, hash, (namespace, key), value, terms) };
        let mut shard = self.shared.index.write(written.hash);
        let put = self.publish(&mut shard, &written, expected, now);
        drop(shard);
        self.published(&written);
        if put.is_ok() {
            self.shared.counts.puts(1);
            self.alarm.set(if is_due { now } else { deadline });
        }
        put.map(|()| written.version)
    }

    /// Writes a record.
    ///
    /// # Safety
    ///
    /// The place was reserved for a record of this key and value, and nothing was written there yet.
    pub(crate) unsafe fn write<'a>(
        &self,
        reserved: Reserved<'a>,
        hash: KeyHash,
        (namespace, key): (u16, &'a [u8]),
        value: &[u8],
        terms: &Terms<'_>,
    ) -> Written<'a> {
        // Relaxed: a number that nobody else gets, no more.
        let version = self.versions.fetch_add(1, Ordering::Relaxed);
        let content = Content {
            namespace,
            key,
            value,
            lifetime: Lifetime::until(terms.deadline, reserved.segment.epoch),
            version,
            backing: None,
            extras: terms.extras,
        };
        // SAFETY: as the caller promises.
        unsafe { reserved.segment.write_raw(reserved.place.offset, &content) };
        let size = raw::size(key.len(), value.len(), false, &terms.extras);
        Written {
            reserved,
            namespace,
            key,
            size,
            hash,
            version: Version(kept_of(version)),
        }
    }

    /// Gives a record its slot, or gives it up if the entry is not as expected.
    pub(crate) fn publish(
        &self,
        shard: &mut Shard,
        written: &Written<'_>,
        expected: Expected,
        now: Millis,
    ) -> Result<(), CompareError> {
        let (namespace, key, hash) = (written.namespace, written.key, written.hash);
        let place = written.reserved.place;
        let is_entry = |slot| self.is_entry(slot, namespace, key);
        let checked = expected.check(|| {
            let found = shard.find(hash, is_entry)?;
            self.see(found.get(), now)
        });
        if checked.is_err() {
            self.shared.bury(place);
            return checked;
        }
        let slot = Slot::new(hash.tag, place, 0);
        match self.shared.index.publish(shard, slot, is_entry) {
            Some(replaced) => {
                let cause = self.cause(replaced, now, Cause::Replaced);
                if cause == Cause::Expired {
                    self.shared.was_absent(namespace, key);
                }
                self.shared.gone(namespace, key, replaced.place(), cause);
                self.shared.bury(replaced.place());
                return Ok(());
            }
            None => self.shared.was_absent(namespace, key),
        }
        if self.shared.samples.wants(hash.whole) {
            self.note(hash, written.size, false);
        }
        Ok(())
    }

    /// Says that a record has its slot, or never gets one. The shard is not locked any more.
    pub(crate) fn published(&self, written: &Written<'_>) {
        written.reserved.segment.published();
    }

    pub(crate) fn check(&self, key: &[u8], value: &[u8]) -> Result<(), PutError> {
        if key.len() > MOST_KEY {
            return Err(PutError::KeyTooLong {
                len: key.len(),
                most: MOST_KEY,
            });
        }
        if value.len() > self.most_value {
            return Err(PutError::ValueTooLarge {
                len: value.len(),
                most: self.most_value,
            });
        }
        Ok(())
    }

    /// Removes the entry of a key, if there is one; of this version, if one is given.
    pub(crate) fn remove(
        &self,
        namespace: u16,
        key: &[u8],
        expected: Option<Version>,
    ) -> Result<bool, PutError> {
        // First, so that what is being loaded now is not put after the removal.
        self.loads.invalidate(namespace, key);
        let now = self.clock.now();
        if self.folder.is_some() {
            return self.remove_logged(namespace, key, expected, now);
        }
        let hash = self.shared.index.hash(namespace, key);
        let mut shard = self.shared.index.write(hash);
        let is_expected = |slot| expected.is_none() || self.see(slot, now) == expected;
        let removed = shard.remove(hash, |slot| {
            self.is_entry(slot, namespace, key) && is_expected(slot)
        });
        let Some(slot) = removed else {
            return Ok(false);
        };
        let cause = self.cause(slot, now, Cause::Removed);
        self.shared.gone(namespace, key, slot.place(), cause);
        self.shared.bury(slot.place());
        Ok(cause == Cause::Removed)
    }
}

/// When an entry that is put now ends.
pub(crate) fn deadline(now: Millis, time_to_live: Option<Duration>) -> Millis {
    match time_to_live {
        Some(time_to_live) => now.saturating_add(to_millis(time_to_live)),
        None => Millis::MAX,
    }
}
