//! What a simulation knows about its operations, from inside their bodies.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::Waker;
use std::time::Duration;

use aqe_queue::{AsyncOperationQueue, KeyLimits};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How many keys operations share.
pub(crate) const KEYS: usize = 6;

/// The most levels that a simulated queue has.
pub(crate) const LEVELS: usize = 6;

/// What the bodies of one queue share. Everything is sequentially consistent: this is the measure, not the measured.
pub(crate) struct World {
    /// Whether time is paused and one thread does everything, so that what happens is known to the nanosecond.
    pub(crate) is_exact: bool,
    began: Instant,
    alive: AtomicUsize,
    /// No more than this many bodies may be alive: the limit or, after it was lowered, what ran then and still runs.
    ceiling: AtomicUsize,
    /// What the limit was last set to. One that finds itself may be lower, and grow up to this at any moment.
    limit: AtomicUsize,
    levels: [AtomicUsize; LEVELS],
    /// Slots that only this level and more urgent ones may use; and the limit that they are part of.
    reserved: Option<([usize; LEVELS], usize)>,
    keys: [Mutex<Key>; KEYS],
    key_limits: KeyLimits,
    /// Things that were given to the queue and have not been dropped.
    bodies: AtomicUsize,
    pub(crate) queue: Mutex<Option<AsyncOperationQueue>>,
    /// Left by operations that wait to be woken; some of them are over when it happens.
    pub(crate) wakers: Mutex<Vec<Waker>>,
    pub(crate) was_cleared: AtomicBool,
    pub(crate) is_closing: AtomicBool,
    faults: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Key {
    alive: usize,
    /// The theoretical arrival time of the generic cell rate algorithm.
    expected: u64,
}

/// One operation: what it is to do, and what it has done.
pub(crate) struct Record {
    pub(crate) number: u64,
    /// Decides what each attempt does.
    pub(crate) seed: u64,
    pub(crate) key: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    /// Nanoseconds since the start of the world.
    pub(crate) deadline: Option<u64>,
    /// Attempts after the first that its policy allows.
    pub(crate) retries: u32,
    /// Even errors only are worth a retry.
    pub(crate) is_picky: bool,
    /// The hook for the delay panics at some errors.
    pub(crate) is_defective: bool,
    pub(crate) level: AtomicU8,
    /// Somebody was told that it will be cancelled.
    pub(crate) was_asked: AtomicBool,
    attempts: AtomicU32,
    is_alive: AtomicBool,
    /// A [`Did`].
    did: AtomicU8,
    /// When the present attempt began.
    since: AtomicU64,
}

/// What the latest attempt of an operation has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Nothing,
    Runs,
    Succeeded,
    Failed,
    Panicked,
    /// It was dropped before it came to an end.
    Dropped,
}

