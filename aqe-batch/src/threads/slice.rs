//! Slices: read in place, written in place.
//!
//! Workers claim by guided self-scheduling (Polychronopoulos and Kuck, "Guided self-scheduling", 1987): each claim is a
//! share of what is left, so the first ones are large, the last ones a chunk, and there are few of them in all. A claim
//! is a slice that nobody else has, so results are written without any further agreement.

use std::ops::Range;
use std::time::Instant;

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::{Claim, Team, Work, finish, workers};
use crate::checkpoint::{ByCodec, Keep, Keeper};
use crate::codec::Codec;
use crate::error::{BatchError, Stopped};
use crate::log::done::DoneSet;
use crate::policy::Policy;
use crate::processor::{self, Job};
use crate::report::{BatchReport, Results};

/// A claim is what is left, divided by the number of workers and by this.
const SHARES: usize = 2;

impl<P, C> Job<P, C> {
    /// Applies `operation` to every item of a slice, on threads, and collects the results in the order of the items.
    ///
    /// Blocks until everything is done. At most [`concurrency`](crate::BatchConfig::concurrency) threads run, and not more
    /// than the process may use processors.
    ///
    /// ```
    /// use aqe_batch::{BatchConfig, BatchProcessor};
    ///
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let words = ["one", "two", "three"];
    /// let report = processor.job("lengths").map_slice(&words, |word| Ok::<_, std::convert::Infallible>(word.len()))?;
    /// assert_eq!(report.results.into_vec(), [3, 3, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// If a progress callback panics. An item that panics fails alone.
    pub fn map_slice<I, T, E, F>(
        mut self,
        items: &[I],
        operation: F,
    ) -> Result<BatchReport<T, E>, BatchError<T, E>>
    where
        I: Sync,
        T: Send,
        E: Send,
        F: Fn(&I) -> Result<T, E> + Sync,
        P: Policy<E> + Sync,
        C: Codec<T> + Clone + Send + Sync,
    {
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        let total = items.len();
        let make = |done, _: Vec<(u64, T)>| Map {
            items,
            operation,
            cursor: CachePadded::new(Mutex::new(Cursor::new(total, done))),
        };
        let mut restored = Vec::new();
        let outcome = over_slice(self, total, keep, make, &mut restored);
        outcome.report(|locals| {
            let mut runs: Vec<_> = locals.into_iter().flatten().collect();
            runs.extend(join(restored));
            Results::of_runs(runs)
        })
    }

    /// Applies `operation` to every item of a slice, on threads, and writes each result into the place of `results` with
    /// the number of its item. No result is moved or collected, so this is the fastest form.
    ///
    /// Blocks until everything is done. The place of an item that has no result keeps its value; the report says which
    /// items those are.
    ///
    /// ```
    /// use aqe_batch::{BatchConfig, BatchProcessor};
    ///
    /// let processor = BatchProcessor::new(BatchConfig::default().chunk_size(1_000))?;
    /// let items: Vec<u32> = (0..10_000).collect();
    /// let mut squares = vec![0_u64; items.len()];
    /// let square = |item: &u32| Ok::<_, std::convert::Infallible>(u64::from(*item).pow(2));
    /// let report = processor.job("squares").map_slice_into(&items, &mut squares, square)?;
    /// assert!(report.is_complete() && squares[300] == 90_000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A [`BatchError`], with [`Stopped::Lengths`] when the slices differ in length.
    ///
    /// # Panics
    ///
    /// If a progress callback panics. An item that panics fails alone.
    pub fn map_slice_into<I, T, E, F>(
        mut self,
        items: &[I],
        results: &mut [T],
        operation: F,
    ) -> Result<BatchReport<(), E>, BatchError<(), E>>
    where
        I: Sync,
        T: Send,
        E: Send,
        F: Fn(&I) -> Result<T, E> + Sync,
        P: Policy<E> + Sync,
        C: Codec<T> + Clone + Send + Sync,
    {
        if items.len() != results.len() {
            let stopped = Stopped::Lengths {
                items: items.len(),
                places: results.len(),
            };
            return Err(BatchError::new(stopped, BatchReport::default()));
        }
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        let total = items.len();
        let make = |done, restored: Vec<(u64, T)>| {
            write_back(restored, results);
            Into {
                items,
                operation,
                cursor: CachePadded::new(Mutex::new((
                    Cursor::new(total, done),
                    Rest::new(results),
                ))),
            }
        };
        over_slice(self, total, keep, make, &mut Vec::new()).report(|_| Results::default())
    }

