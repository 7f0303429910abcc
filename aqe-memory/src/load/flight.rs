//! A loader that runs, and those who wait for it.
//!
//! The loader's future lies with those who wait, not with the one who started it. Whoever of them is polled when it wants to
//! be polled takes it out, polls it under no lock, and puts it back. When it wakes, all who wait are woken: the first to
//! be polled drives it, and if some are never polled again, others are.
//!
//! **Invariant:** while somebody waits who drives, the future is in its place or somebody is polling it, or the end is
//! there. A wish to be polled (`woken`) is taken back only by who takes the future out.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use parking_lot::Mutex;

/// An error that several get.
pub(crate) type SharedError = Arc<dyn Any + Send + Sync>;

type Loading<V> = Pin<Box<dyn Future<Output = Result<V, SharedError>> + Send>>;

/// All that is being loaded, by name. Each has somebody who waits for it, so that there are no more than there are calls.
pub(crate) struct Loads<V> {
    /// The locks of flights nest in this one.
    flights: Mutex<Flights<V>>,
    /// How many flights there are. Written under the lock.
    count: AtomicUsize,
}

type Flights<V> = HashMap<Box<[u8]>, Arc<Flight<V>>>;

impl<V> Default for Loads<V> {
    fn default() -> Self {
        Self {
            flights: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl<V> fmt::Debug for Loads<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loads").field(&self.count).finish()
    }
}

/// Whether a call polls somebody else's future while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drives {
    Yes,
    /// Threads do not: the future may need a runtime that they are not part of.
    No,
}

