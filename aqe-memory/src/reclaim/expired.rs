//! Entries that are over, one by one: their segments have others that are not.

use crate::clock::Millis;
use crate::index::Slot;
use crate::segment::Kind;
use crate::shared::View;
use crate::stats::Cause;
use crate::store::Core;

/// How many entries are looked at under the lock of their shard.
const SLICE: usize = 256;

/// Which entries are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Memory,
    /// Each that is on disk only is read for it.
    Everywhere,
}

impl Core {
    /// Takes the entries of a shard that are over out of the index, so that what they took is dead. Gives how many there were.
    pub(super) fn drop_expired(&self, number: u32, place: Where, now: Millis) -> u64 {
        let Some(lock) = self.shared.index.shards().nth(number as usize) else {
            return 0;
        };
        let mut slots: Vec<Slot> = lock.read().slots().collect();
        slots.sort_unstable_by_key(|slot| (slot.place().segment, slot.place().offset));
        let mut dropped = 0;
        for slots in slots.chunks(SLICE) {
            let mut over = Vec::new();
            let shard = lock.read();
            for slot in slots {
                let hash = self.shared.index.hash_of(number, *slot);
                let found = shard.find(hash, |other| other.place() == slot.place());
                let Some(found) = found.map(|found| found.get()) else {
                    continue;
                };
                if place == Where::Memory && self.shared.kind_of(found) == Kind::Cold {
                    continue;
                }
                let is_over = |view: View<'_>| {
                    (view.deadline <= now).then(|| (view.namespace, Box::<[u8]>::from(view.key)))
                };
                over.extend(self.shared.view(found, is_over).flatten());
            }
            drop(shard);
            for (namespace, key) in over {
                if let Some(removals) = &self.shared.removals {
                    removals.wait_for_room();
                }
                dropped += u64::from(self.drop_if_over(namespace, &key, now));
            }
        }
        dropped
    }

    fn drop_if_over(&self, namespace: u16, key: &[u8], now: Millis) -> bool {
        let hash = self.shared.index.hash(namespace, key);
        let mut shard = self.shared.index.write(hash);
        let removed = shard.remove(hash, |slot| {
            // Somebody may have put another value meanwhile.
            let is_over = self.shared.view(slot, |view| {
                view.namespace == namespace && view.key == key && view.deadline <= now
            });
            is_over.unwrap_or(false)
        });
        if let Some(slot) = removed {
            self.shared
                .gone(namespace, key, slot.place(), Cause::Expired);
            self.shared.bury(slot.place());
        }
        removed.is_some()
    }
}
