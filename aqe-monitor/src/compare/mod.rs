//! Whether something has become slower: two versions compared, and a long series searched for changes.
//!
//! Measurements of running times are skewed, have outliers, and drift with the machine: it warms up, somebody else builds. Rules such as "five
//! percent more than the mean" then report in every tenth comparison of a version with itself. What helps most is not a better
//! test but a better order: measure both versions in turn, as pairs, and compare within pairs, so that what happens to the
//! machine happens to both.
//!
//! ```
//! use aqe_monitor::compare::{CompareConfig, Verdict, compare_pairs};
//!
//! // Seconds of baseline and candidate, measured alternately while the machine becomes slower and slower.
//! let pairs: Vec<(f64, f64)> = (0..30)
//!     .map(|pair| {
//!         let machine = 1.0 + f64::from(pair) / 30.0;
//!         let noise = f64::from(pair * 7 % 5) / 100.0;
//!         (machine * (1.0 + noise), machine * (1.12 - noise))
//!     })
//!     .collect();
//! let comparison = compare_pairs(&pairs, &CompareConfig::default())?;
//! assert_eq!(comparison.verdict, Verdict::Higher);
//! assert!((1.04..1.14).contains(&comparison.ratio));
//! # Ok::<(), aqe_monitor::compare::CompareError>(())
//! ```
//!
//! # What is worked out
//!
//! [`compare_pairs`]: the median of the logarithms of candidate ÷ baseline within each pair, or rather of the means of any two of them
//! (Hodges and Lehmann, "Estimates of location based on rank tests", 1963; beyond 200 pairs, the plain median), with an interval of
//! 99 % by the bootstrap (Efron, "Bootstrap methods: another look at the jackknife", 1979; percentiles). For small samples such
//! intervals are a little too narrow; so the verdict "higher" or "lower" needs three things: the interval does not contain "no
//! change"; the exact test of signed ranks (Wilcoxon, "Individual comparisons by ranking methods", 1945) agrees at the same
//! level; and the change is at least [`min_effect`](CompareConfig::min_effect).
//!
//! [`compare_unpaired`]: likewise for two samples that were measured at different times; the difference of their plain medians, each
//! resampled by itself, and rank sums (Mann and Whitney, 1947). **It cannot tell a change of the program from a change of the machine between the two measurements.** Its result says
//! so ([`Comparison::is_paired`]); treat "higher" as a reason to measure in pairs.
//!
//! [`change_points`]: where the level of a series changes for good. Candidates are found by dividing the series again and again, as
//! E-divisive does (Matteson and James, "A nonparametric approach for multiple change point analysis of multivariate data",
//! 2014; Daly and others, "The use of change point detection to identify software performance regressions", 2020; Fleming and
//! others, "Hunter: using change point detection to hunt for performance regressions", 2023). The statistic is Pettitt's ("A
//! non-parametric approach to the change-point problem", 1979) on ranks, so that an outlier counts no more than any other value. Its
//! significance comes from permutations, corrected for the number of tests; measurements that resemble their neighbours are permuted in
//! blocks (Künsch, "The jackknife and the bootstrap for general stationary observations", 1989), since permuting them
//! one by one takes every slow wave for a change.
//!
//! All of it is deterministic: the same numbers and the same [`seed`](CompareConfig::seed) give the same verdict.
//!
//! # How often it is wrong
//!
//! Simulated with skewed noise (standard deviation of 8 %, and 3 % outliers of up to twice the time), 30 pairs, or series of 200
//! measurements with the settings as they are by default. The tests of this crate repeat it with fewer trials.
//!
//! | situation | how often |
//! | --- | --- |
//! | a version with itself is said to be higher or lower | 0.8 % of 24,000 |
//! | the same while the machine drifts, in pairs | 1.0 % of 24,000 |
//! | 10 % more are found | 82 % of 6,000; on a drifting machine 81 % |
//! | a series without a change has one | 0.5 % of 600; where values resemble those before (0.6), 3 % |
//! | a step of 10 % in a series is found | 2,400 of 2,400; where values resemble those before, 62 % |

mod change;
mod random;
mod stats;
mod verdict;

pub use change::{ChangeConfig, ChangePoint, change_points};
pub use verdict::{CompareConfig, Comparison, Verdict, compare_pairs, compare_unpaired};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Too few to say anything.
    #[error("{found} measurements say too little: at least {least} are needed")]
    TooFew {
        /// How many are needed.
        least: usize,
        /// How many there were.
        found: usize,
    },
    /// More than the work is bounded for.
    #[error(
        "{found} measurements are more than the {most} that are compared at once: leave the older ones out"
    )]
    TooMany {
        /// How many there may be.
        most: usize,
        /// How many there were.
        found: usize,
    },
    /// Ratios need numbers above zero.
    #[error("measurement {at} is {value}: it must be a finite number above zero")]
    Value {
        /// Which one, counted from zero.
        at: usize,
        /// What it is.
        value: f64,
    },
    /// A setting that cannot work.
    #[error("{setting} {problem}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}
