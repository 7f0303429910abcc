//! Caches of as many entries as they are given, all of one weight, under one trait.

mod aqe;
mod list;
mod optimal;
mod peers;
mod s3_fifo;

use super::loads::Load;

/// A cache in which only the keys matter.
trait Cache {
    /// Reads a key, and inserts it if it is not there; says whether it was.
    fn read(&mut self, key: u32) -> bool;

    /// How many entries it holds.
    fn entries(&mut self) -> usize;
}

/// The name of the one that takes the future into account.
pub(super) const OPTIMAL: &str = "optimal";

/// The name of the one that nothing may be worse than.
pub(super) const LRU: &str = "lru";

/// What makes a cache, given the number of keys and the capacity.
type Make = fn(usize, usize) -> Box<dyn Cache>;

/// Those with a cache of their own.
const CACHES: &[(&str, Make)] = &[
    (LRU, |keys, capacity| {
        Box::new(list::Lru::new(keys, capacity))
    }),
    ("moka", |_, capacity| Box::new(peers::Moka::new(capacity))),
    ("quick_cache", |_, capacity| {
        Box::new(peers::Quick::new(capacity))
    }),
    ("foyer", |_, capacity| Box::new(peers::Foyer::new(capacity))),
    ("s3-fifo", |keys, capacity| {
        Box::new(s3_fifo::S3Fifo::new(keys, capacity))
    }),
    ("aqe-entries", |keys, capacity| {
        Box::new(aqe::Aqe::new(keys, capacity, None))
    }),
    ("aqe-16", |keys, capacity| {
        Box::new(aqe::Aqe::new(keys, capacity, Some(16)))
    }),
    (crate::report::AQE, |keys, capacity| {
        Box::new(aqe::Aqe::new(keys, capacity, Some(64)))
    }),
];

/// Everybody, in the order in which they are shown.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    CACHES.iter().map(|(name, _)| *name).chain([OPTIMAL])
}

/// The hits of a cache on a load, or `None` if there is none of this name.
///
/// # Panics
///
/// When a cache held more entries than it was given: then its hits are no comparison.
pub(super) fn hits(name: &str, load: &Load, capacity: usize) -> Option<usize> {
    if name == OPTIMAL {
        return Some(optimal::hits(load, capacity));
    }
    let (_, make) = CACHES.iter().find(|(known, _)| *known == name)?;
    let mut cache = make(load.distinct, capacity);
    let hits = load.keys.iter().filter(|key| cache.read(**key)).count();
    let entries = cache.entries();
    assert!(
        entries <= capacity,
        "{name} holds {entries} entries in {capacity}"
    );
    Some(hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_that_fit_are_missed_once() {
        let keys: Vec<u64> = (0..4).cycle().take(40).collect();
        let load = Load::new("all fit", &keys);
        for name in names() {
            assert_eq!(hits(name, &load, 100), Some(36), "{name}");
        }
    }

    #[test]
    fn nobody_beats_the_optimum() {
        for (name, make) in super::super::loads::RECIPES {
            let load = Load::new(name, &make(2));
            let capacity = load.distinct / 10;
            let optimum = hits(OPTIMAL, &load, capacity);
            for contender in names() {
                assert!(
                    hits(contender, &load, capacity) <= optimum,
                    "{contender} on {name}"
                );
            }
        }
    }

    #[test]
    fn known_sequences() {
        // After 0 1 2 in room for two: 0 is gone from LRU, and the optimum has kept it.
        let load = Load::new("three", &[0, 1, 2, 0, 1, 0, 2]);
        assert_eq!(hits(LRU, &load, 2), Some(1));
        assert_eq!(hits(OPTIMAL, &load, 2), Some(3));
    }
}
