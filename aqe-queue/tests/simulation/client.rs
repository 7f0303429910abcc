//! Somebody who uses a queue in every way there is, at random.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, EndedAs, OnDrop, OperationError, OperationHandle,
    OperationId, Priority, RetryPolicy, SharedHandle,
};
use fastrand::Rng;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::body::{attempt, is_fatal};
use crate::plan::{self, Plan};
use crate::verdict::{Ends, judge};
use crate::world::{KEYS, Record, Token, World};

pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) queue: Option<AsyncOperationQueue>,
    plan: Arc<Plan>,
    chance: Rng,
    next: u64,
    /// Handles that nobody polls.
    held: Vec<Watched>,
    /// Handles that are awaited.
    waiting: FuturesUnordered<Watched>,
    submitting: FuturesUnordered<BoxFuture<'static, Option<Watched>>>,
    streams: FuturesUnordered<BoxFuture<'static, ()>>,
    /// The latest that were accepted, wherever their handles are.
    recent: VecDeque<(OperationId, Arc<Record>)>,
    /// Operations of which nobody will say how they ended.
    pub(crate) loose: Vec<Arc<Record>>,
    pub(crate) ends: Ends,
    pub(crate) accepted: usize,
    /// Operations that were given to streams, accepted or not.
    pub(crate) streamed: usize,
    /// What the handles said, in order, for the observer's account.
    pub(crate) heard: Vec<(OperationId, EndedAs)>,
    /// Everything that was heard, in one number.
    pub(crate) trace: u64,
}

/// A handle with what is known of its operation.
pub(crate) enum Watched {
    Own(OperationHandle<u64, u64>, Arc<Record>),
    /// The first of a name.
    First(SharedHandle<u64, u64>, Arc<Record>),
    /// One that joined another's operation.
    Joined(SharedHandle<u64, u64>),
}

/// What a handle has said; nothing is known of an operation that was joined.
type Heard = (
    OperationId,
    Result<u64, OperationError<u64>>,
    Option<Arc<Record>>,
);

impl Future for Watched {
    type Output = Heard;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Heard> {
        let id = self.id();
        match &mut *self {
            Self::Own(handle, record) => handle
                .poll_unpin(cx)
                .map(|result| (id, result, Some(Arc::clone(record)))),
            Self::First(handle, record) => handle
                .poll_unpin(cx)
                .map(|result| (id, result, Some(Arc::clone(record)))),
            Self::Joined(handle) => handle.poll_unpin(cx).map(|result| (id, result, None)),
        }
    }
}

impl Watched {
    fn id(&self) -> OperationId {
        match self {
            Self::Own(handle, _) => handle.id(),
            Self::First(handle, _) | Self::Joined(handle) => handle.id(),
        }
    }
}

/// Sets what is not as the queue has it, and submits in one of four ways.
macro_rules! submit {
    ($client:ident, $submission:expr, $record:ident, $terms:ident) => {{
        let mut submission = $submission.priority($terms.priority).weight($terms.weight);
        if let Some(timeout) = $terms.timeout {
            submission = submission.timeout(timeout);
        }
        if let Some(deadline) = $record.deadline {
            submission = submission.deadline($client.world.instant(deadline));
        }
        if let Some(key) = $record.key {
            submission = submission.key(format!("key {key}"));
        }
        if let Some(policy) = $terms.retry {
            submission = submission.retry(policy);
        }
        if $record.is_picky {
            submission = submission.retry_if(|error| error % 2 == 0);
        }
        if $record.is_defective {
            submission = submission.retry_after(|error| {
                assert!(!is_fatal(*error), "{}, in a hook", crate::body::ON_PURPOSE);
                (error % 3 == 0).then(|| Duration::from_micros(error % 1_000))
            });
        }
        if let Some(policy) = $terms.on_drop {
            submission = submission.on_drop(policy);
        }
        let record = Arc::clone(&$record);
        match ($terms.name, $terms.waits) {
            (None, false) => match submission.try_submit() {
                Ok(handle) => Some(Watched::Own(handle, record)),
                Err(error) => {
                    drop(error.into_operation());
                    None
                }
            },
            (None, true) => {
                let submit = submission.submit();
                $client
                    .submitting
                    .push(async move { Some(Watched::Own(submit.await.ok()?, record)) }.boxed());
                None
            }
            (Some(name), false) => match submission.unique(name).try_submit() {
                Ok(handle) if handle.has_joined() => Some(Watched::Joined(handle)),
                Ok(handle) => Some(Watched::First(handle, record)),
                Err(error) => {
                    drop(error.into_operation());
                    None
                }
            },
            (Some(name), true) => {
                let submit = submission.unique(name).submit();
                let submit = async move {
                    let handle = submit.await.ok()?;
                    Some(if handle.has_joined() {
                        Watched::Joined(handle)
                    } else {
                        Watched::First(handle, record)
                    })
                };
                $client.submitting.push(submit.boxed());
                None
            }
        }
    }};
}

