//! What a store is made of.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::scan::Seen;
use super::trends::Trends;
use crate::clock::Millis;
use crate::segment::Kind;
use crate::stats::StoreStats;
use crate::store::{Core, Store};

/// What a store is made of, as [`Store::analyze`] finds it. Whatever is said of bytes is what was read from records, not
/// estimated.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Analysis {
    /// When it was begun: milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The store's figures.
    pub stats: StoreStats,
    /// The share of reads that found an entry, 0–1. `None` if there was no read.
    pub hit_ratio: Option<f64>,
    /// What lies where. All three tiers, in the order in which entries go through them.
    pub tiers: Vec<TierAnalysis>,
    /// What belongs to which namespace, the largest first; at most 1,000.
    pub namespaces: Vec<NamespaceAnalysis>,
    /// Namespaces that were left out of the list.
    pub namespaces_left_out: u64,
    /// What was made small with which dictionary, the newest of each namespace first.
    pub dictionaries: Vec<DictionaryAnalysis>,
    /// Entries by the time since they were put. Of what was put before the store was opened, that is the time since its
    /// segment was begun, or since the store was opened if that is longer.
    pub ages: Vec<HistogramBar>,
    /// Entries by the time that is left to them.
    pub remaining: Vec<HistogramBar>,
    /// The largest entries as they are stored, the largest first; at most 20.
    pub largest: Vec<LargeEntry>,
    /// Entries that are over, or have an invalidated tag, and were not cleared away yet. They are among those of the tiers and of
    /// namespaces.
    pub expired_entries: u64,
    /// Bytes that those take.
    pub expired_bytes: u64,
    /// How that changes.
    pub trends: Trends,
}

/// Where an entry lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum EntryTier {
    /// In memory, as it was put.
    Uncompressed,
    /// In memory, compressed.
    Compressed,
    /// In a file only.
    Disk,
}

/// Entries, and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Amount {
    /// How many there are.
    pub entries: u64,
    /// Bytes that they take where they are, keys and all.
    pub bytes: u64,
    /// Bytes of their values as they were put.
    pub value_bytes: u64,
    /// Bytes of their values as they are stored.
    pub stored_bytes: u64,
}

/// One tier's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TierAnalysis {
    /// Which one.
    pub tier: EntryTier,
    /// What lies there.
    pub amount: Amount,
}

/// One namespace's part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NamespaceAnalysis {
    /// Its name; empty for the one without a name.
    pub name: Arc<str>,
    /// All of it.
    pub all: Amount,
    /// What of it is compressed, in memory or on disk, whether or not that made it smaller.
    pub compressed: Amount,
}

/// What was made small with a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DictionaryAnalysis {
    /// The namespace that it was made for.
    pub namespace: Arc<str>,
    /// Its number: one that is higher is newer.
    pub number: u32,
    /// Whether new values are made small with it.
    pub is_newest: bool,
    /// Bytes of memory that it takes with its tables.
    pub memory_bytes: u64,
    /// Entries that need it.
    pub amount: Amount,
}

/// Entries within some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HistogramBar {
    /// The longest time, in milliseconds; the shortest is the one before. `None`: longer than all others, or for ever.
    pub up_to_ms: Option<u64>,
    /// Entries.
    pub entries: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// One of the largest entries.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LargeEntry {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its key.
    #[cfg_attr(feature = "serde", serde(serialize_with = "as_text"))]
    pub key: Box<[u8]>,
    /// Where it lies.
    pub tier: EntryTier,
    /// Bytes that it takes there.
    pub bytes: u64,
    /// Bytes of its value as it was put.
    pub value_bytes: u64,
}

/// Entries that are listed.
const MOST_LARGE: usize = 20;
/// Namespaces that are listed.
const MOST_NAMESPACES: usize = 1_000;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;
const DAY: Millis = 24 * HOUR;

/// Up to where the bars of a histogram go; another one is for the rest.
pub(super) const BARS: [Millis; 9] = [
    SECOND,
    10 * SECOND,
    MINUTE,
    10 * MINUTE,
    HOUR,
    6 * HOUR,
    DAY,
    7 * DAY,
    30 * DAY,
];