    /// Applies `operation` to every item of a slice, on threads, where it lies.
    ///
    /// Blocks until everything is done. A checkpoint keeps the changed items. An item whose operation fails or panics is as
    /// the operation left it.
    ///
    /// # Errors
    ///
    /// A [`BatchError`] with everything that was done, when the run stops before its end.
    ///
    /// # Panics
    ///
    /// If a progress callback panics. An item that panics fails alone.
    pub fn update_slice<T, E, F>(
        mut self,
        items: &mut [T],
        operation: F,
    ) -> Result<BatchReport<(), E>, BatchError<(), E>>
    where
        T: Send,
        E: Send,
        F: Fn(&mut T) -> Result<(), E> + Sync,
        P: Policy<E> + Sync,
        C: Codec<T> + Clone + Send + Sync,
    {
        self.kept_as::<T>();
        let keep = ByCodec(self.codec.clone());
        let total = items.len();
        let make = |done, restored: Vec<(u64, T)>| {
            write_back(restored, items);
            let state = (Cursor::new(total, done), Rest::new(items));
            Update {
                operation,
                cursor: CachePadded::new(Mutex::new(state)),
            }
        };
        over_slice(self, total, keep, make, &mut Vec::new()).report(|_| Results::default())
    }
}

/// What a run over a slice came to.
struct Outcome<L, E> {
    locals: Vec<L>,
    report: BatchReport<(), E>,
    stopped: Option<Stopped>,
}

impl<L, E> Outcome<L, E> {
    fn report<T>(
        self,
        results: impl FnOnce(Vec<L>) -> Results<T>,
    ) -> Result<BatchReport<T, E>, BatchError<T, E>> {
        let report = BatchReport {
            results: results(self.locals),
            failed: self.report.failed,
            progress: self.report.progress,
        };
        match self.stopped {
            None => Ok(report),
            Some(stopped) => Err(BatchError::new(stopped, report)),
        }
    }
}

/// Opens the checkpoint, makes the work of what is left, and runs it. Restored results go to `make`, or stay in `restored`
/// if it does not want them.
fn over_slice<P, C, W, K>(
    mut job: Job<P, C>,
    items: usize,
    keep: K,
    make: impl FnOnce(DoneSet, Vec<(u64, W::Value)>) -> W,
    restored: &mut Vec<(u64, W::Value)>,
) -> Outcome<W::Local, W::Error>
where
    W: Work + Takes,
    P: Policy<W::Error> + Sync,
    K: Keep<W::Value>,
{
    let began = Instant::now();
    let total = items as u64;
    let (checkpoint, identity) = (job.checkpoint.take(), job.identity.clone());
    let interval = job.config.checkpoint_interval;
    let opened = job.begin().and_then(|(switch, running)| {
        running.has_workers();
        let opened = processor::open(checkpoint, identity, Some(total), keep, interval, &switch)?;
        Ok((switch, running, opened))
    });
    let (switch, running, opened) = match opened {
        Ok(opened) => opened,
        Err(stopped) => {
            return Outcome {
                locals: Vec::new(),
                report: BatchReport::default(),
                stopped: Some(stopped),
            };
        }
    };
    let before = opened.before();
    let meters = processor::meters(workers(&job.config, Some(total - before.done)));
    let mut ticker = job.ticker(&switch, &meters, before, Some(total));
    let given = if W::TAKES_RESTORED {
        opened.restored
    } else {
        *restored = opened.restored;
        Vec::new()
    };
    let work = make(opened.done, given);
    let team = Team {
        work: &work,
        config: &job.config,
        policy: &job.policy,
        switch: &switch,
        meters: &meters,
        ledger: opened.ledger,
        failed: Mutex::default(),
    };
    let locals = if before.done == total {
        Vec::new()
    } else {
        team.run(&mut ticker, began)
    };
    let (failed, progress, stopped) = finish(team, &mut ticker, began, Some(total));
    drop(running);
    Outcome {
        locals,
        report: BatchReport {
            results: Results::default(),
            failed,
            progress,
        },
        stopped,
    }
}

/// Whether restored results have a place in the slice itself.
trait Takes {
    const TAKES_RESTORED: bool;
}

