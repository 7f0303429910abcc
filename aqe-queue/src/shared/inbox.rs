//! How operations come in, and how submitters wait for room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use super::{Apart, Core, Shared, clock};
use crate::body::Ending;
use crate::cell::OpRef;
use crate::error::CancelReason;
use crate::events::Event;
use crate::handle::OperationId;
use crate::state::{Epoch, Line, Refusal, Tick};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Where operations arrive.
pub(super) struct Inbox {
    /// What producers fight for.
    pub(super) door: Apart<Mutex<Door>>,
    /// Which levels the arrivals are of. Written under the lock of `door`, once for each level that has something new;
    /// read relaxed, as a hint, by workers before each operation: apart from the door, so that they do not disturb it.
    pub(super) levels: Apart<AtomicU64>,
}

pub(super) struct Door {
    pub(super) arrivals: Arrivals,
    /// When the first of them came, which is taken to be the time of all: they wait here for a moment only, and a
    /// clock reading for each would cost as much as the rest.
    since: Tick,
    /// How many more may come in without looking at the core. What a worker has freed since is not counted, so it
    /// runs out early, and then somebody looks.
    pub(super) room: usize,
    /// No worker is awake to find an arrival: it must be taken through the core, which wakes one.
    pub(super) rouses: bool,
    pub(super) next_id: u64,
}

/// Operations that have arrived, a list for each level: they are taken in without a look at any of them.
pub(super) struct Arrivals {
    levels: Box<[Line<OpRef>]>,
}

impl Arrivals {
    pub(super) fn new(levels: u8) -> Self {
        Self {
            levels: (0..levels).map(|_| Line::new()).collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.levels.iter().map(Line::len).sum()
    }
}

impl Inbox {
    pub(super) fn new(levels: u8) -> Self {
        let door = Door {
            arrivals: Arrivals::new(levels),
            since: 0,
            room: 0,
            rouses: false,
            next_id: 1,
        };
        Self {
            door: Apart(Mutex::new(door)),
            levels: Apart(AtomicU64::new(0)),
        }
    }

    /// Puts an operation in; the door is this inbox's, and has room.
    fn put(&self, door: &mut Door, op: OpRef, epoch: Epoch) {
        let level = op.header().level();
        let levels = self.levels.load(Ordering::Relaxed);
        if levels == 0 {
            door.since = epoch.tick(clock());
        }
        if levels & (1 << level) == 0 {
            self.levels.store(levels | 1 << level, Ordering::Relaxed);
        }
        door.room -= 1;
        door.assign_id(&op);
        door.arrivals.levels[usize::from(level)].push(op, door.since);
    }
}

impl Door {
    /// Sets so many numbers aside and returns the first.
    pub(super) const fn assign_ids(&mut self, count: usize) -> u64 {
        let first = self.next_id;
        self.next_id += count as u64;
        first
    }

    pub(super) fn assign_id(&mut self, op: &OpRef) {
        op.header().set_id(self.next_id);
        self.next_id += 1;
    }
}

/// Submitters that wait for room, in the order in which they came.
#[derive(Default)]
pub(super) struct Blocked {
    pub(super) next: u64,
    pub(super) waiting: BTreeMap<u64, Blockee>,
}

/// One of them, and how many bytes it comes with.
pub(super) struct Blockee {
    waker: Waker,
    weight: u64,
}

/// What an operation asks for that the queue must know before it is queued.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) deadline: Option<Instant>,
    pub(crate) key: Option<Arc<str>>,
    /// The number of its kind, if that has a batch handler.
    pub(crate) kind: Option<u32>,
    /// In bytes.
    pub(crate) weight: u64,
}

/// What most operations ask for.
pub(crate) static NO_TERMS: Terms = Terms {
    deadline: None,
    key: None,
    kind: None,
    weight: 0,
};

impl Terms {
    pub(crate) const fn are_none(&self) -> bool {
        self.deadline.is_none() && self.key.is_none() && self.kind.is_none() && self.weight == 0
    }
}

/// Whether there is room for a submitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Reserved,
    Wait,
}

