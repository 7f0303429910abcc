//! The tasks behind a queue: workers that poll operations, and a keeper of the time.
//!
//! A worker takes a batch of operations under one lock and polls them in place: no task is spawned per operation. An
//! operation that waits lies in the worker's seat; its waker puts it into the seat's ready list. A worker with nothing
//! left takes from its siblings' seats, and then sleeps.
//!
//! The keeper sleeps until the earliest retry, timeout or deadline. It polls no operation, so nothing can block it.
//! While workers of a multi-threaded runtime are awake it looks after them every few milliseconds: what lies in the seat
//! of one that is stuck in a poll is left to a sibling.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::body::Ending;
use crate::cell::{self, OpRef, Owned, Step, Stop};
use crate::config::BATCH_GROWTH;
use crate::error::CancelReason;
use crate::events::Event;
use crate::handle::OperationId;
use crate::seat::{Done, Next};
use crate::shared::{Core, Shared, clock};
use crate::state::{Slot, Taken, Tick, nanos};

/// A task of a queue built by [`pair`](crate::QueueBuilder::pair).
///
/// Spawn every one of them on a tokio runtime with its time enabled; each ends when the queue has been drained or shut
/// down, or when its last handle is gone and what was running has ended. Dropping one cancels what it holds, and
/// dropping the last cancels everything, with [`CancelReason::Shutdown`](crate::CancelReason::Shutdown).
#[must_use = "a queue does nothing unless its workers are spawned"]
pub struct QueueWorker {
    role: Role,
}

enum Role {
    Worker(Worker),
    Keeper(Keeper),
}

impl QueueWorker {
    /// Whether it polls operations.
    pub(crate) const fn is_worker(&self) -> bool {
        matches!(self.role, Role::Worker(_))
    }

    pub(crate) fn all(shared: &Arc<Shared>) -> Vec<Self> {
        let workers = (0..shared.seats.len())
            .map(|index| Role::Worker(Worker::new(Arc::clone(shared), index)));
        let keeper = Role::Keeper(Keeper {
            shared: Arc::clone(shared),
            sleep: None,
            seen: Vec::new(),
        });
        workers.chain([keeper]).map(|role| Self { role }).collect()
    }
}

impl Future for QueueWorker {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.role {
            Role::Worker(worker) => worker.poll(cx),
            Role::Keeper(keeper) => keeper.poll(cx),
        }
    }
}

impl fmt::Debug for QueueWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.role {
            Role::Worker(worker) => f.debug_tuple("QueueWorker").field(&worker.index).finish(),
            Role::Keeper(_) => f.write_str("QueueWorker(keeper)"),
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    index: usize,
    /// How many operations the next turn takes.
    quantum: usize,
    chance: fastrand::Rng,
    joined: bool,
    /// A batch took long: each poll is timed, until one is found that did.
    timing: bool,
    /// Something has been polled since it last lingered.
    worked: bool,
    /// What [`Shared::roused`] said when the runtime last polled this task.
    roused: usize,
    turn: TurnLog,
    /// Buffers that are used again from turn to turn.
    done: Vec<Done>,
    taken: VecDeque<Taken<Owned>>,
}

/// What happened since the worker last took operations.
struct TurnLog {
    began: Instant,
    polls: u32,
    /// Operations that did not end on their first poll.
    waited: bool,
    /// How often more urgent operations were put before others.
    preempted: u32,
}

/// What a worker does next.
enum Job {
    /// Begin an attempt.
    Begin(Owned),
    /// Carry one on.
    Resume(OpRef),
    /// Take from the queue.
    Refill,
    /// Return to the runtime: a task that has been woken here must get a thread before an operation is polled.
    Yield,
    /// Take what is more urgent than this level: it has come since.
    MakeWay(u8),
}

impl Job {
    /// Returns the number of the operation that is to be polled, or 0.
    fn operation(&self) -> u64 {
        match self {
            Self::Begin(owned) => owned.header().id(),
            Self::Resume(op) => op.header().id(),
            Self::Refill | Self::Yield | Self::MakeWay(_) => 0,
        }
    }
}

