//! What the handles of a queue, its operations and its workers share.
//!
//! Submitters put operations into an inbox under its own short lock; whoever takes the lock of the core empties the
//! inbox into it first. So a producer and a worker meet once per batch, and under the core's lock the state is complete.
//!
//! Locks, in the order in which they may nest: `core`, then the inbox or one seat's `local`. User code (bodies, drops,
//! wakers, observers) never runs under any of them.

mod calls;
mod direct;
mod endings;
mod gauge;
mod inbox;
#[cfg(all(loom, test))]
mod loom_tests;
mod overflow;
mod thresholds;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Instant;

use tokio::runtime::{self, Handle};
use tokio::sync::Notify;

pub(crate) use self::direct::Ran;
pub(crate) use self::endings::Link;
use self::gauge::Gauge;
pub(crate) use self::gauge::Glance;
use self::inbox::{Arrivals, Blocked, Door, Inbox};
pub(crate) use self::inbox::{NO_TERMS, Room, Terms};
use crate::batching::Batches;
use crate::body::Ending;
use crate::budget::Budget;
use crate::cell::{Defaults, OpRef};
use crate::config::QueueConfig;
use crate::context::CancelSignal;
use crate::dead_letters::DeadLetters;
use crate::error::CancelReason;
use crate::events::{Event, Hooks, QueueObserver};
use crate::handle::OperationId;
use crate::named::Registry;
use crate::seat::{Alarm, Bell, Seat};
use crate::state::{Epoch, State};
use crate::stats::QueueStatus;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::threads::Notices;
use crate::threshold::Memory;
use crate::unique::Uniques;

/// Reads tokio's clock, which a test may have paused.
pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

pub(crate) struct Shared {
    core: Apart<Mutex<Core>>,
    inbox: Inbox,
    /// Which levels are occupied. Written under `core`'s lock; read relaxed, as a hint to give work back.
    occupied: AtomicU64,
    gauge: Gauge,
    /// Something waits, or the queue starts nothing, accepts nothing or has too many running. Written under `core`'s lock;
    /// read relaxed, as a hint to those who run operations without having queued them.
    disturbed: AtomicBool,
    /// Operations accounted for whose outcome is not visible yet. Raised before they are accounted for.
    publishing: Apart<AtomicUsize>,
    /// Whether nothing was waiting or running when `core` was last released. Written under its lock.
    may_be_quiet: AtomicBool,
    /// Running operations have been asked to end. Set once.
    stopping: AtomicBool,
    /// How often a task of the queue has been woken to help; see [`rouse`](Shared::rouse). Relaxed: a worker compares
    /// what it did itself.
    roused: AtomicUsize,
    pub(crate) seats: Box<[Seat]>,
    pub(crate) alarm: Alarm,
    keeper: Bell,
    pub(crate) config: QueueConfig,
    pub(crate) defaults: Defaults,
    pub(crate) hooks: Hooks,
    pub(crate) registry: Registry,
    pub(crate) batches: Batches,
    pub(crate) uniques: Uniques,
    pub(crate) dead_letters: Option<Arc<dyn DeadLetters>>,
    memory: Option<Memory>,
    pub(crate) notices: Notices,
    pub(crate) epoch: Epoch,
    /// Signals that somebody asked for, by operation.
    signals: Mutex<HashMap<u64, CancelSignal>>,
    /// Notified whenever the queue has become quiet.
    quiet: Notify,
    /// The runtime of the workers, set when the first of them is polled; `None` if they have threads of their own, or
    /// are on no runtime.
    home: OnceLock<Option<runtime::Id>>,
}

/// Something in cache lines of its own, two of them because processors fetch them in pairs: it is written far more often
/// than what would lie beside it, or far less.
#[repr(align(128))]
pub(crate) struct Apart<T>(T);

