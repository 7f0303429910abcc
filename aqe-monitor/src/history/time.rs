//! Points in time: what the clock on the wall shows, and beside it one that never goes back.
//!
//! A history is asked for by wall time, and wall clocks are set. A writer therefore reads both clocks at each tick: the steady one
//! tells a step of the other from time that has really passed.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall time in whole milliseconds since 1970-01-01 UTC, from there to the end of the year 9999.
///
/// Printed as RFC 3339 in UTC.
///
/// ```
/// use aqe_monitor::history::Timestamp;
///
/// assert_eq!(Timestamp::from_millis(1_500).to_string(), "1970-01-01T00:00:01.500Z");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest there is: the beginning of 1970.
    pub const MIN: Self = Self(0);
    /// The latest there is: the last millisecond of the year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// The time so many milliseconds after 1970 began; what lies outside of the range becomes its nearer end.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < Self::MIN.0 {
            Self::MIN
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// What the wall clock shows.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// So much later, or the end of all time.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(time)))
    }

    /// So much earlier, or 1970.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(millis(time)))
    }

    /// The range that ends here (not included) and is as long as this.
    #[must_use]
    pub fn last(self, time: Duration) -> Range<Self> {
        self.before(time)..self
    }

    /// As printed, but without what file systems refuse in a name.
    pub(super) fn for_a_name(self) -> String {
        self.to_string().replace([':', '-', '.'], "")
    }
}

/// Milliseconds of a duration, those that do not fit cut off.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        // Before 1970 is 1970.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::from_millis(millis(since))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, in_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil(days);
        let (seconds, millis) = (in_day / 1000, in_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that the leap day is the
/// last of its year and months have their lengths by a formula (Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// One moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What the clock on the wall shows; it may have been set since the moment before.
    pub wall: Timestamp,
    /// The clock that never goes back, and has no date.
    pub steady: Instant,
}

impl Moment {
    /// Reads both clocks.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: Timestamp::now(),
            steady: Instant::now(),
        }
    }

    /// The moment a while later, by both clocks.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self {
            wall: self.wall.after(time),
            // A clock that has no such moment stays where it is.
            steady: self.steady.checked_add(time).unwrap_or(self.steady),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_in_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_001, "2024-03-01T00:00:00.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
        ];
        for (millis, text) in cases {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn times_beyond_the_calendar_are_its_ends() {
        assert_eq!(Timestamp::MAX.after(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.before(Duration::MAX), Timestamp::MIN);
        assert_eq!(Moment::now().after(Duration::MAX).wall, Timestamp::MAX);
    }
}
