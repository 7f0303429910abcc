//! The part of an operation that everybody may read, and its word of state.

use crate::body::Ending;
use crate::error::CancelReason;
use crate::handle::OnDrop;
use crate::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// In a level of the queue.
pub(super) const QUEUED: u32 = 0;
/// Between two attempts.
pub(super) const DELAYED: u32 = 1;
/// Somebody holds the run right.
pub(super) const RUNNING: u32 = 2;
/// Somebody holds the run right, and the operation was woken meanwhile.
pub(super) const NOTIFIED: u32 = 3;
/// The attempt waits to be woken.
pub(super) const IDLE: u32 = 4;
/// Woken, and in the ready list of a worker.
pub(super) const SCHEDULED: u32 = 5;
/// The outcome can be taken. All bits of the phase, so that setting it needs no loop.
pub(super) const DONE: u32 = 7;
pub(super) const PHASE: u32 = 7;

/// The receiver's waker is in its slot.
pub(super) const WAITER: u32 = 1 << 3;
/// The home keeps a cancellation signal for this attempt.
pub(super) const SIGNAL: u32 = 1 << 4;
/// The attempt is over its time.
pub(super) const TIMEOUT: u32 = 1 << 5;
/// The receiver is gone.
pub(super) const ABANDONED: u32 = 1 << 6;
/// Three bits: why the operation is to end, or 0.
pub(super) const STOP_SHIFT: u32 = 8;
pub(super) const STOP: u32 = 7 << STOP_SHIFT;

/// The part of an operation that everybody may read.
pub(crate) struct Header {
    /// See `Counted`.
    pub(super) references: AtomicU32,
    /// Where it lies in its block, in bytes.
    pub(super) offset: u32,
    /// Phase and flags, see the constants. Once a queue knows the operation every change is a read-modify-write with acquire
    /// and release: what its
    /// maker wrote to the stage before is seen by whoever wins the next phase.
    pub(super) state: AtomicU32,
    /// Attempts started. Written by the holder of the run right; read by anybody, as a number and nothing else.
    pub(super) attempts: AtomicU32,
    /// Written once, before anybody else knows the operation.
    id: AtomicU64,
    /// The place in the table of the worker that holds the operation while it waits to be woken, and which worker that
    /// is. Written by the holder of the run right; the phase change that follows publishes them. While the operation is
    /// in a level `slot` is its place there, written under the queue's lock.
    slot: AtomicU32,
    seat: AtomicU8,
    /// What the handle is to do when it is dropped, and whether it has the outcome. Read and written by the handle.
    handle: AtomicU8,
    /// Written by the maker and then under the queue's lock, while the operation waits.
    level: AtomicU8,
    traits: Traits,
}

/// What few operations have and the queue must know of. All in one byte: most have none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traits(u8);

impl Traits {
    /// There is an entry among the timers.
    const DEADLINE: u8 = 1;
    /// There is an entry among the keys.
    const KEY: u8 = 2;
    /// There is an entry in the queue's load.
    const WEIGHT: u8 = 4;
    /// There is an entry in the queue's load, and the operation's kind has a batch handler.
    const BATCHED: u8 = 8;

    pub(crate) const fn new(
        has_deadline: bool,
        is_keyed: bool,
        has_weight: bool,
        is_batched: bool,
    ) -> Self {
        let deadline = if has_deadline { Self::DEADLINE } else { 0 };
        let key = if is_keyed { Self::KEY } else { 0 };
        let weight = if has_weight { Self::WEIGHT } else { 0 };
        let batched = if is_batched { Self::BATCHED } else { 0 };
        Self(deadline | key | weight | batched)
    }
}

/// `Header::slot` of an operation that is registered nowhere.
const NO_SLOT: u32 = u32::MAX;

/// `Header::handle`: the outcome has been taken.
const TAKEN: u8 = 1 << 7;

impl Header {
    /// With one reference.
    pub(super) fn new(offset: u32, level: u8, traits: Traits, on_drop: OnDrop) -> Self {
        Self {
            references: AtomicU32::new(1),
            offset,
            state: AtomicU32::new(QUEUED),
            attempts: AtomicU32::new(0),
            id: AtomicU64::new(0),
            slot: AtomicU32::new(NO_SLOT),
            seat: AtomicU8::new(0),
            handle: AtomicU8::new(on_drop as u8),
            level: AtomicU8::new(level),
            traits,
        }
    }

    pub(crate) fn level(&self) -> u8 {
        self.level.load(Ordering::Relaxed)
    }

    pub(crate) fn set_level(&self, level: u8) {
        self.level.store(level, Ordering::Relaxed);
    }

    /// Returns where in its level the operation was put. Means something only while it is there: see
    /// `State::set_level`, which checks.
    pub(crate) fn place(&self) -> u32 {
        self.slot.load(Ordering::Relaxed)
    }

    pub(crate) fn set_place(&self, place: u32) {
        self.slot.store(place, Ordering::Relaxed);
    }

    pub(crate) const fn has_deadline(&self) -> bool {
        self.traits.0 & Traits::DEADLINE != 0
    }

    pub(crate) const fn is_keyed(&self) -> bool {
        self.traits.0 & Traits::KEY != 0
    }

    /// Returns the operation's number if the queue's load knows it: it stands for bytes, or its kind has a batch handler.
    pub(crate) fn weighted(&self) -> Option<u64> {
        (self.traits.0 & (Traits::WEIGHT | Traits::BATCHED) != 0).then(|| self.id())
    }

