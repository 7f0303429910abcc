//! Many operations as one stream of results.
//!
//! [`run_all`](AsyncOperationQueue::run_all) takes operations from an iterator and keeps a bounded window of them in the
//! queue. They go in under one lock per batch and are polled by the queue's workers, so they run on while the consumer
//! of the stream is busy with a result, and a slow consumer never has more than a window of results waiting for it.
//! Operations that end at once are not worth that: they run where the stream is polled, see `feed`.
//!
//! Nobody polls a finished operation twice or an unfinished one more than once: all operations of a stream share one
//! waker, which counts. The consumer is woken by the first that ends, finds as many as were counted, and those that
//! have been in the queue longest are looked at first, which is the order in which they start.

mod feed;
#[cfg(all(loom, test))]
mod loom_tests;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use futures_task::{ArcWake, waker};

use self::feed::{Entry, Feed, Sink};
use crate::body::{Body, Once};
use crate::error::OperationError;
use crate::operation::Submission;
use crate::queue::AsyncOperationQueue;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// What [`run_all`](AsyncOperationQueue::run_all) can run: a future of a `Result`, which runs once with the queue's
/// settings, or a [`Submission`], which has settings of its own and may be repeated.
pub trait IntoSubmission: sealed::Sealed {
    /// The operation inside.
    type Body: Body;

    /// Makes an operation for `queue` of it.
    fn into_submission(self, queue: &AsyncOperationQueue) -> Submission<Self::Body>;
}

mod sealed {
    pub trait Sealed {}
}

impl<B: Body> sealed::Sealed for Submission<B> {}

impl<B: Body> IntoSubmission for Submission<B> {
    type Body = B;

    fn into_submission(self, _: &AsyncOperationQueue) -> Self {
        self
    }
}

impl<Fut, T, E> sealed::Sealed for Fut where Fut: Future<Output = Result<T, E>> {}

impl<Fut, T, E> IntoSubmission for Fut
where
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Body = Once<Fut>;

    fn into_submission(self, queue: &AsyncOperationQueue) -> Submission<Once<Fut>> {
        queue.future(self)
    }
}

type ValueOf<I> = <<<I as Iterator>::Item as IntoSubmission>::Body as Body>::Value;
type ErrorOf<I> = <<<I as Iterator>::Item as IntoSubmission>::Body as Body>::Error;
type ItemOf<I> = Result<ValueOf<I>, OperationError<ErrorOf<I>>>;

/// A window is this many times [`max_concurrent`](crate::QueueConfig::max_concurrent), unless set otherwise: workers
/// find the next batch while the consumer is busy with the last.
pub const WINDOW_FACTOR: usize = 8;

/// The smallest window that is chosen unasked: with less, short operations end faster than tasks are woken.
const LEAST_WINDOW: usize = 256;

impl AsyncOperationQueue {
    /// Runs everything that `operations` gives, a window of them at a time, and returns a stream of the results in
    /// the order in which the operations end; those that end between two looks of the consumer come in no particular
    /// order. [`ordered`](RunAll::ordered) makes it the order in which they were given.
    ///
    /// The items are futures or [`Submission`]s (made by [`operation`](Self::operation) and its siblings), and
    /// each runs as if it had been submitted alone: with its priority, timeout and retries, beside all others that use
    /// the queue. Nothing is taken from the iterator before the stream is polled. A full or paused queue makes the
    /// stream wait; an operation that the queue will never accept gives [`OperationError::Refused`].
    ///
    /// While nothing else waits, operations begin where the stream is polled, in a slot of the queue, and go on with a
    /// worker if they have to wait; those that end at once cost no more than in a `buffer_unordered` that way. So the first
    /// poll of an operation may find the task-local values of the consumer, and must not take a lock that the consumer
    /// holds; a poll that blocks there blocks the consumer and is not told of as
    /// [blocking](crate::QueueConfig::blocking). None of that happens with [`threads`](crate::QueueBuilder::threads),
    /// with observers, with limits that adapt, reserved slots or thresholds, or where the stream is polled outside the
    /// workers' runtime.
    ///
    /// Dropping the stream drops the handles of what is in the queue, each of which does what its
    /// [`OnDrop`](crate::OnDrop) policy says; what is left in the iterator is not run.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, QueueConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = AsyncOperationQueue::new(QueueConfig::default())?;
    /// let mut squares = queue.run_all((0..1_000_u64).map(|n| async move { Ok::<_, std::convert::Infallible>(n * n) })).ordered();
    /// let mut sum = 0;
    /// while let Some(square) = squares.next().await {
    ///     sum += square?;
    /// }
    /// assert_eq!(sum, 332_833_500);
    /// # Ok(()) }
    /// ```
    pub fn run_all<I>(&self, operations: I) -> RunAll<I::IntoIter>
    where
        I: IntoIterator,
        I::Item: IntoSubmission,
    {
        let config = self.config();
        let window = config
            .max_concurrent
            .saturating_mul(WINDOW_FACTOR)
            .max(LEAST_WINDOW)
            .min(config.capacity);
        RunAll {
            feed: Feed::new(self.clone(), operations.into_iter(), window),
            running: VecDeque::new(),
            registered: 0,
            results: VecDeque::new(),
            tally: Arc::new(Tally::default()),
        }
    }
}

