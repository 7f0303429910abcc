//! An operation between its making and its queue.

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::block::Nursery;
use super::counted::Counted;
use super::header::{Header, RUNNING, Traits};
use super::{Defaults, Home, Join, OpCell, OpRef, Owned, Receiver, Run, Stage, Step};
use crate::body::{Body, Ending, Outcome, Overrides};
use crate::handle::OnDrop;
use crate::sync::UnsafeCell;
use crate::sync::atomic::Ordering;

/// An operation that has just been made for an `H`: from it come one receiver, or what the user handed over again.
///
/// It does not name the body's type but only that of its source. A caller's `async` block that held the body's type
/// across an `await` would not be `Send` in the compiler's eyes: it forgets lifetimes there and can then no longer tell
/// that a closure returns the future that its signature names.
pub(crate) struct Fresh<S, T: 'static, E: 'static, H> {
    op: Counted<dyn Prepared<S, T, E>>,
    /// What its block has for a home.
    _home: PhantomData<H>,
}

/// What became of an operation that ran before anybody else knew of it.
pub(crate) enum Direct<T: 'static, E: 'static> {
    /// It is over, and nobody else has it.
    Over(Outcome<T, E>, Ending),
    /// It is not: the run right goes to whoever carries it on.
    Begun(Owned, Step, Receiver<T, E>),
}

/// An operation that nobody but its maker has.
trait Prepared<S, T, E>: Join<T, E> {
    /// Takes the outcome, or the body if it was never started.
    ///
    /// # Safety
    ///
    /// The caller has the only reference.
    unsafe fn take(&self) -> Taken<S, T, E>;
}

enum Taken<S, T, E> {
    Source(S),
    Outcome(Outcome<T, E>),
    Nothing,
}

impl<S: 'static, T: 'static, E: 'static, H: Home> Fresh<S, T, E, H> {
    pub(crate) fn new<B>(
        body: B,
        overrides: Option<Box<Overrides<E>>>,
        level: u8,
        on_drop: OnDrop,
        nursery: &Nursery<H>,
    ) -> Self
    where
        B: Body<Source = S, Value = T, Error = E>,
    {
        let traits = overrides.as_ref().map_or_else(Traits::default, |it| {
            Traits::new(
                it.deadline.is_some(),
                it.key().is_some(),
                it.weight > 0,
                it.kind().is_some(),
            )
        });
        let place = nursery.place(level, Layout::new::<OpCell<B>>());
        let op = place.at.cast::<OpCell<B>>();
        // SAFETY: the place is for a value of this layout, and nobody else's. The header knows where it is in its block,
        // and has counted the one reference.
        let op = unsafe {
            op.write(OpCell {
                header: Header::new(place.offset, level, traits, on_drop),
                waiter: UnsafeCell::new(None),
                stage: UnsafeCell::new(Stage::Live { body, overrides }),
            });
            Counted::from_raw(op as NonNull<dyn Prepared<S, T, E>>)
        };
        Self {
            op,
            _home: PhantomData,
        }
    }

    /// Returns the queue.
    pub(crate) fn home(&self) -> &H {
        let home: *const dyn Home = self.op.home();
        // SAFETY: the operation was laid by a `Nursery<H>`, whose blocks have an `H` for a home. The operation keeps it.
        unsafe { &*home.cast::<H>() }
    }

    pub(crate) fn header(&self) -> &Header {
        self.op.header()
    }

    /// Returns the reference that the queue keeps.
    pub(crate) fn op(&mut self) -> OpRef {
        let op: NonNull<dyn Run> = self.op.double().into_raw();
        // SAFETY: the same operation and the same reference, without the types.
        unsafe { Counted::from_raw(op) }
    }

    pub(crate) fn into_receiver(self) -> Receiver<T, E> {
        let op: NonNull<dyn Join<T, E>> = self.op.into_raw();
        // SAFETY: the same operation and the same reference, with fewer types.
        let op = unsafe { Counted::from_raw(op) };
        Receiver { op }
    }

    /// Takes what the user handed over back out of an operation that nobody else has.
    pub(crate) fn into_source(self) -> Option<S> {
        if !self.op.is_unique() {
            return None;
        }
        // SAFETY: this is the only reference.
        match unsafe { self.op.take() } {
            Taken::Source(source) => Some(source),
            Taken::Outcome(_) | Taken::Nothing => None,
        }
    }

    /// Makes the first attempt of an operation that has not been in a queue, on the caller's thread, up to where it waits
    /// or is over.
    pub(crate) fn run(
        mut self,
        id: u64,
        defaults: &Defaults,
        chance: &mut fastrand::Rng,
    ) -> Direct<T, E> {
        assert!(
            self.op.is_unique(),
            "an operation that the queue knows is not its maker's to run"
        );
        let header = self.op.header();
        header.set_id(id);
        header.state.store(RUNNING, Ordering::Relaxed);
        header.attempts.store(1, Ordering::Relaxed);
        // SAFETY: nobody else has the operation, so the caller has the run right.
        let step = unsafe { self.op.poll(self.op.at(), true, defaults, chance) };
        let Step::Ended(ending) = step else {
            return Direct::Begun(Owned(self.op()), step, self.into_receiver());
        };
        if self.op.is_unique() && self.header().state.load(Ordering::Relaxed) == RUNNING {
            // SAFETY: this is the only reference.
            if let Taken::Outcome(outcome) = unsafe { self.op.take() } {
                return Direct::Over(outcome, ending);
            }
            unreachable!("a finished operation has no outcome");
        }
        // The body has given away a waker or its context.
        Owned(self.op()).publish(ending);
        match self.into_receiver().take() {
            Some(outcome) => Direct::Over(outcome, ending),
            None => unreachable!("a finished operation has no outcome"),
        }
    }
}

impl<B: Body> Prepared<B::Source, B::Value, B::Error> for OpCell<B> {
    unsafe fn take(&self) -> Taken<B::Source, B::Value, B::Error> {
        // SAFETY: passed on to the caller. An outcome is not pinned, nor is a body that has started no attempt.
        match unsafe { self.take_stage() } {
            Stage::Live { body, .. } => Taken::Source(body.into_source()),
            Stage::Over(outcome) => Taken::Outcome(outcome),
            Stage::Taken => Taken::Nothing,
        }
    }
}
