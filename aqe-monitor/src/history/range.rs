//! A range of time as so many points, with the smallest and the largest value of each kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::buckets::Buckets;
use super::chunk::Values;
use super::error::HistoryError;
use super::reader::{HistoryReader, Piece, Resolution};
use super::rows::Header;
use super::seal::sum_up;
use super::series::{SeriesId, check_length};
use super::summary::Summary;
use super::time::Timestamp;

/// Most points that one answer has.
const MAX_POINTS: usize = 100_000;

/// What was in one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// When the stretch begins.
    pub start: Timestamp,
    /// What was in it.
    pub summary: Summary,
}

/// A range of time in stretches of equal length.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Points {
    /// How long each stretch is.
    pub width: Duration,
    /// Those in which there was something, by time.
    pub points: Vec<Point>,
    /// How many rows of the file were damaged, and are missing here.
    pub damaged: u64,
}

/// What a histogram had observed in one stretch of time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HistogramPoint {
    /// When the stretch begins.
    pub start: Timestamp,
    /// What was observed in it.
    pub buckets: Buckets,
}

/// A range of time of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HistogramPoints {
    /// How long each stretch is.
    pub width: Duration,
    /// Those in which something was observed, by time.
    pub points: Vec<HistogramPoint>,
    /// How many rows of the file were damaged, and are missing here.
    pub damaged: u64,
}

impl HistoryReader {
    /// The range as at most so many points, exactly: of every point, each sample in its stretch of time counts and no other.
    ///
    /// Decodes all chunks that do not lie within one point.
    ///
    /// # Errors
    ///
    /// [`TooMuch`](HistoryError::TooMuch) for more than 100,000 points or none, and what SQLite says.
    pub fn points(
        &self,
        series: SeriesId,
        range: Range<Timestamp>,
        points: usize,
    ) -> Result<Points, HistoryError> {
        let grid = Grid::new(&range, points, 1)?;
        let mut sums: BTreeMap<i64, Summary> = BTreeMap::new();
        let damaged = self.visit(series, &range, grid.needs_values(), |piece| {
            grid.share_out(&piece, |cell, summary, _| add(&mut sums, cell, summary));
        })?;
        Ok(Points {
            width: grid.width(),
            points: grid.points(sums),
            damaged,
        })
    }

    /// The range as at most so many points, from rollups by hour; or by minute, if that is nearer to what is asked for and minutes
    /// are kept for all of the range. Points are whole rollups: they begin with a full minute or hour, and their first may begin before
    /// the range.
    ///
    /// # Errors
    ///
    /// As [`points`](Self::points).
    pub fn points_from_rollups(
        &self,
        series: SeriesId,
        range: Range<Timestamp>,
        points: usize,
    ) -> Result<Points, HistoryError> {
        let wide = Grid::new(&range, points, 1)?;
        let by_minute = wide.millis < Resolution::Hour.millis() && self.has_minutes(range.start)?;
        let resolution = if by_minute {
            Resolution::Minute
        } else {
            Resolution::Hour
        };
        let unit = resolution.millis();
        let start = Timestamp::from_millis(range.start.as_millis() / unit * unit);
        let grid = Grid::new(&(start..range.end), points, unit)?;
        let (rows, damaged) = self.rollup_rows(series, &(start..range.end), resolution)?;
        let mut sums: BTreeMap<i64, Summary> = BTreeMap::new();
        for (period, row) in rows {
            add(&mut sums, grid.cell(period * unit), &row.summary);
        }
        Ok(Points {
            width: grid.width(),
            points: grid.points(sums),
            damaged,
        })
    }

    /// A histogram over the range, in at most so many stretches: for quantiles over time, or with one stretch, over all of it.
    ///
    /// # Errors
    ///
    /// As [`points`](Self::points).
    pub fn histogram(
        &self,
        series: SeriesId,
        range: Range<Timestamp>,
        points: usize,
    ) -> Result<HistogramPoints, HistoryError> {
        let grid = Grid::new(&range, points, 1)?;
        let mut sums: BTreeMap<i64, Buckets> = BTreeMap::new();
        let mut mixed = Ok(());
        // Headers have no buckets.
        let damaged = self.visit(
            series,
            &range,
            |_| true,
            |piece| {
                grid.share_out(&piece, |cell, _, buckets| {
                    let Some(buckets) = buckets else { return };
                    let sum = sums
                        .entry(cell)
                        .or_insert_with(|| Buckets::new(buckets.precision()));
                    if let Err(error) = sum.merge(buckets) {
                        mixed = Err(error);
                    }
                });
            },
        )?;
        mixed?;
        let point = |(cell, buckets)| HistogramPoint {
            start: grid.start(cell),
            buckets,
        };
        Ok(HistogramPoints {
            width: grid.width(),
            points: sums.into_iter().map(point).collect(),
            damaged,
        })
    }

