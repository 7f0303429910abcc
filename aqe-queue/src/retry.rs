//! When an attempt that failed is tried again.

use std::time::Duration;

/// How many times, and after which delay, a failed or timed-out attempt is repeated.
///
/// `attempts` counts the attempts *after* the first: 0 means that the operation runs once, 3 that it runs up to four
/// times. A waiting retry holds no slot, and when its delay is over it queues at the end of its own level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub attempts: u32,
    /// The delay before the first retry. Zero retries at once, without a timer.
    pub delay: Duration,
    /// How the delay grows from one retry to the next.
    pub backoff: Backoff,
    /// How much of the delay is left to chance.
    pub jitter: Jitter,
}

/// How the delay grows from one retry to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backoff {
    /// Every retry waits the same time.
    #[default]
    Fixed,
    /// Every retry waits twice as long as the one before, and never longer than `cap`.
    Exponential {
        /// The longest delay.
        cap: Duration,
    },
}

/// How much of the delay is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// The delay is what the policy says.
    #[default]
    None,
    /// The delay is drawn evenly between zero and what the policy says, which spreads retries that failed together
    /// ("full jitter" in M. Brooker, "Exponential Backoff And Jitter").
    Full,
}

impl RetryPolicy {
    /// The longest delay that an error can [ask for](crate::Submission::retry_after) where the backoff has no cap: an
    /// hour. A number from elsewhere must not keep an operation, and its place in the queue, for ever.
    pub const LONGEST_ASKED: Duration = Duration::from_secs(3600);

    /// Runs the operation once.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(0, Duration::ZERO)
    }

    /// Retries up to `attempts` times, each time after `delay`.
    #[must_use]
    pub const fn fixed(attempts: u32, delay: Duration) -> Self {
        Self {
            attempts,
            delay,
            backoff: Backoff::Fixed,
            jitter: Jitter::None,
        }
    }

    /// Retries up to `attempts` times, after `delay`, twice `delay` and so on up to `cap`.
    #[must_use]
    pub const fn exponential(attempts: u32, delay: Duration, cap: Duration) -> Self {
        Self {
            attempts,
            delay,
            backoff: Backoff::Exponential { cap },
            jitter: Jitter::None,
        }
    }

    /// Draws each delay evenly between zero and its full value.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// Returns the delay before the retry that follows attempt number `attempt` (1 is the first attempt).
    ///
    /// `chance` is a number in 0–1 and only matters with [`Jitter::Full`].
    ///
    /// ```
    /// use std::time::Duration;
    /// let policy = aqe_queue::RetryPolicy::exponential(5, Duration::from_millis(100), Duration::from_secs(1));
    /// let delays: Vec<_> = (1..=5).map(|attempt| policy.delay_after(attempt, 0.0).as_millis()).collect();
    /// assert_eq!(delays, [100, 200, 400, 800, 1000]);
    /// ```
    #[must_use]
    pub fn delay_after(&self, attempt: u32, chance: f64) -> Duration {
        let full = match self.backoff {
            Backoff::Fixed => self.delay,
            Backoff::Exponential { cap } => {
                // 2^31 times any delay of a nanosecond or more exceeds every sensible cap, so the exponent stops there.
                let doublings = attempt.saturating_sub(1).min(31);
                self.delay.saturating_mul(1 << doublings).min(cap)
            }
        };
        match self.jitter {
            Jitter::None => full,
            Jitter::Full => {
                let chance = if chance.is_finite() {
                    chance.clamp(0.0, 1.0)
                } else {
                    1.0
                };
                Duration::try_from_secs_f64(full.as_secs_f64() * chance)
                    .unwrap_or(full)
                    .min(full)
            }
        }
    }
}

impl RetryPolicy {
    /// Returns the delay for an error that asks for `asked`.
    pub(crate) fn bounded(&self, asked: Duration) -> Duration {
        asked.min(match self.backoff {
            Backoff::Fixed => Self::LONGEST_ASKED,
            Backoff::Exponential { cap } => cap,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_delay_stays_the_same() {
        let policy = RetryPolicy::fixed(3, Duration::from_secs(1));
        for attempt in 1..10 {
            assert_eq!(policy.delay_after(attempt, 0.5), Duration::from_secs(1));
        }
    }

    #[test]
    fn exponential_delay_survives_absurd_numbers() {
        let policy = RetryPolicy::exponential(u32::MAX, Duration::MAX, Duration::MAX);
        assert_eq!(policy.delay_after(u32::MAX, 0.0), Duration::MAX);
        let policy = RetryPolicy::exponential(u32::MAX, Duration::ZERO, Duration::from_secs(1));
        assert_eq!(policy.delay_after(u32::MAX, 0.0), Duration::ZERO);
    }

    #[test]
    fn full_jitter_stays_between_zero_and_the_full_delay() {
        let policy = RetryPolicy::fixed(1, Duration::from_millis(80)).full_jitter();
        assert_eq!(policy.delay_after(1, 0.0), Duration::ZERO);
        assert_eq!(policy.delay_after(1, 0.25), Duration::from_millis(20));
        assert_eq!(policy.delay_after(1, 7.0), Duration::from_millis(80));
        assert_eq!(policy.delay_after(1, f64::NAN), Duration::from_millis(80));
        let endless = RetryPolicy::fixed(1, Duration::MAX).full_jitter();
        assert_eq!(endless.delay_after(1, 1.0), Duration::MAX);
    }
}
