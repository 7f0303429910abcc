//! Where the level of a long series changes for good.

use super::CompareError;
use super::random::Random;
use super::stats::{median, ranks, resemblance, spread};

/// Settings of a search for changes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChangeConfig {
    /// How probable it may be that a series without any change is said to have one, 0.001–0.2; 0.01. It holds for the whole series:
    /// each test of it gets its share.
    pub false_alarms: f64,
    /// Changes of the level by less than this share are none; 0.03, three percent.
    pub min_effect: f64,
    /// Fewest measurements on either side of a change; 10. Fewer say little, and make an outlier a change.
    pub min_segment: usize,
    /// Most changes that are reported; 20.
    pub max_changes: usize,
    /// Where chance begins: the same numbers give the same changes.
    pub seed: u64,
}

impl Default for ChangeConfig {
    fn default() -> Self {
        Self {
            false_alarms: 0.01,
            min_effect: 0.03,
            min_segment: 10,
            max_changes: 20,
            seed: 0x5EED,
        }
    }
}

impl ChangeConfig {
    /// Sets [`false_alarms`](Self::false_alarms).
    #[must_use]
    pub fn false_alarms(mut self, probability: f64) -> Self {
        self.false_alarms = probability;
        self
    }

    /// Sets [`min_effect`](Self::min_effect).
    #[must_use]
    pub fn min_effect(mut self, share: f64) -> Self {
        self.min_effect = share;
        self
    }

    /// Sets [`min_segment`](Self::min_segment).
    #[must_use]
    pub fn min_segment(mut self, measurements: usize) -> Self {
        self.min_segment = measurements;
        self
    }

    /// Sets [`max_changes`](Self::max_changes).
    #[must_use]
    pub fn max_changes(mut self, changes: usize) -> Self {
        self.max_changes = changes;
        self
    }

    /// Sets [`seed`](Self::seed).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    fn check(&self) -> Result<(), CompareError> {
        let wrong = |setting, problem| Err(CompareError::Setting { setting, problem });
        if !(0.001..=0.2).contains(&self.false_alarms) {
            return wrong("false_alarms", "is not between 0.001 and 0.2");
        }
        if !(0.0..10.0).contains(&self.min_effect) {
            return wrong("min_effect", "is not between 0 and 10");
        }
        if self.min_segment < 5 {
            return wrong("min_segment", "is below 5, which says nothing");
        }
        if self.max_changes > 1000 {
            return wrong("max_changes", "is above 1000");
        }
        Ok(())
    }
}

/// A change of the level.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChangePoint {
    /// The first measurement of the new level, counted from zero.
    pub at: usize,
    /// Median of the measurements before, back to the change before.
    pub before: f64,
    /// Median of the measurements from here on, up to the next change.
    pub after: f64,
    /// `after ÷ before`.
    pub ratio: f64,
    /// How far apart the medians are, in spreads of the measurements around them: the effect against the noise.
    pub effect: f64,
    /// How probable it is to see as much where nothing has changed, 0–1, corrected for the number of tests.
    pub p_value: f64,
}

/// Most measurements of a series: work grows with their number times that of permutations.
const MOST: usize = 10_000;

/// Finds where a series changes its level, in order.
///
/// A series of fewer than two segments has no changes.
///
/// # Errors
///
/// [`TooMany`](CompareError::TooMany) beyond 10,000 measurements, [`Value`](CompareError::Value) for a number that is not above
/// zero, [`Setting`](CompareError::Setting).
///
/// # Examples
///
/// ```
/// use aqe_monitor::compare::{ChangeConfig, change_points};
///
/// let series: Vec<f64> = (0..100)
///     .map(|run| if run < 60 { 10.0 } else { 11.0 } + f64::from(run * 7 % 5) / 10.0)
///     .collect();
/// let changes = change_points(&series, &ChangeConfig::default())?;
/// assert_eq!(changes.len(), 1);
/// assert_eq!(changes[0].at, 60);
/// assert!((changes[0].ratio - 1.1).abs() < 0.02);
/// # Ok::<(), aqe_monitor::compare::CompareError>(())
/// ```
pub fn change_points(
    series: &[f64],
    config: &ChangeConfig,
) -> Result<Vec<ChangePoint>, CompareError> {
    config.check()?;
    if series.len() > MOST {
        let (most, found) = (MOST, series.len());
        return Err(CompareError::TooMany { most, found });
    }
    if let Some(at) = series
        .iter()
        .position(|value| !value.is_finite() || *value <= 0.0)
    {
        let value = series[at];
        return Err(CompareError::Value { at, value });
    }
    let mut random = Random::new(config.seed);
    let mut found: Vec<(usize, f64)> = Vec::new();
    let whole = 0..series.len();
    let mut open = vec![whole];
    let mut tests = 0_u32;
    while let Some(segment) = open.pop() {
        if segment.len() < 2 * config.min_segment || found.len() >= config.max_changes {
            continue;
        }
        // Where nothing has changed, the first test is the only one. A change that is found calls for two more; their number is not
        // known before, so each next test is given less: 1, 1/3, 1/6, 1/10, … of the probability.
        tests += 1;
        let correction = f64::from(tests) * (f64::from(tests) + 1.0) / 2.0;
        let allowed = config.false_alarms / correction;
        let values = &series[segment.clone()];
        let Some(split) = best_split(values, config.min_segment) else {
            continue;
        };
        let p_value = p_value(values, config.min_segment, allowed, &mut random);
        if p_value > allowed || !is_large(values, split, config) {
            continue;
        }
        let at = segment.start + split;
        found.push((at, (p_value * correction).min(1.0)));
        open.push(at..segment.end);
        open.push(segment.start..at);
    }
    found.sort_by_key(|&(at, _)| at);
    Ok(describe(series, &found, config))
}