/// Who is to load.
pub(crate) enum Turn<'a, V: Clone + Send + 'static> {
    /// The caller is.
    Lead(Lead<'a, V>),
    /// Somebody does.
    Follow(Seat<'a, V>),
}

/// How a loader has ended.
pub(crate) enum Ended<V> {
    Loaded(V),
    Failed(SharedError),
    /// It gave nothing: it panicked, or nobody was left to drive it.
    Void,
    /// It has not: the caller is called by it, and would wait for itself.
    Nested,
}

impl<V> From<Result<V, SharedError>> for Ended<V> {
    fn from(loaded: Result<V, SharedError>) -> Self {
        match loaded {
            Ok(value) => Self::Loaded(value),
            Err(error) => Self::Failed(error),
        }
    }
}

/// Whether what is being loaded is out of date before it is there.
#[derive(Debug, Default)]
pub(crate) struct Stale(Mutex<bool>);

impl Stale {
    /// Does one or the other. Nobody says meanwhile that it is out of date.
    pub(crate) fn unless<R>(&self, put: impl FnOnce() -> R, give_only: impl FnOnce() -> R) -> R {
        let stale = self.0.lock();
        match *stale {
            false => put(),
            true => give_only(),
        }
    }

    /// Whether it is out of date by now.
    pub(crate) fn is_stale(&self) -> bool {
        *self.0.lock()
    }
}

struct Flight<V> {
    name: Box<[u8]>,
    stale: Arc<Stale>,
    state: Mutex<State<V>>,
}

struct State<V> {
    progress: Progress<V>,
    /// Whether the future wants to be polled.
    woken: bool,
    /// Those who wait, by the number of their seat.
    seats: Vec<(u64, Option<Waker>)>,
    next_seat: u64,
    /// How many of them drive.
    drivers: usize,
    /// What the loader panicked with, for the one who started it.
    panic: Option<Box<dyn Any + Send>>,
}

enum Progress<V> {
    /// Nobody polls it just now.
    Idle(Loading<V>),
    /// This thread polls it, or runs a loader that is no future.
    Busy(ThreadId),
    Done(Outcome<V>),
}

enum Outcome<V> {
    Loaded(V),
    Failed(SharedError),
    Void,
}

impl<V: Clone + Send + 'static> Loads<V> {
    /// Joins those who wait for what has this name, or leads.
    pub(crate) fn join(&self, name: Box<[u8]>, drives: Drives) -> Turn<'_, V> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&name) {
            // With the lock of the flights in hand: the last seat is given up under it too.
            return Turn::Follow(self.sit(Arc::clone(flight), drives, false));
        }
        let flight = Arc::new(Flight {
            name: name.clone(),
            stale: Arc::default(),
            state: Mutex::new(State {
                progress: Progress::Busy(thread::current().id()),
                woken: false,
                seats: Vec::new(),
                next_seat: 0,
                drivers: 0,
                panic: None,
            }),
        });
        flights.insert(name, Arc::clone(&flight));
        // The loader begins after this. Whoever makes what it reads out of date, and says so, has seen that it has read, so
        // that they see the number as well. Sequentially consistent, since what tells them may be outside of the program.
        self.count.fetch_add(1, Ordering::SeqCst);
        Turn::Lead(Lead {
            loads: self,
            flight: Some(flight),
        })
    }

    /// Whether anything is being loaded.
    #[inline]
    pub(crate) fn are_any(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Says that what is being loaded under this name now is out of date.
    pub(crate) fn invalidate_named(&self, name: &[u8]) {
        let flight = self.flights.lock().get(name).map(Arc::clone);
        if let Some(flight) = flight {
            *flight.stale.0.lock() = true;
        }
    }

    fn sit(&self, flight: Arc<Flight<V>>, drives: Drives, owns: bool) -> Seat<'_, V> {
        let mut state = flight.state.lock();
        let number = state.next_seat;
        state.next_seat += 1;
        state.seats.push((number, None));
        state.drivers += usize::from(drives == Drives::Yes);
        drop(state);
        Seat {
            loads: self,
            flight,
            number,
            drives,
            owns,
        }
    }

    /// Ends a flight. It is not to be found any more when those who waited for it go on.
    fn end(
        &self,
        flight: &Arc<Flight<V>>,
        outcome: Outcome<V>,
        panic: Option<Box<dyn Any + Send>>,
    ) {
        self.take_out(&mut self.flights.lock(), flight);
        let mut state = flight.state.lock();
        state.panic = panic;
        let before = std::mem::replace(&mut state.progress, Progress::Done(outcome));
        let wakers = state.wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        // Last, and under no lock: it is somebody else's code that is dropped here.
        drop(before);
    }

    fn take_out(&self, flights: &mut Flights<V>, flight: &Arc<Flight<V>>) {
        let is_it = |found: &Arc<Flight<V>>| Arc::ptr_eq(found, flight);
        if flights.get(&flight.name).is_some_and(is_it) {
            flights.remove(&flight.name);
            self.count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl<V> State<V> {
    fn wakers(&self) -> Vec<Waker> {
        let wakers = self.seats.iter().filter_map(|(_, waker)| waker.clone());
        wakers.collect()
    }

    fn seat(&mut self, number: u64) -> Option<&mut Option<Waker>> {
        let seat = self.seats.iter_mut().find(|(seat, _)| *seat == number);
        seat.map(|(_, waker)| waker)
    }
}

/// The future wakes everybody who waits.
impl<V: Send + 'static> Wake for Flight<V> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.woken = true;
        let wakers = match &state.progress {
            Progress::Idle(_) => state.wakers(),
            // Whoever polls it wakes the others when it puts it back.
            Progress::Busy(_) | Progress::Done(_) => Vec::new(),
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// The right and the duty to load. Dropped, as in a panic, it leaves that to somebody else.
pub(crate) struct Lead<'a, V: Clone + Send + 'static> {
    loads: &'a Loads<V>,
    /// Taken when it is over.
    flight: Option<Arc<Flight<V>>>,
}

impl<'a, V: Clone + Send + 'static> Lead<'a, V> {
    /// Tells whether what is loaded is out of date.
    pub(crate) fn stale(&self) -> Arc<Stale> {
        let flight = self.flight.as_ref();
        flight.map_or_else(Arc::default, |flight| Arc::clone(&flight.stale))
    }

    /// Gives the future to all who wait, the caller among them.
    pub(crate) fn start(mut self, future: Loading<V>) -> Seat<'a, V> {
        let Some(flight) = self.flight.take() else {
            unreachable!("a lead is started once, since that takes it")
        };
        let seat = self.loads.sit(flight, Drives::Yes, true);
        let mut state = seat.flight.state.lock();
        state.progress = Progress::Idle(future);
        state.woken = true;
        // The others drive it too, from now on: the caller may never poll its seat.
        let wakers = state.wakers();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        seat
    }

    /// Says what was loaded.
    pub(crate) fn end(mut self, ended: Ended<V>) -> Ended<V> {
        if let Some(flight) = self.flight.take() {
            let outcome = match &ended {
                Ended::Loaded(value) => Outcome::Loaded(value.clone()),
                Ended::Failed(error) => Outcome::Failed(Arc::clone(error)),
                Ended::Void | Ended::Nested => Outcome::Void,
            };
            self.loads.end(&flight, outcome, None);
        }
        ended
    }
}

impl<V: Clone + Send + 'static> Drop for Lead<'_, V> {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.loads.end(&flight, Outcome::Void, None);
        }
    }
}

