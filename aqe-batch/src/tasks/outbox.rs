//! Outcomes between the lanes and the consumer of a stream.
//!
//! It is bounded without ever making a lane wait with an outcome in hand: what is bounded is how many items have been
//! claimed and not yet been given to the consumer. So lanes stop to claim when the consumer is slow, and a stream in order
//! needs no more room than one without.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::error::ItemError;

pub(super) struct Outbox<T, E> {
    /// Items that may be claimed and not yet given.
    window: u64,
    /// Items that were given. Written by the consumer alone.
    given: AtomicU64,
    state: Mutex<State<T, E>>,
}

type Outcome<T, E> = (u64, Result<T, ItemError<E>>);

struct State<T, E> {
    outcomes: VecDeque<Outcome<T, E>>,
    consumer: Option<Waker>,
    is_over: bool,
}

impl<T, E> Outbox<T, E> {
    pub(super) fn new(window: u64) -> Self {
        Self {
            window,
            given: AtomicU64::new(0),
            state: Mutex::new(State {
                outcomes: VecDeque::new(),
                consumer: None,
                is_over: false,
            }),
        }
    }

    /// Whether a chunk may be claimed when so many items have been.
    pub(super) fn has_room(&self, claimed: u64) -> bool {
        claimed - self.given.load(Ordering::Acquire) < self.window
    }

    /// Takes outcomes from a lane.
    pub(super) fn put(&self, outcomes: &mut Vec<Outcome<T, E>>) {
        let consumer = {
            let mut state = self.state.lock();
            state.outcomes.extend(outcomes.drain(..));
            state.consumer.take()
        };
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        let consumer = {
            let mut state = self.state.lock();
            state.is_over = true;
            state.consumer.take()
        };
        if let Some(consumer) = consumer {
            consumer.wake();
        }
    }

    /// Gives the consumer everything that there is.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        into: &mut VecDeque<Outcome<T, E>>,
    ) -> Poll<Option<()>> {
        let mut state = self.state.lock();
        if !state.outcomes.is_empty() {
            std::mem::swap(&mut state.outcomes, into);
            return Poll::Ready(Some(()));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        state.consumer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// One more item was given.
    pub(super) fn gave(&self) {
        let given = self.given.load(Ordering::Relaxed) + 1;
        self.given.store(given, Ordering::Release);
    }
}
