//! Judges and ends processes: the part of the launcher that is the same on every platform.
//!
//! A driver owns the thread and the waiting; it tells the supervisor what happened and when. A [`Host`] does what the
//! supervisor decides. Invariants:
//!
//! - A process that was created is reaped, whatever its caller does, and what is left of its group is killed first,
//!   while the unreaped leader still keeps the group's number from being used again.
//! - Every launch gets exactly one result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deadlines::Deadlines;
use super::dispatch::{Dispatch, Next};
use super::error::{LaunchError, Refusal};
use super::finished::{Exit, Finished, Leak, Usage};
use super::launch::Launch;
use super::lifecycle::{Due, Lifecycle, StopMode};
use super::promise::{Abandoned, Promise};
use super::streams::{Stream, Streams};

/// What the caller's future gets.
pub(super) type Outcome = Result<Finished, LaunchError>;

impl Abandoned for Outcome {
    fn abandoned() -> Self {
        Err(LaunchError::Closed)
    }
}

/// What callers ask of a supervisor, beside launches.
#[derive(Debug)]
pub(super) enum Command {
    Stop {
        id: u64,
        mode: StopMode,
    },
    StopAll {
        mode: StopMode,
    },
    /// Dropped when done, which tells whoever waits.
    Suspend(Arc<Promise<()>>),
    Resume,
    /// Only to make it look whether it may end.
    Look,
}

/// A launch without a process.
#[derive(Debug)]
pub(super) struct Pending {
    id: u64,
    launch: Launch,
    promise: Promise<Outcome>,
    /// How often its program was found busy.
    busy: u32,
    /// How often it met a limit.
    starved: u32,
    /// How often everything had been stopped when it was submitted.
    stops: u64,
}

impl Pending {
    pub(super) fn new(id: u64, launch: Launch, promise: Promise<Outcome>) -> Box<Self> {
        Box::new(Self {
            id,
            launch,
            promise,
            busy: 0,
            starved: 0,
            stops: 0,
        })
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn submitted(&mut self, stops: u64) {
        self.stops = stops;
    }

    /// Whether it was stopped, alone or with everything, since it was submitted.
    pub(super) fn is_stopped(&self, stops: u64) -> bool {
        self.stops != stops || self.promise.is_stop_requested()
    }

    pub(super) fn fail(self, error: LaunchError) {
        self.promise.keep(Err(error));
    }
}

/// Names a process to the driver; never used twice, so that a late event meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// A signal to a process group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
    Stop,
    Continue,
}

/// What is known of a process's pipes after some of them were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// By [`Stream`].
    pub(super) open: [bool; 2],
    /// The driver will not announce everything: look again soon.
    pub(super) look_again: bool,
}

/// How a reaped process ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) exit: Exit,
    pub(super) usage: Usage,
}

/// What the supervisor needs of the system.
pub(super) trait Host {
    /// A process that has been created and not reaped.
    type Child;
    /// Something that the driver learned about a process's pipes.
    type Event;

    /// Creates a process whose events will carry `key`.
    fn spawn(&mut self, key: Key, id: u64, launch: &Launch) -> Result<Self::Child, Refusal>;

    fn pid(&self, child: &Self::Child) -> u32;

    /// Signals the whole group, and its leader in case it has left the group or not yet entered it.
    fn signal(&mut self, child: &Self::Child, signal: Signal);

    /// Takes in what an event announces.
    fn take(
        &mut self,
        key: Key,
        child: &mut Self::Child,
        event: Self::Event,
        streams: &mut Streams,
    ) -> Progress;

    /// Reads what is there; from all pipes when the leader has ended, else from those that nothing would announce.
    fn look(
        &mut self,
        key: Key,
        child: &mut Self::Child,
        ended: bool,
        streams: &mut Streams,
    ) -> Progress;

    /// Kills what is left of an ended leader's group, and orphans of its where they can be found. Returns how many
    /// processes were found alive, as far as the host can tell.
    fn kill_leftovers(&mut self, child: &Self::Child) -> u32;

    /// Reaps an ended leader; the refusal is for a process that never came to run its program.
    fn reap(&mut self, child: Self::Child) -> Result<Ending, Refusal>;
}