/// What became of the last job.
enum After {
    Nothing,
    /// It waits to be woken; with a timeout if it is the first time in this attempt.
    Wait(Owned, Option<Registration>),
    Over(Owned, Next),
}

struct Registration {
    since: Tick,
    due: Tick,
}

/// How often in one turn more urgent operations are put before what a worker has taken.
const PREEMPTIONS_PER_TURN: u32 = 8;

/// After this many polls a worker lets the runtime's other tasks run.
const POLLS_PER_TURN: u32 = 128;

/// How often an operation that wakes itself is polled again before others. Most that do so go on for a step or two, and
/// to put one aside costs as much as several polls; tokio's workers allow a task that was just woken three in a row.
const POLLS_IN_A_ROW: u32 = 3;

/// A batch may grow while its operations take less than this on average: a batch of 64 then keeps the most
/// urgent newcomer, and the results of its first operations, for less than a millisecond.
const SHORT: Duration = Duration::from_micros(10);

/// Batches of fewer operations than this are small, and what follows one is waited for: for about a microsecond.
const SMALL_BATCH: u32 = 8;
const GATHER: u32 = 32;

/// How many times a worker looks for another arrival before it goes to sleep: one to three microseconds.
const LINGER: u32 = 64;

/// Operations that take longer than this on average are worth another worker: waking a thread costs about as much.
pub(crate) const WORTH_SHARING: Duration = Duration::from_nanos(1_000);

