//! What the values of a namespace have in common, found out and kept.
//!
//! A small value alone has little that repeats. Values of one namespace resemble each other, though, and a dictionary of
//! their common parts makes each of them a third of what it is. It is made from values as they come by: when enough
//! were seen, and again when values do not fit it any more.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::codec::{Dictionary, train};

/// The dictionaries of a store.
#[derive(Debug)]
pub(crate) struct Dictionaries {
    /// Bytes that a dictionary has. None are made if it is zero.
    size: usize,
    /// How many there can be: each is kept for as long as a record may need it.
    most: usize,
    known: RwLock<Known>,
    /// With so many bytes of values, a dictionary is made.
    enough: usize,
    /// How many bytes of values are kept for that, of all namespaces.
    most_sampled: u64,
    observed: Mutex<HashMap<u16, Observed>>,
    /// Bytes that all dictionaries take.
    memory: AtomicU64,
    /// Bytes of values that are kept. Written under the lock of `observed`.
    sampled: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    /// With the namespace that it was made for.
    by_id: HashMap<u32, (u16, Arc<Dictionary>)>,
    /// The newest of each namespace.
    newest: HashMap<u16, Arc<Dictionary>>,
}

/// What was seen of a namespace's values.
#[derive(Debug, Default)]
struct Observed {
    samples: Vec<Box<[u8]>>,
    bytes: usize,
    /// Sizes of values and of what was stored for them: since the newest dictionary was made, up to `SETTLED`, and since the
    /// last look.
    first: Sizes,
    recent: Sizes,
    is_due: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sizes {
    raw: u64,
    stored: u64,
}

/// A dictionary that was made, for a namespace.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) namespace: u16,
    pub(crate) dictionary: Dictionary,
}

/// With this much of values a dictionary is made, if the store has room for it.
const ENOUGH_BYTES: u64 = 1 << 20;
/// With so many values of fewer bytes as well.
const ENOUGH_SAMPLES: usize = 2000;
const ENOUGH_FOR_SAMPLES: usize = 128 << 10;
/// Of a longer value, the beginning is looked at.
const MOST_OF_SAMPLE: usize = 16 << 10;
/// What is larger gains little: it repeats itself.
pub(crate) const MOST_VALUE: usize = 128 << 10;
/// Of more namespaces than this nothing is noted at a time.
const MOST_OBSERVED: usize = 1024;
/// How well values fit a dictionary is known after this many bytes of them.
const SETTLED: u64 = 8 << 20;
/// Bytes that a dictionary takes with its tables, in multiples of its own: measured at the largest size.
const TABLES: usize = 4;

impl Dictionaries {
    /// For a store of this many bytes of memory, of which dictionaries take at most a sixteenth.
    pub(crate) fn new(total: u64) -> Self {
        let size = match total {
            0..0x80_0000 => 0,
            0x80_0000..0x200_0000 => 16 << 10,
            _ => 60 << 10,
        };
        let share = usize::try_from(total / 16).unwrap_or(usize::MAX);
        let most = share.checked_div(size * TABLES).unwrap_or(0);
        Self {
            size,
            most: most.min(256),
            enough: (total / 128).min(ENOUGH_BYTES) as usize,
            most_sampled: total / 32,
            known: RwLock::default(),
            observed: Mutex::default(),
            memory: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
        }
    }

    /// The newest dictionary of a namespace.
    pub(crate) fn newest(&self, namespace: u16) -> Option<Arc<Dictionary>> {
        self.known.read().newest.get(&namespace).cloned()
    }

    /// The dictionary of this number.
    pub(crate) fn get(&self, id: u32) -> Option<Arc<Dictionary>> {
        let known = self.known.read();
        known
            .by_id
            .get(&id)
            .map(|(_, dictionary)| Arc::clone(dictionary))
    }

    /// How many were made so far, those included that are gone.
    pub(crate) fn made(&self) -> u32 {
        self.known.read().by_id.keys().max().copied().unwrap_or(0)
    }

    /// The namespaces whose values fit their dictionary worse than those that it was made for: with the bytes that are stored for
    /// each byte of a value, of those and of values of late.
    pub(crate) fn fallen(&self) -> Vec<(u16, f64, f64)> {
        let observed = self.observed.lock();
        let known = self.known.read();
        let observed = observed.iter().filter(|(namespace, observed)| {
            known.newest.contains_key(namespace) && observed.has_drifted()
        });
        let mut fallen: Vec<_> = observed
            .map(|(namespace, of)| (*namespace, of.first.ratio(), of.recent.ratio()))
            .collect();
        fallen.sort_unstable_by_key(|(namespace, ..)| *namespace);
        fallen
    }