/// The results of [`run_all`](AsyncOperationQueue::run_all), as the operations end.
#[must_use = "a stream does nothing unless it is polled"]
pub struct RunAll<I: Iterator<Item: IntoSubmission>> {
    feed: Feed<I>,
    /// In the queue. The first `registered` of them have the waker.
    running: VecDeque<Entry<ValueOf<I>, ErrorOf<I>>>,
    registered: usize,
    results: VecDeque<ItemOf<I>>,
    tally: Arc<Tally>,
}

impl<I: Iterator<Item: IntoSubmission>> RunAll<I> {
    /// Sets how many operations are in the queue or finished and not yet given to the consumer, at most; at least one.
    /// Otherwise [`WINDOW_FACTOR`] times what may run at once, and not less than 256.
    pub fn window(mut self, operations: usize) -> Self {
        self.feed.set_window(operations);
        self
    }

    /// Gives the results in the order of the operations. A slow one holds up the results of at most a window of others.
    /// Of what has been polled already, the results come first and in the order in which they came.
    pub fn ordered(self) -> RunAllOrdered<I> {
        let over = self.results.into_iter();
        let mut running: VecDeque<_> = over.map(|result| Entry::Over(Some(result))).collect();
        running.extend(self.running);
        RunAllOrdered {
            feed: self.feed,
            running,
        }
    }

    /// Waits for the next result; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<ItemOf<I>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Takes the results of those that have ended, as far as they have been counted.
    fn collect(&mut self, cx: &mut Context<'_>) {
        let mut ended = self.tally.take();
        let mut index = 0;
        while ended > 0 && index < self.registered {
            if !self.running[index].is_finished() {
                index += 1;
                continue;
            }
            ended -= 1;
            // What takes its place is the first, which has the waker as well and has been looked at; all that follow
            // move up by one, so the next to look at is at `index`.
            let entry = self.running.swap_remove_front(index);
            self.registered -= 1;
            self.results.extend(entry.and_then(|entry| entry.take(cx)));
        }
    }

    /// Leaves the waker with those that do not have it, and takes the results of those that have ended before.
    fn register(&mut self) {
        if self.registered == self.running.len() {
            return;
        }
        let waker = waker(Arc::clone(&self.tally));
        let mut cx = Context::from_waker(&waker);
        while let Some(entry) = self.running.get_mut(self.registered) {
            match entry.poll(&mut cx) {
                Poll::Ready(result) => {
                    self.results.push_back(result);
                    // What takes its place is the last, which does not have the waker either.
                    self.running.swap_remove_back(self.registered);
                }
                Poll::Pending => self.registered += 1,
            }
        }
    }
}

