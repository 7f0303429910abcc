//! Small entries that are there: read, and read with a tenth of puts between.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use xtask::{Failure, Result};

use super::caches::{Aqe, Cache, Foyer, MokaDefault, MokaFoldhash, MokaOneTtl, Quick, QuickTtl};
use super::keys::{Keys, zipf};
use crate::allocations;
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;
use crate::workloads::{Entry, entry};

/// Entries, all of which fit.
const ENTRIES: u64 = 100_000;
/// There is twice the room they need: nobody evicts, whatever the luck of its shards.
const ROOM: u64 = 2 * ENTRIES;
/// Operations of each thread.
const OPERATIONS: u64 = 2_000_000;
const VALUE: [u8; 100] = [b'v'; 100];

pub(super) const fn hits<const THREADS: usize>() -> [Entry; 7] {
    [
        entry("aqe", hit::<Aqe, THREADS>),
        entry("quick_cache", hit::<Quick, THREADS>),
        entry("quick_cache-ttl", hit::<QuickTtl, THREADS>),
        entry("moka", hit::<MokaDefault, THREADS>),
        entry("moka-foldhash", hit::<MokaFoldhash, THREADS>),
        entry("moka-foldhash-one-ttl", hit::<MokaOneTtl, THREADS>),
        entry("foyer", hit::<Foyer, THREADS>),
    ]
}

pub(super) const fn mixes<const THREADS: usize>() -> [Entry; 7] {
    [
        entry("aqe", mix::<Aqe, THREADS>),
        entry("quick_cache", mix::<Quick, THREADS>),
        entry("quick_cache-ttl", mix::<QuickTtl, THREADS>),
        entry("moka", mix::<MokaDefault, THREADS>),
        entry("moka-foldhash", mix::<MokaFoldhash, THREADS>),
        entry("moka-foldhash-one-ttl", mix::<MokaOneTtl, THREADS>),
        entry("foyer", mix::<Foyer, THREADS>),
    ]
}

pub(super) const ALLOCATIONS: &[Entry] = &[
    entry("aqe", allocate::<Aqe>),
    entry("quick_cache-ttl", allocate::<QuickTtl>),
    entry("moka-foldhash", allocate::<MokaFoldhash>),
    entry("foyer", allocate::<Foyer>),
];

/// A full cache, its keys, and the numbers of those that each thread reads.
struct Set<C> {
    cache: C,
    keys: Keys,
    reads: Vec<Vec<u32>>,
}

impl<C: Cache> Set<C> {
    fn new(scale: Scale, threads: usize) -> Result<Self> {
        let entries = scale.of(ENTRIES) as usize;
        let cache = C::with_room(scale.of(ROOM) as usize)?;
        let keys = Keys::new(entries);
        keys.iter().for_each(|key| cache.put(key, &VALUE));
        cache.settle();
        let draws = scale.of(OPERATIONS) as usize;
        let reads = (0..threads as u64).map(|seed| zipf(entries, draws, seed));
        let set = Self {
            reads: reads.collect(),
            cache,
            keys,
        };
        // Everything has its place, in the cache and in those of the processor.
        let found = set.count(&set.reads[0]);
        if found < draws {
            let missing = draws - found;
            return Err(Failure::new(format!("{missing} of {draws} reads missed")));
        }
        Ok(set)
    }

    fn count(&self, reads: &[u32]) -> usize {
        let get = |n: &&u32| black_box(self.cache.get(self.keys.key(**n as usize))).is_some();
        reads.iter().filter(get).count()
    }

    /// Lets each thread work on what it has to read.
    fn measure(&self, work: impl Fn(&[u32]) + Sync) -> Vec<Reading> {
        let ready = Barrier::new(self.reads.len() + 1);
        let operations: usize = self.reads.iter().map(Vec::len).sum();
        let stretch = thread::scope(|scope| {
            for reads in &self.reads {
                scope.spawn(|| {
                    ready.wait();
                    work(reads);
                });
            }
            let stretch = Stretch::start();
            ready.wait();
            stretch
        });
        stretch.per_operation(operations as u64)
    }
}

fn hit<C: Cache, const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::<C>::new(scale, THREADS)?;
    Ok(set.measure(|reads| _ = black_box(set.count(reads))))
}

fn mix<C: Cache, const THREADS: usize>(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::<C>::new(scale, THREADS)?;
    Ok(set.measure(|reads| {
        for (turn, n) in reads.iter().enumerate() {
            let key = set.keys.key(*n as usize);
            if turn % 10 == 9 {
                set.cache.put(key, &VALUE);
            } else {
                black_box(set.cache.get(key));
            }
        }
    }))
}

fn allocate<C: Cache>(scale: Scale) -> Result<Vec<Reading>> {
    let set = Set::<C>::new(scale, 1)?;
    let reads = &set.reads[0];
    let count = allocations::during(|| _ = black_box(set.count(reads)));
    let share = count as f64 * 1e6 / reads.len() as f64;
    Ok(vec![Reading::new("allocations", "per 1M reads", share)])
}
