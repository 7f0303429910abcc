//! Two versions, or two periods: which is higher, by how much, and how sure that is.

use super::CompareError;
use super::random::Random;
use super::stats::{at_share, median, rank_sum_p, signed_rank_p};

/// Settings of a comparison.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CompareConfig {
    /// How sure a verdict must be, 0.5–0.9999; 0.99, so that one of a hundred comparisons of a version with itself is wrong.
    pub confidence: f64,
    /// Changes smaller than this share are none; 0.01, one percent.
    pub min_effect: f64,
    /// How often measurements are resampled, 100–100,000; 4,000.
    pub resamples: u32,
    /// Where chance begins: the same numbers give the same verdict.
    pub seed: u64,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self {
            confidence: 0.99,
            min_effect: 0.01,
            resamples: 4_000,
            seed: 0x5EED,
        }
    }
}

impl CompareConfig {
    /// Sets [`confidence`](Self::confidence).
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets [`min_effect`](Self::min_effect).
    #[must_use]
    pub fn min_effect(mut self, share: f64) -> Self {
        self.min_effect = share;
        self
    }

    /// Sets [`resamples`](Self::resamples).
    #[must_use]
    pub fn resamples(mut self, times: u32) -> Self {
        self.resamples = times;
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
        if !(0.5..=0.9999).contains(&self.confidence) {
            return wrong("confidence", "is not between 0.5 and 0.9999");
        }
        if !(0.0..1.0).contains(&self.min_effect) {
            return wrong("min_effect", "is not between 0 and 1");
        }
        if !(100..=100_000).contains(&self.resamples) {
            return wrong("resamples", "is not between 100 and 100,000");
        }
        Ok(())
    }
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The candidate's numbers are higher: slower, if they are times.
    Higher,
    /// The candidate's numbers are lower.
    Lower,
    /// Whatever change there is, is smaller than `min_effect`.
    Same,
    /// There may be a change and there may be none: more measurements would tell.
    Unclear,
}

/// Candidate against baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// What it comes to.
    pub verdict: Verdict,
    /// Candidate ÷ baseline; 1.1 is ten percent higher.
    pub ratio: f64,
    /// The true ratio lies at or above this, with the confidence below.
    pub low: f64,
    /// The true ratio lies at or below this.
    pub high: f64,
    /// How sure the interval is, 0–1.
    pub confidence: f64,
    /// How probable it is to see as much if nothing has changed, 0–1: of signed ranks for pairs, of rank sums else.
    pub p_value: f64,
    /// How many pairs, or how many measurements of the side that has fewer.
    pub n: usize,
    /// Whether measurements were compared in pairs. If not, a change of the machine between them looks like one of the program.
    pub is_paired: bool,
}

/// Fewest pairs that say anything with 99 %: of eight, all lie on one side in one of 128 cases where nothing has changed.
const LEAST: usize = 8;
/// Most measurements, so that work is bounded.
const MOST: usize = 10_000;

/// How much stricter the test is than the confidence says: on a machine that drifts, the two of a pair are not quite as good as
/// exchanged, which in simulations made 1.05 % of wrong verdicts out of 1 %.
const MARGIN: f64 = 0.85;

/// Compares baseline and candidate that were measured in turn: `(baseline, candidate)` of each pair.
///
/// # Errors
///
/// [`TooFew`](CompareError::TooFew) below 8 pairs, [`TooMany`](CompareError::TooMany) beyond 10,000,
/// [`Value`](CompareError::Value) for a number that is not above zero (counted by pairs), [`Setting`](CompareError::Setting).
pub fn compare_pairs(
    pairs: &[(f64, f64)],
    config: &CompareConfig,
) -> Result<Comparison, CompareError> {
    config.check()?;
    let (baseline, candidate): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let (baseline, candidate) = (logarithms(&baseline)?, logarithms(&candidate)?);
    let ratios: Vec<f64> = candidate
        .iter()
        .zip(&baseline)
        .map(|(candidate, baseline)| candidate - baseline)
        .collect();
    let n = ratios.len();
    let p_value = signed_rank_p(&ratios);
    if n > MOST_PAIRWISE {
        let mut medians = Medians::new(&ratios);
        let estimate = median(&mut ratios.clone());
        return Ok(judge(
            estimate,
            |random| medians.resample(random),
            (n, p_value),
            true,
            config,
        ));
    }
    let mut medians = PairwiseMedians::new(&ratios);
    let estimate = medians.estimate();
    Ok(judge(
        estimate,
        |random| medians.resample(random),
        (n, p_value),
        true,
        config,
    ))
}

/// Compares two samples that were not measured in turn.
///
/// It takes a change of the machine between the two for a change of the program; see the [module](super).
///
/// # Errors
///
/// As [`compare_pairs`], for each side.
pub fn compare_unpaired(
    baseline: &[f64],
    candidate: &[f64],
    config: &CompareConfig,
) -> Result<Comparison, CompareError> {
    config.check()?;
    let (baseline, candidate) = (logarithms(baseline)?, logarithms(candidate)?);
    let estimate = median(&mut candidate.clone()) - median(&mut baseline.clone());
    let n = baseline.len().min(candidate.len());
    let p_value = rank_sum_p(&baseline, &candidate);
    let (mut baseline, mut candidate) = (Medians::new(&baseline), Medians::new(&candidate));
    let resampled = |random: &mut Random| candidate.resample(random) - baseline.resample(random);
    Ok(judge(estimate, resampled, (n, p_value), false, config))
}

