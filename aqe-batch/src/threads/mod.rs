//! Runs on threads: for work that computes.
//!
//! The calling thread starts workers in a scope, so items and operation may borrow, and keeps the time while they
//! work. A worker claims a run of chunks, goes through it chunk by chunk, and writes results where they belong. What it
//! touches for each item is its own: the one shared word that it reads changes with errors only.

mod iterator;
pub(crate) use self::iterator::exact;
mod slice;

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::checkpoint::{Keep, Keeper, Ledger};
use crate::config::BatchConfig;
use crate::error::{ItemError, Stopped};
use crate::meter::Meter;
use crate::policy::{Decision, Policy};
use crate::processor;
use crate::progress::Progress;
use crate::report::FailedItem;
use crate::switch::Switch;
use crate::ticker::Ticker;

/// What there is to do, and how.
pub(crate) trait Work: Sync {
    /// A run of items that one worker has.
    type Claim: Claim;
    /// What an item's operation returns, for the checkpoint.
    type Value;
    type Error: Send;
    /// What a worker gathers.
    type Local: Default + Send;

    /// Claims a run of chunks; `None` when nothing is left.
    fn claim(&self, chunk: usize, workers: usize) -> Option<Self::Claim>;

    /// Runs one item of a claim and puts its result in its place.
    fn run<K: Keep<Self::Value>>(
        &self,
        claim: &mut Self::Claim,
        at: usize,
        local: &mut Self::Local,
        keeper: &mut Keeper<K>,
    ) -> Result<(), Self::Error>;
}

/// Items of a claim are counted from 0; the run knows them by number.
pub(crate) trait Claim {
    fn len(&self) -> usize;
    fn item(&self, at: usize) -> u64;
}

/// Everything that the workers of a run share.
pub(crate) struct Team<'a, W: Work, P, K> {
    pub(crate) work: &'a W,
    pub(crate) config: &'a BatchConfig,
    pub(crate) policy: &'a P,
    pub(crate) switch: &'a Arc<Switch>,
    pub(crate) meters: &'a Arc<[Meter]>,
    pub(crate) ledger: Option<Arc<Ledger<K>>>,
    pub(crate) failed: Mutex<Vec<FailedItem<W::Error>>>,
}

/// How many threads `config` makes: more than there are processors would only take turns.
pub(crate) fn workers(config: &BatchConfig, items: Option<u64>) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let chunks = items.map_or(usize::MAX, |items| {
        let least = config.chunk_bounds().0 as u64;
        usize::try_from(items.div_ceil(least)).unwrap_or(usize::MAX)
    });
    config.concurrency.min(processors).min(chunks).max(1)
}