impl<T> Deref for Apart<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What the one lock protects.
pub(crate) struct Core {
    pub(crate) state: State<OpRef>,
    /// One bit for each worker that has been polled and not dropped.
    alive: u64,
    /// One bit for each of them that sleeps.
    idle: u64,
    /// Workers that have not been dropped.
    workers: usize,
    /// No attempt is to follow one that is over.
    ending: bool,
    /// The keeper looks after blocked workers at short intervals.
    watching: bool,
    /// Closed, empty, and everybody has been told.
    finished: bool,
    /// What the inbox was last told about waking workers.
    inbox_rouses: bool,
    /// A buffer that takes turns with the inbox's.
    arrivals: Arrivals,
    /// The keeper itself holds the lock and is about to set its alarm: it need not be rung for.
    keeper_looks: bool,
    blocked: Blocked,
    /// Operations that were cut off since the queue began to close.
    cut: Vec<OperationId>,
}

/// More queued operations than this for each worker that is awake call for another one: one no-op takes less time
/// than waking a thread, so a short queue of them is better left to those that are awake.
const BACKLOG_PER_WORKER: usize = 256;

/// A queue is served by at most this many workers: one bit each in a word.
pub(crate) const MAX_WORKERS: usize = 64;

impl Core {
    /// Picks a sleeping worker that should not sleep.
    fn worker_to_wake(&mut self) -> Option<usize> {
        if self.idle == 0 || !self.state.can_take() {
            return None;
        }
        let awake = (self.alive & !self.idle).count_ones() as usize;
        if awake > 0 && self.state.queued() <= awake * BACKLOG_PER_WORKER {
            return None;
        }
        self.pick_idle()
    }

    /// Picks any sleeping worker and counts it as awake.
    pub(crate) fn pick_idle(&mut self) -> Option<usize> {
        if self.idle == 0 {
            return None;
        }
        let index = self.idle.trailing_zeros() as usize;
        self.idle &= self.idle - 1;
        Some(index)
    }

    pub(crate) fn sleep(&mut self, worker: usize) {
        self.idle |= 1 << worker;
    }

    pub(crate) fn wake(&mut self, worker: usize) {
        self.idle &= !(1 << worker);
    }

    pub(crate) fn join(&mut self, worker: usize) {
        self.alive |= 1 << worker;
    }

    /// Whether all workers sleep.
    pub(crate) const fn is_asleep(&self) -> bool {
        self.idle == self.alive
    }

    /// Has the keeper look after the workers. Returns whether it did not before. One worker has nobody to help it.
    pub(crate) const fn start_watching(&mut self, workers: usize) -> bool {
        workers > 1 && !std::mem::replace(&mut self.watching, true)
    }

    /// Says that the caller is the keeper, who sets the alarm itself.
    pub(crate) const fn keeper_looks(&mut self) {
        self.keeper_looks = true;
    }

    pub(crate) const fn is_watching(&self) -> bool {
        self.watching
    }

    pub(crate) const fn stop_watching(&mut self) {
        self.watching = false;
    }

    pub(crate) const fn is_finished(&self) -> bool {
        self.finished
    }

    fn note_cut(&mut self, id: u64, ending: Ending) {
        if ending == Ending::Cancelled(CancelReason::Shutdown) {
            self.cut.push(OperationId::new(id));
        }
    }
}

/// What is to be done once the lock is released.
#[derive(Default)]
struct Later {
    submitters: Vec<Waker>,
    worker: Option<usize>,
    keeper: bool,
    is_quiet: bool,
    is_last: bool,
}

impl Shared {
    pub(crate) fn new(
        config: QueueConfig,
        workers: usize,
        observers: Vec<Arc<dyn QueueObserver>>,
        registry: Registry,
        dead_letters: Option<Arc<dyn DeadLetters>>,
        memory: Option<Memory>,
    ) -> Self {
        let now = clock();
        let state = State::new(&config, now);
        let levels = config.priority_levels;
        let budget = config
            .retry_budget
            .map(|budget| Arc::new(Budget::new(budget, now)));
        Self {
            inbox: Inbox::new(levels),
            occupied: AtomicU64::new(0),
            gauge: Gauge::default(),
            disturbed: AtomicBool::new(false),
            publishing: Apart(AtomicUsize::new(0)),
            may_be_quiet: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            roused: AtomicUsize::new(0),
            seats: (0..workers).map(|_| Seat::new()).collect(),
            alarm: Alarm::new(),
            keeper: Bell::new(),
            defaults: Defaults {
                timeout: config.timeout,
                retry: config.retry_policy(),
                budget,
                keeps_history: dead_letters.is_some(),
            },
            hooks: Hooks::new(observers, config.event_capacity),
            batches: Batches::new(&registry, config.batch_size),
            registry,
            uniques: Uniques::default(),
            dead_letters,
            memory,
            notices: Notices::default(),
            epoch: state.epoch(),
            signals: Mutex::new(HashMap::new()),
            quiet: Notify::new(),
            home: OnceLock::new(),
            config,
            core: Apart(Mutex::new(Core {
                state,
                alive: 0,
                idle: 0,
                workers,
                ending: false,
                watching: false,
                finished: false,
                inbox_rouses: false,
                arrivals: Arrivals::new(levels),
                keeper_looks: false,
                blocked: Blocked::default(),
                cut: Vec::new(),
            })),
        }
    }

