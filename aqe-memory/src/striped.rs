//! Counting what happens a hundred million times a second.
//!
//! An atomic addition costs as much as half of a read, even when nobody else counts. So each thread has a stripe of its own in
//! every store's tallies, to which it alone writes: a load, an addition and a store. Threads get their stripe when they
//! first count, and give it back when they end. When more threads are alive than there are stripes, the others share the
//! last one, with atomic additions. The sum is exact in any case.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    Hit,
    Miss,
    Put,
    Expired,
    Evicted,
    Removed,
    Replaced,
    Invalidated,
}

const TALLIES: usize = Tally::Invalidated as usize + 1;

/// How often each of them was.
#[derive(Debug)]
pub(crate) struct Tallies {
    stripes: Box<[CachePadded<Stripe>; STRIPES]>,
}

type Stripe = [AtomicU64; TALLIES];

/// Eight KiB for each store.
const STRIPES: usize = 64;
/// The stripe of those who have none of their own.
const SHARED: usize = STRIPES - 1;
/// Of a thread that has not counted yet.
const UNKNOWN: usize = usize::MAX;

/// Which stripes belong to a thread, as bits.
static TAKEN: Mutex<u64> = Mutex::new(0);

thread_local! {
    /// The thread's stripe. It has no destructor, so that it can be asked until the thread's very end.
    static STRIPE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static HOLD: Hold = Hold::take();
}

/// A thread's right to its stripe.
struct Hold(usize);

impl Default for Tallies {
    fn default() -> Self {
        Self {
            stripes: Box::new(std::array::from_fn(|_| CachePadded::default())),
        }
    }
}

impl Tallies {
    /// How many there were so far.
    pub(crate) fn sum(&self, tally: Tally) -> u64 {
        let cells = self.stripes.iter().map(|stripe| &stripe[tally as usize]);
        cells.map(|cell| cell.load(Ordering::Relaxed)).sum()
    }

    /// Counts so many more.
    #[inline]
    pub(crate) fn add(&self, tally: Tally, by: u64) {
        let stripe = STRIPE.get();
        if stripe < SHARED {
            let cell = &self.stripes[stripe][tally as usize];
            // Nobody else writes here. The lock behind `TAKEN` orders this after the stripe's former thread. Relaxed: a number
            // that says nothing about others.
            cell.store(cell.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        } else {
            self.add_without_stripe(tally, by);
        }
    }

    #[cold]
    fn add_without_stripe(&self, tally: Tally, by: u64) {
        if STRIPE.get() == UNKNOWN {
            // While the thread's other destructors run it has no hold any more, and has been told that it shares.
            STRIPE.set(HOLD.try_with(|hold| hold.0).unwrap_or(SHARED));
        }
        self.stripes[STRIPE.get()][tally as usize].fetch_add(by, Ordering::Relaxed);
    }
}

impl Hold {
    fn take() -> Self {
        let mut taken = TAKEN.lock();
        let free = (!*taken).trailing_zeros() as usize;
        if free < SHARED {
            *taken |= 1 << free;
        }
        Self(free.min(SHARED))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        STRIPE.set(SHARED);
        if self.0 < SHARED {
            *TAKEN.lock() &= !(1 << self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn nothing_is_lost_with_more_threads_than_stripes() {
        const THREADS: usize = 2 * STRIPES;
        let tallies = Tallies::default();
        // Two generations, so that stripes are used again.
        for generation in 1..=2u64 {
            let all_there = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        tallies.add(Tally::Hit, 1);
                        all_there.wait();
                        (0..500).for_each(|_| tallies.add(Tally::Hit, 1));
                        (0..3).for_each(|_| tallies.add(Tally::Replaced, 1));
                        tallies.add(Tally::Hit, 2);
                    });
                }
            });
            let threads = THREADS as u64 * generation;
            let sums = [Tally::Hit, Tally::Miss, Tally::Replaced].map(|tally| tallies.sum(tally));
            assert_eq!(sums, [503 * threads, 0, 3 * threads]);
        }
    }

    #[test]
    fn two_threads_never_have_the_same_stripe_of_their_own() {
        let both_there = Barrier::new(2);
        let stripe = || {
            Tallies::default().add(Tally::Hit, 1);
            both_there.wait();
            let stripe = STRIPE.get();
            both_there.wait();
            stripe
        };
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(stripe);
            (stripe(), other.join().unwrap())
        });
        assert!(one != other || one == SHARED, "{one} and {other}");
    }
}