/// Somebody who waits.
pub(crate) struct Seat<'a, V: Clone + Send + 'static> {
    loads: &'a Loads<V>,
    flight: Arc<Flight<V>>,
    number: u64,
    drives: Drives,
    /// Whether the loader is its own.
    owns: bool,
}

impl<V: Clone + Send + 'static> Seat<'_, V> {
    /// Takes the future out to poll it, if it wants to be polled, nobody else does that, and the end is not there.
    fn take(&self, cx: &Context<'_>) -> Take<V> {
        let mut state = self.flight.state.lock();
        let state = &mut *state;
        match &state.progress {
            Progress::Done(outcome) => {
                let ended = match outcome {
                    Outcome::Loaded(value) => Ended::Loaded(value.clone()),
                    Outcome::Failed(error) => Ended::Failed(Arc::clone(error)),
                    Outcome::Void => Ended::Void,
                };
                return Take::Done(ended, state.panic.take_if(|_| self.owns));
            }
            Progress::Busy(thread) if *thread == thread::current().id() => {
                return Take::Done(Ended::Nested, None);
            }
            _ => {}
        }
        match state.seat(self.number) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(none) => *none = Some(cx.waker().clone()),
            None => unreachable!("a seat is given up when it is dropped"),
        }
        if !state.woken || self.drives == Drives::No {
            return Take::Wait;
        }
        let busy = Progress::Busy(thread::current().id());
        match std::mem::replace(&mut state.progress, busy) {
            Progress::Idle(future) => {
                state.woken = false;
                Take::Poll(future)
            }
            before => {
                state.progress = before;
                Take::Wait
            }
        }
    }

    /// Polls the future. Says whether it has ended.
    fn drive(&self, mut future: Loading<V>) -> bool {
        let waker = Waker::from(Arc::clone(&self.flight));
        let mut cx = Context::from_waker(&waker);
        // The loader is given up when it panics, so that nobody sees what it left half changed.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut cx)));
        let (outcome, panic) = match polled {
            Ok(Poll::Ready(Ok(value))) => (Outcome::Loaded(value), None),
            Ok(Poll::Ready(Err(error))) => (Outcome::Failed(error), None),
            Err(panic) => (Outcome::Void, Some(panic)),
            Ok(Poll::Pending) => {
                let mut state = self.flight.state.lock();
                state.progress = Progress::Idle(future);
                // Woken while it was polled: others may have been polled since, in vain, and the caller may be no more.
                let wakers = match state.woken {
                    true => state.wakers(),
                    false => Vec::new(),
                };
                drop(state);
                wakers.into_iter().for_each(Waker::wake);
                return false;
            }
        };
        self.loads.end(&self.flight, outcome, panic);
        true
    }
}

enum Take<V> {
    Done(Ended<V>, Option<Box<dyn Any + Send>>),
    Wait,
    Poll(Loading<V>),
}

impl<V: Clone + Send + 'static> Future for Seat<'_, V> {
    type Output = Ended<V>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<V>> {
        let taken = match self.take(cx) {
            Take::Poll(future) => match self.drive(future) {
                true => self.take(cx),
                // If it woke itself, it has woken this task as well.
                false => Take::Wait,
            },
            taken => taken,
        };
        match taken {
            Take::Done(_, Some(panic)) => resume_unwind(panic),
            Take::Done(ended, None) => Poll::Ready(ended),
            Take::Wait | Take::Poll(_) => Poll::Pending,
        }
    }
}

impl<V: Clone + Send + 'static> Drop for Seat<'_, V> {
    fn drop(&mut self) {
        let mut flights = self.loads.flights.lock();
        let mut state = self.flight.state.lock();
        let number = self.number;
        state.seats.retain(|(seat, _)| *seat != number);
        state.drivers -= usize::from(self.drives == Drives::Yes);
        let is_left = state.drivers == 0 && matches!(state.progress, Progress::Idle(_));
        if !is_left {
            return;
        }
        // Those who only wait load themselves.
        self.loads.take_out(&mut flights, &self.flight);
        let before = std::mem::replace(&mut state.progress, Progress::Done(Outcome::Void));
        let wakers = state.wakers();
        drop(state);
        drop(flights);
        wakers.into_iter().for_each(Waker::wake);
        drop(before);
    }
}
