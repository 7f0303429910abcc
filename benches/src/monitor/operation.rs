//! A million operations of a queue that do nothing, 64 at a time, on one thread: bare, and with all that a service wants to
//! know about each. Nanoseconds an operation; what measuring adds is the difference to the bare one.
//!
//! All is: accepted, ended by outcome, in flight, how long it waited and how long it ran. Times are taken when it is
//! submitted, begins and ends. Counts are made then, or (`observer`) by the queue's observer, which also sees operations
//! that are never begun; to be called by the queue three times for each costs more than all counting.
//!
//! `aqe` is what an engine's monitor does: the queue knows all of it anyway, and is asked at each tick.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqe_core::Monitor;
use aqe_core::queue::{
    AsyncOperationQueue, EndedAs, OperationHandle, OperationId, QueueConfig, QueueObserver,
};
use aqe_monitor::registry::{Counter, Gauge, Histogram, Metric, Registry, Unit};
use metrics_exporter_prometheus::PrometheusBuilder;
use quanta::Clock as Tsc;
use xtask::{Failure, Result};

use super::histograms::BOUNDS;
use super::{Entry, entry, exactly, failed};
use crate::measure::{Reading, Stretch};
use crate::rounds::Scale;

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", watched),
    entry("aqe-by-hand", aqe::<Instant, false>),
    entry("aqe-by-hand-tsc", aqe::<Tsc, false>),
    entry("aqe-by-hand-observer", aqe::<Instant, true>),
    entry("bare", bare),
    entry("times-only", times_only::<Instant, false>),
    entry("times-only-tsc", times_only::<Tsc, false>),
    entry("times-only-observer", times_only::<Instant, true>),
    entry("prometheus-client", prometheus_client::<Instant, false>),
    entry("prometheus-client-tsc", prometheus_client::<Tsc, false>),
    entry(
        "prometheus-client-observer",
        prometheus_client::<Instant, true>,
    ),
    entry("metrics-exporter", metrics_exporter::<Instant, false>),
];

/// How many operations are under way at a time.
const WIDTH: u64 = 64;

/// How an operation can end, as a label.
const OUTCOMES: [&str; 7] = [
    "completed",
    "failed",
    "timed_out",
    "deadline",
    "cancelled",
    "panicked",
    "shed",
];

fn outcome(how: EndedAs) -> usize {
    match how {
        EndedAs::Completed => 0,
        EndedAs::TimedOut => 2,
        EndedAs::DeadlineExceeded => 3,
        EndedAs::Cancelled(_) => 4,
        EndedAs::Panicked => 5,
        EndedAs::Shed => 6,
        _ => 1,
    }
}

fn operations(scale: Scale) -> u64 {
    scale.of(1_000_000)
}

/// What is told of every operation.
trait Instruments: Send + Sync + 'static {
    fn accepted(&self) {}
    fn ended(&self, _outcome: usize) {}
    fn waited(&self, time: Duration);
    fn ran(&self, time: Duration);
}

/// Where times come from: the system's clock, or the processor's counter of ticks.
trait Clock: Send + Sync + 'static {
    type Time: Copy + Send + 'static;
    fn new() -> Self;
    fn now(&self) -> Self::Time;
    fn between(&self, from: Self::Time, to: Self::Time) -> Duration;
}

impl Clock for Instant {
    type Time = Self;

    fn new() -> Self {
        Self::now()
    }

    fn now(&self) -> Self {
        Self::now()
    }

    fn between(&self, from: Self, to: Self) -> Duration {
        to.saturating_duration_since(from)
    }
}

impl Clock for Tsc {
    type Time = u64;

    fn new() -> Self {
        Self::new()
    }

    fn now(&self) -> u64 {
        self.raw()
    }

    fn between(&self, from: u64, to: u64) -> Duration {
        self.delta(from, to)
    }
}

struct Observer<I>(Arc<I>);

impl<I: Instruments> QueueObserver for Observer<I> {
    fn on_submitted(&self, _: OperationId, _: u8) {
        self.0.accepted();
    }

    fn on_ended(&self, _: OperationId, how: EndedAs, _: u32) {
        self.0.ended(outcome(how));
    }
}