struct Process<C> {
    /// Before the launch, so that it is dropped, and thereby ended, first: a child that has not executed its program yet
    /// reads its arguments there.
    child: C,
    /// Kept for that reason, and for another try.
    pending: Box<Pending>,
    life: Lifecycle,
    streams: Streams,
    output_held: bool,
}

struct Slot<C> {
    generation: u32,
    process: Option<Process<C>>,
}

/// What is left after [`Supervisor::attend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attended {
    /// Nothing at the moment: wait for events.
    Everything,
    /// Nothing ever: end.
    Last,
}

/// Supervises the processes of one shard.
pub(super) struct Supervisor<H: Host> {
    host: H,
    dispatch: Arc<Dispatch>,
    shard: usize,
    slots: Vec<Slot<H::Child>>,
    free: Vec<u32>,
    deadlines: Deadlines,
    /// Launches whose program was busy, with the time of the next try.
    delayed: Vec<(Instant, Box<Pending>)>,
    suspended_at: Option<Instant>,
}

impl<H: Host> Supervisor<H> {
    /// Tries of a program that is open for writing: 1, 2, 4 … 64, 64, 64 ms apart, about a quarter of a second in all.
    const BUSY_TRIES: u32 = 9;

    /// Tries of a launch that met a limit, each after a process has finished.
    const STARVED_TRIES: u32 = 100;

