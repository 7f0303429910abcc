//! Invalidating a tag, and clearing away what that leaves.

use std::sync::atomic::Ordering;

use crate::clock::Millis;
use crate::error::PutError;
use crate::index::Slot;
use crate::marks::Mark;
use crate::namespace::Namespace;
use crate::segment::Lifetime;
use crate::segment::extras::Extras;
use crate::segment::packed::{Form, Packed};
use crate::shared::with_scratch;
use crate::stats::Cause;
use crate::store::Core;
use crate::tiers::NoPlace;
use crate::upkeep::Upkeep;

/// How many places of a shard are looked at under one lock.
const SLICE: usize = 1024;

impl Namespace {
    /// Makes void what has been put with a tag into this namespace until now: no read gives it from the moment on at which the
    /// call returns. It takes as long as a put, however many entries there are; their memory comes back afterwards, within
    /// moments, whether or not anybody calls.
    ///
    /// In a folder it is written before the call returns, as a put is: what was invalidated stays so when the process is
    /// killed.
    ///
    /// ```
    /// use aqe_memory::{EntryOptions, MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// let of_suite = EntryOptions::default().tags(["suite:api", "branch:main"]);
    /// store.put_with(b"run/1", b"passed", &of_suite)?;
    /// store.put(b"run/2", b"passed")?;
    /// store.invalidate_tag("suite:api")?;
    /// assert!(store.get(b"run/1").is_none() && store.get(b"run/2").is_some());
    ///
    /// // What is put afterwards is not affected.
    /// store.put_with(b"run/1", b"failed", &of_suite)?;
    /// assert_eq!(store.get(b"run/1").as_deref(), Some(&b"failed"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`PutError::TagTooLong`]; [`PutError::TooManyMarks`] when more different tags were invalidated than the store remembers;
    /// and if the store has a folder, [`PutError::Disk`] and [`PutError::DiskFull`]. Nothing is invalidated then.
    pub fn invalidate_tag(&self, tag: &str) -> Result<(), PutError> {
        self.core.invalidate(self.number, tag)
    }
}

impl Core {
    fn invalidate(&self, namespace: u16, tag: &str) -> Result<(), PutError> {
        let tag = self.shared.marks.hash(tag)?;
        let mut marked = self.mark(namespace, tag);
        if matches!(
            marked,
            Err(PutError::TooManyMarks { .. } | PutError::DiskFull)
        ) {
            self.sweep();
            marked = self.mark(namespace, tag);
        }
        marked?;
        self.alarm.set(self.now());
        Ok(())
    }

    fn mark(&self, namespace: u16, tag: u64) -> Result<(), PutError> {
        let now = self.now();
        let marks = &self.shared.marks;
        let _nobody_puts = marks.wait_for_puts();
        let mut tiers = self.tiers.lock();
        marks.check_room(namespace, tag)?;
        let until = tiers.last_end(&self.shared);
        let file = tiers.disk.as_ref().map_or(0, |disk| disk.next_file());
        // Relaxed: no entry with tags gets a version meanwhile, and none at all in a folder.
        let version = self.versions.load(Ordering::Relaxed);
        if self.folder.is_some() {
            let mark = Packed {
                namespace,
                key: &tag.to_le_bytes(),
                lifetime: Lifetime::until(until, now),
                version,
                form: Form::Mark,
                extras: Extras::default(),
                stored: &file.to_le_bytes(),
            };
            with_scratch(|record| {
                mark.write(record);
                let reserved = tiers.log(&self.shared, record, version, (until, until), now)?;
                reserved.segment.published();
                Ok(())
            })
            .map_err(|error: NoPlace| PutError::from(error))?;
        }
        // Added and not set: in memory, entries without tags take versions at the same time.
        let version = self.versions.fetch_add(1, Ordering::Relaxed);
        marks.set(
            namespace,
            tag,
            Mark {
                version,
                until,
                file,
            },
        );
        Ok(())
    }

    /// Takes void entries out of the index, a few at a time, and drops marks that nothing needs any more. Says whether there
    /// was something to do. The caller holds the upkeep.
    pub(crate) fn clear_void(&self, _upkeep: &Upkeep, now: Millis) -> bool {
        let marks = &self.shared.marks;
        if !marks.are_any() {
            return false;
        }
        let (seen, is_due) = {
            // Under which marks are made: what is marked from here on may have been looked at already.
            let _tiers = self.tiers.lock();
            (self.versions.load(Ordering::Relaxed), marks.take_due())
        };
        if is_due {
            (0..self.shared.index.shards().count()).for_each(|shard| self.clear_void_of(shard));
        }
        // In a folder, what has no slot any more can still be a record.
        let oldest = match self.folder {
            Some(_) => self.tiers.lock().oldest_file(&self.shared),
            None => u64::MAX,
        };
        marks.drop_if(|mark| {
            let was_seen = mark.version < seen && !marks.is_due();
            was_seen && (mark.until <= now || mark.file <= oldest)
        });
        is_due
    }

    fn clear_void_of(&self, number: usize) {
        let Some(lock) = self.shared.index.shards().nth(number) else {
            return;
        };
        let (mut begin, mut places, mut moved) = (0, usize::MAX, None);
        while begin < places {
            let mut void: Vec<(u16, Box<[u8]>)> = Vec::new();
            let shard = lock.read();
            if moved != Some(shard.moved()) {
                // From the beginning: a slot may have come to where it is not looked for any more.
                (begin, places, moved) = (0, shard.places(), Some(shard.moved()));
            }
            let end = (begin + SLICE).min(places);
            for slot in shard.slots_at(begin..end) {
                if self.may_have_tags(slot) {
                    self.shared.view(slot, |view| {
                        if self.shared.is_view_void(&view) {
                            void.push((view.namespace, view.key.into()));
                        }
                    });
                }
            }
            drop(shard);
            begin = end;
            for (namespace, key) in void {
                self.drop_void(namespace, &key);
            }
        }
    }

    /// Whether a slot's entry can have tags. The caller holds the lock of its shard.
    fn may_have_tags(&self, slot: Slot) -> bool {
        // SAFETY: the slot was found under the shard's lock, which is held.
        unsafe { self.shared.directory.get(slot.place().segment) }.has_tags()
    }

    /// Drops an entry that was seen to be void, if it still is.
    fn drop_void(&self, namespace: u16, key: &[u8]) {
        if let Some(removals) = &self.shared.removals {
            removals.wait_for_room();
        }
        let hash = self.shared.index.hash(namespace, key);
        let mut shard = self.shared.index.write(hash);
        let is_it = |slot| {
            let is_it = self.shared.view(slot, |view| {
                view.namespace == namespace && view.key == key && self.shared.is_view_void(&view)
            });
            is_it.unwrap_or(false)
        };
        if let Some(slot) = shard.remove(hash, is_it) {
            let cause = Cause::Invalidated;
            self.shared.gone(namespace, key, slot.place(), cause);
            self.shared.bury(slot.place());
        }
    }

    /// Gives back memory of segments that are mostly dead, one at a time: what lives in them is put elsewhere. The caller holds
    /// the upkeep.
    pub(crate) fn free_dead(&self, _upkeep: &Upkeep, now: Millis) {
        while let Some(doomed) = {
            let mut tiers = self.tiers.lock();
            tiers.take_mostly_dead(&self.shared)
        } {
            let cleared = self
                .shared
                .clear(&doomed, now, true, |namespace, key, place| {
                    let mut tiers = self.tiers.lock();
                    tiers.put_over(&self.shared, (namespace, key), place, now)
                });
            self.tiers.lock().reuse(&cleared);
        }
    }
}
