//! Memory that is given up without need of it for a new entry: because somebody asks for that, or others need it.

use super::{Keeping, Mark, Tier, Tiers, Victim};
use crate::clock::Millis;
use crate::segment::Segment;
use crate::shared::Shared;

/// How many bytes are looked through at a time, which is for how long the lock is held.
const SLICE: u64 = 64 << 10;
/// However short memory is for others, a store keeps this part of what it may have.
const FLOOR: u64 = 8;

impl Tiers {
    /// Bytes of files' records, and of those that are dead. `None` without a folder.
    pub(crate) fn on_disk(&self, shared: &Shared) -> Option<(u64, u64)> {
        self.disk.as_ref()?;
        let numbers = self.packed.numbers().chain(self.cold.numbers());
        // SAFETY: a segment that is in a queue is not removed.
        let segments = numbers.map(|number| unsafe { shared.directory.get(number) });
        Some(segments.fold((0, 0), |(used, dead), segment| {
            let records = u64::from(segment.used());
            (
                used + records,
                dead + u64::from(segment.dead()).min(records),
            )
        }))
    }

    /// Bytes of segments that are in no queue: values still read from them, or they are being cleared.
    pub(crate) fn held_elsewhere(&self, shared: &Shared) -> u64 {
        let (raw, packed) = self.bytes();
        shared.resident.bytes().saturating_sub(raw + packed)
    }

    /// Looks through the oldest uncompressed segment of those that were there at some moment: its entries are what their
    /// compressed copies say, or are compressed, or dropped where there is no room. Says whether there was such a segment.
    pub(crate) fn demote(&mut self, shared: &Shared, mark: Mark, now: Millis) -> bool {
        // Bounded by what is looked through at a time, as when there is need of the memory.
        [Tier::Recent, Tier::Main].into_iter().any(|tier| {
            let is_old = |segment: &Segment| segment.born <= mark.born;
            let Some(victim) = self.next_victim_if(shared, tier, is_old) else {
                return false;
            };
            self.look_through(shared, (tier, victim), SLICE, Keeping::None, now);
            // Nor is its memory wanted for new entries.
            self.spare = None;
            true
        })
    }

    /// Moves what lives of an uncompressed segment that is mostly dead together with others. Says whether there was such a
    /// segment.
    pub(crate) fn compact_raw(&mut self, shared: &Shared, now: Millis) -> bool {
        let room = self.sizes.total.saturating_sub(self.held(shared));
        [Tier::Recent, Tier::Main].into_iter().any(|tier| {
            // SAFETY: a segment that is in a queue is not removed.
            let segment = |number| unsafe { shared.directory.get(number) };
            let is_due = |number: &u32| {
                let segment = segment(*number);
                let living = segment.used().saturating_sub(segment.dead());
                segment.is_settled() && living < segment.dead() && u64::from(living) <= room
            };
            let queue = self.queue(tier);
            let mut closed = queue.waiting().filter(|number| !queue.is_open(*number));
            let found = closed.find(is_due);
            drop(closed);
            let Some(number) = found else { return false };
            queue.take_waiting(number);
            segment(number).leave(None);
            let victim = Victim { number, offset: 0 };
            self.look_through(shared, (tier, victim), u64::MAX, Keeping::All, now);
            true
        })
    }

    /// Forgets which entries were there and are not.
    pub(crate) fn forget_ghosts(&mut self) {
        self.policy.forget();
    }

    /// The most bytes that the store takes for now.
    pub(crate) fn ceiling(&self) -> u64 {
        self.ceiling
    }

    /// Whether that is less than it may.
    pub(crate) fn is_lowered(&self) -> bool {
        self.ceiling < self.sizes.total
    }

    /// Sets the most bytes that the store takes for now, within what it may and what it needs. Says whether that is another
    /// number than before.
    pub(crate) fn set_ceiling(&mut self, bytes: u64) -> bool {
        let before = self.ceiling;
        self.ceiling = bytes.clamp(self.sizes.total / FLOOR, self.sizes.total);
        if self.ceiling != before {
            let cache = self.cache();
            self.policy.resize(cache);
        }
        self.ceiling != before
    }

    /// Gives some memory back if the store takes more than it is to take for now: of what is uncompressed first. Says whether
    /// there may be more to give.
    pub(crate) fn give_way(&mut self, shared: &Shared, now: Millis) -> bool {
        if !self.is_lowered() || self.held(shared) <= self.ceiling {
            return false;
        }
        let (raw_limit, packed_limit) = self.limits(shared);
        if self.bytes().0 > raw_limit {
            let mark = self.mark(shared);
            if self.demote(shared, mark, now) {
                return true;
            }
        }
        self.packed.bytes > packed_limit && self.retire_packed(shared, SLICE, now)
    }
}
