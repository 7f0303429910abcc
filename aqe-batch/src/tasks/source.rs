//! Where the items of a run on the runtime come from: an iterator or a stream.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use crate::log::done::{DoneSet, MAX_ITEMS};
use crate::switch::Waiters;

/// Items for [`Job::run`](crate::Job::run) and its siblings: anything that can be iterated over, or a stream in
/// [`from_stream`].
pub trait IntoItems: sealed::Sealed {
    /// What is processed.
    type Item;
    /// How they are taken.
    type Items: Items<Item = Self::Item>;

    /// Begins to give the items.
    fn into_items(self) -> Self::Items;
}

/// Items, one after the other. Implemented by what [`IntoItems`] gives.
pub trait Items: sealed::Sealed {
    /// What is processed.
    type Item;

    /// The next item, or `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::Item>>;

    /// How many items are left: at least, and at most.
    fn size_hint(&self) -> (usize, Option<usize>);
}

mod sealed {
    pub trait Sealed {}
}

/// Items of an iterator.
#[derive(Clone, Debug)]
pub struct Iterated<I>(I);

impl<I: IntoIterator> sealed::Sealed for I {}

impl<I: IntoIterator> IntoItems for I {
    type Item = I::Item;
    type Items = Iterated<I::IntoIter>;

    fn into_items(self) -> Self::Items {
        Iterated(self.into_iter())
    }
}

impl<I: Iterator> sealed::Sealed for Iterated<I> {}

impl<I: Iterator> Items for Iterated<I> {
    type Item = I::Item;

    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// Items of a stream; made by [`from_stream`].
pub struct FromStream<S>(Pin<Box<S>>);

/// Takes the items of a run from a stream.
pub fn from_stream<S: Stream>(stream: S) -> FromStream<S> {
    FromStream(Box::pin(stream))
}

impl<S> fmt::Debug for FromStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FromStream").finish_non_exhaustive()
    }
}

impl<S: Stream> sealed::Sealed for FromStream<S> {}

impl<S: Stream> IntoItems for FromStream<S> {
    type Item = S::Item;
    type Items = Self;

    fn into_items(self) -> Self {
        self
    }
}

impl<S: Stream> Items for FromStream<S> {
    type Item = S::Item;

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

/// A source with the number of its next item, from which every lane takes chunks.
pub(super) struct Feed<S> {
    items: S,
    next: u64,
    done: DoneSet,
    is_over: bool,
    /// Wakes all lanes, whichever of them has polled.
    waker: Waker,
    /// Items that lanes have taken.
    taken: u64,
}

/// What a lane got when it asked for items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fed {
    Some,
    /// Later.
    Nothing,
    /// The source has ended.
    Over,
}

impl<S: Items> Feed<S> {
    pub(super) fn new(items: S, done: DoneSet, waiters: &Arc<Waiters>) -> Self {
        Self {
            items,
            next: 0,
            done,
            is_over: false,
            waker: Waker::from(Arc::clone(waiters)),
            taken: 0,
        }
    }

    /// Takes up to `count` items that are not done.
    pub(super) fn take(&mut self, count: usize, into: &mut VecDeque<(u64, S::Item)>) -> Fed {
        let before = into.len();
        let mut cx = Context::from_waker(&self.waker);
        while into.len() - before < count && !self.is_over {
            match self.items.poll_next(&mut cx) {
                Poll::Pending => break,
                Poll::Ready(Some(item)) if self.next < MAX_ITEMS => {
                    let number = self.next;
                    self.next += 1;
                    if !self.done.contains(number) {
                        into.push_back((number, item));
                    }
                }
                Poll::Ready(_) => self.is_over = true,
            }
        }
        self.taken += (into.len() - before) as u64;
        if into.len() > before {
            Fed::Some
        } else if self.is_over {
            Fed::Over
        } else {
            Fed::Nothing
        }
    }

    /// How many items lanes have taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many items there were, if the source has ended, and what was done before.
    pub(super) fn end(&self) -> Option<(u64, &DoneSet)> {
        self.is_over.then_some((self.next, &self.done))
    }
}
