//! What callers and the launcher's threads share: the launches that wait, and who starts them.
//!
//! Every thread of the launcher (a *shard*) watches its own processes. A single one would do for the system calls, but it
//! makes the processes march in step: those that end together wait for each other's successors to be started, one after
//! the other, while processors idle (on two processors and with tests of 1 ms that cost a quarter of the throughput).
//! The launches that wait stand in one line, whoever starts them, so that the order of launching is the order of starting.
//!
//! Invariant: when a launch waits and may start, the shard with the fewest processes is awake or has been woken. It is kept
//! by whoever changes one of these: [`submit`](Dispatch::submit) and [`take`](Dispatch::take).

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::error::LaunchError;
use super::lifecycle::StopMode;
use super::promise::Promise;
use super::supervisor::{Command, Pending};

/// The line of waiting launches, and a letter box for each shard.
///
/// The line is not bounded here: every entry belongs to a caller that holds the future of a launch, and whoever limits
/// how many of those exist (a queue with a concurrency limit) limits this.
pub(super) struct Dispatch {
    state: Mutex<State>,
    /// By shard.
    wakers: Vec<Box<dyn Wake>>,
}

/// Ends a shard's wait, now or when it next begins.
pub(super) trait Wake: Send + Sync {
    fn wake(&self);
}

struct State {
    waiting: VecDeque<Box<Pending>>,
    shards: Vec<Shard>,
    max_running: usize,
    /// A limit of the system was met: nothing is started until a process has finished.
    starved: bool,
    suspended: bool,
    /// How often everything was stopped.
    stops: u64,
    /// The last handle is gone: shards end when they have nothing left.
    closing: bool,
}

#[derive(Default)]
struct Shard {
    commands: Vec<Command>,
    /// Launches taken and not finished.
    running: usize,
    sleeping: bool,
    ended: bool,
}

/// What a shard does next.
pub(super) enum Next {
    /// Start this.
    Start(Box<Pending>),
    /// Nothing but the commands, if there were any.
    Commands,
    /// Wait for an event; whoever has something for this shard will wake it.
    Sleep,
    /// Nothing will ever come.
    End,
}

