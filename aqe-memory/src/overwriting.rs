//! A value in place of another one, in the same memory.
//!
//! What is put again and again, a counter, a heartbeat, the state of something that runs, is mostly put again with a value of the
//! same length and while its entry is uncompressed. It needs no new record then, and no look at what has to give way for it:
//! the lock of its shard is enough. That is possible as long as
//!
//! - nobody reads the old value, which is what [pins](crate::segment) are counted for,
//! - the entry would be put among the same neighbours anew, so that memory comes back when it would,
//! - neither entry slides or has tags, and no snapshot is being read that might want the old value,
//! - the segment is not being emptied, and
//! - the store has no folder: there, what is put is written down one after the other.

use std::sync::atomic::Ordering;

use crate::clock::Millis;
use crate::error::CompareError;
use crate::index::KeyHash;
use crate::policy;
use crate::segment::{Kind, Lifetime};
use crate::shared::kept_of;
use crate::stats::Cause;
use crate::store::{Core, Version};
use crate::tiers::Bucket;
use crate::writing::Expected;

impl Core {
    /// Puts a value in the place of the one that the key has, if that is possible.
    pub(crate) fn overwrite(
        &self,
        hash: KeyHash,
        (namespace, key): (u16, &[u8]),
        value: &[u8],
        (deadline, now): (Millis, Millis),
        expected: Expected,
    ) -> Result<Option<Version>, CompareError> {
        let shard = self.shared.index.write(hash);
        let Some(found) = shard.find(hash, |slot| self.is_entry(slot, namespace, key)) else {
            return Ok(None);
        };
        let slot = found.get();
        let place = slot.place();
        // SAFETY: the slot was found under the shard's lock, which is held.
        let segment = unsafe { self.shared.directory.get(place.segment) };
        if segment.kind != Kind::Raw
            || segment.end != Bucket::of(deadline, now).end()
            || !segment.prolong(deadline)
        {
            return Ok(None);
        }
        // SAFETY: as above; the record was written before its slot was there.
        let record = unsafe { segment.raw(place.offset) };
        // What it says besides is not the new entry's, and what is to be saved of the old one has to be there still.
        if record.has_extras() || self.shared.snapshots.are_any() {
            return Ok(None);
        }
        let is_there = record.lifetime().deadline(segment.epoch) > now;
        expected.check(|| is_there.then(|| Version(record.version())))?;
        // Relaxed: a number that nobody else gets, no more. One that is not used is missed by nobody.
        let version = kept_of(self.versions.fetch_add(1, Ordering::Relaxed));
        let lifetime = Lifetime::until(deadline, segment.epoch);
        // SAFETY: the shard is locked for writing, and nobody empties the segment.
        if !unsafe { record.overwrite(value, lifetime, version) } {
            return Ok(None);
        }
        let cause = match is_there {
            true => Cause::Replaced,
            false => Cause::Expired,
        };
        self.shared.gone(namespace, key, place, cause);
        found.touch(policy::hit(slot.frequency()));
        drop(shard);
        self.shared.counts.puts(1);
        self.alarm.set(deadline);
        Ok(Some(Version(version)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{CompareError, ManualClock, MemoryConfig, Store};

    fn store() -> (Store, ManualClock) {
        let clock = ManualClock::new();
        let store = Store::with_clock(MemoryConfig::default(), &clock).unwrap();
        (store, clock)
    }

    #[test]
    fn what_is_put_again_with_the_same_length_takes_no_more_memory() {
        let (store, _clock) = store();
        let mut version = store.put(b"beat", &[0; 1000]).unwrap();
        let before = store.stats();
        for beat in 1..200u8 {
            let put = store.put(b"beat", &[beat; 1000]).unwrap();
            assert_ne!(put, version, "each put has a version of its own");
            let old = store.compare_and_set(b"beat", Some(version), &[0; 1000]);
            assert!(matches!(old, Err(CompareError::Changed { current }) if current == Some(put)));
            version = put;
            assert_eq!(*store.get(b"beat").unwrap(), [beat; 1000]);
        }
        let after = store.stats();
        assert_eq!(after.uncompressed_bytes, before.uncompressed_bytes);
        assert_eq!((after.puts, after.replaced, after.entries), (200, 199, 1));
        assert!(
            store
                .compare_and_set(b"beat", Some(version), &[9; 1000])
                .is_ok()
        );
        assert_eq!(store.stats().uncompressed_bytes, before.uncompressed_bytes);
    }

    #[test]
    fn a_value_that_is_held_stays_as_it_is() {
        let (store, _clock) = store();
        store.put(b"key", b"first").unwrap();
        let first = store.get(b"key").unwrap();
        store.put(b"key", b"other").unwrap();
        let other = store.get(b"key").unwrap();
        store.put(b"key", b"third").unwrap();
        assert_eq!((&*first, &*other), (&b"first"[..], &b"other"[..]));
        assert_eq!(*store.get(b"key").unwrap(), *b"third");
    }

    #[test]
    fn lengths_and_lifetimes_change() {
        let (store, clock) = store();
        let hour = Duration::from_secs(3600);
        for len in [1, 2, 3, 4, 5, 100, 99, 7, 8, 0] {
            store.put_for(b"key", &vec![len; len.into()], hour).unwrap();
            assert_eq!(*store.get(b"key").unwrap(), vec![len; len.into()]);
        }
        store.put_for(b"key", b"abcd", hour).unwrap();
        store.put_for(b"key", b"efgh", hour * 2).unwrap();
        clock.advance(hour);
        store.cleanup();
        assert_eq!(*store.get(b"key").unwrap(), *b"efgh");
        store
            .put_for(b"key", b"ijkl", Duration::from_secs(1))
            .unwrap();
        clock.advance(Duration::from_secs(1));
        assert!(store.get(b"key").is_none());
        store.cleanup();
        assert_eq!(store.stats().entries, 0);
    }

    #[test]
    fn what_is_prolonged_where_it_is_is_not_cleared_away_with_its_neighbours() {
        let (store, clock) = store();
        // Two deadlines of one bucket, which is 16 seconds wide.
        let life = Duration::from_secs(3600);
        store.put_for(b"beat", b"1", life).unwrap();
        store.put_for(b"other", b"1", life).unwrap();
        let before = store.stats().uncompressed_bytes;
        clock.advance(Duration::from_millis(1));
        store.put_for(b"beat", b"2", life).unwrap();
        assert_eq!(store.stats().uncompressed_bytes, before);
        clock.advance(life - Duration::from_millis(1));
        store.cleanup();
        assert!(store.get(b"other").is_none());
        assert_eq!(*store.get(b"beat").unwrap(), *b"2");
        clock.advance(Duration::from_millis(1));
        assert!(store.get(b"beat").is_none());
        store.cleanup();
        assert_eq!(store.stats().uncompressed_bytes, 0);
    }
}