    /// Takes note of a value and of how small it became. Says whether a dictionary is to be [made](Self::make).
    pub(crate) fn observe(&self, namespace: u16, value: &[u8], stored: usize) -> bool {
        if self.size == 0 || value.is_empty() || value.len() > MOST_VALUE {
            return false;
        }
        // One value more or less does not matter: nobody waits for this.
        let Some(mut observed) = self.observed.try_lock() else {
            return false;
        };
        // A namespace takes some bytes even without samples.
        let is_new = !observed.contains_key(&namespace);
        if is_new && observed.len() >= MOST_OBSERVED {
            return false;
        }
        let observed = observed.entry(namespace).or_default();
        if observed.is_due {
            return false;
        }
        let sizes = Sizes {
            raw: value.len() as u64,
            stored: stored as u64,
        };
        if self.known.read().newest.contains_key(&namespace) && !observed.drifts(sizes) {
            return false;
        }
        let sample = &value[..value.len().min(MOST_OF_SAMPLE)];
        let sampled = self.sampled.load(Ordering::Relaxed) + sample.len() as u64;
        if sampled > self.most_sampled {
            return false;
        }
        self.sampled.store(sampled, Ordering::Relaxed);
        observed.bytes += sample.len();
        observed.samples.push(sample.into());
        observed.is_due = observed.bytes >= self.enough
            || observed.samples.len() >= ENOUGH_SAMPLES && observed.bytes >= ENOUGH_FOR_SAMPLES;
        observed.is_due && self.known.read().by_id.len() < self.most
    }

    /// Makes the dictionaries for which enough values were seen. That takes up to half a second for each.
    pub(crate) fn make(&self) -> Vec<Made> {
        let mut ready = Vec::new();
        for (&namespace, observed) in self.observed.lock().iter_mut() {
            if observed.is_due && !observed.samples.is_empty() {
                let left = self.sampled.load(Ordering::Relaxed) - observed.bytes as u64;
                self.sampled.store(left, Ordering::Relaxed);
                ready.push((namespace, std::mem::take(&mut observed.samples)));
                observed.bytes = 0;
            }
        }
        let mut made = Vec::new();
        for (namespace, samples) in ready {
            let bytes = train(&samples, self.size);
            let known = self.known.read();
            let next = known
                .by_id
                .keys()
                .max()
                .map_or(1, |id| id.saturating_add(1));
            let next = NonZeroU32::MIN.saturating_add(next - 1 + made.len() as u32);
            if known.by_id.len() + made.len() < self.most
                && let Ok(dictionary) = Dictionary::new(next, bytes)
            {
                made.push(Made {
                    namespace,
                    dictionary,
                });
            }
        }
        made
    }

    /// Uses a dictionary for what is compressed from now on.
    pub(crate) fn install(&self, made: Made) {
        let (namespace, dictionary) = (made.namespace, Arc::new(made.dictionary));
        let mut known = self.known.write();
        let id = dictionary.id().get();
        known.by_id.insert(id, (namespace, Arc::clone(&dictionary)));
        // Those that are found in a folder come in any order.
        let newest = known.newest.get(&namespace).map(|newest| newest.id());
        if newest.is_none_or(|newest| newest < dictionary.id())
            && let Some(older) = known.newest.insert(namespace, dictionary)
        {
            // It is read with from now on, and not written.
            older.release_index();
        }
        drop(known);
        self.weigh();
        if let Some(observed) = self.observed.lock().remove(&namespace) {
            let left = self.sampled.load(Ordering::Relaxed) - observed.bytes as u64;
            self.sampled.store(left, Ordering::Relaxed);
        }
    }

    /// Bytes that a dictionary has, and whether there may be one more.
    pub(crate) fn room(&self) -> Option<usize> {
        (self.size > 0 && self.known.read().by_id.len() < self.most).then_some(self.size)
    }

    /// The number of the dictionary that is made next. The caller holds the upkeep, so that nobody else makes one.
    pub(crate) fn next(&self) -> NonZeroU32 {
        NonZeroU32::MIN.saturating_add(self.made())
    }

    /// Gives back what only a pass of recompression needs; it is built again when it is needed again.
    pub(crate) fn release_indexes(&self) {
        for (_, dictionary) in self.known.read().by_id.values() {
            dictionary.release_index();
        }
        self.weigh();
    }