    /// Runs `act` under the queue's lock, and afterwards does what must not be done under it.
    pub(crate) fn with_core<R>(&self, act: impl FnOnce(&mut Core) -> R) -> R {
        let mut later = Later::default();
        let result = {
            let mut core = self.core.lock();
            // Relaxed: the submitter's own thread sees its arrival, and one that learns of it through a lock or a
            // channel does as well.
            if self.inbox.levels.load(Ordering::Relaxed) != 0 {
                core.absorb(&self.inbox, &mut self.inbox.door.lock());
            }
            let result = act(&mut core);
            self.release(&mut core, &mut later, None);
            result
        };
        self.catch_up(later);
        result
    }

    /// The same with the inbox locked as well, for decisions about admission.
    fn with_door<R>(&self, act: impl FnOnce(&mut Core, &mut Door) -> R) -> R {
        let mut later = Later::default();
        let result = {
            let mut core = self.core.lock();
            let mut door = self.inbox.door.lock();
            core.absorb(&self.inbox, &mut door);
            let result = act(&mut core, &mut door);
            self.release(&mut core, &mut later, Some(&mut door));
            door.room = if core.blocked.waiting.is_empty() && core.state.is_open() {
                core.state.room()
            } else {
                0
            };
            result
        };
        self.catch_up(later);
        result
    }

    /// Brings the hints up to date and gathers whom to wake.
    fn release(&self, core: &mut Core, later: &mut Later, door: Option<&mut Door>) {
        if !core.blocked.waiting.is_empty() {
            core.admit_blocked(&mut later.submitters);
        }
        let occupied = core.state.occupied();
        if self.occupied.load(Ordering::Relaxed) != occupied {
            self.occupied.store(occupied, Ordering::Relaxed);
        }
        if self.gauge.is_watched() {
            self.gauge.set(core);
        }
        let disturbed = occupied != 0 || core.state.is_held_up();
        if self.disturbed.load(Ordering::Relaxed) != disturbed {
            self.disturbed.store(disturbed, Ordering::Relaxed);
        }
        let quiet = core.state.is_idle();
        if self.may_be_quiet.load(Ordering::Relaxed) != quiet {
            self.may_be_quiet.store(quiet, Ordering::Relaxed);
        }
        // Acquire: outcomes published before the count fell are visible to those who are told that all is quiet.
        later.is_quiet = quiet && self.publishing.load(Ordering::Acquire) == 0;
        if later.is_quiet && core.state.is_closed() {
            later.is_last = !std::mem::replace(&mut core.finished, true);
        }
        if later.is_last {
            core.state.purge();
        }
        later.worker = core.worker_to_wake();
        if core.rouses() != core.inbox_rouses {
            match door {
                Some(door) => self.tell_inbox(core, door, later),
                None => self.tell_inbox(core, &mut self.inbox.door.lock(), later),
            }
        }
        // However it came to be awake: a worker that has work may be about to block.
        let is_busy = core.alive != core.idle && !quiet;
        let watch = is_busy && core.start_watching(self.seats.len());
        let looks = std::mem::replace(&mut core.keeper_looks, false);
        let early = !looks
            && core
                .state
                .next_due()
                .is_some_and(|due| self.alarm.lower(due));
        later.keeper = watch || early || later.is_last;
    }