impl Worker {
    fn new(shared: Arc<Shared>, index: usize) -> Self {
        let chance = match shared.config.seed {
            Some(seed) => fastrand::Rng::with_seed(seed.wrapping_add(index as u64)),
            None => fastrand::Rng::new(),
        };
        Self {
            quantum: shared.config.batch_size,
            shared,
            index,
            chance,
            joined: false,
            timing: false,
            worked: false,
            roused: 0,
            turn: TurnLog {
                began: clock(),
                polls: 0,
                waited: false,
                preempted: 0,
            },
            done: Vec::new(),
            taken: VecDeque::new(),
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.shared.seats[self.index]
            .local
            .lock()
            .attach(cx.waker());
        if !std::mem::replace(&mut self.joined, true) {
            let index = self.index;
            self.shared.settle_in();
            self.shared.with_core(|core| core.join(index));
        }
        self.turn.began = clock();
        self.roused = self.shared.roused();
        let mut polls = 0;
        loop {
            match self.refill() {
                Refilled::Work => {}
                Refilled::Asleep | Refilled::Empty => return Poll::Pending,
                Refilled::Finished => return Poll::Ready(()),
            }
            polls += self.work();
            // Operations share the task's budget for cooperative scheduling: with none left their own timers and
            // sockets pretend not to be ready, so there is no point in going on.
            let has_roused = self.shared.roused() != self.roused;
            if has_roused || polls >= POLLS_PER_TURN || !tokio::task::coop::has_budget_remaining() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Runs what is in the seat: all that has not begun, and what was ready at the start, once. Returns how many polls
    /// that took.
    fn work(&mut self) -> u32 {
        let before = self.turn.polls;
        let mut ready = usize::MAX;
        let mut after = After::Nothing;
        loop {
            after = match self.next(after, &mut ready) {
                Job::Begin(owned) => self.run(owned, true),
                Job::Resume(op) => match Owned::resume(op) {
                    Some(owned) => self.run(owned, false),
                    None => After::Nothing,
                },
                Job::MakeWay(level) if self.make_way(level) => After::Nothing,
                Job::MakeWay(_) => {
                    self.give_back();
                    break;
                }
                Job::Refill | Job::Yield => break,
            };
        }
        let polls = self.turn.polls - before;
        self.worked |= polls > 0;
        polls
    }

    /// Puts away the last job and picks the next, under one lock.
    fn next(&mut self, after: After, ready: &mut usize) -> Job {
        let seat = &self.shared.seats[self.index];
        let (mut abort, mut early, mut foreign) = (None, false, None);
        let job = {
            let mut local = seat.local.lock();
            match after {
                After::Nothing => {}
                After::Wait(owned, registration) => {
                    if let Some(Registration { since, due }) = registration {
                        let slot = local.slots.insert(Slot {
                            item: owned.op().clone(),
                            since,
                            due,
                        });
                        owned.header().set_home(self.index, slot);
                        early = self.shared.alarm.lower(due);
                    }
                    if local.aborting {
                        abort = Some(owned.op().clone());
                    }
                    // From here on whoever wakes the operation may poll it, on any worker.
                    if let Some(op) = owned.park() {
                        local.ready.push_back(op);
                    }
                }
                After::Over(owned, next) => match owned.header().home() {
                    Some((seat, _)) if seat != self.index => foreign = Some((owned, next)),
                    Some((_, slot)) => {
                        let since = local.slots.remove(slot).map(|slot| slot.since);
                        owned.header().leave_home();
                        local.done.push(Done { owned, since, next });
                    }
                    None => local.done.push(Done {
                        owned,
                        since: None,
                        next,
                    }),
                },
            }
            // What is ready now is run once in this turn: an operation that wakes itself must not keep others from
            // a slot that has become free.
            *ready = (*ready).min(local.ready.len());
            local.polls += 1;
            let has_roused = early || self.shared.roused() != self.roused;
            let job = match local.fresh.front() {
                _ if has_roused => Job::Yield,
                Some(taken) if !taken.aged && self.shared.has_more_urgent(taken.level) => {
                    Job::MakeWay(taken.level)
                }
                _ => match local.fresh.pop_front() {
                    Some(taken) => Job::Begin(taken.claimed),
                    None if *ready > 0 => {
                        *ready -= 1;
                        local.ready.pop_front().map_or(Job::Refill, Job::Resume)
                    }
                    None => Job::Refill,
                },
            };
            local.current = job.operation();
            job
        };
        if early {
            self.shared.ring();
        }
        if let Some(op) = abort {
            cell::stop(&op, Stop::Cancel(CancelReason::Shutdown), false);
        }
        if let Some((owned, next)) = foreign {
            let since = self.shared.leave_home(&owned);
            seat.local.lock().done.push(Done { owned, since, next });
        }
        job
    }

    /// Polls an operation, and again if it wakes itself.
    fn run(&mut self, mut owned: Owned, start: bool) -> After {
        self.turn.polls += 1;
        if let Some(stop) = owned.stop() {
            owned.conclude(stop);
            return After::Over(owned, Next::End(stop.ending()));
        }
        if owned.is_over_time() {
            return self.time_out(owned);
        }
        if start && self.shared.hooks.are_used() {
            let header = owned.header();
            let (id, attempt) = (OperationId::new(header.id()), header.attempts() + 1);
            self.shared.hooks.emit(Event::Started { id, attempt });
        }
        let (mut owned, mut step) = self.poll_once(owned, start);
        let mut again = 0;
        while step == Step::Pending
            && again < POLLS_IN_A_ROW
            && tokio::task::coop::has_budget_remaining()
            && owned.has_woken_itself()
        {
            again += 1;
            self.turn.polls += 1;
            (owned, step) = self.poll_once(owned, false);
        }
        match step {
            Step::Pending => {
                self.turn.waited = true;
                let registration = owned
                    .header()
                    .home()
                    .is_none()
                    .then(|| self.register(&owned));
                After::Wait(owned, registration)
            }
            Step::Ended(ending) => After::Over(owned, Next::End(ending)),
            Step::Retry(delay) => self.retry(owned, delay),
        }
    }

    fn poll_once(&mut self, owned: Owned, start: bool) -> (Owned, Step) {
        let (began, id) = (self.timing.then(clock), owned.header().id());
        let polled = owned.poll(start, &self.shared.defaults, &mut self.chance);
        if let Some(began) = began {
            self.judge_poll(id, clock().saturating_duration_since(began));
        }
        polled
    }

    /// Notices a poll that took too long, which ends the timing.
    fn judge_poll(&mut self, id: u64, lasted: Duration) {
        if self.shared.config.blocking.is_some_and(|it| lasted >= it) {
            self.timing = false;
            self.shared.notice_blocked(self.index, id, lasted);
        }
    }

    /// Has the polls timed if those of the last turn took too long together. With several workers the keeper sees to
    /// it, which can do so while a poll goes on.
    fn judge_turn(&mut self, lasted: Duration) {
        if self.shared.seats.len() == 1
            && self.turn.polls > 0
            && self.shared.config.blocking.is_some_and(|it| lasted >= it)
        {
            self.timing = true;
        }
    }

    /// Reads the clock, which an operation that ends on its first poll does not need.
    fn register(&self, owned: &Owned) -> Registration {
        let since = self.shared.epoch.tick(clock());
        let timeout = owned.timeout(&self.shared.defaults);
        Registration {
            since,
            due: timeout.map_or(Tick::MAX, |timeout| since.saturating_add(nanos(timeout))),
        }
    }

    fn time_out(&mut self, mut owned: Owned) -> After {
        let step = owned.time_out(&self.shared.defaults, &mut self.chance);
        self.shared.with_core(|core| core.state.count_timeout());
        if self.shared.hooks.are_used() {
            let header = owned.header();
            self.shared.hooks.emit(Event::TimedOut {
                id: OperationId::new(header.id()),
                attempt: header.attempts(),
            });
        }
        match step {
            Step::Retry(delay) => self.retry(owned, delay),
            Step::Ended(ending) => After::Over(owned, Next::End(ending)),
            Step::Pending => After::Over(owned, Next::End(Ending::TimedOut)),
        }
    }

    fn retry(&self, owned: Owned, delay: Duration) -> After {
        if self.shared.hooks.are_used() {
            let header = owned.header();
            let (id, attempt) = (OperationId::new(header.id()), header.attempts());
            self.shared
                .hooks
                .emit(Event::Retrying { id, attempt, delay });
        }
        After::Over(owned, Next::Retry(delay))
    }

    /// Accounts for what is over, takes what may start, and says whether there is anything to do.
    fn refill(&mut self) -> Refilled {
        let mut may_sleep = self.shared.seats.len() == 1;
        loop {
            match self.take(may_sleep) {
                Refilled::Empty if self.steal() => return Refilled::Work,
                Refilled::Empty if self.lingers() => {}
                Refilled::Empty => may_sleep = true,
                refilled => return refilled,
            }
        }
    }

    fn take(&mut self, may_sleep: bool) -> Refilled {
        self.gather();
        std::mem::swap(
            &mut self.done,
            &mut self.shared.seats[self.index].local.lock().done,
        );
        let now = clock();
        let lasted = now.saturating_duration_since(self.turn.began);
        self.judge_turn(lasted);
        let mean = nanos(lasted) / u64::from(self.turn.polls.max(1));
        self.adapt(mean);
        self.turn = TurnLog {
            began: now,
            polls: 0,
            waited: false,
            preempted: 0,
        };

        let mut expired = Vec::new();
        let (shared, index, quantum) = (&self.shared, self.index, self.quantum);
        let (refilled, helper) = shared.settle(&mut self.done, mean, now, |core| {
            core.wake(index);
            core.state.tick(now, |op| expired.push(op));
            let taken = {
                let fresh = &mut shared.seats[index].local.lock().fresh;
                core.state
                    .take(now, quantum, |operation| fresh.push_back(operation))
            };
            let is_shareable = mean > nanos(WORTH_SHARING) && (core.state.can_take() || taken > 1);
            let helper = if is_shareable { core.pick_idle() } else { None };
            let refilled = if taken == 0 {
                idle(shared, core, index, may_sleep)
            } else {
                Refilled::Work
            };
            (refilled, helper)
        });

        if let Some(helper) = helper {
            self.shared.rouse(helper);
        }
        for op in expired {
            cell::stop(&op, Stop::Deadline, false);
        }
        refilled
    }

    /// Lets the batch grow while operations end at once, and falls back when they do not.
    fn adapt(&mut self, mean: u64) {
        let least = self.shared.config.batch_size;
        if self.turn.waited || mean > nanos(SHORT) {
            self.quantum = least;
        } else if self.turn.polls > 0 {
            self.quantum = (self.quantum * 2).min(least.saturating_mul(BATCH_GROWTH));
        }
    }

    /// Takes more urgent operations and puts them before what has been taken and not begun. Returns `false` if that is
    /// not possible: there is no slot for them, or it has been done often enough. What has been taken does not age, so
    /// it must come to its turn or go back.
    fn make_way(&mut self, level: u8) -> bool {
        self.turn.preempted += 1;
        if self.turn.preempted > PREEMPTIONS_PER_TURN {
            return false;
        }
        let (now, quantum, taken) = (self.turn.began, self.quantum, &mut self.taken);
        let (count, is_full) = self.shared.with_core(|core| {
            let count = core
                .state
                .take_above(level, now, quantum, |operation| taken.push_back(operation));
            (count, !core.state.has_slot())
        });
        let mut local = self.shared.seats[self.index].local.lock();
        while let Some(operation) = self.taken.pop_back() {
            local.fresh.push_front(operation);
        }
        count > 0 || !is_full
    }

    /// Puts back what has been taken and not begun.
    fn give_back(&mut self) {
        let mut fresh = {
            let mut local = self.shared.seats[self.index].local.lock();
            let (aged, fresh) = local.fresh.drain(..).partition(|taken| taken.aged);
            // What was taken for its age has waited long enough: it stays.
            local.fresh = aged;
            fresh
        };
        let (mut stopped, now) = (Vec::new(), self.turn.began);
        self.shared.with_core(|core| {
            // Last taken, first back: each goes to the head of its level.
            while let Some(Taken {
                claimed,
                level,
                since,
                ..
            }) = VecDeque::pop_back(&mut fresh)
            {
                match claimed.requeue(false) {
                    Ok((op, _)) => core.state.give_back(op, level, since, now),
                    Err(owned) => stopped.push(owned),
                }
            }
        });
        self.done
            .extend(stopped.into_iter().map(|owned| Done::stopped(owned, None)));
        let mut local = self.shared.seats[self.index].local.lock();
        local.done.append(&mut self.done);
    }

    /// Waits a moment for more arrivals after a batch that was small and quick. A producer that submits one operation after
    /// the other would meet this worker at its door each time, which costs both more than the operations.
    fn gather(&self) {
        let is_small = (2..SMALL_BATCH).contains(&self.turn.polls);
        if is_small && !self.turn.waited && self.shared.seats.len() > 1 {
            for _ in 0..GATHER {
                std::hint::spin_loop();
            }
        }
    }

    /// Waits a moment for another arrival. Returns whether there is one.
    ///
    /// Going to sleep and being woken costs two system calls and some microseconds, on two threads; a
    /// producer that waits for one result before it submits the next operation is back sooner than that.
    fn lingers(&mut self) -> bool {
        if !std::mem::replace(&mut self.worked, false) {
            return false;
        }
        for _ in 0..LINGER {
            if self.shared.has_arrivals() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    /// Takes half of what a sibling has in hand.
    fn steal(&mut self) -> bool {
        let seats = &self.shared.seats;
        for ahead in 1..seats.len() {
            let mut sibling = seats[(self.index + ahead) % seats.len()].local.lock();
            let fresh = sibling.fresh.len().div_ceil(2);
            let ready = if fresh == 0 {
                sibling.ready.len().div_ceil(2)
            } else {
                0
            };
            if fresh + ready == 0 {
                continue;
            }
            let fresh: VecDeque<_> = sibling.fresh.drain(..fresh).collect();
            let ready: VecDeque<_> = sibling.ready.drain(..ready).collect();
            drop(sibling);
            let mut local = seats[self.index].local.lock();
            local.fresh.extend(fresh);
            local.ready.extend(ready);
            return true;
        }
        false
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.abandon(self.index);
    }
}

/// What a worker finds when it asks for work.
enum Refilled {
    Work,
    /// There is nothing, and it has not been put to sleep.
    Empty,
    /// There is nothing, and it has been put to sleep.
    Asleep,
    Finished,
}

/// Puts a worker that has nothing to do to sleep. Under the queue's lock: what is submitted from now on finds it
/// sleeping.
fn idle(shared: &Shared, core: &mut Core, index: usize, may_sleep: bool) -> Refilled {
    if core.is_finished() {
        return Refilled::Finished;
    }
    let mut local = shared.seats[index].local.lock();
    if local.has_work() {
        return Refilled::Work;
    }
    if !may_sleep {
        return Refilled::Empty;
    }
    local.park();
    core.sleep(index);
    Refilled::Asleep
}

/// Sleeps until something is due.
struct Keeper {
    shared: Arc<Shared>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// How many polls each worker had done when it was last looked at.
    seen: Vec<Seen>,
}

/// What the keeper has seen of a worker.
#[derive(Clone, Default)]
struct Seen {
    polls: u64,
    /// Since when it is in the same poll, and whether that has been noticed as too long.
    since: Tick,
    noticed: bool,
}

/// How often workers that are awake are looked after. Far longer than a batch of short operations takes, and short
/// against a timeout.
const WATCH: Duration = Duration::from_millis(5);

impl Keeper {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Rings that came since are answered by the search below; later ones wake this task.
            while self.shared.keepers_bell().poll(cx).is_ready() {}
            let now = clock();
            let Some(due) = self.look(now) else {
                return Poll::Ready(());
            };
            let Some(due) = (due < Tick::MAX)
                .then(|| self.shared.epoch.instant(due))
                .flatten()
            else {
                return Poll::Pending;
            };
            let due = tokio::time::Instant::from_std(due);
            let sleep = self
                .sleep
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            sleep.as_mut().reset(due);
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Does what is due and returns when something is due next; `None` when the queue is over.
    fn look(&mut self, now: Instant) -> Option<Tick> {
        let shared = &*self.shared;
        let tick = shared.epoch.tick(now);
        let memory_due = shared.look_at_memory(tick);
        // First raised and then searched for: see `Alarm`.
        shared.alarm.set(Tick::MAX);
        let mut expired = Vec::new();
        let (mut due, watching) = shared.with_core(|core| {
            core.keeper_looks();
            core.state.tick(now, |op| expired.push(op));
            if core.is_watching() && core.is_asleep() {
                core.stop_watching();
            }
            let due = core.state.next_due().unwrap_or(Tick::MAX);
            (!core.is_finished()).then_some((due, core.is_watching()))
        })?;
        for op in expired {
            cell::stop(&op, Stop::Deadline, false);
        }
        for seat in &shared.seats {
            let mut local = seat.local.lock();
            let late = local.expire(tick);
            due = due.min(local.slots.next_due());
            let waker = if late { local.unpark() } else { None };
            drop(local);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        if watching {
            self.look_after_workers(now);
            due = due.min(tick.saturating_add(nanos(WATCH)));
        }
        due = due.min(memory_due);
        self.shared.alarm.set(due);
        Some(due)
    }

    /// Takes from a worker that has not moved what others can do for it.
    fn look_after_workers(&mut self, now: Instant) {
        let shared = &*self.shared;
        let tick = shared.epoch.tick(now);
        self.seen.resize(shared.seats.len(), Seen::default());
        for (index, (seat, seen)) in shared.seats.iter().zip(&mut self.seen).enumerate() {
            let (mut done, is_stuck, current) = {
                let mut local = seat.local.lock();
                let moved = std::mem::replace(&mut seen.polls, local.polls) != local.polls;
                if moved || local.is_parked() {
                    (seen.since, seen.noticed) = (tick, false);
                    continue;
                }
                (
                    std::mem::take(&mut local.done),
                    local.has_work(),
                    local.current,
                )
            };
            let lasted = Duration::from_nanos(tick.saturating_sub(seen.since));
            let is_long = shared.config.blocking.is_some_and(|limit| lasted >= limit);
            // Between two polls a worker waits for a thread, which is not its operations' fault.
            if is_long && current != 0 && !std::mem::replace(&mut seen.noticed, true) {
                shared.notice_blocked(index, current, lasted);
            }
            let helper = shared.settle(&mut done, 0, now, |core| {
                core.keeper_looks();
                if is_stuck || core.state.can_take() {
                    core.pick_idle()
                } else {
                    None
                }
            });
            if let Some(helper) = helper {
                shared.rouse(helper);
            }
        }
    }
}
