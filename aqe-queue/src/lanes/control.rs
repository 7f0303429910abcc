//! What is done to all lanes together, and what they tell.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{Lane, Lanes};
use crate::queue::{AsyncOperationQueue, DrainReport};
use crate::stats::QueueStatus;

/// What all lanes were doing, one after the other: each lane's numbers agree with one another, those of different lanes
/// are some microseconds apart.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LanesStatus {
    /// Lane by lane, in the order in which they were added.
    pub lanes: Vec<LaneStatus>,
}

/// What one lane was doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LaneStatus {
    /// The lane's name.
    pub name: Arc<str>,
    /// What its queue tells.
    pub queue: QueueStatus,
}

/// The sums of what lanes tell; see the fields of [`QueueStatus`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the sum of the field of that name")]
pub struct LanesTotal {
    pub pending: usize,
    pub running: usize,
    pub waiting_for_retry: usize,
    pub max_concurrent: usize,
    pub submitted: u64,
    pub completed: u64,
    pub failed: u64,
    pub timed_out: u64,
    pub deadline_exceeded: u64,
    pub cancelled: u64,
    pub panicked: u64,
    pub shed: u64,
    pub retried: u64,
    pub bytes: u64,
    pub throughput: f64,
    /// The longest of the lanes' [`oldest_wait`](QueueStatus::oldest_wait).
    pub oldest_wait: Option<Duration>,
}

impl LanesStatus {
    /// Adds the lanes up.
    #[must_use]
    pub fn total(&self) -> LanesTotal {
        let mut total = LanesTotal::default();
        for LaneStatus { queue, .. } in &self.lanes {
            total.pending += queue.pending;
            total.running += queue.running;
            total.waiting_for_retry += queue.waiting_for_retry;
            total.max_concurrent += queue.max_concurrent;
            total.submitted += queue.submitted;
            total.completed += queue.completed;
            total.failed += queue.failed;
            total.timed_out += queue.timed_out;
            total.deadline_exceeded += queue.deadline_exceeded;
            total.cancelled += queue.cancelled;
            total.panicked += queue.panicked;
            total.shed += queue.shed;
            total.retried += queue.retried;
            total.bytes += queue.bytes;
            total.throughput += queue.throughput;
            total.oldest_wait = total.oldest_wait.max(queue.oldest_wait);
        }
        total
    }
}

impl Lanes {
    /// Takes a snapshot of every lane.
    #[must_use]
    pub fn status(&self) -> LanesStatus {
        let status = |lane: &Arc<Lane>| LaneStatus {
            name: Arc::clone(&lane.name),
            queue: lane.queue.status(),
        };
        LanesStatus {
            lanes: self.list().iter().map(status).collect(),
        }
    }

    /// [Pauses](AsyncOperationQueue::pause) every lane.
    pub fn pause(&self) {
        self.each(AsyncOperationQueue::pause);
    }

    /// [Resumes](AsyncOperationQueue::resume) every lane.
    pub fn resume(&self) {
        self.each(AsyncOperationQueue::resume);
    }

    /// Has [no lane accept](AsyncOperationQueue::pause_admission) anything.
    pub fn pause_admission(&self) {
        self.each(AsyncOperationQueue::pause_admission);
    }

    /// Has [every lane accept](AsyncOperationQueue::resume_admission) operations again.
    pub fn resume_admission(&self) {
        self.each(AsyncOperationQueue::resume_admission);
    }

    /// [Clears](AsyncOperationQueue::clear) every lane. Returns how many operations that cancelled.
    pub fn clear(&self) -> usize {
        let lanes = self.list();
        lanes.iter().map(|lane| lane.queue.clear()).sum()
    }

    /// Waits until every lane has been [idle](AsyncOperationQueue::idle) at some moment since the call.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if this future is dropped.
    pub async fn idle(&self) {
        self.together(|queue| async move { queue.idle().await })
            .await;
    }

    /// [Drains](AsyncOperationQueue::drain) all lanes at once. The reports come by lane, in the order in which they were
    /// added.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped, the lanes stay closed and go on with what they have.
    pub async fn drain(&self) -> Vec<(Arc<str>, DrainReport)> {
        self.together(|queue| async move { queue.drain().await })
            .await
    }

    /// [Drains](AsyncOperationQueue::drain_within) all lanes at once, within one `grace` for all of them.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped, the lanes stay closed and go on with what they have; nothing is cut.
    pub async fn drain_within(&self, grace: Duration) -> Vec<(Arc<str>, DrainReport)> {
        self.together(|queue| async move { queue.drain_within(grace).await })
            .await
    }

    /// [Shuts down](AsyncOperationQueue::shutdown) all lanes at once, within one `grace` for all of them.
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped, the lanes stay closed, but running operations are no longer dropped after `grace`.
    pub async fn shutdown(&self, grace: Duration) -> Vec<(Arc<str>, DrainReport)> {
        self.together(|queue| async move { queue.shutdown(grace).await })
            .await
    }

    fn each(&self, act: impl Fn(&AsyncOperationQueue)) {
        self.list().iter().for_each(|lane| act(&lane.queue));
    }

    /// Does the same with all lanes side by side.
    async fn together<Fut: Future>(
        &self,
        act: impl Fn(AsyncOperationQueue) -> Fut,
    ) -> Vec<(Arc<str>, Fut::Output)> {
        let lanes = self.list();
        let mut outputs: Vec<Option<Fut::Output>> = lanes.iter().map(|_| None).collect();
        let mut running: Vec<Pin<Box<Fut>>> = lanes
            .iter()
            .map(|lane| Box::pin(act(lane.queue.clone())))
            .collect();
        std::future::poll_fn(|cx| {
            let mut is_over = true;
            // All of them at each wake: there are few lanes, and a drain is woken seldom.
            for (future, output) in running.iter_mut().zip(&mut outputs) {
                if output.is_none() {
                    match future.as_mut().poll(cx) {
                        Poll::Ready(ready) => *output = Some(ready),
                        Poll::Pending => is_over = false,
                    }
                }
            }
            if is_over {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let names = lanes.iter().map(|lane| Arc::clone(&lane.name));
        names
            .zip(outputs)
            .filter_map(|(name, output)| Some((name, output?)))
            .collect()
    }
}
