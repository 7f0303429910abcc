//! When to try again. No clock, no I/O.

use std::time::{Duration, SystemTime};

/// How often, and how long after one another, a delivery is tried.
///
/// The wait before the n-th repetition is chosen at random between zero and `base` × 2ⁿ⁻¹, at most `cap` ("full
/// jitter"): receivers that come back are not met by everyone at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts in all; after the last one the message is a dead letter.
    pub attempts: u32,
    /// The longest wait after the first attempt.
    pub base: Duration,
    /// The longest wait after any attempt, unless the receiver asks for a longer one.
    pub cap: Duration,
}

impl Default for Retry {
    /// Twelve attempts, waits of up to 2 s, 4 s, … and 10 min: a receiver may be away for about half an hour.
    fn default() -> Self {
        Self {
            attempts: 12,
            base: Duration::from_secs(2),
            cap: Duration::from_secs(600),
        }
    }
}

impl Retry {
    /// What a receiver may ask for with `Retry-After` at most: a hostile one must not stop delivery for ever.
    pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

    /// Sets all three.
    #[must_use]
    pub fn new(attempts: u32, base: Duration, cap: Duration) -> Self {
        Self {
            attempts,
            base,
            cap,
        }
    }

    /// The wait after `made` attempts; `None` when there were enough. `chance` is between 0 and 1.
    pub(crate) fn wait(self, made: u32, asked: Option<Duration>, chance: f64) -> Option<Duration> {
        if made >= self.attempts {
            return None;
        }
        let doublings = made.saturating_sub(1).min(31);
        let most = self.base.saturating_mul(1 << doublings).min(self.cap);
        let jitter = most.mul_f64(chance.clamp(0.0, 1.0));
        let asked = asked.unwrap_or_default().min(Self::MAX_RETRY_AFTER);
        Some(jitter.max(asked))
    }
}

/// What a `Retry-After` header asks for: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time, which is cut later.
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_end() {
        let retry = Retry::new(5, Duration::from_secs(1), Duration::from_secs(3));
        let most: Vec<_> = (1..=5)
            .map(|made| retry.wait(made, None, 1.0).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(most, [Some(1), Some(2), Some(3), Some(3), None]);
        assert_eq!(retry.wait(3, None, 0.0), Some(Duration::ZERO));
        let endless = Retry::new(u32::MAX, Duration::MAX, Duration::MAX);
        assert_eq!(endless.wait(1_000_000, None, 0.0), Some(Duration::ZERO));
    }

    #[test]
    fn what_the_receiver_asks_for_is_honoured_within_bounds() {
        let retry = Retry::default();
        let minute = Duration::from_secs(60);
        assert_eq!(retry.wait(1, Some(minute), 0.5), Some(minute));
        assert_eq!(
            retry.wait(1, Some(Duration::MAX), 0.5),
            Some(Retry::MAX_RETRY_AFTER)
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sun, 06 Nov 1904 08:49:37 GMT", None),
            ("-5", None),
            ("", None),
            ("soon", None),
        ];
        for (header, expected) in cases {
            let seconds = retry_after(header, now).map(|wait| wait.as_secs());
            assert_eq!(seconds, expected, "{header:?}");
        }
    }
}
