//! Runs on the tokio runtime: for work that waits.
//!
//! A run is a few [lanes](lane), one task for each thread of the runtime at most, and a coordinator that waits for them and
//! keeps the time. The coordinator is the caller's own future, or a task where the outcomes are a stream.

mod context;
mod lane;
mod outbox;
mod ready;
mod source;
mod stream;

use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

pub use self::context::{ItemContext, Rest};
pub use self::source::{FromStream, IntoItems, Items, Iterated, from_stream};
pub use self::stream::{BatchStream, Outcome};

use self::context::Link;
use self::lane::{Common, Lane, Sink};
use self::outbox::Outbox;
use self::source::Feed;
use self::stream::Ended;
use crate::checkpoint::{ByCodec, Keep, Keeper, Ledger, NoResult};
use crate::codec::Codec;
use crate::error::{BatchError, Stopped};
use crate::log::done::DoneSet;
use crate::policy::Policy;
use crate::processor::{self, Job, Opened};
use crate::report::{BatchReport, FailedItem, Gathered, Results};
use crate::switch::Switch;
use crate::threads::exact;
use crate::ticker::Ticker;

/// A stream's window is this many times the items that may be in flight.
const WINDOW_FACTOR: u64 = 2;

impl<P, C> Job<P, C> {
    /// Runs `operation` for every item, on the runtime, and collects the results in the order of the items.
    ///
    /// Up to [`concurrency`](crate::BatchConfig::concurrency) chunks of items are in flight at once. The items are those of
    /// an iterator, or of a stream in [`from_stream`](crate::from_stream); they are taken as they are needed. To resume from
    /// a checkpoint, the source must give the same items in the same order. Items are cloned only if they may be
    /// [tried again](crate::BatchConfig::retry).
    ///
    /// ```
    /// use aqe_batch::{BatchConfig, BatchProcessor};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let double = |item: u64, _| async move { Ok::<_, std::convert::Infallible>(item * 2) };
    /// let report = processor.job("double").run(0..1_000, double).await?;
    /// assert_eq!(report.results.get(21), Some(&42));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// If the runtime has no timer, or if the source of the items or a progress callback panics. An item that panics fails
    /// alone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the items that run and the results that it has; what was finished is in the checkpoint,
    /// which another run can have as soon as the runtime has dropped the tasks. [`cancel`](Self::cancel) is the way to
    /// end a run and keep its report.
    pub async fn run<S, T, E, F, Fut>(
        mut self,
        items: S,
        operation: F,
    ) -> Result<BatchReport<T, E>, BatchError<T, E>>
    where
        S: IntoItems<Items: Send + 'static>,
        S::Item: Clone + Send + 'static,
        F: Fn(S::Item, ItemContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        P: Policy<E> + Send + Sync + 'static,
        C: Codec<T> + Clone + Send + Sync + 'static,
    {
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        collect(self, items.into_items(), operation, keep, Sink::Collect).await
    }

    /// Runs `operation` for every item, on the runtime, and keeps no results: memory does not grow with the number of
    /// items. Otherwise as [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_each<S, E, F, Fut>(
        mut self,
        items: S,
        operation: F,
    ) -> Result<BatchReport<(), E>, BatchError<(), E>>
    where
        S: IntoItems<Items: Send + 'static>,
        S::Item: Clone + Send + 'static,
        F: Fn(S::Item, ItemContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
        P: Policy<E> + Send + Sync + 'static,
        C: Send + 'static,
    {
        self.depend_on_form("no results");
        collect(self, items.into_items(), operation, NoResult, Sink::Drop).await
    }

    /// Runs `operation` for every item, on the runtime, and gives the outcomes as a stream, as items end or
    /// [in their order](BatchStream::ordered). A consumer that is slow makes new chunks wait.
    ///
    /// The results of earlier runs come from the checkpoint and are
    /// [marked](Outcome::is_restored), so that the stream of a resumed run is that of an uninterrupted one. An item is done
    /// when it has ended, not when the consumer has its outcome.
    ///
    /// ```
    /// use aqe_batch::{BatchConfig, BatchProcessor};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let double = |item: u64, _| async move { Ok::<_, std::convert::Infallible>(item * 2) };
    /// let mut outcomes = processor.job("double").stream(0..1_000, double).await?.ordered();
    /// let mut expected = 0;
    /// while let Some(outcome) = outcomes.next().await {
    ///     assert_eq!(outcome.result, Ok(expected * 2));
    ///     expected += 1;
    /// }
    /// assert_eq!(outcomes.finish().await?.progress.done, 1_000);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// A [`BatchError`] when the run cannot begin. How it ended is told by [`BatchStream::finish`].
    ///
    /// # Panics
    ///
    /// If the runtime has no timer.
    ///
    /// # Cancel safety
    ///
    /// Nothing has been started if this future is dropped before it is ready.
    pub async fn stream<S, T, E, F, Fut>(
        mut self,
        items: S,
        operation: F,
    ) -> Result<BatchStream<T, E>, BatchError<(), E>>
    where
        S: IntoItems<Items: Send + 'static>,
        S::Item: Clone + Send + 'static,
        F: Fn(S::Item, ItemContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        P: Policy<E> + Send + Sync + 'static,
        C: Codec<T> + Clone + Send + Sync + 'static,
    {
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        let chunk = self.config.chunk_bounds().1 as u64;
        let window = chunk * self.config.concurrency as u64 * WINDOW_FACTOR;
        let outbox = Arc::new(Outbox::new(window));
        let sink = Sink::Stream(Arc::clone(&outbox));
        let run = begin(self, items.into_items(), operation, keep, sink)
            .await
            .map_err(|stopped| BatchError::new(stopped, BatchReport::default()))?;
        let (run, mut restored, skipped) = run;
        restored.sort_by_key(|(item, _)| *item);
        let switch = Arc::clone(&run.common.switch);
        let closing = CloseOnDrop(Arc::clone(&outbox));
        let run = tokio::spawn(async move {
            let _closing = closing;
            let (_, report, stopped) = run.finish().await;
            (report, stopped) as Ended<E>
        });
        Ok(BatchStream {
            switch,
            outbox,
            taken: std::collections::VecDeque::new(),
            restored: restored.into(),
            skipped,
            order: None,
            run,
        })
    }
}

/// However the run ends, its consumer is told.
struct CloseOnDrop<T, E>(Arc<Outbox<T, E>>);

impl<T, E> Drop for CloseOnDrop<T, E> {
    fn drop(&mut self) {
        self.0.close();
    }
}

async fn collect<P, C, S, T, E, F, Fut, K>(
    job: Job<P, C>,
    items: S,
    operation: F,
    keep: K,
    sink: Sink<T, E>,
) -> Result<BatchReport<T, E>, BatchError<T, E>>
where
    S: Items<Item: Clone + Send + 'static> + Send + 'static,
    F: Fn(S::Item, ItemContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    P: Policy<E> + Send + Sync + 'static,
    K: Keep<T> + 'static,
{
    let (run, restored, _) = begin(job, items, operation, keep, sink)
        .await
        .map_err(|stopped| BatchError::new(stopped, BatchReport::default()))?;
    let (mut parts, report, stopped) = run.finish().await;
    let mut earlier = Gathered::default();
    earlier.extend(restored);
    parts.push(earlier);
    let report = BatchReport {
        results: Results::of_parts(parts),
        failed: report.failed,
        progress: report.progress,
    };
    match stopped {
        None => Ok(report),
        Some(stopped) => Err(BatchError::new(stopped, report)),
    }
}

/// A run that has begun.
struct Run<S, F, P, T, E, K> {
    common: Arc<Common<S, F, P, T, E>>,
    lanes: JoinSet<Gathered<T>>,
    ledger: Option<Arc<Ledger<K>>>,
    ticker: Ticker,
    interval: Interval,
    began: Instant,
}

type Begun<S, F, P, T, E, K> = (Run<S, F, P, T, E, K>, Vec<(u64, T)>, DoneSet);

/// Opens the checkpoint and starts the lanes.
async fn begin<P, C, S, T, E, F, Fut, K>(
    mut job: Job<P, C>,
    items: S,
    operation: F,
    keep: K,
    sink: Sink<T, E>,
) -> Result<Begun<S, F, P, T, E, K>, Stopped>
where
    S: Items<Item: Clone + Send + 'static> + Send + 'static,
    F: Fn(S::Item, ItemContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    P: Policy<E> + Send + Sync + 'static,
    K: Keep<T> + 'static,
{
    let Ok(runtime) = Handle::try_current() else {
        return Err(Stopped::NoRuntime);
    };
    let began = Instant::now();
    let (switch, running) = job.begin()?;
    let total = exact(items.size_hint());
    let opened = open(&mut job, keep, &switch).await?;
    let before = opened.before();
    let concurrency = job.config.concurrency;
    let lanes = concurrency.min(runtime.metrics().num_workers());
    let meters = processor::meters(lanes);
    let ticker = job.ticker(&switch, &meters, before, total);
    let common = Arc::new(Common {
        feed: Mutex::new(Feed::new(items, opened.done, switch.waiters())),
        operation,
        policy: job.policy,
        retry: job.config.retry,
        switch,
        failed: Mutex::default(),
        sink,
    });
    running.has_workers();
    let mut tasks = JoinSet::new();
    for at in 0..lanes {
        let link = Link::new(&common.switch, &meters, at);
        let keeper = Keeper::new(opened.ledger.as_ref(), lanes);
        // The chunks that may be in flight, as evenly as they can be shared.
        let share = concurrency / lanes + usize::from(at < concurrency % lanes);
        tasks.spawn(Lane::new(Arc::clone(&common), link, keeper, share, running.clone()).run());
    }
    let mut interval = tokio::time::interval_at(began + ticker.every(), ticker.every());
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let run = Run {
        common,
        lanes: tasks,
        ledger: opened.ledger,
        ticker,
        interval,
        began,
    };
    Ok((run, opened.restored, opened.skipped))
}

/// Opens the checkpoint where reading a file holds up nobody.
async fn open<P, C, T, K>(
    job: &mut Job<P, C>,
    keep: K,
    switch: &Arc<Switch>,
) -> Result<Opened<T, K>, Stopped>
where
    T: Send + 'static,
    K: Keep<T> + 'static,
{
    let interval = job.config.checkpoint_interval;
    let identity = job.identity.clone();
    let Some(checkpoint) = job.checkpoint.take() else {
        return processor::open(None, identity, None, keep, interval, switch);
    };
    let switch = Arc::clone(switch);
    let open = move || processor::open(Some(checkpoint), identity, None, keep, interval, &switch);
    joined(tokio::task::spawn_blocking(open).await).unwrap_or(Err(Stopped::RuntimeGone))
}

/// What a task returned; `None` if the runtime has dropped it. Its panic goes on here.
fn joined<T>(result: Result<T, JoinError>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

impl<S, F, P, T, E, K> Run<S, F, P, T, E, K>
where
    S: Items,
    T: Send + 'static,
    E: Send + 'static,
    K: Send + Sync + 'static,
{
    /// Waits for the lanes, closes the checkpoint, and gives what there is.
    async fn finish(mut self) -> (Vec<Gathered<T>>, BatchReport<(), E>, Option<Stopped>) {
        let mut gathered = Vec::new();
        while let Some(lane) = std::future::poll_fn(|cx| self.poll_lane(cx)).await {
            match joined(lane) {
                Some(lane) => gathered.push(lane),
                None => self.common.switch.stop(Stopped::RuntimeGone),
            }
        }
        let switch = &self.common.switch;
        let total = {
            let feed = self.common.feed.lock();
            feed.end().map(|(items, done)| {
                if let Err(error) = processor::source_is_the_same(done, items) {
                    switch.stop(Stopped::Checkpoint(error));
                }
                items
            })
        };
        let mut failed = std::mem::take(&mut *self.common.failed.lock());
        failed.sort_by_key(|failed: &FailedItem<E>| failed.item);
        let stopped = self.close(failed.is_empty()).await;
        let progress = self.ticker.finish(self.began.elapsed(), total);
        let report = BatchReport {
            results: Results::default(),
            failed,
            progress,
        };
        (gathered, report, stopped)
    }

    /// The end of a lane. Ticks meanwhile.
    fn poll_lane(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Gathered<T>, JoinError>>> {
        while self.interval.poll_tick(cx).is_ready() {
            self.ticker.tick(self.began.elapsed());
        }
        self.lanes.poll_join_next(cx)
    }

    /// Syncs and closes the log where that holds up nobody.
    async fn close(&mut self, none_failed: bool) -> Option<Stopped> {
        let (ledger, common) = (self.ledger.take(), Arc::clone(&self.common.switch));
        if ledger.is_none() {
            return processor::close(ledger, &common, none_failed);
        }
        let close = move || processor::close(ledger, &common, none_failed);
        joined(tokio::task::spawn_blocking(close).await).unwrap_or(Some(Stopped::RuntimeGone))
    }
}