fn on_one_thread(scale: Scale, work: impl AsyncFnOnce(u64) -> Option<u64>) -> Result<Vec<Reading>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let operations = operations(scale);
    runtime.block_on(async {
        let stretch = Stretch::start();
        let sum = work(operations).await;
        let readings = stretch.per_operation(operations);
        exactly(sum.unwrap_or(0), operations * (operations - 1) / 2)?;
        Ok(readings)
    })
}

/// Submits `make(number)` for all numbers, so many at a time, and adds up what they return.
async fn all<F: Future<Output = u64> + Send + 'static>(
    queue: &AsyncOperationQueue,
    operations: u64,
    make: impl Fn(u64) -> F,
) -> Option<u64> {
    let mut handles: VecDeque<OperationHandle<u64, Infallible>> = VecDeque::new();
    let mut sum = 0;
    for number in 0..operations {
        if number >= WIDTH {
            sum += handles.pop_front()?.await.ok()?;
        }
        handles.push_back(queue.infallible(make(number)).submit().await.ok()?);
    }
    for handle in handles {
        sum += handle.await.ok()?;
    }
    Some(sum)
}

fn bare(scale: Scale) -> Result<Vec<Reading>> {
    on_one_thread(scale, async |operations| {
        let queue = AsyncOperationQueue::new(QueueConfig::default()).ok()?;
        all(&queue, operations, |number| async move { number }).await
    })
}

/// Fifty times as often as a monitor looks by default.
const TICK: Duration = Duration::from_millis(100);

fn watched(scale: Scale) -> Result<Vec<Reading>> {
    let monitor = Monitor::builder().interval(TICK).start();
    let readings = on_one_thread(scale, async |operations| {
        let queue = AsyncOperationQueue::new(QueueConfig::default()).ok()?;
        monitor.watch_queue("bench", &queue);
        let sum = all(&queue, operations, |number| async move { number }).await;
        // The monitor has a handle of the queue, which is here still.
        monitor.tick()?;
        sum
    })?;
    let text = monitor.registry().to_openmetrics();
    let counted = format!(
        "aqe_queue_submitted_total{{queue=\"bench\"}} {}\n",
        operations(scale)
    );
    match text.contains(&counted) {
        true => Ok(readings),
        false => Err(Failure::new("the monitor has not counted all operations")),
    }
}

/// Measures with `instruments`, and asks `counted` how many operations they know to have completed.
fn measured<C: Clock, const OBSERVED: bool, I: Instruments>(
    scale: Scale,
    instruments: I,
    counted: impl FnOnce(&I) -> u64,
) -> Result<Vec<Reading>> {
    let instruments = Arc::new(instruments);
    let shared = Arc::new((C::new(), Arc::clone(&instruments)));
    let readings = on_one_thread(scale, async |operations| {
        let mut builder = AsyncOperationQueue::builder(QueueConfig::default());
        if OBSERVED {
            builder = builder.observer(Arc::new(Observer(Arc::clone(&instruments))));
        }
        let queue = builder.build().ok()?;
        let make = |number| {
            let shared = Arc::clone(&shared);
            let submitted = shared.0.now();
            if !OBSERVED {
                shared.1.accepted();
            }
            async move {
                let (clock, instruments) = &*shared;
                let started = clock.now();
                instruments.waited(clock.between(submitted, started));
                // The operation itself.
                let value = std::hint::black_box(number);
                instruments.ran(clock.between(started, clock.now()));
                if !OBSERVED {
                    instruments.ended(0);
                }
                value
            }
        };
        all(&queue, operations, make).await
    })?;
    exactly(counted(&instruments), operations(scale))?;
    Ok(readings)
}

/// Takes the times and throws them away.
struct Nothing;

impl Instruments for Nothing {
    fn waited(&self, time: Duration) {
        std::hint::black_box(time);
    }

    fn ran(&self, time: Duration) {
        std::hint::black_box(time);
    }
}

fn times_only<C: Clock, const OBSERVED: bool>(scale: Scale) -> Result<Vec<Reading>> {
    measured::<C, OBSERVED, _>(scale, Nothing, |_| operations(scale))
}

struct Aqe {
    accepted: Counter,
    ended: [Counter; 7],
    in_flight: Gauge,
    wait: Histogram,
    run: Histogram,
}

impl Instruments for Aqe {
    fn accepted(&self) {
        self.accepted.increment();
        self.in_flight.increment();
    }

    fn ended(&self, outcome: usize) {
        self.ended[outcome].increment();
        self.in_flight.decrement();
    }

