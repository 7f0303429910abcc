//! What happens in a queue, as it happens.
//!
//! An [`EventStream`] has room for [`event_capacity`](crate::QueueConfig::event_capacity) events. A subscriber that
//! falls further behind loses the oldest and is told how many; the queue never waits for it. A [`QueueObserver`] is
//! called in place, by whichever thread makes the thing happen. Without subscribers and observers an event costs one
//! relaxed load.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::body::Ending;
use crate::error::CancelReason;
use crate::handle::OperationId;
use crate::threshold::{Exceeded, ThresholdAction};

/// Something that happened. The events of one operation come in the order of its life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An operation was accepted.
    Submitted {
        /// The operation.
        id: OperationId,
        /// Its level; 0 is the most urgent.
        level: u8,
    },
    /// An attempt started.
    Started {
        /// The operation.
        id: OperationId,
        /// The number of the attempt; 1 is the first.
        attempt: u32,
    },
    /// An attempt took longer than its timeout and was dropped. What follows is a retry or the end.
    TimedOut {
        /// The operation.
        id: OperationId,
        /// The number of the attempt that was dropped.
        attempt: u32,
    },
    /// An attempt did not succeed and another will be made.
    Retrying {
        /// The operation.
        id: OperationId,
        /// The number of the attempt that ended.
        attempt: u32,
        /// How long the operation waits before it queues again.
        delay: Duration,
    },
    /// An operation has ended.
    Ended {
        /// The operation.
        id: OperationId,
        /// How it ended.
        how: EndedAs,
        /// Attempts that were started.
        attempts: u32,
    },
    /// Starting operations was paused.
    Paused,
    /// Starting operations was resumed.
    Resumed,
    /// Accepting operations was paused.
    AdmissionPaused,
    /// Accepting operations was resumed.
    AdmissionResumed,
    /// The limit of concurrent operations was changed.
    Resized {
        /// The new limit.
        max_concurrent: usize,
    },
    /// The limit of concurrent operations has moved by itself: the queue's scheduling is
    /// [`Adaptive`](crate::Scheduling::Adaptive). Told at most once in each of its [windows](crate::AdaptiveLimit::window).
    LimitMoved {
        /// The limit before.
        from: usize,
        /// The limit from now on.
        to: usize,
    },
    /// Waiting operations were cleared; each has its own `Ended` as well.
    Cleared {
        /// How many.
        operations: usize,
    },
    /// A [threshold](crate::threshold) was exceeded. What it does follows, as events of its own.
    ThresholdExceeded {
        /// Which, and by what.
        exceeded: Exceeded,
        /// What it does.
        action: ThresholdAction,
    },
    /// A poll of an operation kept its worker longer than [`blocking`](crate::QueueConfig::blocking). Told once in the
    /// life of a queue; [`QueueStatus::blocking_polls`](crate::QueueStatus::blocking_polls) counts them all.
    Blocked {
        /// The worker; 0 is the first.
        worker: usize,
        /// The operation that was being polled.
        id: OperationId,
        /// For how long, at least. The poll may go on.
        lasted: Duration,
    },
    /// The system did not bind a dedicated thread to its CPU. The thread runs unbound.
    NotPinned {
        /// The worker; 0 is the first.
        worker: usize,
        /// The CPU that was asked for.
        cpu: usize,
        /// What the system said.
        reason: String,
    },
    /// The queue accepts nothing more and nothing is left in it. This is its last event.
    Drained,
}

/// How an operation ended, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndedAs {
    /// It returned `Ok`.
    Completed,
    /// Its last attempt returned `Err`.
    Failed,
    /// Its last attempt timed out.
    TimedOut,
    /// Its deadline passed.
    DeadlineExceeded,
    /// It was cancelled.
    Cancelled(CancelReason),
    /// It panicked.
    Panicked,
    /// It was dropped from the queue to make room for a more urgent one.
    Shed,
}

impl From<Ending> for EndedAs {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Completed => Self::Completed,
            Ending::Failed => Self::Failed,
            Ending::TimedOut => Self::TimedOut,
            Ending::DeadlineExceeded => Self::DeadlineExceeded,
            Ending::Cancelled(reason) => Self::Cancelled(reason),
            Ending::Panicked => Self::Panicked,
            Ending::Shed => Self::Shed,
        }
    }
}