impl World {
    pub(crate) fn new(
        is_exact: bool,
        limit: usize,
        reserved: Option<[usize; LEVELS]>,
        key_limits: KeyLimits,
    ) -> Arc<Self> {
        Arc::new(Self {
            is_exact,
            began: Instant::now(),
            alive: AtomicUsize::new(0),
            ceiling: AtomicUsize::new(limit),
            limit: AtomicUsize::new(limit),
            levels: Default::default(),
            reserved: reserved.map(|slots| (slots, limit)),
            keys: Default::default(),
            key_limits,
            bodies: AtomicUsize::new(0),
            queue: Mutex::new(None),
            wakers: Mutex::new(Vec::new()),
            was_cleared: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
            faults: Mutex::new(Vec::new()),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn instant(&self, nanos: u64) -> std::time::Instant {
        (self.began + Duration::from_nanos(nanos)).into_std()
    }

    /// Notes that something is not as it should be.
    pub(crate) fn fault(&self, what: impl fmt::Display) {
        let mut faults = self.faults.lock();
        // The first ones tell the story.
        if faults.len() < 8 {
            faults.push(what.to_string());
        }
    }

    pub(crate) fn faults(&self) -> Option<String> {
        let faults = self.faults.lock();
        (!faults.is_empty()).then(|| faults.join("\n  "))
    }

    pub(crate) fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn bodies(&self) -> usize {
        self.bodies.load(Ordering::SeqCst)
    }

    pub(crate) fn ceiling(&self) -> usize {
        self.ceiling.load(Ordering::SeqCst)
    }

    /// Changes the limit of the queue. What runs above a lower one goes on, and nothing may start beside it.
    pub(crate) fn resize(&self, queue: &AsyncOperationQueue, limit: usize) {
        if self.is_exact {
            self.limit.store(limit, Ordering::SeqCst);
            self.lower_ceiling(queue.status().running);
        }
        if let Err(error) = queue.resize(limit) {
            self.fault(error);
        }
    }

    /// Takes note of how many run.
    pub(crate) fn lower_ceiling(&self, running: usize) {
        let limit = self.limit.load(Ordering::SeqCst);
        let ceiling = limit.max(self.ceiling().min(running));
        self.ceiling.store(ceiling, Ordering::SeqCst);
    }

    /// Wakes whoever has left a waker.
    pub(crate) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn begin_in_level(&self, level: usize) {
        self.levels[level].fetch_add(1, Ordering::SeqCst);
        let Some((reserved, limit)) = &self.reserved else {
            return;
        };
        for low in 0..=level {
            let closed: usize = reserved[..low].iter().sum();
            let as_low: usize = self.levels[low..]
                .iter()
                .map(|alive| alive.load(Ordering::SeqCst))
                .sum();
            let most = limit.saturating_sub(closed).max(1);
            if as_low > most {
                self.fault(format_args!(
                    "{as_low} of level {low} and below run where {most} may"
                ));
            }
        }
    }

    fn begin_with_key(&self, key: usize) {
        let now = self.now();
        let mut key = self.keys[key].lock();
        key.alive += 1;
        if key.alive > self.key_limits.max_concurrent {
            self.fault(format_args!("{} run with one key", key.alive));
        }
        // A thread may be held up between the queue's look at the time and this one.
        let Some(rate) = self.key_limits.rate.filter(|_| self.is_exact) else {
            return;
        };
        let gap = rate.per.as_nanos() as u64 / u64::from(rate.starts);
        let tolerance = gap * u64::from(rate.burst - 1);
        if now + tolerance < key.expected {
            self.fault(format_args!(
                "a start with a key, {} ns too early",
                key.expected - now - tolerance
            ));
        }
        key.expected = key.expected.max(now) + gap;
    }
}

impl Record {
    pub(crate) fn new(number: u64, seed: u64, level: u8) -> Self {
        Self {
            number,
            seed,
            key: None,
            timeout: None,
            deadline: None,
            retries: 0,
            is_picky: false,
            is_defective: false,
            level: AtomicU8::new(level),
            was_asked: AtomicBool::new(false),
            attempts: AtomicU32::new(0),
            is_alive: AtomicBool::new(false),
            did: AtomicU8::new(Did::Nothing as u8),
            since: AtomicU64::new(0),
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::SeqCst)
    }

    pub(crate) fn did(&self) -> Did {
        const ALL: [Did; 6] = [
            Did::Nothing,
            Did::Runs,
            Did::Succeeded,
            Did::Failed,
            Did::Panicked,
            Did::Dropped,
        ];
        ALL[usize::from(self.did.load(Ordering::SeqCst))]
    }

    fn set_did(&self, did: Did) {
        self.did.store(did as u8, Ordering::SeqCst);
    }

    /// How long the latest attempt has been running, or ran until now.
    pub(crate) fn lasted(&self, world: &World) -> Duration {
        Duration::from_nanos(world.now() - self.since.load(Ordering::SeqCst))
    }
}

/// Kept by what the queue is given, whatever becomes of it.
pub(crate) struct Token(Arc<World>);

impl Token {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        world.bodies.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(world))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An attempt, from its first moment until it is dropped.
pub(crate) struct Life {
    pub(crate) world: Arc<World>,
    pub(crate) record: Arc<Record>,
    level: usize,
}

impl Life {
    /// Checks all that must be true when an attempt begins.
    pub(crate) fn begin(world: Arc<World>, record: Arc<Record>) -> Self {
        let number = record.number;
        if record.is_alive.swap(true, Ordering::SeqCst) {
            world.fault(format_args!(
                "operation {number} runs twice at the same time"
            ));
        }
        let did = record.did();
        if !matches!(did, Did::Nothing | Did::Failed | Did::Dropped) {
            world.fault(format_args!("operation {number} begins after it {did:?}"));
        }
        if record.attempts.fetch_add(1, Ordering::SeqCst) > record.retries {
            world.fault(format_args!("operation {number} begins too often"));
        }
        let now = world.now();
        if world.is_exact
            && record
                .deadline
                .is_some_and(|deadline| deadline + SLACK < now)
        {
            world.fault(format_args!("operation {number} begins after its deadline"));
        }
        record.set_did(Did::Runs);
        record.since.store(now, Ordering::SeqCst);

        let alive = world.alive.fetch_add(1, Ordering::SeqCst) + 1;
        let ceiling = world.ceiling();
        if alive > ceiling {
            world.fault(format_args!("{alive} run where {ceiling} may"));
        }
        let level = usize::from(record.level.load(Ordering::SeqCst));
        world.begin_in_level(level);
        if let Some(key) = record.key {
            world.begin_with_key(key);
        }
        Self {
            world,
            record,
            level,
        }
    }

    /// Says what the attempt has done.
    pub(crate) fn end(&self, did: Did) {
        let (record, world) = (&self.record, &self.world);
        if world.is_exact
            && let Some(timeout) = record.timeout
            && record.lasted(world) > timeout + Duration::from_nanos(SLACK)
        {
            world.fault(format_args!(
                "operation {} ran for {:?} with a timeout of {timeout:?}",
                record.number,
                record.lasted(world)
            ));
        }
        record.set_did(did);
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let (record, world) = (&self.record, &self.world);
        if record.did() == Did::Runs {
            record.set_did(Did::Dropped);
        }
        if let Some(key) = record.key {
            world.keys[key].lock().alive -= 1;
        }
        world.levels[self.level].fetch_sub(1, Ordering::SeqCst);
        world.alive.fetch_sub(1, Ordering::SeqCst);
        record.is_alive.store(false, Ordering::SeqCst);
    }
}

/// How late a timer may be: tokio's count milliseconds and round up, once for the queue's and once for the body's.
pub(crate) const SLACK: u64 = 2_000_001;
