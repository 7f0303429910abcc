//! Queues of all kinds, and how they come to their end.

use std::time::Duration;

use aqe_queue::config::Overflow;
use aqe_queue::{
    AdaptiveLimit, ErrorLimit, ErrorThreshold, KeyLimits, KeyRate, OnDrop, Priority, QueueConfig,
    RetryBudget, RetryPolicy, Scheduling, ThresholdAction,
};
use fastrand::Rng;

use crate::world::LEVELS;

/// One queue of a simulation.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) config: QueueConfig,
    pub(crate) operations: usize,
    pub(crate) finish: Finish,
    /// An observer follows every operation.
    pub(crate) is_observed: bool,
    pub(crate) keeps_dead_letters: bool,
    pub(crate) limits_memory: bool,
    /// The limit changes. Not where slots are reserved: their number is a part of it.
    pub(crate) resizes: bool,
    /// How many operations in a hundred have a key, a name, a deadline, a weight.
    pub(crate) keyed: u8,
    pub(crate) unique: u8,
    pub(crate) overdue: u8,
    pub(crate) heavy: u8,
}

/// How a queue comes to its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Finish {
    Drain,
    DrainWithin(Duration),
    Shutdown(Duration),
    /// The last handle is dropped.
    LetGo,
    /// Its tasks are dropped.
    Abandon,
}

impl Plan {
    pub(crate) fn new(chance: &mut Rng, is_exact: bool, operations: usize) -> Self {
        let reserves = chance.u8(0..4) == 0;
        let resizes = !reserves && chance.bool();
        let config = config(chance, is_exact, reserves);
        let ms = if is_exact { 30 } else { 1 };
        let finish = match chance.u8(0..6) {
            0 | 1 => Finish::Drain,
            2 => Finish::DrainWithin(Duration::from_millis(chance.u64(0..ms))),
            3 => Finish::Shutdown(Duration::from_millis(chance.u64(0..ms))),
            4 => Finish::LetGo,
            _ => Finish::Abandon,
        };
        let some = |chance: &mut Rng, most| {
            if chance.bool() { 0 } else { chance.u8(1..most) }
        };
        Self {
            config,
            operations,
            finish,
            is_observed: chance.u8(0..4) == 0,
            keeps_dead_letters: chance.u8(0..4) == 0,
            limits_memory: chance.u8(0..8) == 0,
            resizes,
            keyed: some(chance, 80),
            unique: some(chance, 20),
            overdue: some(chance, 30),
            heavy: some(chance, 60),
        }
    }
}

fn config(chance: &mut Rng, is_exact: bool, reserves: bool) -> QueueConfig {
    let ms = |chance: &mut Rng, range| Duration::from_millis(chance.u64(range));
    let limit = chance.usize(if reserves { 8..40 } else { 1..40 });
    let mut config = QueueConfig::default()
        .max_concurrent(limit)
        .batch_size(chance.usize(1..12))
        .priority_levels(chance.u8(1..=LEVELS as u8))
        .ageing(chance.bool().then(|| ms(chance, 0..50)))
        .capacity([8, 60, 1_000][chance.usize(0..3)])
        .timeout(chance.bool().then(|| {
            if is_exact {
                ms(chance, 1..60)
            } else {
                Duration::from_micros(chance.u64(1..3_000))
            }
        }))
        .retry(retry(chance, is_exact))
        .overflow([Overflow::Wait, Overflow::Reject, Overflow::ShedLowest][chance.usize(0..3)])
        .on_drop([OnDrop::Cancel, OnDrop::CancelIfQueued, OnDrop::Detach][chance.usize(0..3)])
        .event_capacity(chance.usize(1..64))
        .seed(chance.u64(..));
    if chance.u8(0..3) == 0 {
        config = config.capacity_bytes(chance.u64(200..5_000));
    }
    if chance.u8(0..4) == 0 {
        let budget = RetryBudget::default().burst(chance.u32(1..20));
        config = config.retry_budget(budget.min_per_second(chance.u32(0..100)));
    }
    if chance.u8(0..6) == 0 {
        let action = [ThresholdAction::Pause, ThresholdAction::Abort][chance.usize(0..2)];
        let limit = ErrorLimit::Count(chance.u64(5..100));
        config = config.error_threshold(ErrorThreshold::new(limit).action(action));
    }
    let mut keys = KeyLimits::default().max_concurrent(chance.usize(1..4));
    if chance.u8(0..3) == 0 {
        let rate = KeyRate::new(chance.u32(1..20), Duration::from_millis(10));
        keys = keys.rate(rate.burst(chance.u32(1..5)));
    }
    if chance.u8(0..4) == 0 {
        keys = keys.max_keys(chance.usize(1..6));
    }
    config = config.keys(keys);
    if reserves {
        let levels = config.priority_levels;
        for _ in 0..2 {
            let level = Priority::Level(chance.u8(0..levels));
            config = config.reserve(level, chance.usize(0..3));
        }
        return config;
    }
    config.scheduling(match chance.u8(0..6) {
        0 => Scheduling::Fifo,
        1 => {
            let window = Duration::from_millis(chance.u64(1..20));
            Scheduling::Adaptive(AdaptiveLimit::default().window(window))
        }
        _ => Scheduling::Priority,
    })
}

/// Draws a policy of few retries that come soon.
pub(crate) fn retry(chance: &mut Rng, is_exact: bool) -> RetryPolicy {
    let attempts = chance.u32(0..4);
    if chance.bool() {
        return RetryPolicy::fixed(attempts, Duration::ZERO);
    }
    let most = if is_exact { 20_000 } else { 1_000 };
    let delay = Duration::from_micros(chance.u64(0..most));
    match chance.u8(0..3) {
        0 => RetryPolicy::fixed(attempts, delay),
        1 => RetryPolicy::exponential(attempts, delay, 3 * delay),
        _ => RetryPolicy::fixed(attempts, delay).full_jitter(),
    }
}
