//! How a store changes: samples of its figures, a bounded number of them.
//!
//! Samples are taken by the thread that clears away what is over. When there is no room for another, every second one is
//! let go and the others follow at twice the distance: the history reaches as far back as the store is open, as finely
//! as there is room for.

use crate::clock::Millis;
use crate::stats::StoreStats;

/// Figures of a store at some time. What is counted is counted since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TrendSample {
    /// When: milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Entries that there were.
    pub entries: u64,
    /// Bytes of memory that the store took.
    pub resident_bytes: u64,
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Values that were put.
    pub puts: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries whose time was over.
    pub expired: u64,
    /// Entries for which there was no room.
    pub evicted: u64,
}

/// How a store changes.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Trends {
    /// Samples, the oldest first; at most 257, the last one taken just now.
    pub samples: Vec<TrendSample>,
    /// What follows from them. `None` before the first hundredth of a second has passed between two samples.
    pub rates: Option<Rates>,
}

/// Change for each hour.
///
/// Of `entries`, `resident_bytes` and `disk_bytes` it is the slope of the straight line that fits all samples best (least
/// squares), each sample counting once; of what is counted it is the difference between the last and the first sample,
/// divided by the time between them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Rates {
    /// The time that the samples span, in milliseconds.
    pub over_ms: u64,
    /// Entries more.
    pub entries_per_hour: f64,
    /// Bytes of memory more.
    pub resident_bytes_per_hour: f64,
    /// Bytes of files more.
    pub disk_bytes_per_hour: f64,
    /// Values that were put.
    pub puts_per_hour: f64,
    /// Reads.
    pub reads_per_hour: f64,
    /// Entries whose time was over.
    pub expired_per_hour: f64,
    /// Entries for which there was no room.
    pub evicted_per_hour: f64,
    /// The share of reads that found an entry, 0–1. `None` if there was no read.
    pub hit_ratio: Option<f64>,
}

/// Samples that are kept.
const MOST: usize = 256;
/// The first samples are this far apart, unless clean-ups are closer.
const FIRST_STEP: Millis = 10_000;
/// From closer samples than this nothing follows.
const SHORTEST_SPAN: Millis = 10;
const HOUR: f64 = 3_600_000.0;

/// The samples of a store.
#[derive(Debug)]
pub(crate) struct History {
    /// With the version that the next value was to have.
    samples: Vec<(TrendSample, u64)>,
    step: Millis,
}

impl History {
    /// For a store that cleans up at this interval.
    pub(crate) fn new(interval: Millis) -> Self {
        Self {
            samples: Vec::new(),
            step: interval.clamp(1, FIRST_STEP),
        }
    }

    /// When the next sample is to be taken.
    pub(crate) fn due(&self) -> Millis {
        let last = self.samples.last();
        last.map_or(0, |(sample, _)| sample.at_ms.saturating_add(self.step))
    }

    /// Takes a sample in.
    pub(crate) fn add(&mut self, now: Millis, stats: &StoreStats, version: u64) {
        if self.samples.len() == MOST {
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.step *= 2;
        }
        self.samples.push((TrendSample::of(now, stats), version));
    }

    /// The latest time that is known to be no later than that at which the version was put; `None` if it is older than the
    /// history.
    pub(crate) fn time_of(&self, version: u64) -> Option<Millis> {
        let after = self.samples.partition_point(|(_, next)| *next <= version);
        let (sample, _) = self.samples.get(after.checked_sub(1)?)?;
        Some(sample.at_ms)
    }

    /// The earliest time that is known of.
    pub(crate) fn begin(&self) -> Option<Millis> {
        self.samples.first().map(|(sample, _)| sample.at_ms)
    }

    /// All samples, one taken now, and what follows.
    pub(crate) fn trends(&self, now: Millis, stats: &StoreStats) -> Trends {
        let mut samples: Vec<_> = self.samples.iter().map(|(sample, _)| *sample).collect();
        samples.push(TrendSample::of(now, stats));
        let rates = Rates::of(&samples);
        Trends { samples, rates }
    }
}

impl TrendSample {
    fn of(now: Millis, stats: &StoreStats) -> Self {
        Self {
            at_ms: now,
            entries: stats.entries,
            resident_bytes: stats.resident_bytes,
            disk_bytes: stats.disk_bytes,
            puts: stats.puts,
            hits: stats.hits,
            misses: stats.misses,
            expired: stats.expired,
            evicted: stats.evicted,
        }
    }
}