fn logarithms(values: &[f64]) -> Result<Vec<f64>, CompareError> {
    let found = values.len();
    if found < LEAST {
        let least = LEAST;
        return Err(CompareError::TooFew { least, found });
    }
    if found > MOST {
        let most = MOST;
        return Err(CompareError::TooMany { most, found });
    }
    let logarithm = |(at, &value): (usize, &f64)| {
        if value.is_finite() && value > 0.0 {
            Ok(value.ln())
        } else {
            Err(CompareError::Value { at, value })
        }
    };
    values.iter().enumerate().map(logarithm).collect()
}

/// Up to so many pairs, the means of any two of them are looked at, which are half the square of this.
const MOST_PAIRWISE: usize = 200;

/// Medians of the means of any two values (each with itself too): the estimate of Hodges and Lehmann ("Estimates of location based on rank
/// tests", 1963). It shrugs off outliers as the median does, and of thirty values makes as much as the median makes of
/// forty-five.
struct PairwiseMedians {
    /// Mean of two values, and which they are; sorted.
    means: Vec<(f64, u32, u32)>,
    times: Vec<u32>,
}

impl PairwiseMedians {
    fn new(values: &[f64]) -> Self {
        let mut means = Vec::with_capacity(values.len() * (values.len() + 1) / 2);
        for (right, &second) in (0_u32..).zip(values) {
            for (left, &first) in (0..=right).zip(values) {
                means.push((f64::midpoint(first, second), left, right));
            }
        }
        means.sort_by(|left, right| left.0.total_cmp(&right.0));
        Self {
            means,
            times: vec![1; values.len()],
        }
    }

    fn estimate(&mut self) -> f64 {
        self.times.fill(1);
        self.median()
    }

    fn resample(&mut self, random: &mut Random) -> f64 {
        let n = self.times.len();
        self.times.fill(0);
        for _ in 0..n {
            self.times[random.below(n)] += 1;
        }
        self.median()
    }

    /// Of the values, each as often as it comes.
    fn median(&self) -> f64 {
        let n = self.times.len() as u32;
        let half = n * (n + 1) / 4;
        let mut before = 0;
        for &(mean, left, right) in &self.means {
            let (first, second) = (self.times[left as usize], self.times[right as usize]);
            before += if left == right {
                first * (first + 1) / 2
            } else {
                first * second
            };
            if before > half {
                return mean;
            }
        }
        // Not reached: all of them together are twice the half.
        self.means.last().map_or(0.0, |last| last.0)
    }
}

/// Medians of resampled values.
///
/// A resample is how often each value comes. Of sorted values, the median is where half of them are reached, so no resample is sorted. With
/// 10,000 values and 4,000 resamples that is a second, and with thirty a few milliseconds.
struct Medians {
    sorted: Vec<f64>,
    times: Vec<u32>,
}

impl Medians {
    fn new(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self {
            times: vec![0; sorted.len()],
            sorted,
        }
    }

    fn resample(&mut self, random: &mut Random) -> f64 {
        let n = self.sorted.len();
        self.times.fill(0);
        for _ in 0..n {
            self.times[random.below(n)] += 1;
        }
        let upper = self.at(n / 2);
        if n % 2 == 1 {
            upper
        } else {
            f64::midpoint(self.at(n / 2 - 1), upper)
        }
    }

    /// The value at this place of the resample, sorted.
    fn at(&self, place: usize) -> f64 {
        let mut before = 0;
        for (&value, &times) in self.sorted.iter().zip(&self.times) {
            before += times as usize;
            if before > place {
                return value;
            }
        }
        // Not reached: all times together are as many as there are values.
        self.sorted[self.sorted.len() - 1]
    }
}

fn judge(
    estimate: f64,
    mut resampled: impl FnMut(&mut Random) -> f64,
    (n, p_value): (usize, f64),
    is_paired: bool,
    config: &CompareConfig,
) -> Comparison {
    let mut random = Random::new(config.seed);
    let mut medians: Vec<f64> = (0..config.resamples)
        .map(|_| resampled(&mut random))
        .collect();
    medians.sort_by(f64::total_cmp);
    let outside = (1.0 - config.confidence) / 2.0;
    let (low, high) = (
        at_share(&medians, outside),
        at_share(&medians, 1.0 - outside),
    );
    let is_sure = p_value <= MARGIN * (1.0 - config.confidence);
    let least = config.min_effect.ln_1p();
    let verdict = if is_sure && low > 0.0 && estimate >= least {
        Verdict::Higher
    } else if is_sure && high < 0.0 && estimate <= -least {
        Verdict::Lower
    } else if (-least..=least).contains(&low) && (-least..=least).contains(&high) {
        Verdict::Same
    } else if is_sure && (low > 0.0 || high < 0.0) {
        // Surely a change, and too small to matter.
        Verdict::Same
    } else {
        Verdict::Unclear
    };
    Comparison {
        verdict,
        ratio: estimate.exp(),
        low: low.exp(),
        high: high.exp(),
        confidence: config.confidence,
        p_value,
        n,
        is_paired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairwise_medians_are_those_of_the_values_written_out() {
        let values = [3.0, -1.0, 4.0, 1.5, 9.0, 2.0, 6.0];
        let mut medians = PairwiseMedians::new(&values);
        let mut random = Random::new(1);
        for _ in 0..50 {
            let found = medians.resample(&mut random);
            let drawn: Vec<f64> = values
                .iter()
                .zip(&medians.times)
                .flat_map(|(&value, &times)| std::iter::repeat_n(value, times as usize))
                .collect();
            let mut means = Vec::new();
            for (at, first) in drawn.iter().enumerate() {
                means.extend(
                    drawn[at..]
                        .iter()
                        .map(|second| f64::midpoint(*first, *second)),
                );
            }
            means.sort_by(f64::total_cmp);
            assert_eq!(found, means[means.len() / 2]);
        }
    }
}
