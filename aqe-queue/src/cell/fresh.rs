//! An operation between its making and its queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::header::{DONE, Header, RUNNING, SIGNAL, Traits};
use super::{Defaults, Home, Join, OpCell, OpRef, Owned, Receiver, Stage, Step};
use crate::body::{Body, Ending, Outcome, Overrides};
use crate::handle::OnDrop;
use crate::sync::UnsafeCell;

/// An operation that has just been made: from it come one receiver, or what the user handed over again.
///
/// It does not name the body's type but only that of its source. A caller's `async` block that held the body's type
/// across an `await` would not be `Send` in the compiler's eyes: it forgets lifetimes there and can then no longer tell
/// that a closure returns the future that its signature names.
pub(crate) struct Fresh<S, T, E, H>(Arc<dyn Prepared<S, T, E, H>>);

/// What became of an operation that ran before anybody else knew of it.
pub(crate) enum Direct<T: 'static, E: 'static> {
    /// It is over, and nobody else has it.
    Over(Outcome<T, E>, Ending),
    /// It is not: the run right goes to whoever carries it on.
    Begun(Owned, Step, Receiver<T, E>),
}

/// An operation that nobody but its maker has.
trait Prepared<S, T, E, H>: Join<T, E> {
    fn queue(&self) -> &H;

    /// Makes the first attempt, up to where it waits or is over.
    fn run(
        self: Arc<Self>,
        id: u64,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Direct<T, E>;

    /// Takes the body apart; `None` if somebody else has the operation.
    fn into_source(self: Arc<Self>) -> Option<S>;
}

impl<S: 'static, T: 'static, E: 'static, H: 'static> Fresh<S, T, E, H> {
    pub(crate) fn new<B>(
        body: B,
        overrides: Option<Box<Overrides<E>>>,
        level: u8,
        on_drop: OnDrop,
        home: Arc<H>,
    ) -> Self
    where
        B: Body<Source = S, Value = T, Error = E>,
        H: Home,
    {
        let traits = overrides.as_ref().map_or_else(Traits::default, |it| {
            Traits::new(it.deadline.is_some(), it.key().is_some(), it.weight > 0)
        });
        let header = Header::new(level, traits, on_drop);
        Self(Arc::new(OpCell {
            header,
            home,
            waiter: UnsafeCell::new(None),
            stage: UnsafeCell::new(Stage::Live { body, overrides }),
        }))
    }

    /// Returns the queue.
    pub(crate) fn queue(&self) -> &H {
        self.0.queue()
    }

    pub(crate) fn header(&self) -> &Header {
        self.0.header()
    }

    /// Returns the reference that the queue keeps.
    pub(crate) fn op(&self) -> OpRef {
        Arc::<dyn Prepared<S, T, E, H>>::clone(&self.0)
    }

    pub(crate) fn into_receiver(self) -> Receiver<T, E> {
        Receiver { op: self.0 }
    }

    /// Makes the first attempt of an operation that has not been in a queue, on the caller's thread.
    pub(crate) fn run(
        self,
        id: u64,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Direct<T, E> {
        self.0.run(id, defaults, chance)
    }

    /// Takes what the user handed over back out of an operation that nobody else has.
    pub(crate) fn into_source(self) -> Option<S> {
        self.0.into_source()
    }
}

impl<B: Body, H: Home> Prepared<B::Source, B::Value, B::Error, H> for OpCell<B, H> {
    fn queue(&self) -> &H {
        &self.home
    }

    fn run(
        self: Arc<Self>,
        id: u64,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Direct<B::Value, B::Error> {
        // With one reference to it in the world there is no other that could be made into a second.
        assert!(
            Arc::strong_count(&self) == 1,
            "an operation that the queue knows is not its maker's to run"
        );
        self.header.set_id(id);
        self.header.state.store(RUNNING, Ordering::Relaxed);
        self.header.attempts.store(1, Ordering::Relaxed);
        // SAFETY: nobody else has the operation, so the caller has the run right.
        let step = unsafe { self.carry_on(true, defaults, chance) };
        let Step::Ended(ending) = step else {
            let op = Arc::<Self>::clone(&self);
            return Direct::Begun(Owned(op), step, Receiver { op: self });
        };
        if Arc::strong_count(&self) > 1 || self.header.state.load(Ordering::Acquire) != RUNNING {
            // The body has given away a waker or its context.
            let before = self.header.state.fetch_or(DONE, Ordering::AcqRel);
            if before & SIGNAL != 0 {
                self.home.end_signal(id, ending != Ending::Completed);
            }
        }
        // SAFETY: the caller has the run right, there is no receiver, and an outcome is not pinned.
        match unsafe { self.take_stage() } {
            Stage::Over(outcome) => Direct::Over(outcome, ending),
            Stage::Live { .. } | Stage::Taken => {
                unreachable!("a finished operation has no outcome")
            }
        }
    }

    fn into_source(self: Arc<Self>) -> Option<B::Source> {
        let stage = Arc::into_inner(self)?.stage;
        let stage = stage.with_mut(|stage| {
            // SAFETY: the cell had no other owner, and an operation that was never in a queue has started no attempt,
            // so nothing in the body is pinned yet.
            std::mem::replace(unsafe { &mut *stage }, Stage::Taken)
        });
        match stage {
            Stage::Live { body, .. } => Some(body.into_source()),
            Stage::Over(_) | Stage::Taken => None,
        }
    }
}
