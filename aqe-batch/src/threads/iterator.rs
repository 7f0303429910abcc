//! Iterators on threads: a chunk is taken under a lock and belongs to the worker then.

use std::time::Instant;

use parking_lot::Mutex;

use super::{Claim, Team, Work, finish, workers};
use crate::checkpoint::{ByCodec, Keep, Keeper, NoResult};
use crate::codec::Codec;
use crate::error::{BatchError, Stopped};
use crate::log::done::{DoneSet, MAX_ITEMS};
use crate::policy::Policy;
use crate::processor::{self, Job};
use crate::report::{BatchReport, Gathered, Results};

impl<P, C> Job<P, C> {
    /// Applies `operation` to every item of an iterator, on threads, and collects the results in the order of the items.
    ///
    /// Blocks until everything is done. A worker takes a chunk at a time, so no more than
    /// [`concurrency`](crate::BatchConfig::concurrency) chunks are in memory. To resume from a checkpoint, the iterator must
    /// give the same items in the same order.
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// If the iterator or a progress callback panics. An item that panics fails alone.
    pub fn map<I, T, E, F>(
        mut self,
        items: I,
        operation: F,
    ) -> Result<BatchReport<T, E>, BatchError<T, E>>
    where
        I: IntoIterator<IntoIter: Send>,
        I::Item: Send,
        T: Send,
        E: Send,
        F: Fn(&I::Item) -> Result<T, E> + Sync,
        P: Policy<E> + Sync,
        C: Codec<T> + Clone + Send + Sync,
    {
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        let gather = |local: &mut Gathered<T>, item, value| local.push(item, value);
        over_iterator(self, items.into_iter(), operation, gather, keep)
    }

    /// Applies `operation` to every item of an iterator, on threads, and keeps no results: memory does not grow with the
    /// number of items.
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// If the iterator or a progress callback panics. An item that panics fails alone.
    pub fn for_each<I, E, F>(
        mut self,
        items: I,
        operation: F,
    ) -> Result<BatchReport<(), E>, BatchError<(), E>>
    where
        I: IntoIterator<IntoIter: Send>,
        I::Item: Send,
        E: Send,
        F: Fn(&I::Item) -> Result<(), E> + Sync,
        P: Policy<E> + Sync,
    {
        self.depend_on_form("no results");
        over_iterator(self, items.into_iter(), operation, |_, _, ()| (), NoResult)
    }
}

fn over_iterator<P, C, I, T, E, F, G, K>(
    mut job: Job<P, C>,
    items: I,
    operation: F,
    gather: G,
    keep: K,
) -> Result<BatchReport<T, E>, BatchError<T, E>>
where
    I: Iterator<Item: Send> + Send,
    T: Send,
    E: Send,
    F: Fn(&I::Item) -> Result<T, E> + Sync,
    G: Fn(&mut Gathered<T>, u64, T) + Sync,
    P: Policy<E> + Sync,
    K: Keep<T>,
{
    let began = Instant::now();
    let (switch, running) = job
        .begin()
        .map_err(|stopped| BatchError::new(stopped, BatchReport::default()))?;
    running.has_workers();
    let total = exact(items.size_hint());
    let (checkpoint, identity) = (job.checkpoint.take(), job.identity.clone());
    let interval = job.config.checkpoint_interval;
    let opened = processor::open(checkpoint, identity, None, keep, interval, &switch)
        .map_err(|stopped| BatchError::new(stopped, BatchReport::default()))?;
    let before = opened.before();
    let meters = processor::meters(workers(&job.config, total));
    let mut ticker = job.ticker(&switch, &meters, before, total);
    let work = Each {
        source: Mutex::new(Source {
            items,
            next: 0,
            done: opened.done,
            is_over: false,
        }),
        operation,
        gather,
    };
    let team = Team {
        work: &work,
        config: &job.config,
        policy: &job.policy,
        switch: &switch,
        meters: &meters,
        ledger: opened.ledger,
        failed: Mutex::default(),
    };
    let mut parts = team.run(&mut ticker, began);
    let source = work.source.lock();
    if source.is_over
        && let Err(error) = processor::source_is_the_same(&source.done, source.next)
    {
        switch.stop(Stopped::Checkpoint(error));
    }
    let total = source.is_over.then_some(source.next);
    drop(source);
    let (failed, progress, stopped) = finish(team, &mut ticker, began, total);
    drop(running);
    let mut earlier = Gathered::default();
    earlier.extend(opened.restored);
    parts.push(earlier);
    let report = BatchReport {
        results: Results::of_parts(parts),
        failed,
        progress,
    };
    match stopped {
        None => Ok(report),
        Some(stopped) => Err(BatchError::new(stopped, report)),
    }
}

/// The number of items, if it is known for certain.
pub(crate) fn exact((least, most): (usize, Option<usize>)) -> Option<u64> {
    most.filter(|most| *most == least).map(|most| most as u64)
}

struct Each<I, F, G> {
    source: Mutex<Source<I>>,
    operation: F,
    gather: G,
}

struct Source<I> {
    items: I,
    /// The number of the next item.
    next: u64,
    done: DoneSet,
    is_over: bool,
}

struct EachClaim<T> {
    items: Vec<(u64, T)>,
}

impl<T> Claim for EachClaim<T> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, at: usize) -> u64 {
        self.items[at].0
    }
}

impl<I, T, E, F, G> Work for Each<I, F, G>
where
    I: Iterator<Item: Send> + Send,
    T: Send,
    E: Send,
    F: Fn(&I::Item) -> Result<T, E> + Sync,
    G: Fn(&mut Gathered<T>, u64, T) + Sync,
{
    type Claim = EachClaim<I::Item>;
    type Value = T;
    type Error = E;
    type Local = Gathered<T>;

    fn claim(&self, chunk: usize, _: usize) -> Option<Self::Claim> {
        let mut items = Vec::with_capacity(chunk);
        let source = &mut *self.source.lock();
        while items.len() < chunk && !source.is_over {
            match source.items.next().filter(|_| source.next < MAX_ITEMS) {
                None => source.is_over = true,
                Some(item) => {
                    let number = source.next;
                    source.next += 1;
                    if !source.done.contains(number) {
                        items.push((number, item));
                    }
                }
            }
        }
        (!items.is_empty()).then_some(EachClaim { items })
    }

    fn run<K: Keep<T>>(
        &self,
        claim: &mut Self::Claim,
        at: usize,
        local: &mut Self::Local,
        keeper: &mut Keeper<K>,
    ) -> Result<(), E> {
        let (number, item) = &claim.items[at];
        let value = (self.operation)(item)?;
        keeper.done(*number, &value);
        (self.gather)(local, *number, value);
        Ok(())
    }
}
