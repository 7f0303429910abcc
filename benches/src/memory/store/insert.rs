//! Small entries that come in: where there is room for all, and where each has to push another one out.

use xtask::Result;

use super::caches::{
    Aqe, AqeCompressing, Cache, Foyer, MokaDefault, MokaFoldhash, MokaOneTtl, Quick, QuickTtl,
};
use super::keys::Keys;
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;
use crate::workloads::{Entry, entry};

/// Entries that are put while the clock runs.
const ENTRIES: u64 = 500_000;
/// Entries for which there is room where there is not enough.
const CAPACITY: u64 = 100_000;
const VALUE: [u8; 100] = [b'v'; 100];

pub(super) const FRESH: &[Entry] = &[
    entry("aqe", fresh::<Aqe>),
    entry("quick_cache", fresh::<Quick>),
    entry("quick_cache-ttl", fresh::<QuickTtl>),
    entry("moka", fresh::<MokaDefault>),
    entry("moka-foldhash", fresh::<MokaFoldhash>),
    entry("moka-foldhash-one-ttl", fresh::<MokaOneTtl>),
    entry("foyer", fresh::<Foyer>),
];

pub(super) const AT_CAPACITY: &[Entry] = &[
    entry("aqe", at_capacity::<Aqe>),
    entry("aqe-compressing", at_capacity::<AqeCompressing>),
    entry("quick_cache", at_capacity::<Quick>),
    entry("quick_cache-ttl", at_capacity::<QuickTtl>),
    entry("moka", at_capacity::<MokaDefault>),
    entry("moka-foldhash", at_capacity::<MokaFoldhash>),
    entry("moka-foldhash-one-ttl", at_capacity::<MokaOneTtl>),
    entry("foyer", at_capacity::<Foyer>),
];

fn fresh<C: Cache>(scale: Scale) -> Result<Vec<Reading>> {
    let entries = scale.of(ENTRIES);
    let keys = Keys::new(entries as usize);
    let cache = C::with_room(2 * entries as usize)?;
    Ok(put(&cache, keys.iter()))
}

fn at_capacity<C: Cache>(scale: Scale) -> Result<Vec<Reading>> {
    let (entries, capacity) = (scale.of(ENTRIES) as usize, scale.of(CAPACITY) as usize);
    let keys = Keys::new(entries + 2 * capacity);
    let cache = C::with_room(capacity)?;
    // Twice what fits, so that it is full, and has had to do with that for a while.
    keys.iter()
        .take(2 * capacity)
        .for_each(|key| cache.put(key, &VALUE));
    cache.settle();
    Ok(put(&cache, keys.iter().skip(2 * capacity)))
}

/// Puts entries, with the work that the cache has put off.
fn put<'a, C: Cache>(cache: &C, keys: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Reading> {
    let count = keys.len() as u64;
    let stretch = Stretch::start();
    keys.for_each(|key| cache.put(key, &VALUE));
    cache.settle();
    stretch.per_operation(count)
}
