//! Narrow questions about the queue, each beside the obvious alternative. Operations per second.

use std::future::{Future, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqe_benches::queue::{
    AqeQueue, AsyncPriorityChannelPool, Contender, Failed, Level, SemaphoreJoinSet, Submitter,
};
use aqe_core::queue::{AsyncOperationQueue, EndedAs, OperationId, QueueConfig, QueueObserver};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use futures_buffered::BufferedStreamExt;
use futures_util::{Stream, StreamExt, stream};
use tokio::runtime::{Builder, Runtime};

/// Operations in one measured run: a millisecond or more, and less than the queue's default capacity.
const OPERATIONS: u64 = 10_000;

/// The queue's own default.
const CONCURRENCY: usize = 10;

fn main() {
    // Two workers, as in `compare`.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    awaited_operations(&mut criterion, &runtime);
    round_trips(&mut criterion, &runtime);
    levels(&mut criterion, &runtime);
    retries(&mut criterion, &runtime);
    observers(&mut criterion, &runtime);
    streams(&mut criterion, &runtime);
    criterion.final_summary();
}

/// What does an operation cost that is ready at once, from its submission to its awaited result?
fn awaited_operations(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("awaited-operations");
    group.throughput(Throughput::Elements(OPERATIONS));
    submitted::<AqeQueue>(&mut group, "aqe", runtime, |_| 0);
    submitted::<AsyncPriorityChannelPool>(&mut group, "priority-channel", runtime, |_| 0);
    submitted::<SemaphoreJoinSet>(&mut group, "semaphore-joinset", runtime, |_| 0);
    group.finish();
}

/// How long does a caller wait who has one operation at a time?
fn round_trips(criterion: &mut Criterion, runtime: &Runtime) {
    const TRIPS: u64 = 1_000;

    async fn one_by_one<C: Contender>(mut queue: C::Submitter) -> u64 {
        let mut sum = 0;
        for number in 0..TRIPS {
            queue.submit(0, move || ready(number)).await;
            sum += queue.next().await.expect("no operation is lost");
        }
        sum
    }

    let mut group = criterion.benchmark_group("round-trips");
    group.throughput(Throughput::Elements(TRIPS));
    bench::<AqeQueue, _>(&mut group, "aqe", runtime, one_by_one::<AqeQueue>);
    let peer = one_by_one::<AsyncPriorityChannelPool>;
    bench::<AsyncPriorityChannelPool, _>(&mut group, "priority-channel", runtime, peer);
    // No queue at all: what the runtime itself takes.
    group.bench_function("tokio-spawn", |bencher| {
        bencher.iter(|| {
            on_a_worker(runtime, async {
                let mut sum = 0;
                for number in 0..TRIPS {
                    sum += tokio::spawn(ready(number)).await.expect("it cannot panic");
                }
                sum
            })
        });
    });
    group.finish();
}

/// What do five levels cost that are all in use, beside one?
fn levels(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("levels");
    group.throughput(Throughput::Elements(OPERATIONS));
    let spread = |number| (number % 5) as Level;
    submitted::<AqeQueue>(&mut group, "aqe-one", runtime, |_| 0);
    submitted::<AqeQueue>(&mut group, "aqe-five", runtime, spread);
    submitted::<AsyncPriorityChannelPool>(&mut group, "priority-channel-five", runtime, spread);
    group.finish();
}

/// What does an operation cost with a timeout on each attempt and retries at hand, when one in a hundred fails once?
/// The alternative has the loop around `tokio::time::timeout` that its users write.
fn retries(criterion: &mut Criterion, runtime: &Runtime) {
    async fn retrying<C: Contender>(mut queue: C::Submitter) -> u64 {
        for number in 0..OPERATIONS {
            let make = move |attempt| {
                let fails = attempt == 0 && number % 100 == 0;
                ready(if fails { Err(Failed) } else { Ok(number) })
            };
            queue.submit_retrying(make).await;
        }
        collect(queue).await
    }

    let mut group = criterion.benchmark_group("retries");
    group.throughput(Throughput::Elements(OPERATIONS));
    bench::<AqeQueue, _>(&mut group, "aqe", runtime, retrying::<AqeQueue>);
    let peer = retrying::<AsyncPriorityChannelPool>;
    bench::<AsyncPriorityChannelPool, _>(&mut group, "priority-channel", runtime, peer);
    group.finish();
}

/// What does an observer cost that counts the ends, beside none?
fn observers(criterion: &mut Criterion, runtime: &Runtime) {
    #[derive(Default)]
    struct Count(AtomicU64);

    impl QueueObserver for Count {
        fn on_ended(&self, _id: OperationId, _how: EndedAs, _attempts: u32) {
            // Relaxed: nothing else is read by this number.
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let mut group = criterion.benchmark_group("observers");
    group.throughput(Throughput::Elements(OPERATIONS));
    for (name, count) in [("none", 0), ("one", 1)] {
        let queue = runtime.block_on(async {
            let mut builder = AsyncOperationQueue::builder(QueueConfig::default());
            for _ in 0..count {
                builder = builder.observer(Arc::new(Count::default()));
            }
            builder.build().expect("the defaults are valid")
        });
        group.bench_function(name, |bencher| {
            bencher.iter(|| on_a_worker(runtime, through(queue.clone())));
        });
    }
    group.finish();
}

/// What does an operation cost in a stream of results, where nobody holds a handle?
fn streams(criterion: &mut Criterion, runtime: &Runtime) {
    /// Enough to outlast the start of the stream.
    const ITEMS: u64 = 100_000;

    async fn sum(results: impl Stream<Item = u64>) -> u64 {
        std::pin::pin!(results)
            .fold(0, |sum, number| ready(sum + number))
            .await
    }

    fn once(number: u64) -> impl Future<Output = Result<u64, Failed>> + Send + 'static {
        ready(Ok(number))
    }

    let queue = runtime.block_on(async {
        AsyncOperationQueue::new(QueueConfig::default()).expect("the defaults are valid")
    });
    let mut group = criterion.benchmark_group("streams");
    group.throughput(Throughput::Elements(ITEMS));
    for window in [64, 256, 1_024] {
        group.bench_function(format!("aqe-unordered-{window}"), |bencher| {
            bencher.iter(|| {
                let results = queue.run_all((0..ITEMS).map(once)).window(window);
                on_a_worker(runtime, sum(results.filter_map(|it| ready(it.ok()))))
            });
        });
    }
    group.bench_function("aqe-ordered", |bencher| {
        bencher.iter(|| {
            let results = queue.run_all((0..ITEMS).map(once)).ordered();
            on_a_worker(runtime, sum(results.filter_map(|it| ready(it.ok()))))
        });
    });
    group.bench_function("buffer-unordered", |bencher| {
        bencher.iter(|| {
            let operations = stream::iter((0..ITEMS).map(once)).buffer_unordered(CONCURRENCY);
            on_a_worker(runtime, sum(operations.filter_map(|it| ready(it.ok()))))
        });
    });
    group.bench_function("futures-buffered", |bencher| {
        bencher.iter(|| {
            let operations = stream::iter((0..ITEMS).map(once)).buffered_unordered(CONCURRENCY);
            on_a_worker(runtime, sum(operations.filter_map(|it| ready(it.ok()))))
        });
    });
    group.finish();
}

/// Submits to a queue without the adapter of the comparisons.
async fn through(queue: AsyncOperationQueue) -> u64 {
    let mut handles = Vec::new();
    for number in 0..OPERATIONS {
        let submission = queue.future(ready(Ok::<_, Failed>(number)));
        handles.push(submission.submit().await.expect("there is room"));
    }
    let mut sum = 0;
    for handle in handles {
        sum += handle.await.expect("no operation fails");
    }
    sum
}

/// Measures no-ops at the levels that `level` gives them: everything submitted, then everything awaited.
fn submitted<C: Contender>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    runtime: &Runtime,
    level: fn(u64) -> Level,
) {
    bench::<C, _>(group, name, runtime, move |mut queue| async move {
        for number in 0..OPERATIONS {
            queue.submit(level(number), move || ready(number)).await;
        }
        collect(queue).await
    });
}

/// Measures what `run` does with a producer of a queue that is there already.
fn bench<C, F>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    runtime: &Runtime,
    run: impl Fn(C::Submitter) -> F,
) where
    C: Contender,
    F: Future<Output = u64> + Send + 'static,
{
    let queue = runtime.block_on(async { C::start(CONCURRENCY, 2 * OPERATIONS as usize) });
    group.bench_function(name, |bencher| {
        bencher.iter(|| on_a_worker(runtime, run(queue.submitter())));
    });
}

/// Waits for all results.
async fn collect(mut queue: impl Submitter) -> u64 {
    let mut sum = 0;
    for _ in 0..OPERATIONS {
        sum += queue.next().await.expect("no operation is lost");
    }
    sum
}

/// On a worker, as an application's own code would be: the thread that measures only waits.
fn on_a_worker(runtime: &Runtime, work: impl Future<Output = u64> + Send + 'static) -> u64 {
    let sum = runtime.block_on(runtime.spawn(work));
    black_box(sum.expect("no bench panics"))
}