impl Dispatch {
    pub(super) fn new(max_running: usize, wakers: Vec<Box<dyn Wake>>) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            shards: wakers.iter().map(|_| Shard::default()).collect(),
            max_running,
            starved: false,
            suspended: false,
            stops: 0,
            closing: false,
        };
        Self {
            state: Mutex::new(state),
            wakers,
        }
    }

    /// Puts a launch at the end of the line; drops it, which settles its promise, when no shard is left.
    pub(super) fn submit(&self, mut pending: Box<Pending>) {
        let mut state = self.state.lock();
        if state.is_over() {
            // Dropped after the lock: the waker of its promise may run code that launches again.
            drop(state);
            return drop(pending);
        }
        pending.submitted(state.stops);
        state.waiting.push_back(pending);
        let wanted = state.shard_to_wake(None);
        drop(state);
        self.wake(wanted);
    }

    /// Takes a waiting launch back, or asks for the process's end.
    pub(super) fn stop(&self, id: u64, mode: StopMode) {
        let mut state = self.state.lock();
        let index = state.waiting.iter().position(|pending| pending.id() == id);
        let waiting = index.and_then(|index| state.waiting.remove(index));
        drop(state);
        match waiting {
            Some(pending) => pending.fail(LaunchError::Stopped),
            None => self.broadcast(self.state.lock(), || Command::Stop { id, mode }),
        }
    }

    /// Takes all waiting launches back, and asks for the end of all processes.
    pub(super) fn stop_all(&self, mode: StopMode) {
        // Suspended processes could not take their grace time.
        self.resume();
        let mut state = self.state.lock();
        state.stops += 1;
        let waiting = mem::take(&mut state.waiting);
        self.broadcast(state, || Command::StopAll { mode });
        waiting
            .into_iter()
            .for_each(|pending| pending.fail(LaunchError::Stopped));
    }

    /// Starts nothing more, and keeps the promise when every shard has stopped its processes.
    pub(super) fn suspend(&self, done: Promise<()>) {
        let mut state = self.state.lock();
        state.suspended = true;
        // Kept by being dropped with the last copy.
        let done = Arc::new(done);
        self.broadcast(state, || Command::Suspend(Arc::clone(&done)));
    }

    pub(super) fn resume(&self) {
        let mut state = self.state.lock();
        if mem::take(&mut state.suspended) {
            self.broadcast(state, || Command::Resume);
        }
    }

    /// The last handle is gone.
    pub(super) fn close(&self) {
        // Nobody is left who could.
        self.resume();
        let mut state = self.state.lock();
        state.closing = true;
        self.broadcast(state, || Command::Look);
    }

    /// Tells a shard what to do next, and moves its commands to `commands`, which is empty.
    ///
    /// `idle`: the shard has neither processes nor launches to try again.
    pub(super) fn take(&self, shard: usize, idle: bool, commands: &mut Vec<Command>) -> Next {
        let mut state = self.state.lock();
        mem::swap(&mut state.shards[shard].commands, commands);
        state.shards[shard].sleeping = false;
        let wanted = state.shard_to_wake(Some(shard));
        if wanted == Some(shard)
            && let Some(pending) = state.waiting.pop_front()
        {
            state.shards[shard].running += 1;
            return Next::Start(pending);
        }
        let next = if !commands.is_empty() {
            Next::Commands
        } else if state.closing && idle && state.waiting.is_empty() {
            state.shards[shard].ended = true;
            Next::End
        } else {
            state.shards[shard].sleeping = true;
            Next::Sleep
        };
        drop(state);
        self.wake(wanted);
        next
    }

    /// A shard wakes for a reason of its own: nobody needs to wake it.
    pub(super) fn awake(&self, shard: usize) {
        self.state.lock().shards[shard].sleeping = false;
    }

    /// One launch that the shard had taken is finished with, in whatever way; the shard will call [`take`](Self::take).
    pub(super) fn finished(&self, shard: usize) {
        let mut state = self.state.lock();
        state.shards[shard].running -= 1;
        state.starved = false;
    }

    /// Puts a launch that the shard had taken back to the head of the line, until a process finishes; returns it when there
    /// is none that could.
    pub(super) fn starve(&self, shard: usize, pending: Box<Pending>) -> Option<Box<Pending>> {
        let mut state = self.state.lock();
        state.shards[shard].running -= 1;
        // With nothing left whose end would help, others that wait for it must find out for themselves.
        state.starved = state.running() > 0;
        if !state.starved {
            return Some(pending);
        }
        Self::put_back(state, pending);
        None
    }

    /// Puts a launch that was finished with at the head of the line; the shard will call [`take`](Self::take).
    pub(super) fn requeue(&self, pending: Box<Pending>) {
        Self::put_back(self.state.lock(), pending);
    }

    /// Puts a launch at the head of the line, unless it was stopped while it was neither there nor a process.
    fn put_back(mut state: MutexGuard<'_, State>, pending: Box<Pending>) {
        if pending.is_stopped(state.stops) {
            drop(state);
            return pending.fail(LaunchError::Stopped);
        }
        state.waiting.push_front(pending);
    }

    /// A shard has ended, by its own decision or by a panic.
    pub(super) fn ended(&self, shard: usize) {
        let mut state = self.state.lock();
        let gone = &mut state.shards[shard];
        gone.ended = true;
        gone.running = 0;
        let commands = mem::take(&mut gone.commands);
        // Its processes are gone as well, and perhaps they were the ones that a launch waits for.
        state.starved = false;
        let waiting = if state.is_over() {
            mem::take(&mut state.waiting)
        } else {
            VecDeque::new()
        };
        let wanted = state.shard_to_wake(None);
        drop(state);
        // Dropping them settles their promises, which may run code that launches again.
        drop((commands, waiting));
        self.wake(wanted);
    }

    /// Posts a command to every shard, in the same breath in which the caller has changed the state.
    fn broadcast(&self, mut state: MutexGuard<'_, State>, command: impl Fn() -> Command) {
        let mut wanted = vec![false; self.wakers.len()];
        for (shard, wanted) in state.shards.iter_mut().zip(&mut wanted) {
            if !shard.ended {
                shard.commands.push(command());
                *wanted = mem::take(&mut shard.sleeping);
            }
        }
        drop(state);
        (0..wanted.len())
            .filter(|shard| wanted[*shard])
            .for_each(|shard| self.wake(Some(shard)));
    }

    fn wake(&self, shard: Option<usize>) {
        if let Some(shard) = shard {
            self.wakers[shard].wake();
        }
    }
}

impl State {
    fn running(&self) -> usize {
        self.shards.iter().map(|shard| shard.running).sum()
    }

    fn is_over(&self) -> bool {
        self.shards.iter().all(|shard| shard.ended)
    }

