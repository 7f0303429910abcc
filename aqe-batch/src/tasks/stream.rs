//! The outcomes of a run as a stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::task::JoinHandle;

use super::outbox::Outbox;
use crate::error::{BatchError, ItemError, Stopped};
use crate::log::done::DoneSet;
use crate::report::BatchReport;
use crate::switch::Switch;

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome<T, E> {
    /// The number of the item: the first has 0.
    pub item: u64,
    /// Its result, or why it has none.
    pub result: Result<T, ItemError<E>>,
    /// Whether the result is that of an earlier run, from the checkpoint.
    pub is_restored: bool,
}

/// An outcome of this run.
type Fresh<T, E> = (u64, Result<T, ItemError<E>>);

/// What the end of a run tells, and whether it was the end.
pub(super) type Ended<E> = (BatchReport<(), E>, Option<Stopped>);

/// The outcomes of a run as items end; made by [`Job::stream`](crate::Job::stream). After the last one,
/// [`finish`](Self::finish) says how the run ended.
///
/// Items run whether or not the stream is polled, until so many have ended that the window is full; then no chunk is
/// claimed before the consumer has taken some. Dropping the stream drops the items that run. What they have finished is in
/// the checkpoint.
#[must_use = "a stream does nothing unless it is polled"]
pub struct BatchStream<T, E> {
    pub(super) switch: Arc<Switch>,
    pub(super) outbox: Arc<Outbox<T, E>>,
    pub(super) taken: VecDeque<Fresh<T, E>>,
    /// The results of earlier runs, in order.
    pub(super) restored: VecDeque<(u64, T)>,
    /// Items that an earlier run has skipped: nothing comes for them.
    pub(super) skipped: DoneSet,
    /// Is there if the order counts.
    pub(super) order: Option<Order<T, E>>,
    pub(super) run: JoinHandle<Ended<E>>,
}

/// Outcomes that wait for their turn.
pub(super) struct Order<T, E> {
    pub(super) next: u64,
    pub(super) early: BTreeMap<u64, Result<T, ItemError<E>>>,
}

impl<T, E> BatchStream<T, E> {
    /// Gives the outcomes in the order of the items. It must be called before the first is taken; a slow item holds up
    /// those of one window.
    pub fn ordered(mut self) -> Self {
        self.order.get_or_insert(Order {
            next: 0,
            early: BTreeMap::new(),
        });
        self
    }

    /// Waits for the next outcome; `None` after the last.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<Outcome<T, E>> {
        std::future::poll_fn(|cx| self.poll_outcome(cx)).await
    }

    /// Waits for the end of the run and tells how it ended. Outcomes that nobody has taken are dropped. The report has
    /// neither results nor errors, which were in the stream, but the last progress.
    ///
    /// # Cancel safety
    ///
    /// The run is dropped with this future, as with the stream.
    ///
    /// # Errors
    ///
    /// A [`BatchError`] when the run stopped before its end.
    ///
    /// # Panics
    ///
    /// If the source of the items or a progress callback has panicked.
    pub async fn finish(mut self) -> Result<BatchReport<(), E>, BatchError<(), E>> {
        while self.next().await.is_some() {}
        match (&mut self.run).await {
            Ok((report, None)) => Ok(report),
            Ok((report, Some(stopped))) => Err(BatchError::new(stopped, report)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(BatchError::new(
                    Stopped::RuntimeGone,
                    BatchReport::default(),
                )),
            },
        }
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome<T, E>>> {
        let outcome = if self.order.is_some() {
            ready!(self.poll_ordered(cx))
        } else {
            ready!(self.poll_any(cx))
        };
        Poll::Ready(outcome)
    }

    fn poll_any(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome<T, E>>> {
        if let Some(restored) = self.take_restored() {
            return Poll::Ready(Some(restored));
        }
        let taken = ready!(self.poll_fresh(cx));
        if taken.is_some() {
            self.gave();
        }
        Poll::Ready(taken.map(|(item, result)| Outcome {
            item,
            result,
            is_restored: false,
        }))
    }

    fn poll_ordered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outcome<T, E>>> {
        loop {
            let Some(order) = &mut self.order else {
                return self.poll_any(cx);
            };
            order.next = self.skipped.next_missing(order.next);
            let next = order.next;
            if self.restored.front().is_some_and(|(item, _)| *item == next) {
                order.next += 1;
                return Poll::Ready(self.take_restored());
            }
            if let Some(result) = order.early.remove(&next) {
                order.next += 1;
                self.gave();
                return Poll::Ready(Some(Outcome {
                    item: next,
                    result,
                    is_restored: false,
                }));
            }
            match ready!(self.poll_fresh(cx)) {
                Some((item, result)) => {
                    if let Some(order) = &mut self.order {
                        order.early.insert(item, result);
                    }
                }
                // A run that stopped leaves gaps; what comes after them is given all the same.
                None => {
                    let Some(order) = &mut self.order else {
                        return Poll::Ready(None);
                    };
                    let early = order.early.first_key_value().map(|(item, _)| *item);
                    let restored = self.restored.front().map(|(item, _)| *item);
                    match early.into_iter().chain(restored).min() {
                        Some(item) => order.next = item,
                        None => return Poll::Ready(None),
                    }
                }
            }
        }
    }

    fn take_restored(&mut self) -> Option<Outcome<T, E>> {
        let (item, value) = self.restored.pop_front()?;
        Some(Outcome {
            item,
            result: Ok(value),
            is_restored: true,
        })
    }

    /// The next outcome of this run, in whatever order.
    fn poll_fresh(&mut self, cx: &mut Context<'_>) -> Poll<Option<Fresh<T, E>>> {
        if self.taken.is_empty() && ready!(self.outbox.poll_take(cx, &mut self.taken)).is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(self.taken.pop_front())
    }

    fn gave(&self) {
        self.outbox.gave();
        self.switch.progressed();
    }
}

impl<T, E> Stream for BatchStream<T, E> {
    type Item = Outcome<T, E>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome<T, E>>> {
        self.get_mut().poll_outcome(cx)
    }
}

/// Nothing in it is pinned: the items run elsewhere.
impl<T, E> Unpin for BatchStream<T, E> {}

impl<T, E> Drop for BatchStream<T, E> {
    fn drop(&mut self) {
        self.switch.abandon();
        self.run.abort();
    }
}

impl<T, E> fmt::Debug for BatchStream<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchStream")
            .field("is_ordered", &self.order.is_some())
            .finish_non_exhaustive()
    }
}