impl Store {
    /// Finds out what the store is made of, by looking at every entry once.
    ///
    /// That takes less than a microsecond for each entry in memory, and for one on disk the time of reading it; and, for as long as it
    /// takes, eight bytes for each entry of one shard: of a folder an eighth of all. Others go on meanwhile: those who put wait
    /// for 64 entries at a time at most, and readers do not wait. Entries that are put, moved or removed during the call may
    /// be left out.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.namespace("runs")?.put(b"1", b"passed")?;
    /// let analysis = store.analyze();
    /// assert_eq!(&*analysis.namespaces[0].name, "runs");
    /// assert_eq!(analysis.namespaces[0].all.value_bytes, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn analyze(&self) -> Analysis {
        self.core().analyze()
    }
}

impl Amount {
    /// How many times smaller values are as they are stored: 4 means a quarter. `None` if nothing is stored.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.stored_bytes > 0).then(|| self.value_bytes as f64 / self.stored_bytes as f64)
    }

    pub(super) fn add(&mut self, seen: &Seen<'_>) {
        self.entries += 1;
        self.bytes += seen.size;
        self.value_bytes += seen.value;
        self.stored_bytes += seen.stored;
    }
}

impl From<Kind> for EntryTier {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Raw => Self::Uncompressed,
            Kind::Packed => Self::Compressed,
            Kind::Cold => Self::Disk,
        }
    }
}

/// What a scan has found so far.
#[derive(Default)]
struct Sums {
    tiers: BTreeMap<EntryTier, Amount>,
    /// All, and compressed.
    namespaces: HashMap<u16, (Amount, Amount)>,
    dictionaries: HashMap<u32, Amount>,
    ages: [(u64, u64); BARS.len() + 1],
    remaining: [(u64, u64); BARS.len() + 1],
    /// The smallest of the largest is on top.
    largest: BinaryHeap<Reverse<(u64, Large)>>,
    expired: (u64, u64),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Large {
    key: Box<[u8]>,
    namespace: u16,
    tier: EntryTier,
    value: u64,
}

impl Core {
    fn analyze(&self) -> Analysis {
        let (now, stats) = (self.clock.now(), self.stats());
        let mut sums = Sums::default();
        self.scan(|seen| sums.add(seen, self.age(seen, now), now));
        let trends = self.history.lock().trends(now, &stats);
        let tiers = [
            EntryTier::Uncompressed,
            EntryTier::Compressed,
            EntryTier::Disk,
        ];
        let tiers = tiers.map(|tier| TierAnalysis {
            tier,
            amount: sums.tiers.get(&tier).copied().unwrap_or_default(),
        });
        let (namespaces, namespaces_left_out) = self.namespaces_of(&sums);
        Analysis {
            at_ms: now,
            hit_ratio: stats.hit_ratio(),
            stats,
            tiers: tiers.into(),
            namespaces,
            namespaces_left_out,
            dictionaries: self.dictionaries_of(&sums),
            ages: bars(&sums.ages),
            remaining: bars(&sums.remaining),
            expired_entries: sums.expired.0,
            expired_bytes: sums.expired.1,
            largest: self.largest_of(sums.largest),
            trends,
        }
    }

    /// How long ago an entry was put, as far as that is known.
    pub(super) fn age(&self, seen: &Seen<'_>, now: Millis) -> Millis {
        let history = self.history.lock();
        let put = history.time_of(seen.version).unwrap_or_else(|| {
            let begin = history.begin().unwrap_or(seen.epoch);
            begin.min(seen.epoch)
        });
        now.saturating_sub(put)
    }

    fn namespaces_of(&self, sums: &Sums) -> (Vec<NamespaceAnalysis>, u64) {
        let namespaces = sums.namespaces.iter();
        let mut namespaces: Vec<_> = namespaces
            .map(|(number, (all, compressed))| NamespaceAnalysis {
                name: self.names.name(*number),
                all: *all,
                compressed: *compressed,
            })
            .collect();
        namespaces.sort_unstable_by(|one, other| {
            let (bytes, others) = (one.all.bytes, other.all.bytes);
            others.cmp(&bytes).then_with(|| one.name.cmp(&other.name))
        });
        let left_out = namespaces.len().saturating_sub(MOST_NAMESPACES);
        namespaces.truncate(MOST_NAMESPACES);
        (namespaces, left_out as u64)
    }