    /// Tells the inbox whether arrivals must wake a worker. What arrived before it knew is taken in here.
    fn tell_inbox(&self, core: &mut Core, door: &mut Door, later: &mut Later) {
        if core.rouses() && self.has_arrivals() {
            core.absorb(&self.inbox, door);
            later.worker = later.worker.or_else(|| core.worker_to_wake());
        }
        core.inbox_rouses = core.rouses();
        door.rouses = core.inbox_rouses;
    }

    fn catch_up(&self, later: Later) {
        later.submitters.into_iter().for_each(Waker::wake);
        if let Some(worker) = later.worker {
            self.rouse(worker);
        }
        if later.is_last {
            self.hooks.emit(Event::Drained);
            self.seats.iter().for_each(Seat::unpark);
        }
        if later.keeper {
            self.ring();
        }
        if later.is_quiet {
            self.quiet.notify_waiters();
        }
    }

    /// Wakes a worker.
    ///
    /// A task that is woken from a tokio worker thread goes into a place from which no other thread can take it until
    /// the thread's present task returns. If that is a worker of this queue, about to poll an operation that blocks,
    /// the help would never come: so a worker that sees this number move returns first.
    pub(crate) fn rouse(&self, worker: usize) {
        self.roused.fetch_add(1, Ordering::Relaxed);
        self.seats[worker].unpark();
    }

    /// Wakes the keeper, with the same precaution.
    pub(crate) fn ring(&self) {
        self.roused.fetch_add(1, Ordering::Relaxed);
        self.keeper.ring();
    }

    pub(crate) fn roused(&self) -> usize {
        self.roused.load(Ordering::Relaxed)
    }

    pub(crate) const fn keepers_bell(&self) -> &Bell {
        &self.keeper
    }

    /// Says that the workers are on the runtime from which this is called.
    pub(crate) fn settle_in(&self) {
        self.home
            .get_or_init(|| Handle::try_current().ok().map(|it| it.id()));
    }

    /// Says that operations are for the queue's own threads alone.
    pub(crate) fn keep_apart(&self) {
        self.home.get_or_init(|| None);
    }

    /// Whether an operation that is polled on this thread finds what it would find with a worker.
    fn is_at_home(&self) -> bool {
        let home = self.home.get().copied().flatten();
        home.is_some_and(|home| Handle::try_current().is_ok_and(|it| it.id() == home))
    }

    pub(crate) fn status(&self) -> QueueStatus {
        let now = clock();
        let mut status = self.with_core(|core| core.state.status(now));
        if let Some(budget) = &self.defaults.budget {
            status.retries_refused = budget.refused();
        }
        status.blocking_polls = self.notices.blocked();
        status.not_pinned = self.notices.not_pinned();
        status
    }

    /// Whether a more urgent level than `level` is occupied. A hint: it may be a moment old.
    pub(crate) fn has_more_urgent(&self, level: u8) -> bool {
        let occupied =
            self.occupied.load(Ordering::Relaxed) | self.inbox.levels.load(Ordering::Relaxed);
        occupied & ((1 << level) - 1) != 0
    }

    /// Whether those who run operations without having queued them are to stop. A hint.
    fn is_disturbed(&self) -> bool {
        self.disturbed.load(Ordering::Relaxed)
    }

    /// Whether something has arrived that no worker has seen. A hint.
    pub(crate) fn has_arrivals(&self) -> bool {
        self.inbox.levels.load(Ordering::Relaxed) != 0
    }

    /// Waits until nothing waits and nothing runs, or until the queue has finished if `for_good`.
    pub(crate) async fn quiet(&self, for_good: bool) {
        loop {
            // Made before looking: it is woken by every notification from here on.
            let notified = self.quiet.notified();
            let is_quiet = self.with_core(|core| {
                core.finished
                    || !for_good
                        && core.state.is_idle()
                        && self.publishing.load(Ordering::Acquire) == 0
            });
            if is_quiet {
                return;
            }
            notified.await;
        }
    }

    /// Returns how many operations have ended, and takes the list of those that were cut.
    pub(crate) fn take_cut(&self) -> Vec<OperationId> {
        self.with_core(|core| std::mem::take(&mut core.cut))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
