//! What a queue says at a tick.

use std::collections::BTreeMap;
use std::time::Duration;

use aqe_monitor::registry::{Counter, Gauge, Histogram, Metric, RegisterError, Registry, Unit};
use aqe_queue::stats::Histogram as QueueHistogram;
use aqe_queue::{AsyncOperationQueue, QueueStatus};
use tokio::runtime::Handle;

/// Passes on what the queue that `find` finds has counted; over when there is none, or it is closed and empty.
pub(super) fn part(
    registry: &Registry,
    name: &str,
    mut find: impl FnMut() -> Option<AsyncOperationQueue> + Send + 'static,
    runtime: Option<Handle>,
) -> Result<impl FnMut() -> bool + Send + 'static, RegisterError> {
    let mut series = Series::new(registry, name)?;
    Ok(move || {
        // A queue tells the time by its runtime's clock, which a test may have paused.
        let _on_runtime = runtime.as_ref().map(Handle::enter);
        let Some(queue) = find() else { return false };
        let status = queue.status();
        let histograms = queue.histograms();
        drop(queue);
        series.show(&status);
        series.wait.pass_on(&histograms.wait);
        series.run.pass_on(&histograms.run);
        !status.is_closed || status.pending + status.running + status.waiting_for_retry > 0
    })
}

struct Series {
    pending: Gauge,
    running: Gauge,
    waiting_for_retry: Gauge,
    max_concurrent: Gauge,
    capacity: Gauge,
    oldest_wait: Gauge,
    submitted: Counter,
    retries: Counter,
    attempts_timed_out: Counter,
    /// In the order of [`OUTCOMES`].
    ended: [Counter; 7],
    wait: Passed,
    run: Passed,
}

type Count = fn(&QueueStatus) -> u64;

/// How operations end, as labels, and where a queue counts those that did.
const OUTCOMES: [(&str, Count); 7] = [
    ("completed", |status| status.completed),
    ("failed", |status| status.failed),
    ("timed_out", |status| status.timed_out),
    ("deadline_exceeded", |status| status.deadline_exceeded),
    ("cancelled", |status| status.cancelled),
    ("panicked", |status| status.panicked),
    ("shed", |status| status.shed),
];

impl Series {
    fn new(registry: &Registry, queue: &str) -> Result<Self, RegisterError> {
        let labels = [("queue", queue)];
        let gauge = |name: &'static str, help: &'static str| {
            let family = registry.gauges(Metric::new(name).help(help))?;
            Ok(family.with(&labels).clone())
        };
        let counter = |name: &'static str, help: &'static str| {
            let family = registry.counters(Metric::new(name).help(help))?;
            Ok(family.with(&labels).clone())
        };
        let histogram = |name: &'static str, help: &'static str| {
            let metric = Metric::new(name).help(help).unit(Unit::Seconds);
            let family = registry.histograms(metric)?;
            Ok(Passed::to(family.with(&labels).clone()))
        };
        let oldest = Metric::new("aqe_queue_oldest_wait_seconds")
            .help("How long the longest-waiting operation has waited.")
            .unit(Unit::Seconds);
        let ended = registry.counters(
            Metric::new("aqe_queue_operations_total")
                .help("Operations that have ended, by outcome."),
        )?;
        Ok(Self {
            pending: gauge("aqe_queue_pending", "Operations that wait for a slot.")?,
            running: gauge("aqe_queue_running", "Operations that run.")?,
            waiting_for_retry: gauge(
                "aqe_queue_waiting_for_retry",
                "Operations between two attempts.",
            )?,
            max_concurrent: gauge(
                "aqe_queue_max_concurrent",
                "How many operations may run at once.",
            )?,
            capacity: gauge("aqe_queue_capacity", "How many operations may wait.")?,
            oldest_wait: registry.gauges(oldest)?.with(&labels).clone(),
            submitted: counter("aqe_queue_submitted_total", "Operations accepted.")?,
            retries: counter("aqe_queue_retries_total", "Attempts after the first.")?,
            attempts_timed_out: counter(
                "aqe_queue_attempts_timed_out_total",
                "Attempts that timed out, whether they were retried or not.",
            )?,
            ended: OUTCOMES.map(|(outcome, _)| {
                // In the order of their names, in which labels are found faster.
                ended
                    .with(&[("outcome", outcome), ("queue", queue)])
                    .clone()
            }),
            wait: histogram(
                "aqe_queue_wait_seconds",
                "How long attempts waited for their slot.",
            )?,
            run: histogram(
                "aqe_queue_run_seconds",
                "How long attempts that ended an operation ran.",
            )?,
        })
    }

    fn show(&self, status: &QueueStatus) {
        self.pending.set(status.pending as f64);
        self.running.set(status.running as f64);
        self.waiting_for_retry.set(status.waiting_for_retry as f64);
        self.max_concurrent.set(status.max_concurrent as f64);
        self.capacity.set(status.capacity as f64);
        let oldest = status.oldest_wait.unwrap_or_default();
        self.oldest_wait.set(oldest.as_secs_f64());
        self.submitted.raise_to(status.submitted);
        self.retries.raise_to(status.retried);
        self.attempts_timed_out.raise_to(status.attempts_timed_out);
        for (counter, (_, count)) in self.ended.iter().zip(OUTCOMES) {
            counter.raise_to(count(status));
        }
    }
}

/// A histogram of the registry that follows one of a queue.
struct Passed {
    to: Histogram,
    /// What has been passed on, by the upper ends of the queue's buckets.
    seen: BTreeMap<Duration, u64>,
}

impl Passed {
    fn to(to: Histogram) -> Self {
        Self {
            to,
            seen: BTreeMap::new(),
        }
    }

    /// Records what has come since the last time. Each value counts as the middle of the queue's bucket, from which it is
    /// 1/32 away at most.
    fn pass_on(&mut self, from: &QueueHistogram) {
        for (upper, count) in from.buckets() {
            let seen = self.seen.entry(upper).or_default();
            let new = count.saturating_sub(*seen);
            if new > 0 {
                self.to.record_many(middle(upper), new);
                *seen = count;
            }
        }
    }
}

/// The middle of the bucket that ends with `upper`: there are 16 for each doubling, and one for each number below 16.
fn middle(upper: Duration) -> u64 {
    let upper = u64::try_from(upper.as_nanos()).unwrap_or(u64::MAX);
    match upper.checked_ilog2() {
        Some(doubling @ 4..) => upper - ((1_u64 << (doubling - 4)) - 1) / 2,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_arrive_once_and_near_to_what_they_were() {
        let registry = Registry::new();
        let metric = Metric::new("run_seconds").unit(Unit::Seconds);
        let mut passed = Passed::to(registry.histogram(metric).unwrap());
        let mut from = QueueHistogram::default();
        let mut sum = 0_u64;
        let mut count = 0;
        for power in 0..50_u32 {
            // Within the lower half of its bucket, or in one of its own.
            let nanos = (1_u64 << power) + (1_u64 << power) / 40;
            from.observe(Duration::from_nanos(nanos));
            sum += nanos;
            count += 1;
            passed.pass_on(&from);
            passed.pass_on(&from);
            let to = passed.to.snapshot();
            assert_eq!(to.count(), count);
            let error = to.sum() as f64 / sum as f64 - 1.0;
            assert!(error.abs() <= 1.0 / 32.0, "{nanos}: {error}");
        }
        let longest = passed.to.snapshot().quantile(1.0).unwrap();
        assert!((longest as f64 / (1_u64 << 49) as f64 - 1.025).abs() < 0.04);
    }
}