impl<I: Iterator<Item: IntoSubmission>> Stream for RunAll<I> {
    type Item = ItemOf<I>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ItemOf<I>>> {
        let this = self.get_mut();
        if let Some(result) = this.results.pop_front() {
            return Poll::Ready(Some(result));
        }
        // Left before counting: whoever ends an operation after the count wakes it.
        this.tally.attach(cx.waker());
        this.collect(cx);
        let in_hand = this.running.len() + this.results.len();
        let mut out = Unordered {
            running: &mut this.running,
            results: &mut this.results,
        };
        this.feed.run(in_hand, &mut out, cx);
        if this.results.is_empty() {
            this.register();
        }
        if let Some(result) = this.results.pop_front() {
            Poll::Ready(Some(result))
        } else if this.running.is_empty() && this.feed.is_over() {
            Poll::Ready(None)
        } else {
            Poll::Pending
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint(self.running.len() + self.results.len())
    }
}

struct Unordered<'a, T: 'static, E: 'static> {
    running: &'a mut VecDeque<Entry<T, E>>,
    results: &'a mut VecDeque<Result<T, OperationError<E>>>,
}

impl<T, E> Sink<T, E> for Unordered<'_, T, E> {
    fn queued(&mut self, entry: Entry<T, E>) {
        self.running.push_back(entry);
    }

    fn over(&mut self, result: Result<T, OperationError<E>>) {
        self.results.push_back(result);
    }
}

/// Nothing in it is pinned: the operations live elsewhere.
impl<I: Iterator<Item: IntoSubmission>> Unpin for RunAll<I> {}

impl<I: Iterator<Item: IntoSubmission>> fmt::Debug for RunAll<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAll")
            .field("window", &self.feed.window())
            .field("running", &self.running.len())
            .field("results", &self.results.len())
            .finish_non_exhaustive()
    }
}

/// The results of [`run_all`](AsyncOperationQueue::run_all), in the order in which the operations were given.
#[must_use = "a stream does nothing unless it is polled"]
pub struct RunAllOrdered<I: Iterator<Item: IntoSubmission>> {
    feed: Feed<I>,
    running: VecDeque<Entry<ValueOf<I>, ErrorOf<I>>>,
}

impl<I: Iterator<Item: IntoSubmission>> RunAllOrdered<I> {
    /// As [`RunAll::window`].
    pub fn window(mut self, operations: usize) -> Self {
        self.feed.set_window(operations);
        self
    }

    /// Waits for the next result; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<ItemOf<I>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl<I: Iterator<Item: IntoSubmission>> Stream for RunAllOrdered<I> {
    type Item = ItemOf<I>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ItemOf<I>>> {
        let this = self.get_mut();
        this.feed
            .run(this.running.len(), &mut Ordered(&mut this.running), cx);
        let Some(first) = this.running.front_mut() else {
            return if this.feed.is_over() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        };
        let polled = first.poll(cx);
        if polled.is_ready() {
            this.running.pop_front();
        }
        polled.map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.feed.size_hint(self.running.len())
    }
}

struct Ordered<'a, T: 'static, E: 'static>(&'a mut VecDeque<Entry<T, E>>);

impl<T, E> Sink<T, E> for Ordered<'_, T, E> {
    fn queued(&mut self, entry: Entry<T, E>) {
        self.0.push_back(entry);
    }

    fn over(&mut self, result: Result<T, OperationError<E>>) {
        self.0.push_back(Entry::Over(Some(result)));
    }
}

/// Nothing in it is pinned: the operations live elsewhere.
impl<I: Iterator<Item: IntoSubmission>> Unpin for RunAllOrdered<I> {}

impl<I: Iterator<Item: IntoSubmission>> fmt::Debug for RunAllOrdered<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunAllOrdered")
            .field("window", &self.feed.window())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// Counts operations that have ended, and wakes the consumer for the first of them.
///
/// The consumer leaves its waker and then takes the count; an operation raises the count and, if it was zero, wakes.
/// So an end is either in the count that is taken, or finds the count at zero with the waker in its place.
#[derive(Default)]
struct Tally {
    ended: AtomicUsize,
    consumer: Mutex<Option<Waker>>,
}

impl Tally {
    fn attach(&self, waker: &Waker) {
        let mut consumer = self.consumer.lock();
        if !consumer.as_ref().is_some_and(|it| it.will_wake(waker)) {
            *consumer = Some(waker.clone());
        }
    }

    fn take(&self) -> usize {
        self.ended.swap(0, Ordering::AcqRel)
    }
}

impl ArcWake for Tally {
    fn wake_by_ref(tally: &Arc<Self>) {
        if tally.ended.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let waker = tally.consumer.lock().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