impl Core {
    /// Room that becomes free is reserved for those who wait for it before the lock is released (`admit_blocked`), so
    /// there is none for a newcomer while somebody waits.
    pub(super) fn admissible(&self, weight: u64) -> Result<(), Refusal> {
        let admissible = self.state.admissible(weight);
        // The first of those who wait may be heavy: a light one must not pass it by.
        if admissible.is_ok() && !self.blocked.waiting.is_empty() {
            return Err(Refusal::Full);
        }
        admissible
    }

    /// Takes in what has arrived.
    pub(super) fn absorb(&mut self, inbox: &Inbox, door: &mut Door) {
        let mut levels = inbox.levels.swap(0, Ordering::Relaxed);
        std::mem::swap(&mut self.arrivals, &mut door.arrivals);
        while levels != 0 {
            let index = levels.trailing_zeros() as usize;
            levels &= levels - 1;
            let line = &mut self.arrivals.levels[index];
            // There are at most 64 levels.
            self.state.enqueue_all(index as u8, line);
            line.shrink();
        }
    }

    /// Whether somebody has to be woken for an operation that comes now.
    pub(super) const fn rouses(&self) -> bool {
        // A worker that has not been polled yet looks for itself when it is.
        self.alive != 0 && self.alive == self.idle && self.state.has_slot()
    }

    /// Gives room to those that wait for it.
    pub(super) fn admit_blocked(&mut self, wakers: &mut Vec<Waker>) {
        if self.state.is_closed() {
            let blocked = std::mem::take(&mut self.blocked.waiting).into_values();
            wakers.extend(blocked.map(|it| it.waker));
            return;
        }
        while self.state.is_open()
            && let Some(first) = self.blocked.waiting.first_entry()
            && self.state.fits(first.get().weight)
        {
            let Blockee { waker, weight } = first.remove();
            self.state.reserve(weight);
            wakers.push(waker);
        }
    }
}

impl Shared {
    /// Queues an operation, or hands it back.
    pub(crate) fn push(&self, op: OpRef, terms: &Terms) -> Result<(), (Refusal, OpRef)> {
        let level = op.header().level();
        let mut shed = Vec::new();
        if self.hooks.are_used() {
            // With somebody listening the place is reserved first, so that "submitted" is told before "started".
            let admitted = self.with_door(|core, _| {
                self.admission(core, level, terms, &mut shed)
                    .map(|()| core.state.reserve(terms.weight))
            });
            self.end_shed(shed);
            return match admitted {
                Ok(()) => self.push_reserved(op, terms),
                Err(refusal) => Err((refusal, op)),
            };
        }
        let mut door = self.inbox.door.lock();
        if door.room > 0 && !door.rouses && op.header().is_plain() {
            self.inbox.put(&mut door, op, self.epoch);
            return Ok(());
        }
        drop(door);
        let pushed = self.admit(op, terms, |core| {
            self.admission(core, level, terms, &mut shed)
        });
        self.end_shed(shed);
        pushed
    }

    /// Queues as many of `ops` as there is room for, under one lock, and returns how many. They need nothing but a place
    /// in a level. The rest, and all of them if somebody listens to the events, must go in one by one.
    pub(crate) fn push_quickly(&self, ops: impl Iterator<Item = OpRef>) -> usize {
        if self.hooks.are_used() {
            return 0;
        }
        let mut pushed = 0;
        let rouses = {
            let mut door = self.inbox.door.lock();
            for op in ops.take(door.room) {
                self.inbox.put(&mut door, op, self.epoch);
                pushed += 1;
            }
            door.rouses
        };
        if rouses && pushed > 0 {
            // Takes them in and wakes a worker.
            self.with_core(|_| ());
        }
        pushed
    }

