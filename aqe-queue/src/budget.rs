//! How much of the load may be retries.
//!
//! When what operations depend on is down, retries multiply the load on it just when it can bear the least. A budget
//! bounds them for all operations of a queue together. It is a token bucket, as in Finagle's `RetryBudget` and in
//! gRPC's retry throttling (proposal A6): every success pays a share of a token in, time pays in a minimum, and a
//! retry takes one token out. The bucket has a brim, so a long calm does not buy a long storm.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How many retries all operations of a queue may make together.
///
/// With the default, one success in five pays for a retry, ten retries a second are always paid for, and at most a
/// hundred are saved up. An operation that finds the budget empty ends with the error it has, as if no attempt were
/// left; [`QueueStatus::retries_refused`](crate::QueueStatus::retries_refused) counts these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Retries per hundred operations that completed.
    pub percent: u32,
    /// Retries per second that are paid for whether anything completes or not.
    pub min_per_second: u32,
    /// How many unused retries are kept, and how many there are at the start. At least 1.
    pub burst: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            percent: 20,
            min_per_second: 10,
            burst: 100,
        }
    }
}

impl RetryBudget {
    /// Sets [`percent`](Self::percent).
    #[must_use]
    pub const fn percent(mut self, retries: u32) -> Self {
        self.percent = retries;
        self
    }

    /// Sets [`min_per_second`](Self::min_per_second).
    #[must_use]
    pub const fn min_per_second(mut self, retries: u32) -> Self {
        self.min_per_second = retries;
        self
    }

    /// Sets [`burst`](Self::burst).
    #[must_use]
    pub const fn burst(mut self, retries: u32) -> Self {
        self.burst = retries;
        self
    }
}

/// The budget of one queue. Its lock is taken once per retry, and once per batch of completed operations.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Bucket>);

impl Budget {
    pub(crate) const fn new(budget: RetryBudget, now: Instant) -> Self {
        Self(Mutex::new(Bucket::new(budget, now)))
    }

    pub(crate) fn deposit(&self, completed: u64) {
        self.0.lock().deposit(completed);
    }

    /// Takes one retry out of the budget. `false` if it is empty.
    pub(crate) fn withdraw(&self, now: Instant) -> bool {
        self.0.lock().withdraw(now)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.0.lock().refused
    }
}

#[derive(Debug)]
struct Bucket {
    budget: RetryBudget,
    /// In hundredths of a retry, so that a percentage needs no fractions.
    level: u64,
    /// Up to when time has paid in.
    paid: Instant,
    refused: u64,
}

/// What a retry costs.
const RETRY: u64 = 100;

const SECOND: u128 = 1_000_000_000;

impl Bucket {
    const fn new(budget: RetryBudget, now: Instant) -> Self {
        Self {
            budget,
            level: budget.burst as u64 * RETRY,
            paid: now,
            refused: 0,
        }
    }

    fn deposit(&mut self, completed: u64) {
        let paid = completed.saturating_mul(u64::from(self.budget.percent));
        self.pay(paid);
    }

    fn withdraw(&mut self, now: Instant) -> bool {
        self.pay_for_time(now);
        let is_paid = self.level >= RETRY;
        if is_paid {
            self.level -= RETRY;
        } else {
            self.refused += 1;
        }
        is_paid
    }

    fn pay(&mut self, hundredths: u64) {
        let brim = u64::from(self.budget.burst) * RETRY;
        self.level = self.level.saturating_add(hundredths).min(brim);
    }

    /// Pays for whole hundredths only; the rest of the time is left for the next call.
    fn pay_for_time(&mut self, now: Instant) {
        let per_second = u128::from(self.budget.min_per_second) * u128::from(RETRY);
        let passed = now.saturating_duration_since(self.paid).as_nanos();
        let hundredths = passed.saturating_mul(per_second) / SECOND;
        if hundredths == 0 {
            return;
        }
        let took = hundredths * SECOND / per_second;
        self.paid += Duration::from_nanos(u64::try_from(took).unwrap_or(u64::MAX));
        self.pay(u64::try_from(hundredths).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(percent: u32, min_per_second: u32, burst: u32) -> (Bucket, Instant) {
        let now = Instant::now();
        let budget = RetryBudget {
            percent,
            min_per_second,
            burst,
        };
        (Bucket::new(budget, now), now)
    }

    fn withdrawals(bucket: &mut Bucket, now: Instant) -> usize {
        (0..10_000).filter(|_| bucket.withdraw(now)).count()
    }

    #[test]
    fn success_pays_its_share() {
        let (mut bucket, now) = bucket(20, 0, 50);
        assert_eq!(withdrawals(&mut bucket, now), 50);
        assert_eq!(bucket.refused, 9_950);
        bucket.deposit(4);
        assert_eq!(withdrawals(&mut bucket, now), 0);
        bucket.deposit(1);
        assert_eq!(withdrawals(&mut bucket, now), 1);
        bucket.deposit(100);
        assert_eq!(withdrawals(&mut bucket, now), 20);
    }

    #[test]
    fn time_pays_the_minimum_and_loses_no_fraction() {
        let (mut bucket, start) = bucket(0, 3, 1);
        assert!(bucket.withdraw(start));
        // Asked a thousand times a second, for a minute: three a second come of it, never a fourth.
        let paid = (1..=60_000u32)
            .filter(|ms| bucket.withdraw(start + Duration::from_millis(u64::from(*ms))))
            .count();
        assert!((178..=180).contains(&paid), "{paid}");
    }

    #[test]
    fn calm_is_saved_up_to_the_brim_only() {
        let (mut bucket, now) = bucket(100, 1_000, 7);
        bucket.deposit(u64::MAX);
        let later = now + Duration::from_secs(1 << 32);
        assert_eq!(withdrawals(&mut bucket, later), 7);
    }
}
