//! Whether what was predicted came true.

use super::finding::Finding;

/// What became of a prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum Verdict {
    /// The measured value lies within the tolerance.
    CameTrue,
    /// It is better than predicted by more than the tolerance.
    Better {
        /// Measured ÷ predicted.
        ratio: f64,
    },
    /// It is not what was predicted: the cause is another one, or the load has changed.
    Missed {
        /// Measured ÷ predicted.
        ratio: f64,
    },
    /// There was no prediction, or what was measured is not a number.
    Unknown,
}

/// Compares the predicted value with the one measured after the change, in the prediction's unit.
#[must_use]
pub fn check(finding: &Finding, measured_after: f64) -> Verdict {
    let Some(predicted) = &finding.predicted else {
        return Verdict::Unknown;
    };
    if !measured_after.is_finite() || !predicted.value.is_finite() {
        return Verdict::Unknown;
    }
    let off = measured_after - predicted.value;
    // A prediction of nothing (no misses left) still has to allow for rounding.
    if off.abs() <= predicted.value.abs() * predicted.tolerance + f64::EPSILON {
        return Verdict::CameTrue;
    }
    let ratio = measured_after / predicted.value;
    if (off < 0.0) == predicted.less_is_better {
        Verdict::Better { ratio }
    } else {
        Verdict::Missed { ratio }
    }
}