/// Measures each change between its neighbours, and leaves out those that have become too small: when a series has been divided further,
/// the level beside a change may be another.
fn describe(series: &[f64], found: &[(usize, f64)], config: &ChangeConfig) -> Vec<ChangePoint> {
    let mut kept = found.to_vec();
    loop {
        let changes = measure(series, &kept);
        let smallest = changes
            .iter()
            .enumerate()
            .filter(|(_, change)| change.ratio.ln().abs() < config.min_effect.ln_1p())
            .min_by(|left, right| left.1.ratio.ln().abs().total_cmp(&right.1.ratio.ln().abs()));
        match smallest {
            None => return changes,
            // One at a time: without it, its neighbours are measured over more.
            Some((at, _)) => drop(kept.remove(at)),
        }
    }
}

fn measure(series: &[f64], changes: &[(usize, f64)]) -> Vec<ChangePoint> {
    let begin = |number: usize| {
        if number == 0 {
            0
        } else {
            changes[number - 1].0
        }
    };
    let end = |number: usize| changes.get(number + 1).map_or(series.len(), |next| next.0);
    let one = |(number, &(at, p_value)): (usize, &(usize, f64))| {
        let (left, right) = (&series[begin(number)..at], &series[at..end(number)]);
        let (before, after) = (median(&mut left.to_vec()), median(&mut right.to_vec()));
        let noise = f64::midpoint(spread(left), spread(right));
        ChangePoint {
            at,
            before,
            after,
            ratio: after / before,
            // Without any noise, every change is as large as can be.
            effect: if noise > 0.0 {
                (after - before).abs() / noise
            } else {
                f64::MAX
            },
            p_value,
        }
    };
    changes.iter().enumerate().map(one).collect()
}

fn is_large(values: &[f64], split: usize, config: &ChangeConfig) -> bool {
    let (before, after) = values.split_at(split);
    let ratio = median(&mut after.to_vec()) / median(&mut before.to_vec());
    ratio.ln().abs() >= config.min_effect.ln_1p()
}

/// Where the sums of ranks before and after differ most, if they differ at all.
fn best_split(values: &[f64], min_segment: usize) -> Option<usize> {
    let (split, statistic) = scan(&ranks(values), min_segment);
    (statistic > 0.0).then_some(split)
}

/// The place with the largest difference of ranks, and that difference in its standard deviations.
fn scan(ranks: &[f64], min_segment: usize) -> (usize, f64) {
    let n = ranks.len() as f64;
    let mean = (n + 1.0) / 2.0;
    let (mut sum, mut best) = (0.0, (0, 0.0));
    for (at, rank) in ranks.iter().enumerate().take(ranks.len() - min_segment) {
        sum += rank - mean;
        let before = at as f64 + 1.0;
        if at + 1 < min_segment {
            continue;
        }
        let statistic = sum.abs() / (before * (n - before) * (n + 1.0) / 12.0).sqrt();
        if statistic > best.1 {
            best = (at + 1, statistic);
        }
    }
    best
}

/// How often permuted values differ as much, at any place. Enough permutations to see whether that is below what is allowed; it ends as
/// soon as it cannot be any more.
fn p_value(values: &[f64], min_segment: usize, allowed: f64, random: &mut Random) -> f64 {
    let ranks = ranks(values);
    let (split, seen) = scan(&ranks, min_segment);
    let block = block_length(&ranks, split);
    let permutations = ((4.0 / allowed).ceil() as u32).clamp(199, 9_999);
    let most = (allowed * f64::from(permutations + 1)).floor();
    let mut as_large = 1.0;
    let mut order: Vec<usize> = (0..values.len().div_ceil(block)).collect();
    let mut permuted = Vec::with_capacity(ranks.len());
    for done in 1..=permutations {
        random.shuffle(&mut order);
        permuted.clear();
        // Blocks begin anywhere, so that no two permutations cut the series alike.
        let turn = random.below(ranks.len());
        for &number in &order {
            let begin = number * block;
            let end = (begin + block).min(ranks.len());
            permuted.extend((begin..end).map(|at| ranks[(at + turn) % ranks.len()]));
        }
        if scan(&permuted, min_segment).1 >= seen {
            as_large += 1.0;
            if as_large > most {
                return as_large / f64::from(done + 1);
            }
        }
    }
    as_large / f64::from(permutations + 1)
}

/// How many neighbours stay together in permutations: one, if they do not resemble each other.
///
/// What a change itself contributes to the resemblance must not count, or a clear change would hide itself; so it is measured within
/// the two sides. For a first-order process the length that Carlstein ("The use of subseries values for estimating the variance of a
/// general statistic", 1986) found best is `(2r / (1 - r²))^(2/3) · n^(1/3)`.
fn block_length(ranks: &[f64], split: usize) -> usize {
    let (before, after) = ranks.split_at(split);
    let within =
        [before, after].map(|side| (resemblance(&super::stats::ranks(side)), side.len() as f64));
    let n = ranks.len() as f64;
    let r = within.iter().map(|(r, weight)| r * weight).sum::<f64>() / n;
    // Within the noise of that measure there is none.
    if r < 2.0 / n.sqrt() {
        return 1;
    }
    let r = r.min(0.95);
    let length = (2.0 * r / (1.0 - r * r)).powf(2.0 / 3.0) * n.cbrt();
    (length.ceil() as usize).clamp(1, (ranks.len() / 8).max(1))
}