fn write_back<T>(restored: Vec<(u64, T)>, places: &mut [T]) {
    for (item, value) in restored {
        // Every item of the log is below the number of items: `processor::open` has looked.
        if let Some(place) = usize::try_from(item).ok().and_then(|at| places.get_mut(at)) {
            *place = value;
        }
    }
}

/// Joins single results into runs.
fn join<T>(mut items: Vec<(u64, T)>) -> Vec<(u64, Vec<T>)> {
    items.sort_by_key(|(item, _)| *item);
    let mut runs = Vec::new();
    for (item, value) in items {
        push(&mut runs, item, value, 0);
    }
    runs
}

fn push<T>(runs: &mut Vec<(u64, Vec<T>)>, item: u64, value: T, room: usize) {
    if let Some((first, values)) = runs.last_mut()
        && *first + values.len() as u64 == item
    {
        values.push(value);
    } else {
        let mut values = Vec::with_capacity(room);
        values.push(value);
        runs.push((item, values));
    }
}

/// Which items are claimed next.
struct Cursor {
    next: u64,
    len: u64,
    done: DoneSet,
}

impl Cursor {
    fn new(len: usize, done: DoneSet) -> Self {
        Self {
            next: 0,
            len: len as u64,
            done,
        }
    }

    /// The next items of which none is done: whole chunks, unless the items end or one is done.
    fn claim(&mut self, chunk: usize, workers: usize) -> Option<Range<usize>> {
        let gap = self.done.next_gap(self.next, self.len)?;
        let share = (self.len - gap.start) as usize / (workers * SHARES);
        let wanted = share.max(1).next_multiple_of(chunk) as u64;
        let end = gap.end.min(gap.start + wanted);
        self.next = end;
        // Both are below the length of a slice.
        Some(gap.start as usize..end as usize)
    }
}

/// The part of a slice that nobody has claimed.
struct Rest<'a, T> {
    items: &'a mut [T],
    /// The number of its first item.
    first: usize,
}

impl<'a, T> Rest<'a, T> {
    fn new(items: &'a mut [T]) -> Self {
        Self { items, first: 0 }
    }

    /// Takes items out; what stands before them has been passed over.
    fn take(&mut self, range: &Range<usize>) -> &'a mut [T] {
        let items = std::mem::take(&mut self.items);
        let (_, from) = items.split_at_mut(range.start - self.first);
        let (taken, rest) = from.split_at_mut(range.len());
        self.items = rest;
        self.first = range.end;
        taken
    }
}

/// Items that are read, and results that are gathered.
struct Map<'a, I, F> {
    items: &'a [I],
    operation: F,
    cursor: CachePadded<Mutex<Cursor>>,
}

struct MapClaim<'a, I> {
    first: u64,
    items: &'a [I],
}

impl<I> Claim for MapClaim<'_, I> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, at: usize) -> u64 {
        self.first + at as u64
    }
}

impl<I, F> Takes for Map<'_, I, F> {
    const TAKES_RESTORED: bool = false;
}

impl<'a, I, T, E, F> Work for Map<'a, I, F>
where
    I: Sync,
    T: Send,
    E: Send,
    F: Fn(&I) -> Result<T, E> + Sync,
{
    type Claim = MapClaim<'a, I>;
    type Value = T;
    type Error = E;
    type Local = Vec<(u64, Vec<T>)>;

    fn claim(&self, chunk: usize, workers: usize) -> Option<Self::Claim> {
        let range = self.cursor.lock().claim(chunk, workers)?;
        Some(MapClaim {
            first: range.start as u64,
            items: &self.items[range],
        })
    }

    #[inline]
    fn run<K: Keep<T>>(
        &self,
        claim: &mut Self::Claim,
        at: usize,
        local: &mut Self::Local,
        keeper: &mut Keeper<K>,
    ) -> Result<(), E> {
        let value = (self.operation)(&claim.items[at])?;
        let item = claim.item(at);
        keeper.done(item, &value);
        push(local, item, value, claim.len() - at);
        Ok(())
    }
}

/// Items that are read, and results that have a place.
struct Into<'a, I, T, F> {
    items: &'a [I],
    operation: F,
    cursor: CachePadded<Mutex<(Cursor, Rest<'a, T>)>>,
}

