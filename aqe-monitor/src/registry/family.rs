//! All series of one metric, found by their labels.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::counter::{Counter, Tallies};
use super::error::LabelError;
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::labels::{self, LabelSet, Rendered};
use super::metric::{Kind, Metric};

/// The labels of the series that takes in what the limit of a metric keeps out.
pub(crate) const OVERFLOW: &str = "overflow=\"true\"";

/// What can be measured with labels: [`Counter`], [`Gauge`], [`Histogram`]. Sealed: a registry has to know how to show it.
pub trait Instrument:
    sealed::Create + Clone + fmt::Debug + Default + Send + Sync + 'static
{
}

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl Instrument for Histogram {}

pub(crate) mod sealed {
    use super::{Counter, Gauge, Histogram, Kind, Tallies};

    pub trait Create {
        const KIND: Kind;
        fn create(tallies: &Tallies) -> Self;
    }

    impl Create for Counter {
        const KIND: Kind = Kind::Counter;
        fn create(tallies: &Tallies) -> Self {
            Self(tallies.take())
        }
    }

    impl Create for Gauge {
        const KIND: Kind = Kind::Gauge;
        fn create(tallies: &Tallies) -> Self {
            Self::new(tallies)
        }
    }

    impl Create for Histogram {
        const KIND: Kind = Kind::Histogram;
        fn create(_: &Tallies) -> Self {
            Self::new()
        }
    }
}

/// All series of one metric. A clone is the same family.
///
/// Finding a series takes no lock and allocates nothing, unless it is new or its labels do not come sorted by name.
/// Whoever uses a series often keeps a clone of its handle: that costs nothing to find.
///
/// A metric has a [limit](super::Limits::max_series) of series. Labels beyond it, and labels that are not valid, lead to
/// one more series with the label `overflow="true"`, so that nothing goes uncounted, and
/// `aqe_monitor_overflows_total` counts how often that happened.
pub struct Family<I> {
    core: Option<Arc<Core<I>>>,
    /// What a family without a core finds.
    nothing: I,
}

pub(crate) struct Core<I> {
    pub(crate) metric: Metric,
    hasher: RandomState,
    limit: usize,
    tallies: Arc<Tallies>,
    /// Each table is four times as large as the one before and has all its entries. The newest is in use; the old ones,
    /// a third of its size together, stay for those who are just reading them.
    tables: [OnceLock<Box<[AtomicU64]>>; TABLES],
    newest: AtomicUsize,
    /// Each chunk is twice as large as the one before. A series never moves.
    chunks: [OnceLock<Chunk<I>>; CHUNKS],
    /// How many series there are. Raised after the series is in place, under the lock.
    len: AtomicUsize,
    inserting: Mutex<()>,
    overflow: OnceLock<Series<I>>,
    /// How often labels led to the overflow series.
    turned_away: Counter,
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series<I> {
    pub(crate) labels: Rendered,
    pub(crate) instrument: I,
}

type Chunk<I> = Box<[OnceLock<Series<I>>]>;

const FIRST_TABLE: usize = 16;
const TABLES: usize = 12;
const FIRST_CHUNK: usize = 4;
const CHUNKS: usize = 24;

/// The most series that a limit can allow: what fits the tables, three quarters full.
pub(crate) const MAX_SERIES: usize = 1 << 24;

impl<I> Clone for Family<I>
where
    I: Clone,
{
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            nothing: self.nothing.clone(),
        }
    }
}

impl<I: Default> Default for Family<I> {
    /// One whose series do nothing.
    fn default() -> Self {
        Self {
            core: None,
            nothing: I::default(),
        }
    }
}

impl<I> fmt::Debug for Family<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("metric", &self.core.as_ref().map(|core| &core.metric.name))
            .field("series", &self.len())
            .finish_non_exhaustive()
    }
}

impl<I> Family<I> {
    /// How many series there are, without the one for overflow.
    #[must_use]
    pub fn len(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.len())
    }

    /// Whether there is no series yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<I: Instrument> Family<I> {
    pub(crate) fn new(core: Arc<Core<I>>) -> Self {
        Self {
            core: Some(core),
            nothing: I::default(),
        }
    }

    /// The series with these labels, made if there is none; the one for overflow if there can be none.
    #[inline(always)]
    pub fn with<L: LabelSet + ?Sized>(&self, labels: &L) -> &I {
        let Some(core) = &self.core else {
            return &self.nothing;
        };
        match core.find(labels) {
            Some(series) => &series.instrument,
            None => core.insert(labels).unwrap_or_else(|_| core.turn_away()),
        }
    }

    /// The series with these labels, made if there is none.
    ///
    /// # Errors
    ///
    /// [`LabelError::Full`] when the metric has as many series as it may; any other when the labels are not valid.
    pub fn try_with<L: LabelSet + ?Sized>(&self, labels: &L) -> Result<&I, LabelError> {
        let Some(core) = &self.core else {
            return Ok(&self.nothing);
        };
        match core.find(labels) {
            Some(series) => Ok(&series.instrument),
            None => core.insert(labels),
        }
    }
}

impl<I> Core<I> {
    fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// All series, the one for overflow last.
    pub(crate) fn series(&self) -> impl Iterator<Item = &Series<I>> {
        (0..self.len())
            .filter_map(|number| self.place(number)?.get())
            .chain(self.overflow.get())
    }

    /// The labels' series, if they come sorted by name and it is there.
    ///
    /// Inlined for good, as what it calls: where names are literals, they are compared as constants.
    #[inline(always)]
    fn find<L: LabelSet + ?Sized>(&self, labels: &L) -> Option<&Series<I>> {
        let mut hasher = self.hasher.build_hasher();
        // Names, and where one value ends and the next begins, say little that the values do not: they are compared later.
        labels.each(|_, value| hasher.write(value.as_bytes()));
        self.probe(hasher.finish(), |series| {
            labels::are(labels, &series.labels)
        })
    }

