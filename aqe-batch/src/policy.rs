//! What happens to an item that fails.
//!
//! It is tried again while its [`RetryPolicy`] has attempts left, then it has failed. A policy of the caller's may
//! [decide](Decision) otherwise, error by error; it can give up early or skip the item, but not go beyond the bounds
//! that the configuration sets.

use std::time::Duration;

/// How many times, and after which delay, a failed item is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub attempts: u32,
    /// The delay before the first retry. Zero retries at once, without a timer.
    pub delay: Duration,
    /// Each further delay is twice the one before, up to this. The same as `delay` for delays that stay the same.
    pub longest: Duration,
    /// How much of a delay is left to chance.
    pub jitter: Jitter,
}

/// How much of a delay is left to chance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// The delay is what the policy says.
    #[default]
    None,
    /// The delay is drawn evenly between zero and what the policy says, which spreads retries that failed together.
    Full,
}

impl RetryPolicy {
    /// Tries every item once.
    #[must_use]
    pub const fn none() -> Self {
        Self::fixed(0, Duration::ZERO)
    }

    /// Tries again up to `attempts` times, each time after `delay`.
    #[must_use]
    pub const fn fixed(attempts: u32, delay: Duration) -> Self {
        Self::exponential(attempts, delay, delay)
    }

    /// Tries again up to `attempts` times, after `delay`, twice `delay` and so on up to `longest`.
    #[must_use]
    pub const fn exponential(attempts: u32, delay: Duration, longest: Duration) -> Self {
        Self {
            attempts,
            delay,
            longest,
            jitter: Jitter::None,
        }
    }

    /// Draws each delay evenly between zero and its full value.
    #[must_use]
    pub const fn full_jitter(mut self) -> Self {
        self.jitter = Jitter::Full;
        self
    }

    /// The delay after attempt number `attempt` (1 is the first); `chance` is in 0–1.
    pub(crate) fn delay_after(&self, attempt: u32, chance: f64) -> Duration {
        // 2^31 times any delay exceeds every sensible bound, so the exponent stops there.
        let doublings = attempt.saturating_sub(1).min(31);
        let full = self.delay.saturating_mul(1 << doublings).min(self.longest);
        match self.jitter {
            Jitter::None => full,
            Jitter::Full => full.mul_f64(chance.clamp(0.0, 1.0)),
        }
    }
}

/// What is to become of an item whose attempt returned an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It is tried again if it has attempts left, and has failed otherwise.
    Retry,
    /// It has failed, whatever attempts are left.
    Fail,
    /// It is left out: done, without a result, and no error. Beyond
    /// [`skip_limit`](crate::BatchConfig::skip_limit) it has failed.
    Skip,
}

/// Decides about the errors of items.
pub trait Policy<E> {
    /// What is to become of an item whose attempt number `attempt` (1 is the first) returned `error`.
    fn decide(&self, error: &E, attempt: u32) -> Decision;
}

/// Tries again while attempts are left.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByConfig;

impl<E> Policy<E> for ByConfig {
    fn decide(&self, _: &E, _: u32) -> Decision {
        Decision::Retry
    }
}

/// A closure that decides; see [`Job::on_error`](crate::Job::on_error).
#[derive(Clone, Copy, Debug)]
pub struct OnError<F>(pub(crate) F);

impl<E, F: Fn(&E, u32) -> Decision> Policy<E> for OnError<F> {
    fn decide(&self, error: &E, attempt: u32) -> Decision {
        (self.0)(error, attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let ms = Duration::from_millis;
        let policy = RetryPolicy::exponential(5, ms(100), ms(500));
        let delays: Vec<_> = (1..=40).map(|n| policy.delay_after(n, 1.0)).collect();
        assert_eq!(delays[..4], [ms(100), ms(200), ms(400), ms(500)]);
        assert_eq!(delays[39], ms(500));
        assert_eq!(policy.full_jitter().delay_after(2, 0.5), ms(100));
        assert_eq!(RetryPolicy::fixed(1, ms(7)).delay_after(9, 0.0), ms(7));
    }
}
