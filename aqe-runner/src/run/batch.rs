//! Batch isolation: several tests of a binary share a process, one after the other, and processes run side by side.
//!
//! A process runs its tests on one thread, so that its stream tells which test is running and for how long: that is
//! what makes timeouts and durations per test possible. What did not certainly pass is run again alone, at a higher
//! priority than what has not run yet, and only then has a verdict.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aqe_core::queue::{AsyncOperationQueue, Priority};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;

use super::attempt::{exit_of, with_causes};
use super::chunk::{Chunk, ChunkSource, Item};
use super::event::RunAlone;
use super::floor::Floor;
use super::history::Past;
use super::plan::{Case, Plan};
use super::{Event, RunError, singly};
use crate::launcher::{Finished, LaunchError, Running, StopMode};
use crate::libtest::{BatchEnd, BatchJudge, BatchVerdict, OutputParser};
use crate::model::{Attempt, AttemptResult, TestName, UnixMillis, Verdict};

/// The tests of the binaries that take many at once, and what has been dealt of them.
#[derive(Debug)]
struct Stock {
    binaries: Vec<Vec<Arc<Case>>>,
    source: Mutex<ChunkSource>,
}

/// What an operation leaves to be done.
type Rest = Vec<Arc<Case>>;

/// Runs a plan in batches and returns when every test has a verdict.
pub(super) async fn run(
    floor: &Arc<Floor>,
    queue: &AsyncOperationQueue,
    plan: &Plan,
    jobs: usize,
) -> Result<(), RunError> {
    let (binaries, singles) = plan.by_batches();
    let items = binaries
        .iter()
        .map(|cases| cases.iter().map(item).collect());
    let source = Mutex::new(ChunkSource::new(items, jobs));
    let stock = Arc::new(Stock { binaries, source });
    let mut under_way: FuturesUnordered<BoxFuture<'_, Result<Option<Rest>, RunError>>> =
        FuturesUnordered::new();
    for _ in 0..jobs {
        under_way.push(Box::pin(next_batch(floor, queue, &stock)));
    }
    for case in &singles {
        under_way.push(Box::pin(alone(floor, queue, case, Priority::Medium)));
    }
    while let Some(done) = under_way.next().await {
        let Some(rest) = done? else { continue };
        for case in rest {
            under_way.push(Box::pin(async move {
                alone(floor, queue, &case, Priority::High).await
            }));
        }
        under_way.push(Box::pin(next_batch(floor, queue, &stock)));
    }
    Ok(())
}

fn item(case: &Arc<Case>) -> Item {
    Item {
        name_bytes: case.name.as_str().len(),
        known: case.past.map(|past| past.duration),
    }
}

/// Runs one test alone; leaves nothing.
async fn alone(
    floor: &Arc<Floor>,
    queue: &AsyncOperationQueue,
    case: &Arc<Case>,
    priority: Priority,
) -> Result<Option<Rest>, RunError> {
    let test = singly::submit(floor, queue, case, priority).await?;
    singly::settled(floor, test).await;
    Ok(None)
}

/// Runs the next chunk, if there is one, as an operation of the queue; says which of its tests must run alone.
async fn next_batch(
    floor: &Arc<Floor>,
    queue: &AsyncOperationQueue,
    stock: &Arc<Stock>,
) -> Result<Option<Rest>, RunError> {
    let operation = {
        let (floor, stock) = (Arc::clone(floor), Arc::clone(stock));
        async move {
            // Dealt only now that it can start: by now it is known how long tests take.
            let chunk = stock.source.lock().next_chunk();
            Ok::<_, std::convert::Infallible>(match chunk {
                None => None,
                Some(chunk) => Some(Batch::run(&floor, &stock, &chunk).await),
            })
        }
    };
    let handle = queue.future(operation).timeout(None).submit().await;
    let handle = handle
        .map_err(|error| RunError::Internal(format!("the queue refused a batch: {error}")))?;
    handle
        .await
        .map_err(|error| RunError::Internal(with_causes(&error)))
}