    fn dictionaries_of(&self, sums: &Sums) -> Vec<DictionaryAnalysis> {
        let all = self.shared.dictionaries.all();
        let mut found: Vec<_> = all
            .into_iter()
            .map(|(namespace, dictionary)| {
                let number = dictionary.id().get();
                let newest = self.shared.dictionaries.newest(namespace);
                DictionaryAnalysis {
                    namespace: self.names.name(namespace),
                    number,
                    is_newest: newest.is_some_and(|newest| newest.id() == dictionary.id()),
                    memory_bytes: dictionary.memory() as u64,
                    amount: sums.dictionaries.get(&number).copied().unwrap_or_default(),
                }
            })
            .collect();
        found.sort_unstable_by(|one, other| {
            let names = one.namespace.cmp(&other.namespace);
            names.then(other.number.cmp(&one.number))
        });
        found
    }

    fn largest_of(&self, largest: BinaryHeap<Reverse<(u64, Large)>>) -> Vec<LargeEntry> {
        let largest = largest.into_sorted_vec().into_iter();
        let entry = |Reverse((bytes, large)): Reverse<(u64, Large)>| LargeEntry {
            namespace: self.names.name(large.namespace),
            key: large.key,
            tier: large.tier,
            bytes,
            value_bytes: large.value,
        };
        largest.map(entry).collect()
    }

    /// The version that the next value is to have.
    pub(crate) fn next_version(&self) -> u64 {
        // Relaxed: a number, and nothing that it stands for.
        crate::shared::kept_of(self.versions.load(Ordering::Relaxed))
    }
}

impl Sums {
    fn add(&mut self, seen: &Seen<'_>, age: Millis, now: Millis) {
        let tier = EntryTier::from(seen.kind);
        self.tiers.entry(tier).or_default().add(seen);
        let (all, compressed) = self.namespaces.entry(seen.namespace).or_default();
        all.add(seen);
        if seen.kind != Kind::Raw {
            compressed.add(seen);
        }
        if seen.dictionary > 0 {
            self.dictionaries
                .entry(seen.dictionary)
                .or_default()
                .add(seen);
        }
        count(&mut self.ages[bar(age)], seen);
        match seen.is_over(now) {
            true => count(&mut self.expired, seen),
            false => {
                let left = match seen.deadline {
                    Millis::MAX => Millis::MAX,
                    deadline => deadline - now,
                };
                count(&mut self.remaining[bar(left)], seen);
            }
        }
        self.add_large(seen, tier);
    }

    fn add_large(&mut self, seen: &Seen<'_>, tier: EntryTier) {
        let least = self.largest.peek().map_or(0, |Reverse((bytes, _))| *bytes);
        if self.largest.len() < MOST_LARGE || seen.size > least {
            let large = Large {
                key: seen.key.into(),
                namespace: seen.namespace,
                tier,
                value: seen.value,
            };
            self.largest.push(Reverse((seen.size, large)));
            if self.largest.len() > MOST_LARGE {
                self.largest.pop();
            }
        }
    }
}

fn count((entries, bytes): &mut (u64, u64), seen: &Seen<'_>) {
    *entries += 1;
    *bytes += seen.size;
}

/// A key as people read it: what is not ASCII is escaped.
#[cfg(feature = "serde")]
fn as_text<S: serde::Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&key.escape_ascii())
}

/// The number of the bar into which a time falls.
pub(super) fn bar(time: Millis) -> usize {
    BARS.partition_point(|most| *most < time)
}

fn bars(sums: &[(u64, u64); BARS.len() + 1]) -> Vec<HistogramBar> {
    let bounds = BARS.map(Some).into_iter().chain([None]);
    bounds
        .zip(sums)
        .map(|(up_to_ms, &(entries, bytes))| HistogramBar {
            up_to_ms,
            entries,
            bytes,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_bar_that_reaches_to_them() {
        for (time, expected) in [
            (0, 0),
            (1_000, 0),
            (1_001, 1),
            (30 * DAY, 8),
            (Millis::MAX, 9),
        ] {
            assert_eq!(bar(time), expected, "{time}");
        }
    }
}