    fn waited(&self, time: Duration) {
        self.wait.record_duration(time);
    }

    fn ran(&self, time: Duration) {
        self.run.record_duration(time);
    }
}

fn aqe<C: Clock, const OBSERVED: bool>(scale: Scale) -> Result<Vec<Reading>> {
    let registry = Registry::new();
    let ended = registry.counters("queue_ended").map_err(failed)?;
    let seconds = |name| registry.histogram(Metric::new(name).unit(Unit::Seconds));
    let instruments = Aqe {
        accepted: registry.counter("queue_accepted").map_err(failed)?,
        ended: OUTCOMES.map(|outcome| ended.with(&[("outcome", outcome)]).clone()),
        in_flight: registry.gauge("queue_in_flight").map_err(failed)?,
        wait: seconds("queue_wait_seconds").map_err(failed)?,
        run: seconds("queue_run_seconds").map_err(failed)?,
    };
    measured::<C, OBSERVED, _>(scale, instruments, |it| {
        let runs = it.run.snapshot().count();
        runs.min(it.ended[0].total()).min(it.accepted.total())
    })
}

struct PrometheusClient {
    accepted: prometheus_client::metrics::counter::Counter,
    ended: [prometheus_client::metrics::counter::Counter; 7],
    in_flight: prometheus_client::metrics::gauge::Gauge,
    wait: prometheus_client::metrics::histogram::Histogram,
    run: prometheus_client::metrics::histogram::Histogram,
}

impl Instruments for PrometheusClient {
    fn accepted(&self) {
        self.accepted.inc();
        self.in_flight.inc();
    }

    fn ended(&self, outcome: usize) {
        self.ended[outcome].inc();
        self.in_flight.dec();
    }

    fn waited(&self, time: Duration) {
        self.wait.observe(time.as_secs_f64());
    }

    fn ran(&self, time: Duration) {
        self.run.observe(time.as_secs_f64());
    }
}

fn prometheus_client<C: Clock, const OBSERVED: bool>(scale: Scale) -> Result<Vec<Reading>> {
    use prometheus_client::metrics::{counter::Counter, family::Family, histogram};

    let ended = Family::<[(&'static str, &'static str); 1], Counter>::default();
    let instruments = PrometheusClient {
        accepted: Counter::default(),
        ended: OUTCOMES.map(|outcome| ended.get_or_create(&[("outcome", outcome)]).clone()),
        in_flight: Default::default(),
        wait: histogram::Histogram::new(BOUNDS),
        run: histogram::Histogram::new(BOUNDS),
    };
    measured::<C, OBSERVED, _>(scale, instruments, |it| {
        it.ended[0].get().min(it.accepted.get())
    })
}

struct Facade {
    accepted: metrics::Counter,
    ended: [metrics::Counter; 7],
    in_flight: metrics::Gauge,
    wait: metrics::Histogram,
    run: metrics::Histogram,
}

impl Instruments for Facade {
    fn accepted(&self) {
        self.accepted.increment(1);
        self.in_flight.increment(1.0);
    }

    fn ended(&self, outcome: usize) {
        self.ended[outcome].increment(1);
        self.in_flight.decrement(1.0);
    }

    fn waited(&self, time: Duration) {
        self.wait.record(time);
    }

    fn ran(&self, time: Duration) {
        self.run.record(time);
    }
}

/// With buckets, as its histograms otherwise keep every value until somebody asks.
fn metrics_exporter<C: Clock, const OBSERVED: bool>(scale: Scale) -> Result<Vec<Reading>> {
    let builder = PrometheusBuilder::new().set_buckets(&BOUNDS);
    let recorder = builder.map_err(failed)?.build_recorder();
    let instruments = metrics::with_local_recorder(&recorder, || Facade {
        accepted: metrics::counter!("accepted"),
        ended: OUTCOMES.map(|outcome| metrics::counter!("ended", "outcome" => outcome)),
        in_flight: metrics::gauge!("in_flight"),
        wait: metrics::histogram!("wait"),
        run: metrics::histogram!("run"),
    });
    let handle = recorder.handle();
    measured::<C, OBSERVED, _>(scale, instruments, |_| {
        let text = handle.render();
        let total = text
            .lines()
            .find_map(|line| line.strip_prefix("run_count "));
        total.and_then(|total| total.parse().ok()).unwrap_or(0)
    })
}