    #[inline(always)]
    fn probe(&self, hash: u64, is_it: impl Fn(&Series<I>) -> bool) -> Option<&Series<I>> {
        let table = self.tables[self.newest.load(Acquire)].get()?;
        let mask = table.len() - 1;
        let mut at = hash as usize & mask;
        // Ends at an empty place: a quarter of them is.
        loop {
            let entry = table[at].load(Acquire);
            if entry == 0 {
                return None;
            }
            if entry >> 32 == hash >> 32 {
                let series = self.place(entry as u32 as usize - 1)?.get()?;
                if is_it(series) {
                    return Some(series);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Where a series is, or will be.
    #[inline]
    fn place(&self, number: usize) -> Option<&OnceLock<Series<I>>> {
        let chunk = (number / FIRST_CHUNK + 1).ilog2() as usize;
        let before = FIRST_CHUNK * ((1 << chunk) - 1);
        self.chunks.get(chunk)?.get()?.get(number - before)
    }
}

impl<I: Instrument> Core<I> {
    pub(crate) fn new(
        metric: Metric,
        limit: usize,
        tallies: Arc<Tallies>,
        turned_away: Counter,
    ) -> Self {
        Self {
            limit: metric.max_series.map_or(limit, usize::from).min(MAX_SERIES),
            metric,
            hasher: RandomState::default(),
            tallies,
            tables: [const { OnceLock::new() }; TABLES],
            newest: AtomicUsize::new(0),
            chunks: [const { OnceLock::new() }; CHUNKS],
            len: AtomicUsize::new(0),
            inserting: Mutex::new(()),
            overflow: OnceLock::new(),
            turned_away,
        }
    }

    /// The series of labels that were not found as they came.
    #[cold]
    #[inline(never)]
    fn insert<L: LabelSet + ?Sized>(&self, labels: &L) -> Result<&I, LabelError> {
        // A full family answers strangers without a lock: they may be many, and come often.
        let rendered = labels::render(labels)?;
        if *rendered.text == *OVERFLOW {
            return Ok(self.overflow());
        }
        let sorted = labels::parse(&rendered.text);
        if let Some(series) = self.find(&sorted) {
            return Ok(&series.instrument);
        }
        if self.len() >= self.limit {
            return Err(LabelError::Full(self.limit));
        }
        let _inserting = self.inserting.lock();
        if let Some(series) = self.find(&sorted) {
            return Ok(&series.instrument);
        }
        let number = self.len();
        if number >= self.limit {
            return Err(LabelError::Full(self.limit));
        }
        let mut hasher = self.hasher.build_hasher();
        sorted.each(|_, value| hasher.write(value.as_bytes()));
        self.append(number, hasher.finish(), rendered)
            .ok_or(LabelError::Full(self.limit))
    }

    /// Puts a series in place, then its number into the table, then tells readers. The caller holds the lock.
    fn append(&self, number: usize, hash: u64, labels: Rendered) -> Option<&I> {
        let chunk = (number / FIRST_CHUNK + 1).ilog2() as usize;
        let chunk_of = || (0..FIRST_CHUNK << chunk).map(|_| OnceLock::new()).collect();
        self.chunks.get(chunk)?.get_or_init(chunk_of);
        let series = self.place(number)?.get_or_init(|| Series {
            labels,
            instrument: I::create(&self.tallies),
        });
        let table = self.roomy_table(number)?;
        enter(table, hash, number);
        self.len.store(number + 1, Release);
        Some(&series.instrument)
    }

    /// The newest table, or a new one if that has no room for one more. The caller holds the lock.
    fn roomy_table(&self, len: usize) -> Option<&[AtomicU64]> {
        let newest = self.newest.load(Relaxed);
        let size = FIRST_TABLE << (2 * newest);
        let table_of = |size: usize| (0..size).map(|_| AtomicU64::new(0)).collect();
        if len < size / 4 * 3 {
            return Some(self.tables[newest].get_or_init(|| table_of(size)));
        }
        let larger = self.tables.get(newest + 1)?.get_or_init(|| {
            let table: Box<[AtomicU64]> = table_of(4 * size);
            for (number, series) in
                (0..len).filter_map(|number| Some((number, self.place(number)?.get()?)))
            {
                let mut hasher = self.hasher.build_hasher();
                let sorted = labels::parse(&series.labels.text);
                sorted.each(|_, value| hasher.write(value.as_bytes()));
                enter(&table, hasher.finish(), number);
            }
            table
        });
        self.newest.store(newest + 1, Release);
        Some(larger)
    }

    #[cold]
    fn turn_away(&self) -> &I {
        self.turned_away.increment();
        self.overflow()
    }

    fn overflow(&self) -> &I {
        let series = self.overflow.get_or_init(|| Series {
            labels: Rendered {
                text: OVERFLOW.into(),
                count: 1,
                escaped: false,
            },
            instrument: I::create(&self.tallies),
        });
        &series.instrument
    }

    pub(crate) fn turned_away(&self) -> &Counter {
        &self.turned_away
    }
}

/// Enters the number of a series: the upper half of its hash, and the number plus one, for 0 is an empty place.
fn enter(table: &[AtomicU64], hash: u64, number: usize) {
    let mask = table.len() - 1;
    let mut at = hash as usize & mask;
    while table[at].load(Relaxed) != 0 {
        at = (at + 1) & mask;
    }
    // Released, as the series that the number stands for must be in place for whoever reads it.
    table[at].store((hash >> 32) << 32 | (number as u64 + 1), Release);
}