impl<W, P, K> Team<'_, W, P, K>
where
    W: Work,
    P: Policy<W::Error> + Sync,
    K: Keep<W::Value>,
{
    /// Runs to the end, and gives what each worker has gathered.
    pub(crate) fn run(&self, ticker: &mut Ticker, began: Instant) -> Vec<W::Local> {
        let running = AtomicUsize::new(self.meters.len());
        let every = ticker.every();
        thread::scope(|scope| {
            let mut threads = Vec::with_capacity(self.meters.len());
            let mut refused = None;
            // If a callback panics, the workers stop before the scope waits for them.
            let guard = StopOnUnwind(self.switch);
            for meter in self.meters.iter() {
                let running = &running;
                let worker = move || {
                    let _gone = Gone(running, self.switch);
                    self.work_as(meter)
                };
                let builder = thread::Builder::new().name("aqe-batch".to_owned());
                match builder.spawn_scoped(scope, worker) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        running.fetch_sub(1, Ordering::AcqRel);
                        refused = Some(error);
                    }
                }
            }
            // With fewer threads than asked for the work is done as well, only later.
            if let Some(error) = refused.filter(|_| threads.is_empty()) {
                self.switch.stop(Stopped::Thread(error));
            }
            let works = || running.load(Ordering::Acquire) > 0;
            while works() {
                if self.switch.wait_while_for(every, works) {
                    ticker.tick(began.elapsed());
                }
            }
            std::mem::forget(guard);
            let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
            joined
                .map(|it| it.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    fn work_as(&self, meter: &Meter) -> W::Local {
        let mut worker = Worker {
            team: self,
            meter,
            local: W::Local::default(),
            keeper: Keeper::new(self.ledger.as_ref(), self.meters.len()),
        };
        while worker.wait_for_room()
            && let Some(mut claim) = self.work.claim(self.switch.chunk(), self.meters.len())
        {
            worker.go_through(&mut claim);
        }
        worker.keeper.flush();
        worker.local
    }
}

struct Worker<'a, W: Work, P, K> {
    team: &'a Team<'a, W, P, K>,
    meter: &'a Meter,
    local: W::Local,
    keeper: Keeper<K>,
}

/// Why a stretch of items ended.
enum Ended<E> {
    AtTheEnd,
    Stopped,
    Failed(E),
}

impl<W, P, K> Worker<'_, W, P, K>
where
    W: Work,
    P: Policy<W::Error> + Sync,
    K: Keep<W::Value>,
{
    /// Waits while new chunks have to; whether one may start.
    fn wait_for_room(&self) -> bool {
        let switch = self.team.switch;
        if switch.is_holding() || self.keeper.lags() {
            let waits = || switch.is_holding() || switch.awaits(|| self.keeper.lags());
            switch.wait_while(|| waits() && switch.may_start());
        }
        switch.may_start()
    }

    fn go_through(&mut self, claim: &mut W::Claim) {
        let mut at = 0;
        while at < claim.len() && self.wait_for_room() {
            let end = claim.len().min(at + self.team.switch.chunk());
            while at < end {
                let start = at;
                let ended = self.stretch(claim, &mut at, end);
                self.meter.succeeded((at - start) as u64);
                match ended {
                    Ok(Ended::AtTheEnd) => {}
                    Ok(Ended::Stopped) => return,
                    Ok(Ended::Failed(error)) => {
                        self.settle(claim, at, error);
                        at += 1;
                    }
                    Err(panic) => {
                        self.fail(claim.item(at), ItemError::panicked(&*panic, 1));
                        at += 1;
                    }
                }
            }
        }
    }

    /// Runs items until one does not succeed. `at` is the item that runs, whatever happens to it.
    ///
    /// One guard against panics serves the whole stretch: one for each item would cost more than a small item does.
    fn stretch(
        &mut self,
        claim: &mut W::Claim,
        at: &mut usize,
        end: usize,
    ) -> thread::Result<Ended<W::Error>> {
        let Team { work, switch, .. } = self.team;
        let (local, keeper) = (&mut self.local, &mut self.keeper);
        catch_unwind(AssertUnwindSafe(|| {
            while *at < end {
                if !switch.may_start() {
                    return Ended::Stopped;
                }
                if let Err(error) = work.run(claim, *at, local, keeper) {
                    return Ended::Failed(error);
                }
                *at += 1;
            }
            Ended::AtTheEnd
        }))
    }

    /// Does with an item that failed what the policy says.
    #[cold]
    fn settle(&mut self, claim: &mut W::Claim, at: usize, mut error: W::Error) {
        let item = claim.item(at);
        let retry = &self.team.config.retry;
        let mut attempts = 1;
        loop {
            match self.team.policy.decide(&error, attempts) {
                Decision::Skip if self.team.switch.take_skip() => return self.skip(item),
                Decision::Retry if attempts <= retry.attempts => {}
                _ => return self.fail(item, ItemError::Failed { error, attempts }),
            }
            if !self.pause(retry.delay_after(attempts, fastrand::f64())) {
                return self.fail(item, ItemError::Failed { error, attempts });
            }
            attempts += 1;
            self.meter.retried();
            let (work, local, keeper) = (self.team.work, &mut self.local, &mut self.keeper);
            let attempt = || work.run(claim, at, local, keeper);
            match catch_unwind(AssertUnwindSafe(attempt)) {
                Ok(Ok(())) => return self.meter.succeeded(1),
                Ok(Err(again)) => error = again,
                Err(panic) => return self.fail(item, ItemError::panicked(&*panic, attempts)),
            }
        }
    }

    /// Waits before a retry; whether it may be made.
    fn pause(&self, delay: Duration) -> bool {
        let switch = self.team.switch;
        let until = Instant::now().checked_add(delay);
        loop {
            let left = until.map_or(delay, |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() || !switch.may_start() {
                return switch.may_start();
            }
            switch.wait_while_for(left, || switch.may_start());
        }
    }

    fn skip(&mut self, item: u64) {
        self.meter.skipped();
        self.keeper.skipped(item);
    }

    fn fail(&self, item: u64, error: ItemError<W::Error>) {
        self.meter.failed();
        // Before it is counted: whoever sees that there are too many can see them all.
        self.team.failed.lock().push(FailedItem { item, error });
        self.team.switch.count_error();
    }
}

/// Tells that a worker is gone, however it went.
struct Gone<'a>(&'a AtomicUsize, &'a Switch);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.1.wake();
        }
    }
}

struct StopOnUnwind<'a>(&'a Switch);

impl Drop for StopOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The end of a run on threads.
pub(crate) fn finish<W: Work, P, K>(
    team: Team<'_, W, P, K>,
    ticker: &mut Ticker,
    began: Instant,
    total: Option<u64>,
) -> (Vec<FailedItem<W::Error>>, Progress, Option<Stopped>) {
    let mut failed = team.failed.into_inner();
    failed.sort_by_key(|failed| failed.item);
    let stopped = processor::close(team.ledger, team.switch, failed.is_empty());
    let total = total.filter(|_| stopped.is_none());
    (failed, ticker.finish(began.elapsed(), total), stopped)
}