    /// If a launch may start now, returns the shard that should start it when it is `asking` or asleep, and notes that it
    /// is woken.
    fn shard_to_wake(&mut self, asking: Option<usize>) -> Option<usize> {
        if self.waiting.is_empty()
            || self.starved
            || self.suspended
            || self.running() >= self.max_running
        {
            return None;
        }
        let alive = self
            .shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| !shard.ended);
        // Among equals the one that asks, then one that sleeps: the others are busy.
        let (chosen, _) = alive.min_by_key(|(index, shard)| {
            (shard.running, Some(*index) != asking, !shard.sleeping)
        })?;
        let woken = mem::take(&mut self.shards[chosen].sleeping);
        (woken || Some(chosen) == asking).then_some(chosen)
    }
}

/// Tells the end of a shard's thread also when it panics, so that no caller waits for it.
pub(super) struct EndOnDrop<'a> {
    pub(super) dispatch: &'a Dispatch,
    pub(super) shard: usize,
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.dispatch.ended(self.shard);
    }
}

impl fmt::Debug for Dispatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        formatter
            .debug_struct("Dispatch")
            .field("waiting", &state.waiting.len())
            .field("running", &state.running())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::super::launch::Launch;
    use super::super::program::{Environment, Program};
    use super::super::promise::{Promised, promise};
    use super::super::supervisor::Outcome;
    use super::*;

    /// Counts how often a shard was woken.
    struct Bell(Arc<AtomicUsize>);

    impl Wake for Bell {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shards that do what the test tells them.
    #[expect(clippy::vec_box, reason = "launches travel in boxes")]
    struct Shards {
        dispatch: Dispatch,
        bells: Vec<Arc<AtomicUsize>>,
        heard: Vec<usize>,
        asleep: Vec<bool>,
        ended: Vec<bool>,
        running: Vec<Vec<Box<Pending>>>,
        next_id: u64,
    }

    impl Shards {
        fn new(count: usize, max_running: usize) -> Self {
            let bells: Vec<_> = (0..count).map(|_| Arc::new(AtomicUsize::new(0))).collect();
            let wakers = bells
                .iter()
                .map(|bell| Box::new(Bell(Arc::clone(bell))) as Box<dyn Wake>);
            Self {
                dispatch: Dispatch::new(max_running, wakers.collect()),
                bells,
                heard: vec![0; count],
                asleep: vec![false; count],
                ended: vec![false; count],
                running: (0..count).map(|_| Vec::new()).collect(),
                next_id: 0,
            }
        }

        fn submit(&mut self) -> Promised<Outcome> {
            let environment = Environment::default();
            let program = Program::builder("/p")
                .environment(&environment)
                .build()
                .unwrap();
            let (promise, promised) = promise();
            self.dispatch
                .submit(Pending::new(self.next_id, Launch::new(&program), promise));
            self.next_id += 1;
            promised
        }

        /// Lets a shard take one thing if it is awake, or has been woken; says whether it had something to do.
        fn step(&mut self, shard: usize) -> bool {
            let rung = self.bells[shard].load(Ordering::Relaxed);
            if self.ended[shard] || self.asleep[shard] && rung == self.heard[shard] {
                return false;
            }
            self.heard[shard] = rung;
            let idle = self.running[shard].is_empty();
            match self.dispatch.take(shard, idle, &mut Vec::new()) {
                Next::Start(pending) => self.running[shard].push(pending),
                Next::Commands => {}
                Next::Sleep => {
                    self.asleep[shard] = true;
                    return false;
                }
                Next::End => {
                    self.ended[shard] = true;
                    self.dispatch.ended(shard);
                    return false;
                }
            }
            self.asleep[shard] = false;
            true
        }

        /// Lets all shards do all that they have to do.
        fn settle(&mut self) {
            let count = self.asleep.len();
            let mut quiet = 0;
            // A shard that finds nothing for itself may wake one that was quiet before it.
            for shard in (0..count).cycle() {
                quiet = if self.step(shard) { 0 } else { quiet + 1 };
                if quiet > 2 * count {
                    return;
                }
            }
        }

        fn finish(&mut self, shard: usize) {
            if let Some(pending) = self.running[shard].pop() {
                self.asleep[shard] = false;
                self.dispatch.finished(shard);
                pending.fail(LaunchError::Closed);
            }
        }

        fn counts(&self) -> Vec<usize> {
            self.running.iter().map(Vec::len).collect()
        }

        fn waiting(&self) -> usize {
            self.dispatch.state.lock().waiting.len()
        }
    }

    #[test]
    fn launches_are_spread_and_a_freed_shard_takes_the_next() {
        let mut shards = Shards::new(2, 4);
        shards.settle();
        let _promised: Vec<_> = (0..6).map(|_| shards.submit()).collect();
        shards.settle();
        assert_eq!((shards.counts(), shards.waiting()), (vec![2, 2], 2));
        shards.finish(1);
        let bells = shards.bells[0].load(Ordering::Relaxed);
        shards.settle();
        assert_eq!((shards.counts(), shards.waiting()), (vec![2, 2], 1));
        assert_eq!(
            shards.bells[0].load(Ordering::Relaxed),
            bells,
            "nobody else was woken for it"
        );
    }

    #[test]
    fn a_starved_launch_waits_for_a_process_of_any_shard() {
        let mut shards = Shards::new(2, usize::MAX);
        let promised: Vec<_> = (0..2).map(|_| shards.submit()).collect();
        shards.settle();
        let starved = shards.running[1].pop().unwrap();
        assert!(shards.dispatch.starve(1, starved).is_none());
        shards.settle();
        assert_eq!((shards.counts(), shards.waiting()), (vec![1, 0], 1));
        shards.finish(0);
        shards.settle();
        assert_eq!(
            (shards.counts().iter().sum::<usize>(), shards.waiting()),
            (1, 0)
        );
        let shard = usize::from(shards.running[0].is_empty());
        let last = shards.running[shard].pop().unwrap();
        let returned = shards.dispatch.starve(shard, last);
        assert!(returned.is_some(), "nothing is left to wait for");
        drop((returned, promised));
    }

    #[test]
    fn a_starved_launch_does_not_wait_for_a_shard_that_has_panicked() {
        let mut shards = Shards::new(2, usize::MAX);
        let promised: Vec<_> = (0..2).map(|_| shards.submit()).collect();
        shards.settle();
        let starved = shards.running[1].pop().unwrap();
        assert!(shards.dispatch.starve(1, starved).is_none());
        shards.running[0].clear();
        shards.ended[0] = true;
        shards.dispatch.ended(0);
        shards.settle();
        assert_eq!((shards.counts(), shards.waiting()), (vec![0, 1], 0));
        drop(promised);
    }

    #[test]
    fn a_stop_reaches_a_launch_on_its_way_back_to_the_line() {
        for all in [false, true] {
            let mut shards = Shards::new(1, usize::MAX);
            let promised: Vec<_> = (0..2).map(|_| shards.submit()).collect();
            shards.settle();
            let starved = shards.running[0].pop().unwrap();
            if all {
                shards.dispatch.stop_all(StopMode::Graceful);
            } else {
                promised[1].request_stop();
                shards.dispatch.stop(starved.id(), StopMode::Graceful);
            }
            assert!(shards.dispatch.starve(0, starved).is_none());
            assert!(promised[1].is_settled() && !promised[0].is_settled());
            assert_eq!(shards.waiting(), 0);
        }
    }

    #[test]
    fn the_last_shard_to_panic_settles_what_waits() {
        let mut shards = Shards::new(2, 1);
        let promised: Vec<_> = (0..3).map(|_| shards.submit()).collect();
        shards.settle();
        shards.dispatch.ended(0);
        assert!(!promised[2].is_settled());
        shards.dispatch.ended(1);
        assert!(promised[2].is_settled());
        assert!(shards.submit().is_settled());
    }

    proptest! {
        /// Whatever the order of events, nothing that may start is left waiting while all sleep, nothing starts beyond the
        /// limit, and all shards end.
        #[test]
        fn no_wake_up_is_lost(
            count in 1_usize..5,
            max_running in 1_usize..6,
            events in proptest::collection::vec((0_u8..6, 0_usize..5), 0..200),
        ) {
            let mut shards = Shards::new(count, max_running);
            let mut promised = Vec::new();
            for (event, shard) in events {
                let shard = shard % count;
                match event {
                    0 | 1 => promised.push(shards.submit()),
                    2 | 3 => drop(shards.step(shard)),
                    4 => shards.finish(shard),
                    _ => {
                        if let Some(pending) = shards.running[shard].pop() {
                            shards.asleep[shard] = false;
                            if let Some(pending) = shards.dispatch.starve(shard, pending) {
                                pending.fail(LaunchError::Closed);
                            }
                        }
                    }
                }
                prop_assert!(shards.counts().iter().sum::<usize>() <= max_running);
            }
            shards.settle();
            loop {
                let running: usize = shards.counts().iter().sum();
                let starved = shards.dispatch.state.lock().starved;
                prop_assert!(shards.waiting() == 0 || running == max_running || starved && running > 0);
                let Some(shard) = (0..count).find(|shard| !shards.running[*shard].is_empty()) else { break };
                shards.finish(shard);
                shards.settle();
            }
            shards.dispatch.close();
            shards.settle();
            prop_assert!(shards.ended.iter().all(|ended| *ended));
            prop_assert!(promised.iter().all(Promised::is_settled));
        }
    }
}