/// One process with several tests.
struct Batch<'a> {
    floor: &'a Floor,
    number: u64,
    cases: Vec<Arc<Case>>,
    listener: Arc<Mutex<Listener>>,
}

/// What is heard of a process while it runs.
#[derive(Debug)]
struct Listener {
    parser: OutputParser,
    judge: BatchJudge,
    /// When the last outcome was heard, or the process was created, by [`RunControl::now`](super::RunControl): since then
    /// the present test has been running.
    since: Instant,
    /// How long each test took, as far as its stream tells.
    times: Vec<Duration>,
}

impl Batch<'_> {
    async fn run(floor: &Floor, stock: &Stock, chunk: &Chunk) -> Rest {
        let cases: Vec<Arc<Case>> = chunk
            .tests
            .iter()
            .map(|&test| Arc::clone(&stock.binaries[chunk.binary][test]))
            .collect();
        if floor.control.halted().is_some() {
            cancel(floor, &cases);
            return Vec::new();
        }
        // One test is quicker run with its own verdict than in a batch of one.
        if cases.len() < 2 {
            return cases;
        }
        let listener = Listener {
            parser: OutputParser::new(),
            judge: BatchJudge::new(cases.iter().map(|case| case.name.as_str())),
            since: floor.control.now(),
            times: vec![Duration::ZERO; cases.len()],
        };
        let batch = Batch {
            floor,
            // Relaxed: the number only has to be different each time.
            number: floor.next_batch.fetch_add(1, Ordering::Relaxed),
            cases,
            listener: Arc::new(Mutex::new(listener)),
        };
        let started = UnixMillis::now();
        let (finished, hung) = batch.watch(batch.launch()).await;
        let (times, rest) = batch.settle(&finished, hung, started);
        let mut source = stock.source.lock();
        for (&test, time) in chunk.tests.iter().zip(times) {
            source.record(chunk.binary, test, time);
        }
        rest
    }

    fn launch(&self) -> Running {
        let binary = &self.cases[0].binary;
        let started = Event::BatchStarted {
            batch: self.number,
            binary: binary.id.clone(),
            tests: self.cases.len(),
        };
        let events = self.floor.events.clone();
        let (begun, clock) = (Arc::clone(&self.listener), self.floor.control.clone());
        let mut ear = self.ear();
        let mut launch = self
            .floor
            .launch(&binary.program)
            .args(["--exact", "--test-threads=1"]);
        if self.cases.iter().any(|case| case.ignored) {
            launch = launch.arg("--include-ignored");
        }
        let launch = launch
            .args(self.cases.iter().map(|case| case.name.as_str()))
            .on_start(move || {
                begun.lock().since = clock.now();
                events.show(started);
            })
            .on_stdout(move |bytes| ear(bytes));
        self.floor.control.launch(launch)
    }

    /// Listens to the process on the launcher's thread.
    fn ear(&self) -> impl FnMut(&[u8]) + Send + 'static {
        let (listener, events) = (Arc::clone(&self.listener), self.floor.events.clone());
        let (batch, names) = (self.number, self.cases.clone());
        let clock = self.floor.control.clone();
        move |bytes| {
            let mut listener = listener.lock();
            let tests = listener.hear(bytes, clock.now());
            if tests > 0 {
                let running = listener.parser.running().map(TestName::from);
                drop(listener);
                // A name that was not asked for is a test's own print.
                let running = running.filter(|name| names.iter().any(|case| case.name == *name));
                events.show(Event::BatchProgress {
                    batch,
                    tests,
                    running,
                });
            }
        }
    }

    /// Waits for the end of the process, and ends it when one of its tests runs too long.
    async fn watch(&self, mut running: Running) -> (Result<Finished, LaunchError>, bool) {
        let Some(timeout) = self.floor.settings.timeout else {
            return (running.await, false);
        };
        loop {
            let left = timeout.saturating_sub(self.time_of_present_test());
            tokio::select! {
                finished = &mut running => return (finished, false),
                () = tokio::time::sleep(left) => {}
            }
            if running.pid().is_none() {
                // It waits for its turn, and no test of it has begun.
                self.listener.lock().since = self.floor.control.now();
            } else if self.time_of_present_test() >= timeout {
                running.stop(StopMode::Graceful);
                return (running.await, true);
            }
        }
    }

    fn time_of_present_test(&self) -> Duration {
        // Read before: the listener is the launcher's to hold.
        let now = self.floor.control.now();
        now.saturating_duration_since(self.listener.lock().since)
    }

    /// Tells the verdicts that are certain; returns how long tests took and which ones must run alone.
    fn settle(
        self,
        finished: &Result<Finished, LaunchError>,
        hung: bool,
        started: UnixMillis,
    ) -> (Vec<Duration>, Rest) {
        let (end, duration) = match finished {
            Ok(finished) if hung => (BatchEnd::TimedOut, finished.wall),
            Ok(finished) => (BatchEnd::Exited(exit_of(finished.exit)), finished.wall),
            Err(_) => (BatchEnd::Lost, Duration::ZERO),
        };
        if let Ok(finished) = finished
            && finished.leaked.is_some()
        {
            self.floor.events.send(Event::Warning {
                message: format!(
                    "a test among {} of {} left a process behind; `--isolation process` tells which",
                    self.cases.len(),
                    self.cases[0].binary.id
                ),
            });
        }
        let (verdicts, times) = self.listener.lock().finish(end);
        let cut_by_us = !hung && self.floor.control.halted().is_some() && was_stopped(finished);
        let mut rest = Vec::new();
        let mut reasons = Vec::new();
        let mut passed = Vec::new();
        let mut cancelled = Vec::new();
        for (index, (case, verdict)) in self.cases.iter().zip(verdicts).enumerate() {
            match verdict {
                BatchVerdict::Passed => passed.push(index),
                BatchVerdict::RunAlone(_) if cut_by_us => cancelled.push(Arc::clone(case)),
                BatchVerdict::RunAlone(reason) => {
                    reasons.push(RunAlone::new(case.name.clone(), reason));
                    rest.push(Arc::clone(case));
                }
            }
        }
        self.floor.events.send(Event::BatchFinished {
            batch: self.number,
            duration,
            alone: reasons,
        });
        for index in passed {
            self.passed(index, times[index], started);
        }
        cancel(self.floor, &cancelled);
        (times, rest)
    }

    fn passed(&self, index: usize, time: Duration, started: UnixMillis) {
        let case = &self.cases[index];
        let test = case.id();
        self.floor.events.remember(
            test.clone(),
            Past {
                duration: time,
                ..case.past.unwrap_or_default()
            },
        );
        self.floor.events.send(Event::AttemptFinished {
            test: test.clone(),
            attempt: Attempt::new(1, AttemptResult::Passed)
                .started(started)
                .lasting(time)
                .batched(true),
            will_retry: false,
        });
        self.floor.settle(test, Verdict::Passed, time);
    }
}

