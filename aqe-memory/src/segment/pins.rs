//! Who still reads what was taken away.
//!
//! A [`Value`](crate::Value) that was read from the uncompressed tier is the entry's own memory. The entry counts such
//! values. When a segment is given up, its entries that are being read are *orphaned* one by one, after their slots are
//! gone: each holds the segment then, and the last value of the last orphan frees it. A value therefore costs two
//! atomic operations on its entry, as a reference-counted one would, and none on memory that other entries share.

use crate::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

/// The count of values that read an entry, and whether the entry was orphaned.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Pins(AtomicU16);

const ORPHANED: u16 = 1 << 15;
/// More values of one entry than this are copies. Far enough below the flag for every thread of a machine to be on its
/// way beyond it at once.
const MOST: u16 = 1 << 14;

impl Pins {
    pub(crate) fn new() -> Self {
        Self(AtomicU16::new(0))
    }

    /// Pins the entry, unless it has too many pins already. The caller holds the lock under which it found the entry's
    /// slot, or a pin.
    #[inline]
    pub(crate) fn pin(&self) -> bool {
        // Relaxed: the lock, or the pin that is there, orders this before the entry is orphaned or freed.
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        if before & !ORPHANED < MOST {
            return true;
        }
        let unpinned = self.unpin();
        debug_assert!(matches!(unpinned, Unpinned::StillHeld));
        false
    }

    /// Whether nothing reads the entry, and nobody gave it up. The caller holds the lock under which pins are made, alone, so
    /// that it stays like that until the lock is free: the entry can be written to.
    pub(crate) fn are_none(&self) -> bool {
        // Acquire pairs with the release of `unpin`: all reads are over.
        self.0.load(Ordering::Acquire) == 0
    }

    /// Takes a pin away.
    #[inline]
    pub(crate) fn unpin(&self) -> Unpinned {
        // Release: what the reader read is read before anybody frees it.
        match self.0.fetch_sub(1, Ordering::Release) {
            before if before == ORPHANED | 1 => {
                // Pairs with the releases of those who read it before: whoever frees the segment knows of this one only.
                fence(Ordering::Acquire);
                Unpinned::LastOfOrphan
            }
            _ => Unpinned::StillHeld,
        }
    }

    /// Orphans the entry: from now on its last pin lets go of the segment. The caller has taken the entry's slot away and has a
    /// hold of its own. Doing it again changes nothing.
    pub(crate) fn orphan(&self, holds: &Holds) {
        // Nobody can pin it any more, so if nobody does now, nobody will let go of it. Acquire pairs with the release of `unpin`.
        if self.0.load(Ordering::Acquire) == 0 {
            return;
        }
        // The hold comes first: the last pin may go at any moment after the flag is there.
        holds.add();
        // Acquire pairs with the release of `unpin`: with no pin left, all reads are over.
        let before = self.0.fetch_or(ORPHANED, Ordering::AcqRel);
        if before == 0 || before & ORPHANED != 0 {
            let last = holds.let_go();
            debug_assert!(!last, "the caller has a hold of its own");
        }
    }
}

/// What a pin that was taken away leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Unpinned {
    /// Somebody else sees to the entry.
    StillHeld,
    /// It was the last one of an orphan, which holds its segment no longer.
    LastOfOrphan,
}

/// Who keeps a segment: the store, and each orphan.
#[derive(Debug)]
pub(crate) struct Holds(AtomicU32);

impl Holds {
    /// The store's hold.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(1))
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a hold away. Whoever takes the last one frees the segment.
    pub(crate) fn let_go(&self) -> bool {
        if self.0.fetch_sub(1, Ordering::Release) > 1 {
            return false;
        }
        // Pairs with the releases of those who let go before.
        fence(Ordering::Acquire);
        true
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::Mutex;

    use super::*;

    /// An entry in its segment. Freeing is a write, reading a read: loom tells when they can meet.
    struct Model {
        /// Whether the entry has a slot, behind the lock of its shard.
        slot: Mutex<bool>,
        pins: Pins,
        holds: Holds,
        memory: UnsafeCell<bool>,
    }

    impl Model {
        fn free(&self) {
            self.memory.with_mut(|freed| {
                // SAFETY: loom fails the test when somebody else reads or writes at the same time.
                let freed = unsafe { &mut *freed };
                assert!(!*freed, "freed twice");
                *freed = true;
            });
        }

        fn read(&self) {
            let pinned = {
                let slot = self.slot.lock().unwrap();
                *slot && self.pins.pin()
            };
            if !pinned {
                return;
            }
            self.memory.with(|freed| {
                // SAFETY: as above.
                assert!(!unsafe { *freed }, "read after it was freed");
            });
            if self.pins.unpin() == Unpinned::LastOfOrphan && self.holds.let_go() {
                self.free();
            }
        }

        fn overwrite(&self) {
            let slot = self.slot.lock().unwrap();
            if *slot && self.pins.are_none() {
                self.memory.with_mut(|freed| {
                    // SAFETY: as above.
                    assert!(!unsafe { *freed }, "written after it was freed");
                });
            }
        }

        fn give_up(&self) {
            *self.slot.lock().unwrap() = false;
            self.pins.orphan(&self.holds);
            if self.holds.let_go() {
                self.free();
            }
        }
    }

    impl Model {
        fn start() -> Arc<Self> {
            Arc::new(Self {
                slot: Mutex::new(true),
                pins: Pins::new(),
                holds: Holds::new(),
                memory: UnsafeCell::new(false),
            })
        }
    }

    #[test]
    fn nothing_is_overwritten_while_it_is_read() {
        loom::model(|| {
            let model = Model::start();
            let others = [Model::read as fn(&Model), Model::overwrite].map(|call| {
                let model = Arc::clone(&model);
                loom::thread::spawn(move || call(&model))
            });
            model.overwrite();
            model.give_up();
            for other in others {
                other.join().unwrap();
            }
        });
    }

    #[test]
    fn memory_is_freed_once_and_after_the_last_reader() {
        loom::model(|| {
            let model = Model::start();
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    let model = Arc::clone(&model);
                    loom::thread::spawn(move || model.read())
                })
                .collect();
            model.give_up();
            for reader in readers {
                reader.join().unwrap();
            }
            // SAFETY: everybody has ended.
            model
                .memory
                .with(|freed| assert!(unsafe { *freed }, "never freed"));
        });
    }
}