/// Called for what happens in a queue, in place.
///
/// Every method does nothing unless it is overridden. They are called outside the queue's locks, so they may use the
/// queue, but by its workers: one that blocks holds up operations. A panic in one is caught and ignored.
pub trait QueueObserver: Send + Sync + 'static {
    /// An operation was accepted at a level.
    fn on_submitted(&self, _id: OperationId, _level: u8) {}
    /// An attempt started.
    fn on_started(&self, _id: OperationId, _attempt: u32) {}
    /// An attempt timed out and was dropped.
    fn on_timed_out(&self, _id: OperationId, _attempt: u32) {}
    /// An attempt did not succeed; another will be made after `delay`.
    fn on_retrying(&self, _id: OperationId, _attempt: u32, _delay: Duration) {}
    /// An operation ended.
    fn on_ended(&self, _id: OperationId, _how: EndedAs, _attempts: u32) {}
    /// The limit of concurrent operations has moved by itself; see [`Event::LimitMoved`].
    fn on_limit_moved(&self, _from: usize, _to: usize) {}
    /// A threshold was exceeded.
    fn on_threshold(&self, _exceeded: Exceeded, _action: ThresholdAction) {}
    /// A poll of an operation kept its worker for too long; told once. See [`Event::Blocked`].
    fn on_blocked(&self, _worker: usize, _id: OperationId, _lasted: Duration) {}
    /// A dedicated thread was not bound to its CPU. Told while the queue is built.
    fn on_not_pinned(&self, _worker: usize, _cpu: usize, _reason: &str) {}
    /// The queue accepts nothing more and is empty.
    fn on_drained(&self) {}
}

/// The events of a queue from the moment of [`subscribe`](crate::AsyncOperationQueue::subscribe) on.
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
}

/// What an [`EventStream`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Observed {
    /// The next event.
    Event(Event),
    /// The subscriber was too slow: this many events are lost to it.
    Missed(u64),
}

impl EventStream {
    /// Waits for the next event; `None` after the queue's last.
    ///
    /// # Cancel safety
    ///
    /// No event is lost if this future is dropped.
    pub async fn next(&mut self) -> Option<Observed> {
        match self.receiver.recv().await {
            Ok(event) => Some(Observed::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Observed::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Returns the next event if there is one already.
    pub fn try_next(&mut self) -> Option<Observed> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Observed::Event(event)),
            Err(broadcast::error::TryRecvError::Lagged(missed)) => Some(Observed::Missed(missed)),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => {
                None
            }
        }
    }
}

/// Where events go.
pub(crate) struct Hooks {
    observers: Vec<Arc<dyn QueueObserver>>,
    /// `None` once the last event has been sent, which is what ends the streams.
    sender: parking_lot::Mutex<Option<broadcast::Sender<Event>>>,
    /// Whether anybody has ever wanted events. Relaxed: it decides whether to tell, nothing is read because of it.
    used: AtomicBool,
    /// Whether there has ever been a subscriber: observers alone must not bring workers together at the sender's lock,
    /// three times for each operation. Relaxed: what happens after `subscribe` has returned comes to a worker through
    /// the queue's lock, and with it this.
    subscribed: AtomicBool,
}

impl Hooks {
    pub(crate) fn new(observers: Vec<Arc<dyn QueueObserver>>, capacity: usize) -> Self {
        let (sender, _) = broadcast::channel(capacity);
        let used = AtomicBool::new(!observers.is_empty());
        Self {
            observers,
            sender: parking_lot::Mutex::new(Some(sender)),
            used,
            subscribed: AtomicBool::new(false),
        }
    }

    /// Whether anybody listens: if not, no event need be made.
    pub(crate) fn are_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn subscribe(&self) -> EventStream {
        self.used.store(true, Ordering::Relaxed);
        self.subscribed.store(true, Ordering::Relaxed);
        let receiver = match &*self.sender.lock() {
            Some(sender) => sender.subscribe(),
            // A queue that is over has no more events.
            None => broadcast::channel(1).1,
        };
        EventStream { receiver }
    }

    pub(crate) fn emit(&self, event: Event) {
        for observer in &self.observers {
            // An observer's defect must not cost a worker.
            let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                tell(&**observer, &event)
            }));
            if let Err(payload) = told {
                crate::cell::discard(payload);
            }
        }
        let last = event == Event::Drained;
        if !last && !self.subscribed.load(Ordering::Relaxed) {
            return;
        }
        let mut sender = self.sender.lock();
        if let Some(sender) = &*sender {
            // An error only says that nobody is subscribed at the moment.
            let _ = sender.send(event);
        }
        if last {
            *sender = None;
        }
    }
}

fn tell(observer: &dyn QueueObserver, event: &Event) {
    match *event {
        Event::Submitted { id, level } => observer.on_submitted(id, level),
        Event::Started { id, attempt } => observer.on_started(id, attempt),
        Event::TimedOut { id, attempt } => observer.on_timed_out(id, attempt),
        Event::Retrying { id, attempt, delay } => observer.on_retrying(id, attempt, delay),
        Event::Ended { id, how, attempts } => observer.on_ended(id, how, attempts),
        Event::LimitMoved { from, to } => observer.on_limit_moved(from, to),
        Event::ThresholdExceeded { exceeded, action } => observer.on_threshold(exceeded, action),
        Event::Blocked { worker, id, lasted } => observer.on_blocked(worker, id, lasted),
        Event::NotPinned {
            worker,
            cpu,
            ref reason,
        } => observer.on_not_pinned(worker, cpu, reason),
        Event::Drained => observer.on_drained(),
        Event::Paused
        | Event::Resumed
        | Event::AdmissionPaused
        | Event::AdmissionResumed
        | Event::Resized { .. }
        | Event::Cleared { .. } => {}
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("observers", &self.observers.len())
            .finish_non_exhaustive()
    }
}
