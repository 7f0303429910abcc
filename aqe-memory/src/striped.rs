//! Counting what happens a hundred million times a second.
//!
//! An atomic addition costs as much as half of a read, even when nobody else counts. So each thread has a stripe of its own in
//! every store's counters, to which it alone writes: a load, an addition and a store. Threads get their stripe when they
//! first count, and give it back when they end. When more threads are alive than there are stripes, the others share the
//! last one, with atomic additions. The sum is exact in any case.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

/// Reads, by how they ended.
#[derive(Debug)]
pub(crate) struct Reads {
    stripes: Box<[CachePadded<Stripe>; STRIPES]>,
}

#[derive(Debug, Default)]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

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

impl Reads {
    pub(crate) fn new() -> Self {
        Self {
            stripes: Box::new(std::array::from_fn(|_| CachePadded::default())),
        }
    }

    #[inline]
    pub(crate) fn hit(&self) {
        self.add(1, |stripe| &stripe.hits);
    }

    #[inline]
    pub(crate) fn miss(&self) {
        self.add(1, |stripe| &stripe.misses);
    }

    /// Counts what a batch of reads has found.
    pub(crate) fn batch(&self, hits: usize, misses: usize) {
        self.add(hits as u64, |stripe| &stripe.hits);
        self.add(misses as u64, |stripe| &stripe.misses);
    }

    /// Hits and misses so far.
    pub(crate) fn sums(&self) -> (u64, u64) {
        let sum = |which: fn(&Stripe) -> &AtomicU64| {
            let stripes = self.stripes.iter();
            stripes
                .map(|stripe| which(stripe).load(Ordering::Relaxed))
                .sum()
        };
        (sum(|stripe| &stripe.hits), sum(|stripe| &stripe.misses))
    }

    #[inline]
    fn add(&self, by: u64, which: impl Fn(&Stripe) -> &AtomicU64) {
        let stripe = STRIPE.get();
        if stripe < SHARED {
            let counter = which(&self.stripes[stripe]);
            // Nobody else writes here. The lock behind `TAKEN` orders this after the stripe's former thread. Relaxed: a number
            // that says nothing about others.
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        } else {
            self.add_without_stripe(by, which);
        }
    }

    #[cold]
    fn add_without_stripe(&self, by: u64, which: impl Fn(&Stripe) -> &AtomicU64) {
        if STRIPE.get() == UNKNOWN {
            // While the thread's other destructors run it has no hold any more, and has been told that it shares.
            STRIPE.set(HOLD.try_with(|hold| hold.0).unwrap_or(SHARED));
        }
        which(&self.stripes[STRIPE.get()]).fetch_add(by, Ordering::Relaxed);
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
        let reads = Reads::new();
        // Two generations, so that stripes are used again.
        for generation in 1..=2u64 {
            let all_there = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        reads.hit();
                        all_there.wait();
                        (0..500).for_each(|_| reads.hit());
                        (0..3).for_each(|_| reads.miss());
                        reads.batch(2, 1);
                    });
                }
            });
            let threads = THREADS as u64 * generation;
            assert_eq!(reads.sums(), (503 * threads, 4 * threads));
        }
    }

    #[test]
    fn two_threads_never_have_the_same_stripe_of_their_own() {
        let both_there = Barrier::new(2);
        let stripe = || {
            Reads::new().hit();
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