struct IntoClaim<'a, I, T> {
    first: u64,
    items: &'a [I],
    results: &'a mut [T],
}

impl<I, T> Claim for IntoClaim<'_, I, T> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, at: usize) -> u64 {
        self.first + at as u64
    }
}

impl<I, T, F> Takes for Into<'_, I, T, F> {
    const TAKES_RESTORED: bool = true;
}

impl<'a, I, T, E, F> Work for Into<'a, I, T, F>
where
    I: Sync,
    T: Send,
    E: Send,
    F: Fn(&I) -> Result<T, E> + Sync,
{
    type Claim = IntoClaim<'a, I, T>;
    type Value = T;
    type Error = E;
    type Local = ();

    fn claim(&self, chunk: usize, workers: usize) -> Option<Self::Claim> {
        let (cursor, rest) = &mut *self.cursor.lock();
        let range = cursor.claim(chunk, workers)?;
        Some(IntoClaim {
            first: range.start as u64,
            results: rest.take(&range),
            items: &self.items[range],
        })
    }

    #[inline]
    fn run<K: Keep<T>>(
        &self,
        claim: &mut Self::Claim,
        at: usize,
        (): &mut (),
        keeper: &mut Keeper<K>,
    ) -> Result<(), E> {
        let value = (self.operation)(&claim.items[at])?;
        keeper.done(claim.first + at as u64, &value);
        claim.results[at] = value;
        Ok(())
    }
}

/// Items that are changed where they lie.
struct Update<'a, T, F> {
    operation: F,
    cursor: CachePadded<Mutex<(Cursor, Rest<'a, T>)>>,
}

struct UpdateClaim<'a, T> {
    first: u64,
    items: &'a mut [T],
}

impl<T> Claim for UpdateClaim<'_, T> {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn item(&self, at: usize) -> u64 {
        self.first + at as u64
    }
}

impl<T, F> Takes for Update<'_, T, F> {
    const TAKES_RESTORED: bool = true;
}

impl<'a, T, E, F> Work for Update<'a, T, F>
where
    T: Send,
    E: Send,
    F: Fn(&mut T) -> Result<(), E> + Sync,
{
    type Claim = UpdateClaim<'a, T>;
    type Value = T;
    type Error = E;
    type Local = ();

    fn claim(&self, chunk: usize, workers: usize) -> Option<Self::Claim> {
        let (cursor, rest) = &mut *self.cursor.lock();
        let range = cursor.claim(chunk, workers)?;
        Some(UpdateClaim {
            first: range.start as u64,
            items: rest.take(&range),
        })
    }

    #[inline]
    fn run<K: Keep<T>>(
        &self,
        claim: &mut Self::Claim,
        at: usize,
        (): &mut (),
        keeper: &mut Keeper<K>,
    ) -> Result<(), E> {
        (self.operation)(&mut claim.items[at])?;
        keeper.done(claim.first + at as u64, &claim.items[at]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn claims_shrink_to_a_chunk() {
        let mut cursor = Cursor::new(1_000_000, DoneSet::default());
        let claims: Vec<_> = std::iter::from_fn(|| cursor.claim(25, 2)).collect();
        assert_eq!(claims[0], 0..250_000);
        assert!(claims.len() < 50, "{}", claims.len());
        assert!(claims.windows(2).all(|pair| pair[0].len() >= pair[1].len()));
        assert_eq!(claims[claims.len() - 2].len(), 25);
    }

    proptest! {
        #[test]
        fn claims_cover_what_is_not_done_once(
            len in 0_usize..3_000, chunk in 1_usize..200, workers in 1_usize..9,
            done in prop::collection::vec((0_u64..3_000, 1_u64..400), 0..8),
        ) {
            let mut set = DoneSet::default();
            for (start, count) in done {
                set.insert(start.min(len as u64)..(start + count).min(len as u64));
            }
            let mut cursor = Cursor::new(len, set.clone());
            let mut items: Vec<usize> = (0..len).collect();
            let mut rest = Rest::new(&mut items);
            let mut seen = Vec::new();
            while let Some(range) = cursor.claim(chunk, workers) {
                let taken = rest.take(&range);
                prop_assert_eq!(taken.to_vec(), range.clone().collect::<Vec<_>>());
                seen.extend(range);
            }
            let expected: Vec<usize> = (0..len).filter(|item| !set.contains(*item as u64)).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}