    /// Queues an operation for which a place is reserved. It is refused only if the queue has been closed since, or its
    /// key is one too many.
    pub(crate) fn push_reserved(&self, op: OpRef, terms: &Terms) -> Result<(), (Refusal, OpRef)> {
        let header = op.header();
        let told = self.hooks.are_used();
        if told {
            self.inbox.door.lock().assign_id(&op);
            self.hooks.emit(Event::Submitted {
                id: OperationId::new(header.id()),
                level: header.level(),
            });
        }
        let pushed = self.admit(op, terms, |core| {
            core.state.unreserve(terms.weight);
            if core.state.is_closed() {
                Err(Refusal::Closed)
            } else {
                Ok(())
            }
        });
        if told && let Err((_, op)) = &pushed {
            // It was announced, so its end is as well, whatever the reason was.
            let how = Ending::Cancelled(CancelReason::Shutdown).into();
            self.hooks.emit(Event::Ended {
                id: OperationId::new(op.header().id()),
                how,
                attempts: 0,
            });
        }
        pushed
    }

    /// Queues an operation through the core, if `may` allows it.
    fn admit(
        &self,
        op: OpRef,
        terms: &Terms,
        may: impl FnOnce(&mut Core) -> Result<(), Refusal>,
    ) -> Result<(), (Refusal, OpRef)> {
        let since = self.epoch.tick(clock());
        let admitted = self.with_door(|core, door| {
            if let Err(refusal) = may(core) {
                return Err((refusal, op));
            }
            let header = op.header();
            if header.id() == 0 {
                door.assign_id(&op);
            }
            if let Some(key) = &terms.key
                && let Err(refusal) = core.state.enter_key(header.id(), key, since)
            {
                return Err((refusal, op));
            }
            if let Some(deadline) = terms.deadline {
                core.state.set_deadline(&op, deadline);
            }
            let level = header.level();
            core.state.load(header.id(), terms.weight);
            if let Some(kind) = terms.kind {
                core.state.enter_kind(&op, kind);
            }
            core.state.enqueue(op, level, since);
            Ok(())
        });
        if let Some(kind) = terms.kind
            && admitted.is_ok()
        {
            self.batches.arrived(kind);
        }
        admitted
    }

    /// Reserves a place, or waits for one in the order of arrival. `ticket` is the caller's place in that order.
    pub(crate) fn wait_for_room(
        &self,
        ticket: &mut Option<u64>,
        waker: &Waker,
        level: u8,
        terms: &Terms,
    ) -> Result<Room, Refusal> {
        let mut shed = Vec::new();
        // Cloned and dropped without the locks: a waker is the user's code.
        let mut spare = Some(waker.clone());
        // With the inbox locked: what is reserved here must not be given away there.
        let room = self.with_door(|core, _| {
            let Some(number) = *ticket else {
                return match self.admission(core, level, terms, &mut shed) {
                    Ok(()) => {
                        core.state.reserve(terms.weight);
                        Ok(Room::Reserved)
                    }
                    Err(refusal @ (Refusal::Closed | Refusal::TooManyKeys)) => Err(refusal),
                    Err(Refusal::Full | Refusal::Paused) => {
                        let number = core.blocked.next;
                        core.blocked.next += 1;
                        if let Some(waker) = spare.take() {
                            let weight = terms.weight;
                            core.blocked
                                .waiting
                                .insert(number, Blockee { waker, weight });
                        }
                        *ticket = Some(number);
                        Ok(Room::Wait)
                    }
                };
            };
            if core.state.is_closed() {
                *ticket = None;
                return Err(Refusal::Closed);
            }
            if let Some(waiting) = core.blocked.waiting.get_mut(&number) {
                if !waiting.waker.will_wake(waker)
                    && let Some(spare) = &mut spare
                {
                    std::mem::swap(&mut waiting.waker, spare);
                }
                return Ok(Room::Wait);
            }
            *ticket = None;
            Ok(Room::Reserved)
        });
        self.end_shed(shed);
        room
    }

    /// Gives back a place that was reserved.
    pub(crate) fn give_up_room(&self) {
        self.with_door(|core, _| core.state.unreserve(0));
    }

    /// Gives up waiting for room.
    pub(crate) fn stop_waiting_for_room(&self, ticket: u64, weight: u64) {
        let gone = self.with_door(|core, _| {
            let gone = core.blocked.waiting.remove(&ticket);
            // Not among those that wait: its turn had come, and the place goes to the next.
            if gone.is_none() && !core.state.is_closed() {
                core.state.unreserve(weight);
            }
            gone
        });
        // Dropped without the locks: its waker is the user's code.
        drop(gone);
    }
}