    /// Whether it is of a kind that has a batch handler.
    pub(crate) const fn is_batched(&self) -> bool {
        self.traits.0 & Traits::BATCHED != 0
    }

    /// Whether it needs nothing but a place in a level: it has no deadline, no key, no weight and no batch handler.
    pub(crate) const fn is_plain(&self) -> bool {
        self.traits.0 == 0
    }

    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn set_id(&self, id: u64) {
        self.id.store(id, Ordering::Relaxed);
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// Returns the worker that holds the operation, and its place there.
    pub(crate) fn home(&self) -> Option<(usize, usize)> {
        let slot = self.slot.load(Ordering::Relaxed);
        (slot != NO_SLOT).then(|| (self.seat(), slot as usize))
    }

    pub(crate) fn seat(&self) -> usize {
        usize::from(self.seat.load(Ordering::Relaxed))
    }

    pub(crate) fn set_home(&self, seat: usize, slot: usize) {
        // At most 64 seats, and in each at most 2^24 slots, the greatest limit of a configuration.
        self.seat
            .store(u8::try_from(seat).unwrap_or(0), Ordering::Relaxed);
        self.slot
            .store(u32::try_from(slot).unwrap_or(NO_SLOT), Ordering::Relaxed);
    }

    pub(crate) fn on_drop(&self) -> OnDrop {
        match self.handle.load(Ordering::Relaxed) & !TAKEN {
            0 => OnDrop::Cancel,
            1 => OnDrop::CancelIfQueued,
            _ => OnDrop::Detach,
        }
    }

    pub(crate) fn set_on_drop(&self, policy: OnDrop) {
        let taken = self.handle.load(Ordering::Relaxed) & TAKEN;
        self.handle.store(taken | policy as u8, Ordering::Relaxed);
    }

    /// Whether the handle has the outcome.
    pub(crate) fn is_taken(&self) -> bool {
        self.handle.load(Ordering::Relaxed) & TAKEN != 0
    }

    pub(super) fn set_taken(&self) {
        self.handle.store(
            self.handle.load(Ordering::Relaxed) | TAKEN,
            Ordering::Relaxed,
        );
    }

    pub(crate) fn leave_home(&self) {
        self.slot.store(NO_SLOT, Ordering::Relaxed);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Acquire) & PHASE == DONE
    }

    /// Whether the operation has been asked to end, or has ended.
    pub(crate) fn is_ending(&self) -> bool {
        let state = self.state.load(Ordering::Acquire);
        state & PHASE == DONE || state & (STOP | TIMEOUT) != 0
    }

    /// Returns where the operation waits for an attempt, if it does.
    pub(crate) fn waits(&self) -> Option<Waited> {
        match self.state.load(Ordering::Acquire) & PHASE {
            QUEUED => Some(Waited::InLevel),
            DELAYED => Some(Waited::BetweenAttempts),
            _ => None,
        }
    }

    /// Whether the operation is in a level or between two attempts.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.state.load(Ordering::Acquire) & PHASE, QUEUED | DELAYED)
    }

    /// Marks that the home keeps a signal. Returns `false`, and marks nothing of use, if the operation is over.
    pub(crate) fn keep_signal(&self) -> bool {
        self.state.fetch_or(SIGNAL, Ordering::AcqRel) & PHASE != DONE
    }

    /// Replaces the state by what `change` makes of it, until nobody interferes. Returns the state before.
    pub(super) fn update(&self, mut change: impl FnMut(u32) -> Option<u32>) -> Result<u32, u32> {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let Some(next) = change(state) else {
                return Err(state);
            };
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(before) => return Ok(before),
                Err(now) => state = now,
            }
        }
    }
}

/// Why an operation is to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Cancel(CancelReason),
    Deadline,
    Shed,
}

impl Stop {
    pub(super) const fn bits(self) -> u32 {
        let number = match self {
            Self::Cancel(CancelReason::Asked) => 1,
            Self::Cancel(CancelReason::Dropped) => 2,
            Self::Cancel(CancelReason::Cleared) => 3,
            Self::Cancel(CancelReason::Shutdown) => 4,
            Self::Deadline => 5,
            Self::Cancel(CancelReason::Threshold) => 6,
            Self::Shed => 7,
        };
        number << STOP_SHIFT
    }

    pub(super) const fn from_bits(state: u32) -> Option<Self> {
        match (state & STOP) >> STOP_SHIFT {
            1 => Some(Self::Cancel(CancelReason::Asked)),
            2 => Some(Self::Cancel(CancelReason::Dropped)),
            3 => Some(Self::Cancel(CancelReason::Cleared)),
            4 => Some(Self::Cancel(CancelReason::Shutdown)),
            5 => Some(Self::Deadline),
            6 => Some(Self::Cancel(CancelReason::Threshold)),
            7 => Some(Self::Shed),
            _ => None,
        }
    }

    pub(crate) const fn ending(self) -> Ending {
        match self {
            Self::Cancel(reason) => Ending::Cancelled(reason),
            Self::Deadline => Ending::DeadlineExceeded,
            Self::Shed => Ending::Shed,
        }
    }
}

/// Where an operation was waiting when a cancellation took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    InLevel,
    BetweenAttempts,
}