    /// Whether rollups by minute reach back to this time, or to the first of all samples.
    fn has_minutes(&self, from: Timestamp) -> Result<bool, HistoryError> {
        self.guard(|database| {
            let first: Option<i64> =
                database.query_row("SELECT min(key) >> 24 FROM minute", [], |row| row.get(0))?;
            let oldest: Option<i64> =
                database.query_row("SELECT min(first_at) FROM block", [], |row| row.get(0))?;
            let from = from.as_millis().max(oldest.unwrap_or(0)) / 60_000;
            Ok(oldest.is_none() || first.is_some_and(|first| first <= from))
        })
    }
}

fn add(sums: &mut BTreeMap<i64, Summary>, cell: i64, later: &Summary) {
    sums.entry(cell)
        .and_modify(|sum| sum.add(later))
        .or_insert(*later);
}

/// A range divided into cells of equal width.
struct Grid {
    from: i64,
    to: i64,
    millis: i64,
}

impl Grid {
    /// At most so many cells, each a multiple of `unit` wide.
    fn new(range: &Range<Timestamp>, cells: usize, unit: i64) -> Result<Self, HistoryError> {
        check_length("points", cells, MAX_POINTS)?;
        if cells == 0 {
            let (what, limit, found) = ("points, of which one is needed,", 0, 0);
            return Err(HistoryError::TooMuch { what, limit, found });
        }
        let (from, to) = (range.start.as_millis(), range.end.as_millis());
        let units = (to.max(from) - from + unit - 1) / unit;
        let cells = cells as i64;
        let millis = ((units + cells - 1) / cells).max(1) * unit;
        Ok(Self { from, to, millis })
    }

    fn cell(&self, time: i64) -> i64 {
        (time - self.from).div_euclid(self.millis)
    }

    fn start(&self, cell: i64) -> Timestamp {
        Timestamp::from_millis(self.from + cell * self.millis)
    }

    fn width(&self) -> Duration {
        Duration::from_millis(self.millis.unsigned_abs())
    }

    fn points(&self, sums: BTreeMap<i64, Summary>) -> Vec<Point> {
        let point = |(cell, summary)| Point {
            start: self.start(cell),
            summary,
        };
        sums.into_iter().map(point).collect()
    }

    /// Says of a chunk whether it lies in several cells, or partly outside of the range.
    fn needs_values(&self) -> impl Fn(&Header) -> bool + '_ {
        |header| {
            let is_within = self.from <= header.first_at && header.last_at < self.to;
            !is_within || self.cell(header.first_at) != self.cell(header.last_at)
        }
    }

    /// Gives what of a piece lies in the range to its cells.
    fn share_out(&self, piece: &Piece<'_>, mut each: impl FnMut(i64, &Summary, Option<&Buckets>)) {
        match piece {
            Piece::Header(header) => each(self.cell(header.first_at), &header.summary, None),
            Piece::Values(times, values) => self.share_values(times, values, each),
        }
    }

    fn share_values(
        &self,
        times: &[i64],
        values: &Values,
        mut each: impl FnMut(i64, &Summary, Option<&Buckets>),
    ) {
        let mut begin = times.partition_point(|&time| time < self.from);
        let until = times.partition_point(|&time| time < self.to);
        while begin < until {
            let cell = self.cell(times[begin]);
            let after = (self.from + (cell + 1) * self.millis).min(self.to);
            let end = begin + times[begin..until].partition_point(|&time| time < after);
            if let Some(sum) = sum_up(values, begin..end) {
                each(cell, &sum.summary, sum.buckets.as_ref());
            }
            begin = end;
        }
    }
}