impl Listener {
    /// Takes what was read; returns how many outcomes were in it.
    fn hear(&mut self, bytes: &[u8], now: Instant) -> u64 {
        let mut heard = Vec::new();
        let judge = &mut self.judge;
        self.parser
            .feed(bytes, &mut |event| heard.extend(judge.event(&event)));
        let count = u32::try_from(heard.len()).unwrap_or(u32::MAX);
        if count > 0 {
            // Outcomes that were read together share the time since the ones before.
            let share = now.saturating_duration_since(self.since) / count;
            for position in heard {
                self.times[position] = share;
            }
            self.since = now;
        }
        u64::from(count)
    }

    fn finish(&mut self, end: BatchEnd) -> (Vec<BatchVerdict>, Vec<Duration>) {
        let judge = std::mem::replace(&mut self.judge, BatchJudge::new([""; 0]));
        (judge.finish(end), std::mem::take(&mut self.times))
    }
}

fn was_stopped(finished: &Result<Finished, LaunchError>) -> bool {
    match finished {
        Ok(finished) => finished.stopped,
        Err(error) => matches!(error, LaunchError::Stopped),
    }
}

fn cancel(floor: &Floor, cases: &[Arc<Case>]) {
    for case in cases {
        floor.settle(case.id(), Verdict::Cancelled, Duration::ZERO);
    }
}
