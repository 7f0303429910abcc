//! A place in a lane, and waiting for one in several at once.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Inner, Lane, PlaceError};
use crate::body::Body;
use crate::operation::{Submission, Submit};
use crate::shared::{NO_TERMS, Room};
use crate::state::Refusal;

/// A place in one lane, kept for an operation. Dropping it gives the place back.
#[must_use = "dropping a place gives it back"]
pub struct Place {
    lane: Arc<Lane>,
    is_reserved: bool,
}

impl Place {
    pub(super) const fn new(lane: Arc<Lane>) -> Self {
        Self {
            lane,
            is_reserved: true,
        }
    }

    /// Returns the lane.
    #[must_use]
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Queues an operation of this lane's queue in the place. That needs no waiting, and has been done when this returns;
    /// awaiting the result gives the handle.
    ///
    /// An operation that stands for [bytes](Submission::weight), or is of another queue, cannot use the place, which is
    /// given back. It is submitted as usual, and may wait.
    pub fn submit<B: Body>(
        mut self,
        submission: Submission<B>,
    ) -> Submit<B::Source, B::Value, B::Error> {
        let is_fit = std::ptr::eq(&*submission.link().shared, self.lane.queue.shared());
        if !is_fit || submission.has_weight() {
            drop(self);
            return submission.submit();
        }
        Submit::decided(submission.check().and_then(|mut pending| {
            self.is_reserved = false;
            match pending.push_reserved() {
                Ok(()) => Ok(pending.into_handle()),
                Err((refusal, op)) => Err(pending.refused(refusal, op)),
            }
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_reserved {
            self.lane.queue.shared().give_up_room();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("lane", &self.lane).finish()
    }
}

/// The future of [`Lanes::place`](super::Lanes::place).
#[must_use = "futures do nothing unless polled"]
pub struct Placing {
    inner: Arc<Inner>,
    /// The lines in which this stands, and its number in each.
    lines: Vec<Line>,
    /// Its number among those who are to be told of new lanes.
    ticket: Option<u64>,
}

/// A place in the line of one lane.
struct Line {
    lane: Arc<Lane>,
    ticket: Option<u64>,
}

impl Placing {
    pub(super) const fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            lines: Vec::new(),
            ticket: None,
        }
    }

    /// Lines up where it does not stand yet, in the lane `first` before all others, and leaves the lanes that are gone.
    fn line_up(&mut self, lanes: &[Arc<Lane>], first: Option<&Arc<Lane>>) {
        self.lines
            .retain(|line| lanes.iter().any(|lane| Arc::ptr_eq(lane, &line.lane)));
        for lane in first.into_iter().chain(lanes) {
            if !self.lines.iter().any(|line| Arc::ptr_eq(&line.lane, lane)) {
                let lane = Arc::clone(lane);
                let ticket = None;
                self.lines.push(Line { lane, ticket });
            }
        }
    }

    /// Leaves a waker for lanes that come and go. Before the lanes are looked at.
    fn listen(&mut self, waker: &Waker) {
        let mut waiting = self.inner.waiting.lock();
        let ticket = *self.ticket.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        let before = waiting.wakers.insert(ticket, waker.clone());
        drop(waiting);
        drop(before);
    }

    /// Takes the first place that there is.
    fn take(&mut self, waker: &Waker) -> Result<Option<Place>, PlaceError> {
        let mut index = 0;
        while let Some(line) = self.lines.get_mut(index) {
            match line.wait(waker) {
                Ok(Room::Reserved) => {
                    let place = Place::new(Arc::clone(&line.lane));
                    self.lines.clear();
                    return Ok(Some(place));
                }
                Ok(Room::Wait) => index += 1,
                Err(_) => drop(self.lines.remove(index)),
            }
        }
        if self.lines.is_empty() {
            Err(PlaceError::Closed)
        } else {
            Ok(None)
        }
    }
}

impl Future for Placing {
    type Output = Result<Place, PlaceError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.listen(cx.waker());
        let set = this.inner.set();
        // Once it stands in line it is no longer a matter of choice.
        let first = if this.lines.is_empty() {
            set.choose(&this.inner.chooser)
        } else {
            None
        };
        this.line_up(&set.lanes, first.as_ref());
        match this.take(cx.waker()) {
            Ok(Some(place)) => Poll::Ready(Ok(place)),
            Ok(None) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Line {
    fn wait(&mut self, waker: &Waker) -> Result<Room, Refusal> {
        // As of the lowest level: nothing is to be shed for an operation that is not known yet.
        let level = self.lane.queue.config().priority_levels.saturating_sub(1);
        let shared = self.lane.queue.shared();
        shared.wait_for_room(&mut self.ticket, waker, level, &NO_TERMS)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            // If its turn has come, the place goes to the next in line.
            self.lane.queue.shared().stop_waiting_for_room(ticket, 0);
        }
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let forgotten = self.inner.waiting.lock().wakers.remove(&ticket);
            drop(forgotten);
        }
    }
}

impl fmt::Debug for Placing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placing")
            .field("lines", &self.lines.len())
            .finish_non_exhaustive()
    }
}
