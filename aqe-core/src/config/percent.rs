//! Percentages from 0 to 100.

use std::fmt;

/// A share from 0 % to 100 %, exact to a hundredth of a percent.
///
/// Kept as an integer so that it can be compared, hashed and written back as it was read.
///
/// ```
/// use aqe_core::config::Percent;
///
/// let limit = Percent::new(85).ok_or("not a percentage")?;
/// assert_eq!(limit.as_ratio(), 0.85);
/// assert_eq!(limit.to_string(), "85%");
/// assert_eq!(Percent::new(101), None);
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    /// Hundredths of a percent, at most 10 000.
    hundredths: u16,
}

impl Percent {
    /// 0 %.
    pub const ZERO: Self = Self { hundredths: 0 };
    /// 100 %.
    pub const FULL: Self = Self { hundredths: 10_000 };

    /// A whole number of percent; `None` above 100.
    #[must_use]
    pub const fn new(percent: u8) -> Option<Self> {
        Self::from_hundredths(percent as u16 * 100)
    }

    /// Hundredths of a percent, so that 50 is 0.5 %; `None` above 10 000.
    #[must_use]
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= 10_000 {
            Some(Self { hundredths })
        } else {
            None
        }
    }

    /// The share as a ratio, 0–1.
    #[must_use]
    pub fn as_ratio(self) -> f64 {
        f64::from(self.hundredths) / 10_000.0
    }

    /// The share in hundredths of a percent, 0–10 000.
    #[must_use]
    pub const fn as_hundredths(self) -> u16 {
        self.hundredths
    }

    /// For defaults that are written in this crate; anything above 100 becomes 100.
    pub(crate) const fn saturating(percent: u8) -> Self {
        match Self::new(percent) {
            Some(share) => share,
            None => Self::FULL,
        }
    }
}

/// Writes `85%`, `0.5%` or `12.25%`.
impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.hundredths / 100, self.hundredths % 100);
        match rest {
            0 => write!(f, "{whole}%"),
            rest if rest % 10 == 0 => write!(f, "{whole}.{}%", rest / 10),
            rest => write!(f, "{whole}.{rest:02}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_written_without_needless_digits() {
        for (hundredths, text) in [
            (0, "0%"),
            (50, "0.5%"),
            (105, "1.05%"),
            (1225, "12.25%"),
            (10_000, "100%"),
        ] {
            assert_eq!(
                Percent::from_hundredths(hundredths).unwrap().to_string(),
                text
            );
        }
        assert_eq!(Percent::from_hundredths(10_001), None);
    }
}