/// What a submission says about its operation that the operation need not know.
struct Terms {
    priority: Priority,
    weight: u64,
    timeout: Option<Option<Duration>>,
    retry: Option<RetryPolicy>,
    on_drop: Option<OnDrop>,
    name: Option<&'static str>,
    waits: bool,
}

impl Client {
    pub(crate) fn new(
        world: &Arc<World>,
        queue: &AsyncOperationQueue,
        plan: &Arc<Plan>,
        seed: u64,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            queue: Some(queue.clone()),
            plan: Arc::clone(plan),
            chance: Rng::with_seed(seed),
            next: 0,
            held: Vec::new(),
            waiting: FuturesUnordered::new(),
            submitting: FuturesUnordered::new(),
            streams: FuturesUnordered::new(),
            recent: VecDeque::new(),
            loose: Vec::new(),
            ends: Ends::default(),
            accepted: 0,
            streamed: 0,
            heard: Vec::new(),
            trace: seed,
        }
    }

    /// Uses the queue until it has accepted so many operations.
    pub(crate) async fn run(&mut self, operations: usize) {
        let mut steps = 0;
        while self.accepted < operations && self.world.faults().is_none() {
            self.step().await;
            self.harvest();
            steps += 1;
            // Of real time nobody knows how many steps it is.
            let patience = if self.world.is_exact { 100 } else { 100_000 };
            if steps > 1_000 + patience * operations {
                self.world.fault("the queue accepts nothing any more");
            }
        }
        if !self.world.is_exact {
            // A submitter that has been promised a place and does not come for it keeps it from the other clients.
            self.submitting.clear();
            self.streams.clear();
        }
    }

    async fn step(&mut self) {
        match self.chance.u8(0..24) {
            0..=8 => {
                for _ in 0..self.chance.u8(1..24) {
                    if !self.offer() {
                        break;
                    }
                }
            }
            9..=11 => tokio::task::yield_now().await,
            12..=14 => self.pass_time().await,
            15 | 16 => self.cancel(),
            17 => self.let_go(),
            18 => self.reorder(),
            19 => self.world.wake_all(),
            20 => self.check(),
            21 => self.control(),
            22 => self.resume(),
            _ => self.stream(),
        }
    }

    async fn pass_time(&mut self) {
        if self.world.is_exact {
            tokio::time::sleep(Duration::from_micros(self.chance.u64(0..6_000))).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    /// Makes an operation of some kind.
    fn record(&mut self) -> (Record, Terms) {
        let (plan, chance) = (&*self.plan, &mut self.chance);
        let config = &plan.config;
        self.next += 1;
        let level = chance.u8(0..config.priority_levels);
        let mut record = Record::new(self.next, chance.u64(..), level);
        let mut roll = |percent| chance.u8(0..100) < percent;
        let (keyed, named, overdue, heavy) = (
            roll(plan.keyed),
            roll(plan.unique),
            roll(plan.overdue),
            roll(plan.heavy),
        );
        record.key = keyed.then(|| chance.usize(0..KEYS));
        record.is_picky = chance.u8(0..8) == 0;
        record.is_defective = chance.u8(0..8) == 0;
        let unit = if self.world.is_exact { 1_000 } else { 50 };
        let timeout = match chance.u8(0..8) {
            0 => Some(None),
            1 => Some(Some(Duration::from_micros(chance.u64(0..40) * unit))),
            _ => None,
        };
        record.timeout = timeout.unwrap_or(config.timeout);
        if overdue {
            record.deadline = Some(self.world.now() + chance.u64(0..60) * unit * 1_000);
        }
        let retry = (chance.u8(0..4) == 0).then(|| plan::retry(chance, self.world.is_exact));
        record.retries = retry.unwrap_or_else(|| config.retry_policy()).attempts;
        let policies = [OnDrop::Cancel, OnDrop::CancelIfQueued, OnDrop::Detach];
        let terms = Terms {
            // Now and then a level that does not exist.
            priority: match chance.u8(..) {
                0 => Priority::Level(config.priority_levels),
                _ => Priority::Level(level),
            },
            weight: if heavy { chance.u64(0..600) } else { 0 },
            timeout,
            retry,
            on_drop: (chance.u8(0..4) == 0).then(|| policies[chance.usize(0..3)]),
            name: named.then(|| ["first", "second", "third"][chance.usize(0..3)]),
            waits: self.submitting.len() < 32 && chance.u8(0..8) == 0,
        };
        (record, terms)
    }

    /// Submits an operation. Returns whether the queue has room for more.
    fn offer(&mut self) -> bool {
        let Some(queue) = self.queue.clone() else {
            return false;
        };
        let (mut record, terms) = self.record();
        let (world, token) = (Arc::clone(&self.world), Token::new(&self.world));
        let watched = if self.chance.u8(0..4) == 0 {
            record.retries = 0;
            let record = Arc::new(record);
            let body = attempt(&world, &record, None);
            let future = async move {
                let _token = token;
                body.await
            };
            submit!(self, queue.future(future), record, terms)
        } else {
            let record = Arc::new(record);
            let for_body = Arc::clone(&record);
            let factory = move |cx| {
                let _token = &token;
                attempt(&world, &for_body, Some(&cx))
            };
            submit!(self, queue.operation(factory), record, terms)
        };
        let has_room = watched.is_some() || terms.waits;
        if let Some(watched) = watched {
            self.accept(watched);
        }
        has_room
    }

    /// Takes a handle: to poll it, to keep it, or to drop it.
    fn accept(&mut self, watched: Watched) {
        if let Watched::Own(_, record) | Watched::First(_, record) = &watched {
            self.accepted += 1;
            self.recent.push_back((watched.id(), Arc::clone(record)));
            if self.recent.len() > 64 {
                self.recent.pop_front();
            }
        }
        match self.chance.u8(0..16) {
            0..=9 => self.waiting.push(watched),
            10..=14 => self.held.push(watched),
            _ => self.forget(watched),
        }
        if self.held.len() > 256 {
            let index = self.chance.usize(0..self.held.len());
            let watched = self.held.swap_remove(index);
            self.waiting.push(watched);
        }
    }

    /// Drops a handle.
    fn forget(&mut self, watched: Watched) {
        match watched {
            Watched::Own(handle, record) => {
                if self.chance.bool() {
                    handle.detach();
                }
                self.loose.push(record);
            }
            Watched::First(_, record) => self.loose.push(record),
            Watched::Joined(_) => {}
        }
    }

    fn let_go(&mut self) {
        if !self.held.is_empty() {
            let index = self.chance.usize(0..self.held.len());
            let watched = self.held.swap_remove(index);
            self.forget(watched);
        }
        // A submitter that gives up has submitted nothing.
        if self.chance.u8(0..4) == 0 {
            self.submitting.clear();
        }
        if self.chance.u8(0..16) == 0 {
            self.streams.clear();
        }
    }

    fn cancel(&mut self) {
        if self.chance.bool() && !self.held.is_empty() {
            let index = self.chance.usize(0..self.held.len());
            let (has, record) = match &self.held[index] {
                Watched::Own(handle, record) if self.chance.bool() => (handle.cancel(), record),
                Watched::Own(handle, record) => (handle.canceller().cancel(), record),
                Watched::First(handle, record) => (handle.cancel(), record),
                Watched::Joined(_) => return,
            };
            record.was_asked.fetch_or(has, Ordering::SeqCst);
        } else if !self.recent.is_empty() {
            let (id, record) = &self.recent[self.chance.usize(0..self.recent.len())];
            let has = self.queue.as_ref().is_some_and(|queue| queue.cancel(*id));
            record.was_asked.fetch_or(has, Ordering::SeqCst);
        }
    }

    fn reorder(&mut self) {
        let level = self.chance.u8(0..self.plan.config.priority_levels);
        let priority = Priority::Level(level);
        let (moved, record) = if self.chance.bool() && !self.held.is_empty() {
            match &self.held[self.chance.usize(0..self.held.len())] {
                Watched::Own(handle, record) => (handle.set_priority(priority), record),
                _ => return,
            }
        } else if let Some(queue) = &self.queue
            && !self.recent.is_empty()
        {
            let (id, record) = &self.recent[self.chance.usize(0..self.recent.len())];
            (queue.set_priority(*id, priority), record)
        } else {
            return;
        };
        if moved == Ok(true) {
            record.level.store(level, Ordering::SeqCst);
        }
    }

    fn control(&mut self) {
        let Some(queue) = &self.queue else { return };
        match self.chance.u8(0..16) {
            0..=3 => queue.pause(),
            4..=6 => queue.pause_admission(),
            7 => {
                self.world.was_cleared.store(true, Ordering::SeqCst);
                queue.clear();
            }
            _ if self.plan.resizes => {
                let most = self.plan.config.max_concurrent;
                self.world.resize(queue, self.chance.usize(1..=most));
            }
            _ => {}
        }
    }

    fn resume(&self) {
        if let Some(queue) = &self.queue {
            queue.resume();
            queue.resume_admission();
        }
    }

    /// Checks that the counters of a queue in full swing add up and its limits are kept.
    fn check(&self) {
        let Some(queue) = &self.queue else { return };
        let (world, config) = (&self.world, &self.plan.config);
        let status = queue.status();
        let in_queue = status.pending + status.running + status.waiting_for_retry;
        let levels: usize = status.levels.iter().map(|level| level.pending).sum();
        let waiting = status.pending + status.waiting_for_retry;
        let checks = [
            status.submitted == in_queue as u64 + Ends::of(&status).sum(),
            levels == status.pending,
            status.running <= world.ceiling(),
            waiting <= config.capacity + config.max_concurrent,
            config
                .capacity_bytes
                .is_none_or(|capacity| status.bytes <= capacity),
            !world.is_exact || world.alive() <= status.running,
        ];
        if let Some(failed) = checks.iter().position(|holds| !holds) {
            world.fault(format_args!("check {failed} of {status:?}"));
        }
        if world.is_exact {
            world.lower_ceiling(status.running);
        }
    }

    /// Runs some operations as a stream, beside everything else.
    fn stream(&mut self) {
        let Some(queue) = self.queue.clone() else {
            return;
        };
        if self.streams.len() > 4 {
            return;
        }
        let (world, plan) = (Arc::clone(&self.world), Arc::clone(&self.plan));
        let count = self.chance.usize(1..60);
        let records: Vec<_> = (0..count)
            .map(|_| {
                let (mut record, terms) = self.record();
                (record.key, record.deadline, record.retries) = (None, None, 0);
                record.timeout = plan.config.timeout;
                (record.is_picky, record.is_defective) = (false, false);
                (Arc::new(record), terms.weight)
            })
            .collect();
        self.streamed += count;
        self.loose
            .extend(records.iter().map(|(record, _)| Arc::clone(record)));
        let (window, is_ordered) = (self.chance.usize(1..40), self.chance.bool());
        let stream = async move {
            let submissions = records.clone().into_iter().map(|(record, weight)| {
                let (token, body) = (Token::new(&world), attempt(&world, &record, None));
                let future = async move {
                    let _token = token;
                    body.await
                };
                let level = record.level.load(Ordering::SeqCst);
                queue
                    .future(future)
                    .weight(weight)
                    .priority(Priority::Level(level))
            });
            let mut results = queue.run_all(submissions).window(window);
            let mut heard = 0;
            if is_ordered {
                let mut results = results.ordered();
                while let Some(result) = results.next().await {
                    let record = &records[heard].0;
                    if was_accepted(&result) {
                        judge(&world, &plan.config, record, &result);
                    }
                    heard += 1;
                }
            } else {
                while results.next().await.is_some() {
                    heard += 1;
                }
            }
            if heard != records.len() {
                let count = records.len();
                world.fault(format_args!("a stream of {count} gave {heard} results"));
            }
        };
        self.streams.push(stream.boxed());
    }

    /// Hears what the handles, submitters and streams that were woken have to say.
    pub(crate) fn harvest(&mut self) {
        while let Some(Some(())) = self.streams.next().now_or_never() {}
        while let Some(Some(watched)) = self.submitting.next().now_or_never() {
            if let Some(watched) = watched {
                self.accept(watched);
            }
        }
        while let Some(Some((id, result, record))) = self.waiting.next().now_or_never() {
            self.hear(id, &result, record.as_deref());
        }
    }

    fn hear(
        &mut self,
        id: OperationId,
        result: &Result<u64, OperationError<u64>>,
        record: Option<&Record>,
    ) {
        let Some(record) = record else { return };
        let how = judge(&self.world, &self.plan.config, record, result);
        self.ends.count(how);
        if self.plan.is_observed {
            self.heard.push((id, how));
        }
        let what = (self.ends.as_array(), record.number, record.attempts());
        self.trace = fold(self.trace, &what);
    }

    /// Waits for everything from now on, as far as there is something to wait for.
    pub(crate) fn wait_for_all(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.waiting.extend(held);
    }

    /// Lets go of the queue.
    pub(crate) fn release(&mut self) {
        self.queue = None;
        self.streams.clear();
    }

    /// How many handles, submitters and streams have not been heard of.
    pub(crate) fn outstanding(&self) -> usize {
        self.held.len() + self.waiting.len() + self.submitting.len() + self.streams.len()
    }
}

/// Whether a result of a stream can be that of an operation that the queue has had.
const fn was_accepted(result: &Result<u64, OperationError<u64>>) -> bool {
    !matches!(
        result,
        Err(OperationError::Refused { .. }
            | OperationError::Cancelled {
                reason: CancelReason::Shutdown,
                attempts: 0
            })
    )
}

fn fold(trace: u64, what: &impl std::hash::Hash) -> u64 {
    use std::hash::Hasher;

    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(trace);
    what.hash(&mut hasher);
    hasher.finish()
}