impl Rates {
    fn of(samples: &[TrendSample]) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        let over = last.at_ms.saturating_sub(first.at_ms);
        if over < SHORTEST_SPAN {
            return None;
        }
        let hours = over as f64 / HOUR;
        let counted = |count: fn(&TrendSample) -> u64| {
            count(last).saturating_sub(count(first)) as f64 / hours
        };
        let slope = |gauge: fn(&TrendSample) -> u64| slope(samples, gauge) * HOUR;
        let hits = last.hits.saturating_sub(first.hits);
        let reads = hits + last.misses.saturating_sub(first.misses);
        Some(Self {
            over_ms: over,
            entries_per_hour: slope(|sample| sample.entries),
            resident_bytes_per_hour: slope(|sample| sample.resident_bytes),
            disk_bytes_per_hour: slope(|sample| sample.disk_bytes),
            puts_per_hour: counted(|sample| sample.puts),
            reads_per_hour: counted(|sample| sample.hits + sample.misses),
            expired_per_hour: counted(|sample| sample.expired),
            evicted_per_hour: counted(|sample| sample.evicted),
            hit_ratio: (reads > 0).then(|| hits as f64 / reads as f64),
        })
    }
}

/// The slope of the straight line through samples with the least squares, for each millisecond.
fn slope(samples: &[TrendSample], gauge: fn(&TrendSample) -> u64) -> f64 {
    let Some(first) = samples.first() else {
        return 0.0;
    };
    // Counted from the first, so that what is squared is no number of thirteen digits.
    let time = |sample: &TrendSample| sample.at_ms.saturating_sub(first.at_ms) as f64;
    let count = samples.len() as f64;
    let mean_time = samples.iter().map(time).sum::<f64>() / count;
    let mean = samples
        .iter()
        .map(|sample| gauge(sample) as f64)
        .sum::<f64>()
        / count;
    let (mut shared, mut square) = (0.0, 0.0);
    for sample in samples {
        let off = time(sample) - mean_time;
        shared += off * (gauge(sample) as f64 - mean);
        square += off * off;
    }
    if square == 0.0 { 0.0 } else { shared / square }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(entries: u64) -> StoreStats {
        StoreStats {
            entries,
            puts: entries * 2,
            hits: entries,
            ..StoreStats::default()
        }
    }

    #[test]
    fn the_history_is_bounded_and_reaches_back_to_its_beginning() {
        let mut history = History::new(1_000);
        let (begin, mut now) = (5_000_000, 5_000_000);
        for number in 0..1_500 {
            history.add(now, &stats(number), number);
            now = history.due();
        }
        assert!(history.samples.len() <= MOST && history.samples.len() >= MOST / 2);
        assert_eq!(history.begin(), Some(begin));
        let steps = history.samples.windows(2);
        let steps: Vec<_> = steps.map(|two| two[1].0.at_ms - two[0].0.at_ms).collect();
        let (least, most) = (steps.iter().min().unwrap(), steps.iter().max().unwrap());
        assert!(*most <= 2 * least, "{least} to {most}");
    }

    #[test]
    fn rates_are_those_of_what_was_put_in() {
        let mut history = History::new(60_000);
        // A hundred entries a minute more, with noise that is the same before and after the middle.
        for minute in 0..60u64 {
            let noise = [3, 7, 7, 3][minute as usize % 4];
            history.add(minute * 60_000, &stats(minute * 100 + noise), minute);
        }
        let trends = history.trends(60 * 60_000, &stats(6_003));
        assert_eq!(trends.samples.len(), 61);
        let rates = trends.rates.unwrap();
        assert_eq!(rates.over_ms, 3_600_000);
        assert!((rates.entries_per_hour - 6_000.0).abs() < 5.0, "{rates:?}");
        assert!((rates.puts_per_hour - 12_000.0).abs() < 1e-6, "{rates:?}");
        assert_eq!(rates.hit_ratio, Some(1.0));
        assert_eq!(History::new(1).trends(5, &stats(1)).rates, None);
    }

    #[test]
    fn versions_tell_when_a_value_was_put() {
        let mut history = History::new(1_000);
        for number in 1..=5 {
            history.add(number * 1_000, &stats(0), number * 10);
        }
        assert_eq!(history.time_of(9), None, "before the first sample");
        assert_eq!(history.time_of(10), Some(1_000));
        assert_eq!(history.time_of(39), Some(3_000));
        assert_eq!(history.time_of(1 << 30), Some(5_000));
    }
}
