//! How much a queue has to do, for whoever chooses between several: read without the lock that its workers need.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Core, Shared};
use crate::state::Refusal;

/// What was so when the core's lock was last released. All of it is relaxed: each number is a hint, and what follows from
/// one is decided under the lock.
#[derive(Default)]
pub(super) struct Gauge {
    /// Somebody reads it. Nobody who does not need it pays for keeping it up.
    watched: AtomicBool,
    load: AtomicUsize,
    limit: AtomicUsize,
    room: AtomicUsize,
}

/// A queue at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Glance {
    /// Operations that wait for a slot, and slots in use.
    pub(crate) load: usize,
    /// How many slots there are.
    pub(crate) limit: usize,
    /// How many operations would be accepted.
    pub(crate) room: usize,
}

impl Gauge {
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, core: &Core) {
        let room = if core.blocked.waiting.is_empty() && core.state.is_open() {
            core.state.room()
        } else {
            0
        };
        self.load.store(core.state.load_now(), Ordering::Relaxed);
        self.limit.store(core.state.limit(), Ordering::Relaxed);
        self.room.store(room, Ordering::Relaxed);
    }
}

impl Shared {
    /// Keeps the gauge up from now on.
    pub(crate) fn watch_load(&self) {
        self.gauge.watched.store(true, Ordering::Relaxed);
        // Its release sets the gauge.
        self.with_core(|_| ());
    }

    /// Looks at the gauge, and at what has come in since: a burst of submissions reaches the core only when a worker gets
    /// to run.
    pub(crate) fn glance(&self) -> Glance {
        let arrived = self.inbox.door.lock().arrivals.len();
        Glance {
            load: self.gauge.load.load(Ordering::Relaxed) + arrived,
            limit: self.gauge.limit.load(Ordering::Relaxed),
            room: self
                .gauge
                .room
                .load(Ordering::Relaxed)
                .saturating_sub(arrived),
        }
    }

    /// Reserves a place for an operation without bytes, if there is room.
    pub(crate) fn try_reserve(&self) -> Result<(), Refusal> {
        // With the inbox locked: what is reserved here must not be given away there.
        self.with_door(|core, _| core.admissible(0).map(|()| core.state.reserve(0)))
    }
}