    pub(super) fn new(host: H, dispatch: Arc<Dispatch>, shard: usize) -> Self {
        Self {
            host,
            dispatch,
            shard,
            slots: Vec::new(),
            free: Vec::new(),
            deadlines: Deadlines::default(),
            delayed: Vec::new(),
            suspended_at: None,
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn host(&mut self) -> &mut H {
        &mut self.host
    }

    /// Does what callers ask, and starts what this shard may start; says whether to go on waiting for events.
    pub(super) fn attend(&mut self, commands: &mut Vec<Command>) -> Attended {
        loop {
            let idle = self.free.len() == self.slots.len() && self.delayed.is_empty();
            let next = self.dispatch.take(self.shard, idle, commands);
            let now = Instant::now();
            commands
                .drain(..)
                .for_each(|command| self.command(command, now));
            match next {
                Next::Start(pending) => self.start(pending),
                Next::Commands => {}
                Next::Sleep => return Attended::Everything,
                Next::End => return Attended::Last,
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        if self.suspended_at.is_some() {
            return None;
        }
        let delayed = self.delayed.iter().map(|(at, _)| *at);
        delayed.chain(self.deadlines.next()).min()
    }

    /// Notes that the wait for events is over.
    pub(super) fn awake(&self) {
        self.dispatch.awake(self.shard);
    }

    fn command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Stop { id, mode } => self.stop(id, mode, now),
            Command::StopAll { mode } => self.stop_all(mode, now),
            Command::Suspend(done) => {
                self.suspend(now);
                drop(done);
            }
            Command::Resume => self.resume(now),
            Command::Look => {}
        }
    }

    /// Takes an event of a process's pipes.
    pub(super) fn event(&mut self, key: Key, event: H::Event, now: Instant) {
        let Some(process) = process(&mut self.slots, key) else {
            return;
        };
        let progress = self
            .host
            .take(key, &mut process.child, event, &mut process.streams);
        self.progressed(key, progress, now);
    }

    /// Takes the news that a leader has ended.
    pub(super) fn ended(&mut self, key: Key, now: Instant) {
        let Some(process) = process(&mut self.slots, key) else {
            return;
        };
        process.life.ended(now);
        self.look(key, now);
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.suspended_at.is_some() {
            return;
        }
        // In reverse, so that removal does not disturb what is still to be seen; usually there is nothing at all.
        for index in (0..self.delayed.len()).rev() {
            if self.delayed[index].0 <= now {
                let (_, pending) = self.delayed.swap_remove(index);
                self.dispatch.requeue(pending);
            }
        }
        while let Some(slot) = self.deadlines.pop_due(now) {
            let Some(key) = self.key_of(slot) else {
                continue;
            };
            while let Some(process) = process(&mut self.slots, key) {
                let Some(due) = process.life.due(now) else {
                    break;
                };
                self.act(key, due, now);
            }
            self.reschedule(key);
        }
    }

    fn start(&mut self, pending: Box<Pending>) {
        let key = self.reserve();
        // Read here and not once per turn: other processes may have been started since the turn began.
        let now = Instant::now();
        match self.host.spawn(key, pending.id, &pending.launch) {
            Ok(child) => self.started(key, child, pending, now),
            Err(refusal) => {
                self.free.push(key.slot);
                self.refused(pending, refusal);
            }
        }
    }

    fn started(&mut self, key: Key, child: H::Child, mut pending: Box<Pending>, now: Instant) {
        let launch = &mut pending.launch;
        let mut life = Lifecycle::new(now, launch.timeout, launch.grace, launch.leak_timeout);
        life.look_later(now);
        let streams = Streams::of(launch);
        pending.promise.announce(self.host.pid(&child));
        if let Some(tell) = pending.launch.on_start.take() {
            // It is used up by the call, so nobody sees what state a panic leaves it in.
            let _ = catch_unwind(AssertUnwindSafe(tell));
        }
        self.slots[key.slot as usize].process = Some(Process {
            pending,
            child,
            life,
            streams,
            output_held: false,
        });
        self.reschedule(key);
    }

    /// Decides between another try and giving the launch its error.
    fn refused(&mut self, mut pending: Box<Pending>, refusal: Refusal) {
        if let Refusal::Starved(..) = refusal
            && pending.starved < Self::STARVED_TRIES
        {
            pending.starved += 1;
            match self.dispatch.starve(self.shard, pending) {
                None => return,
                Some(returned) => pending = returned,
            }
        } else {
            self.dispatch.finished(self.shard);
        }
        if matches!(refusal, Refusal::Busy(_)) && pending.busy < Self::BUSY_TRIES {
            let pause = Duration::from_millis(1 << pending.busy.min(6));
            pending.busy += 1;
            self.delayed.push((Instant::now() + pause, pending));
            return;
        }
        let error = launch_error(&pending.launch, refusal);
        pending.fail(error);
    }

    fn act(&mut self, key: Key, due: Due, now: Instant) {
        let Some(process) = process(&mut self.slots, key) else {
            return;
        };
        match due {
            Due::Terminate => {
                self.host.signal(&process.child, Signal::Terminate);
                if self.suspended_at.is_some() {
                    self.host.signal(&process.child, Signal::Continue);
                }
            }
            Due::Kill => self.host.signal(&process.child, Signal::Kill),
            Due::Look => self.look(key, now),
            Due::GiveUp => {
                process.output_held = true;
                // What was written up to now belongs to the test; what the killed write from now on does not.
                self.host
                    .look(key, &mut process.child, true, &mut process.streams);
                self.finish(key, now);
            }
        }
    }

    fn look(&mut self, key: Key, now: Instant) {
        let Some(process) = process(&mut self.slots, key) else {
            return;
        };
        let ended = process.life.has_ended();
        let progress = self
            .host
            .look(key, &mut process.child, ended, &mut process.streams);
        self.progressed(key, progress, now);
    }

    fn progressed(&mut self, key: Key, progress: Progress, now: Instant) {
        let Some(process) = process(&mut self.slots, key) else {
            return;
        };
        if !progress.open[Stream::Stdout as usize] {
            process.life.stdout_closed(now);
        }
        if process.life.has_ended() && progress.open == [false, false] {
            return self.finish(key, now);
        }
        if progress.look_again {
            process.life.look_later(now);
        }
        self.reschedule(key);
    }

    fn finish(&mut self, key: Key, now: Instant) {
        let slot = &mut self.slots[key.slot as usize];
        let Some(process) = slot.process.take() else {
            return;
        };
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.slot);
        self.deadlines.set(key.slot as usize, None);
        let Process {
            mut pending,
            child,
            life,
            streams,
            output_held,
        } = process;
        let orphans = self.host.kill_leftovers(&child);
        let ending = match self.host.reap(child) {
            Ok(ending) => ending,
            Err(_) if life.stopped() => {
                self.dispatch.finished(self.shard);
                return pending.fail(LaunchError::Stopped);
            }
            Err(refusal) => {
                pending.launch.on_stdout = streams.into_tap();
                return self.refused(pending, refusal);
            }
        };
        self.dispatch.finished(self.shard);
        let ([stdout, stderr], tap_panicked) = streams.finish();
        pending.promise.keep(Ok(Finished {
            exit: ending.exit,
            stdout,
            stderr,
            started: life.started(),
            wall: life.wall(now),
            timed_out: life.timed_out(),
            stopped: life.stopped(),
            leaked: (output_held || orphans > 0).then_some(Leak {
                output_held,
                orphans,
            }),
            usage: ending.usage,
            stdout_closed_early: life.stdout_closed_early(),
            tap_panicked,
        }));
    }

    fn stop(&mut self, id: u64, mode: StopMode, now: Instant) {
        let is_it = |slot: &Slot<H::Child>| {
            slot.process
                .as_ref()
                .is_some_and(|process| process.pending.id == id)
        };
        if let Some(index) = self
            .delayed
            .iter()
            .position(|(_, pending)| pending.id == id)
        {
            self.delayed.swap_remove(index).1.fail(LaunchError::Stopped);
        } else if let Some(slot) = self.slots.iter().position(is_it) {
            self.stop_slot(slot, mode, now);
        }
    }

    fn stop_all(&mut self, mode: StopMode, now: Instant) {
        for (_, pending) in self.delayed.drain(..) {
            pending.fail(LaunchError::Stopped);
        }
        (0..self.slots.len()).for_each(|slot| self.stop_slot(slot, mode, now));
    }

    fn stop_slot(&mut self, slot: usize, mode: StopMode, now: Instant) {
        let Some(key) = self.key_of(slot) else { return };
        if let Some(process) = process(&mut self.slots, key)
            && let Some(due) = process.life.stop(mode, now)
        {
            self.act(key, due, now);
            self.reschedule(key);
        }
    }

    fn suspend(&mut self, now: Instant) {
        if self.suspended_at.is_none() {
            self.suspended_at = Some(now);
            self.signal_running(Signal::Stop);
        }
    }

    fn resume(&mut self, now: Instant) {
        let Some(since) = self.suspended_at.take() else {
            return;
        };
        let duration = now.saturating_duration_since(since);
        for slot in 0..self.slots.len() {
            let Some(key) = self.key_of(slot) else {
                continue;
            };
            if let Some(process) = process(&mut self.slots, key) {
                process.life.was_suspended(duration);
            }
            self.reschedule(key);
        }
        self.signal_running(Signal::Continue);
    }

    fn signal_running(&mut self, signal: Signal) {
        for process in self.slots.iter().filter_map(|slot| slot.process.as_ref()) {
            if !process.life.has_ended() {
                self.host.signal(&process.child, signal);
            }
        }
    }

    fn reserve(&mut self) -> Key {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                process: None,
            });
            // Each slot is a process of this machine, of which there are fewer than 2³².
            (self.slots.len() - 1) as u32
        });
        Key {
            slot,
            generation: self.slots[slot as usize].generation,
        }
    }

    fn key_of(&self, slot: usize) -> Option<Key> {
        let generation = self
            .slots
            .get(slot)
            .filter(|slot| slot.process.is_some())?
            .generation;
        Some(Key {
            slot: slot as u32,
            generation,
        })
    }

    fn reschedule(&mut self, key: Key) {
        if let Some(process) = process(&mut self.slots, key) {
            self.deadlines
                .set(key.slot as usize, process.life.next_deadline());
        }
    }
}

/// A free function, so that the borrow leaves the supervisor's host usable.
fn process<C>(slots: &mut [Slot<C>], key: Key) -> Option<&mut Process<C>> {
    slots
        .get_mut(key.slot as usize)
        .filter(|slot| slot.generation == key.generation)?
        .process
        .as_mut()
}

fn launch_error(launch: &Launch, refusal: Refusal) -> LaunchError {
    let path = launch.program.path().to_owned();
    match refusal {
        Refusal::Exec(source) | Refusal::Busy(source) => LaunchError::Exec { path, source },
        Refusal::WorkingDirectory(source) => {
            let directory = launch
                .program
                .directory()
                .map(Into::into)
                .unwrap_or_default();
            LaunchError::WorkingDirectory {
                path,
                directory,
                source,
            }
        }
        Refusal::Starved(resource, source) => LaunchError::Exhausted {
            path,
            resource,
            advice: resource.advice(),
            source,
        },
        Refusal::System(call, source) => LaunchError::System { path, call, source },
    }
}