    /// Finds out how many bytes all dictionaries take: their tables are built when they are needed.
    pub(crate) fn weigh(&self) {
        let known = self.known.read();
        let bytes = known
            .by_id
            .values()
            .map(|(_, dictionary)| dictionary.memory() as u64);
        self.memory.store(bytes.sum(), Ordering::Relaxed);
    }

    /// All dictionaries, with their namespaces.
    pub(crate) fn all(&self) -> Vec<(u16, Arc<Dictionary>)> {
        self.known.read().by_id.values().cloned().collect()
    }

    /// Bytes that all dictionaries take, and the values of which they are made.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed) + self.sampled.load(Ordering::Relaxed)
    }
}

impl Observed {
    /// Whether values have become a tenth larger, compressed, than those for which the dictionary was made.
    fn drifts(&mut self, sizes: Sizes) -> bool {
        if self.first.raw < SETTLED {
            self.first.add(sizes);
            return false;
        }
        if self.recent.raw >= SETTLED {
            self.recent.halve();
        }
        self.recent.add(sizes);
        self.has_drifted()
    }

    fn has_drifted(&self) -> bool {
        self.recent.raw >= SETTLED / 2 && self.recent.ratio() * 0.9 > self.first.ratio()
    }
}

impl Sizes {
    fn add(&mut self, other: Self) {
        self.raw += other.raw;
        self.stored += other.stored;
    }

    fn halve(&mut self) {
        self.raw /= 2;
        self.stored /= 2;
    }

    /// Stored bytes for each byte of a value.
    fn ratio(self) -> f64 {
        self.stored as f64 / self.raw.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of a kind have the same text in them.
    fn value(kind: &str, number: usize) -> Vec<u8> {
        let filler = (0..20).map(|at| (number * 31 + at) * 7919 % 9973);
        let filler: Vec<_> = filler.map(|number| number.to_string()).collect();
        format!("{kind} {kind} {number} {}", filler.join(",")).into_bytes()
    }

    fn feed(dictionaries: &Dictionaries, kind: &str, stored: usize, most: usize) -> Option<usize> {
        (0..most).find(|&number| dictionaries.observe(3, &value(kind, number), stored))
    }

    fn make(dictionaries: &Dictionaries) -> usize {
        let made = dictionaries.make();
        let count = made.len();
        made.into_iter().for_each(|made| dictionaries.install(made));
        count
    }

    #[test]
    fn a_dictionary_is_made_when_enough_was_seen_and_again_when_values_change() {
        let dictionaries = Dictionaries::new(1 << 30);
        assert!(dictionaries.newest(3).is_none());
        assert!(feed(&dictionaries, "one", 100, 100_000).is_some());
        assert!(
            feed(&dictionaries, "one", 100, 100).is_none(),
            "it is asked for once"
        );
        assert_eq!(make(&dictionaries), 1);
        let first = dictionaries.newest(3).unwrap();
        assert_eq!(dictionaries.get(first.id().get()).unwrap().id(), first.id());
        assert!(dictionaries.memory() > 0);

        // As long as values become as small as they did, nothing changes.
        assert_eq!(feed(&dictionaries, "one", 40, 200_000), None);
        assert_eq!(make(&dictionaries), 0);
        assert!(feed(&dictionaries, "other", 100, 400_000).is_some());
        assert_eq!(make(&dictionaries), 1);
        let second = dictionaries.newest(3).unwrap();
        assert!(second.id() > first.id());
        assert!(
            dictionaries.get(first.id().get()).is_some(),
            "records may need it"
        );
        assert!(dictionaries.newest(4).is_none());
    }

    #[test]
    fn a_small_store_has_none() {
        let dictionaries = Dictionaries::new(2 << 20);
        assert_eq!(feed(&dictionaries, "one", 100, 50_000), None);
        assert_eq!(make(&dictionaries), 0);
    }

    #[test]
    fn there_are_not_more_than_memory_allows() {
        let dictionaries = Dictionaries::new(8 << 20);
        let mut count = 0;
        for namespace in 0..20 {
            for number in 0..10_000 {
                let value = value("many", number);
                if dictionaries.observe(namespace, &value, 100) {
                    break;
                }
            }
            count += make(&dictionaries);
        }
        assert_eq!(count, (8 << 20) / 16 / (16 << 10) / TABLES);
        assert!((1..=8 << 16).contains(&dictionaries.memory()));
    }
}
