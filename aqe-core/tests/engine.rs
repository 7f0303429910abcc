//! What a program relies on when it builds an engine: the configuration is the one it works by, nothing is shared with
//! another engine, and it ends in good order. Time is paused, so that minutes pass at once and to the millisecond.

#![cfg(feature = "queue")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::convert::Infallible;
use std::future::pending;
use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_core::queue::{
    AsyncOperationQueue, CancelReason, ConfigError as QueueConfigError, EndedAs, OperationId,
    Placement, QueueConfig,
};
use aqe_core::{
    Config, Engine, EngineBuilder, Error, HandlerError, Loader, Operation, OperationError,
    Priority, QueueObserver, Registry, SubmitError,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(60);

/// An engine that works as this section `queue` says.
fn engine(queue: &str) -> Engine {
    Engine::new(config(queue)).unwrap()
}

fn config(queue: &str) -> Config {
    Config::parse(format!("queue: {{{queue}}}\n"), "qe.config.yaml").unwrap()
}

#[tokio::test(start_paused = true)]
async fn max_concurrent_of_the_file_bounds_what_runs_at_once() {
    let engine = engine("maxConcurrent: 3");
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut handles = Vec::new();
    for _ in 0..12 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let operation = engine.queue().future(async move {
            most.fetch_max(
                running.fetch_add(1, Ordering::Relaxed) + 1,
                Ordering::Relaxed,
            );
            sleep(SECOND).await;
            running.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(())
        });
        handles.push(operation.submit().await.unwrap());
    }
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(most.load(Ordering::Relaxed), 3);
    // Twelve operations of a second, three at a time: four rounds, and no slot idle in between.
    let elapsed = start.elapsed();
    assert!(
        (4 * SECOND..4 * SECOND + SECOND / 10).contains(&elapsed),
        "{elapsed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn attempts_and_delay_of_the_file_are_kept_to() {
    for (section, attempts, waited) in [
        ("retryAttempts: 0", 1, Duration::ZERO),
        ("retryAttempts: 2, retryDelay: 5s", 3, 10 * SECOND),
    ] {
        let engine = engine(section);
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let start = Instant::now();
        let operation = engine.queue().operation(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Err::<(), _>("no") }
        });
        let result = operation.submit().await.unwrap().await;
        let expected = OperationError::Failed {
            error: "no",
            attempts,
        };
        assert_eq!(result, Err(expected), "{section}");
        assert_eq!(
            begun.load(Ordering::Relaxed),
            attempts as usize,
            "{section}"
        );
        let elapsed = start.elapsed();
        assert!(
            (waited..waited + SECOND / 10).contains(&elapsed),
            "{section}: {elapsed:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn timeout_of_the_file_ends_an_attempt() {
    let engine = engine("timeout: 45s, retryAttempts: 0");
    let start = Instant::now();
    let stuck = engine.queue().operation(|_| pending::<Result<(), ()>>());
    let result = stuck.submit().await.unwrap().await;
    let expected = OperationError::TimedOut {
        timeout: 45 * SECOND,
        attempts: 1,
    };
    assert_eq!(result, Err(expected));
    let elapsed = start.elapsed();
    assert!((45 * SECOND..46 * SECOND).contains(&elapsed), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn priority_levels_of_the_file_are_the_levels_there_are() {
    let engine = engine("priorityLevels: 2");
    let on_level = |level| {
        let nothing = async { Ok::<_, Infallible>(()) };
        let operation = engine.queue().future(nothing);
        operation.priority(Priority::Level(level)).try_submit()
    };
    assert!(on_level(1).is_ok());
    let refused = on_level(2).map(drop).map_err(|error| error.map(drop));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "priority level 2 does not exist: the queue has levels 0 to 1"
    );
    assert_eq!(engine.queue().status().levels.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn batch_size_of_the_file_is_the_queues() {
    let engine = engine("batchSize: 7");
    assert_eq!(engine.queue().config().batch_size, 7);
}

#[tokio::test(start_paused = true)]
async fn urgent_operations_overtake_those_that_wait() {
    let engine = engine("maxConcurrent: 1, batchSize: 1");
    let order = Arc::new(Mutex::new(Vec::new()));
    engine.queue().pause();
    let mut handles = Vec::new();
    for (name, priority) in [
        ("background", Priority::Background),
        ("medium", Priority::Medium),
        ("second medium", Priority::Medium),
        ("critical", Priority::Critical),
    ] {
        let order = Arc::clone(&order);
        let operation = engine.queue().future(async move {
            order.lock().unwrap().push(name);
            Ok::<_, Infallible>(())
        });
        handles.push(operation.priority(priority).submit().await.unwrap());
    }
    engine.queue().resume();
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(
        *order.lock().unwrap(),
        ["critical", "medium", "second medium", "background"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_builders_word_on_the_queue_comes_after_the_files() {
    let engine = Engine::builder()
        .config(config("maxConcurrent: 4"))
        .queue(|queue| queue.capacity(1))
        .queue(|queue| {
            let twice = queue.max_concurrent * 2;
            queue.max_concurrent(twice)
        })
        .build()
        .unwrap();
    let settings = engine.queue().config();
    assert_eq!((settings.max_concurrent, settings.capacity), (8, 1));
    assert_eq!(engine.config().queue.max_concurrent.get(), 4);

    engine.queue().pause();
    let _waiting = engine
        .queue()
        .future(pending::<Result<(), ()>>())
        .try_submit();
    let refused = engine
        .queue()
        .future(pending::<Result<(), ()>>())
        .try_submit();
    assert!(matches!(refused, Err(SubmitError::Full(_))));
}

#[derive(Serialize, Deserialize)]
struct Greet(String);

impl Operation for Greet {
    const NAME: &'static str = "greet/1";
    type Output = String;
}

#[derive(Default)]
struct Ends(Mutex<Vec<EndedAs>>);

impl QueueObserver for Ends {
    fn on_ended(&self, _: OperationId, how: EndedAs, _: u32) {
        self.0.lock().unwrap().push(how);
    }
}

#[tokio::test(start_paused = true)]
async fn registry_and_observers_reach_the_queue() {
    let mut registry = Registry::new();
    registry
        .register(|greet: Arc<Greet>, _| async move { Ok(format!("hello {}", greet.0)) })
        .unwrap();
    let observers = [Arc::new(Ends::default()), Arc::new(Ends::default())];
    let mut builder = Engine::builder().registry(registry);
    for observer in &observers {
        builder = builder.observer(Arc::clone(observer) as Arc<dyn QueueObserver>);
    }
    let engine = builder.build().unwrap();
    let greeting = engine.queue().submit(Greet("you".to_owned()));
    assert_eq!(greeting.await.unwrap().await.unwrap(), "hello you");
    engine.shutdown(GRACE).await;
    for observer in &observers {
        assert_eq!(*observer.0.lock().unwrap(), [EndedAs::Completed]);
    }
}

#[test]
fn a_name_that_is_taken_is_an_error_of_the_crate() {
    fn twice() -> Result<Registry, Error> {
        let mut registry = Registry::new();
        let greet = |_: Arc<Greet>, _| async { Err(HandlerError::new("never called")) };
        registry.register(greet)?.register(greet)?;
        Ok(registry)
    }
    let error = twice().unwrap_err();
    assert!(matches!(error, Error::Register(_)));
    assert_eq!(
        error.to_string(),
        "operation `greet/1` has a handler already"
    );
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_everything_accepted_finish() {
    let engine = engine("maxConcurrent: 2, retryDelay: 3s");
    let mut handles = Vec::new();
    for number in 0..6 {
        let operation = engine.queue().operation(move |attempt| async move {
            sleep(SECOND).await;
            if attempt.attempt() == 1 && number == 5 {
                return Err("once more");
            }
            Ok(number)
        });
        handles.push(operation.submit().await.unwrap());
    }
    let report = engine.shutdown(GRACE).await;
    assert_eq!((report.finished, report.cut.len()), (6, 0));
    for (number, handle) in handles.into_iter().enumerate() {
        assert!(handle.is_finished());
        assert_eq!(handle.await, Ok(number));
    }
    let late = engine.queue().future(async { Ok::<_, Infallible>(()) });
    assert!(matches!(late.submit().await, Err(SubmitError::Closed(_))));
}

#[tokio::test(start_paused = true)]
async fn shutdown_cuts_what_outlives_its_grace_and_names_it() {
    let engine = engine("maxConcurrent: 1, timeout: 1h");
    let queue = engine.queue();
    let quick = queue.future(async { Ok::<_, Infallible>("quick") });
    let quick = quick.submit().await.unwrap();
    let stuck = queue
        .future(pending::<Result<(), ()>>())
        .submit()
        .await
        .unwrap();
    let behind = queue
        .future(pending::<Result<(), ()>>())
        .submit()
        .await
        .unwrap();
    let cut = [behind.id(), stuck.id()];

    let start = Instant::now();
    let report = engine.shutdown(GRACE).await;
    assert_eq!(start.elapsed(), GRACE);
    assert_eq!((report.finished, report.cut.as_slice()), (1, &cut[..]));
    assert_eq!(quick.await, Ok("quick"));
    for (handle, attempts) in [(stuck, 1), (behind, 0)] {
        let reason = CancelReason::Shutdown;
        assert_eq!(
            handle.await,
            Err(OperationError::Cancelled { reason, attempts })
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_is_dropped_cuts_nothing() {
    let engine = engine("");
    let slow = engine.queue().future(async {
        sleep(10 * SECOND).await;
        Ok::<_, Infallible>("done")
    });
    let slow = slow.submit().await.unwrap();
    let given_up = tokio::time::timeout(SECOND, engine.shutdown(2 * SECOND)).await;
    assert!(given_up.is_err());
    assert!(engine.queue().is_closed());
    assert_eq!(slow.await, Ok("done"));
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_finds_nothing_to_do() {
    let engine = engine("");
    let run = engine.queue().future(async { Ok::<_, Infallible>(()) });
    run.submit().await.unwrap().await.unwrap();
    engine.shutdown(GRACE).await;
    let again = engine.clone().shutdown(GRACE).await;
    assert_eq!((again.finished, again.cut.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_queue_unless_somebody_holds_it() {
    let first = engine("");
    let second = first.clone();
    let waiting = second.queue().clone();
    waiting.pause();
    let handle = waiting.future(async { Ok::<_, Infallible>(()) });
    let handle = handle.submit().await.unwrap();
    drop((first, second));
    assert!(!waiting.is_closed());
    drop(waiting);
    let reason = CancelReason::Shutdown;
    let attempts = 0;
    assert_eq!(
        handle.await,
        Err(OperationError::Cancelled { reason, attempts })
    );
}

#[tokio::test(start_paused = true)]
async fn two_engines_do_not_know_of_each_other() {
    let one = engine("maxConcurrent: 1");
    let other = engine("maxConcurrent: 2, retryAttempts: 7");
    let stuck = one.queue().future(pending::<Result<(), ()>>());
    let _stuck = stuck.submit().await.unwrap();
    one.queue().pause();
    assert_eq!(other.queue().run(async { 5 }).await, Ok(5));
    assert_eq!(one.queue().config().retry_attempts, 3);
    assert_eq!(other.queue().config().retry_attempts, 7);
    other.shutdown(GRACE).await;
    assert!(other.queue().is_closed() && !one.queue().is_closed());
    assert_eq!(one.queue().status().completed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_cannot_work_is_refused_by_name() {
    let mut zero = Config::default();
    zero.queue.timeout = Duration::ZERO;
    let mut levels = Config::default();
    levels.queue.priority_levels = NonZeroU8::MAX;
    let mut slots = Config::default();
    slots.queue.max_concurrent = NonZeroUsize::MAX;
    let capacity: fn(QueueConfig) -> QueueConfig = |queue| queue.capacity(0);
    for (builder, message) in [
        (
            Engine::builder().config(zero),
            "`timeout` is zero, which no operation could meet; leave it out to have none"
                .to_owned(),
        ),
        (
            Engine::builder().config(levels),
            "`priority_levels` is 255; it must be 1 to 64".to_owned(),
        ),
        (
            Engine::builder().config(slots),
            format!(
                "`max_concurrent` is {}; it must be 1 to 16777216",
                usize::MAX
            ),
        ),
        (
            Engine::builder().queue(capacity),
            format!("`capacity` is 0; it must be 1 to {}", usize::MAX / 2),
        ),
        (
            Engine::builder().workers(0),
            "`workers` is 0; it must be 1 to 64".to_owned(),
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, Error::Queue(_)), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn an_engine_outside_a_runtime_is_refused() {
    let error = Engine::new(Config::default()).unwrap_err();
    assert!(matches!(error, Error::Queue(QueueConfigError::NoRuntime)));
    assert!(error.to_string().contains("no tokio runtime"), "{error}");
}

#[test]
fn a_multi_threaded_runtime_runs_operations_side_by_side() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let sum: u64 = runtime.block_on(async {
        let loaded = Loader::new()
            .flag("queue.maxConcurrent", "2")
            .load()
            .unwrap();
        let engine = Engine::new(loaded.into_config()).unwrap();
        // Each waits for the other, so that they end only if both run.
        let barrier = Arc::new(tokio::sync::Barrier::new(2));
        let mut handles = Vec::new();
        for number in [1, 2] {
            let barrier = Arc::clone(&barrier);
            let operation = engine.queue().future(async move {
                barrier.wait().await;
                Ok::<_, Infallible>(number)
            });
            handles.push(operation.submit().await.unwrap());
        }
        let mut sum = 0;
        for handle in handles {
            sum += handle.await.unwrap();
        }
        engine.shutdown(GRACE).await;
        sum
    });
    assert_eq!(sum, 3);
}

/// An engine that works as this section `execution` says, one operation at a time unless it says otherwise.
fn executing(execution: &str) -> EngineBuilder {
    let text = format!("queue: {{maxConcurrent: 1}}\nexecution: {{{execution}}}\n");
    Engine::builder().config(Config::parse(text, "qe.config.yaml").unwrap())
}

#[tokio::test(start_paused = true)]
async fn scheduling_of_the_file_decides_who_is_next() {
    for (scheduling, expected) in [
        ("fifo", ["low", "high", "critical"]),
        ("priority", ["critical", "high", "low"]),
        ("adaptive", ["critical", "high", "low"]),
    ] {
        let engine = executing(&format!("scheduling: {scheduling}"));
        let engine = engine.build().unwrap();
        engine.queue().pause();
        let order = Arc::new(Mutex::new(Vec::new()));
        for (name, priority) in [
            ("low", Priority::Low),
            ("high", Priority::High),
            ("critical", Priority::Critical),
        ] {
            let order = Arc::clone(&order);
            let operation = engine.queue().future(async move {
                order.lock().unwrap().push(name);
                Ok::<_, Infallible>(())
            });
            let operation = operation.priority(priority).submit();
            operation.await.unwrap().detach();
        }
        engine.shutdown(GRACE).await;
        assert_eq!(*order.lock().unwrap(), expected, "{scheduling}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_of_the_file_comes_down_when_operations_fail() {
    for (scheduling, is_adaptive) in [("adaptive", true), ("priority", false)] {
        let engine = executing(&format!("scheduling: {scheduling}"));
        let engine = engine.queue(|queue| queue.max_concurrent(40));
        let engine = engine.build().unwrap();
        // It begins at the maximum, whoever has set that.
        assert_eq!(engine.queue().status().max_concurrent, 40);
        for _ in 0..2_000 {
            let fails = engine.queue().future(async {
                sleep(SECOND / 100).await;
                Err::<(), _>("no")
            });
            fails.submit().await.unwrap().detach();
        }
        engine.queue().idle().await;
        let limit = engine.queue().status().max_concurrent;
        assert_eq!(limit < 40, is_adaptive, "{scheduling}: {limit}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn affinity_of_the_file_binds_the_engines_threads() {
    fn allowed() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mut lines = status.lines();
        let list = lines.find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        list.unwrap().trim().to_owned()
    }
    let everywhere = allowed();
    for (affinity, is_bound) in [
        ("affinity: true", true),
        ("", true),
        ("affinity: false", false),
    ] {
        let engine = executing(affinity).threads(1).build().unwrap();
        let name = async { std::thread::current().name().map(str::to_owned) };
        let name = engine.queue().run(name).await.unwrap();
        assert_eq!(name.as_deref(), Some("aqe-queue-0"));
        let cpus = engine.queue().run(async { allowed() }).await.unwrap();
        let first: String = everywhere
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        // A system that refuses says so, and the thread runs where it likes.
        let is_refused = engine.queue().status().not_pinned == 1;
        let expected = if is_bound && !is_refused {
            first
        } else {
            everywhere.clone()
        };
        assert_eq!(cpus, expected, "{affinity}");
        assert!(is_bound || !is_refused);
        engine.shutdown(GRACE).await;
    }
    // Threads that the engine did not start are not its own to bind.
    let engine = executing("affinity: true").build().unwrap();
    let cpus = engine.queue().run(async { allowed() }).await.unwrap();
    assert_eq!(cpus, everywhere);
}

#[tokio::test(start_paused = true)]
async fn load_balancing_of_the_file_places_operations_on_lanes() {
    // One lane is wide and the other narrow, and nothing ends.
    for (balancing, wide) in [("round-robin", 50..=50), ("least-loaded", 88..=92)] {
        let engine = executing(&format!("loadBalancing: {balancing}"));
        let engine = engine.build().unwrap();
        let lanes = engine.lanes();
        for (name, slots) in [("wide", 9), ("narrow", 1)] {
            let config = QueueConfig::from(engine.config()).max_concurrent(slots);
            let queue = AsyncOperationQueue::new(config).unwrap();
            lanes.add(name, queue).unwrap();
        }
        lanes.pause();
        for _ in 0..100 {
            let submitted =
                lanes.submit(|lane| lane.queue().future(pending::<Result<(), Infallible>>()));
            let handle = submitted.unwrap().await.unwrap();
            handle.detach();
        }
        let pending = lanes.status().lanes[0].queue.pending;
        assert!(wide.contains(&pending), "{balancing}: {pending}");
        lanes.clear();
    }
    let engine = executing("loadBalancing: random").build().unwrap();
    assert_eq!(engine.lanes().placement(), Placement::Random);
}
