//! Operations of a stream that end at once run where the stream is polled, and nothing else about them changes.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use aqe_queue::{AsyncOperationQueue, OperationError, QueueConfig, RetryPolicy};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::sleep;

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Runs many operations that end at once, from a thread that is no worker's, and returns the threads that polled them.
async fn threads_of(queue: &AsyncOperationQueue) -> HashSet<ThreadId> {
    let seen = Arc::new(Mutex::new(HashSet::new()));
    let noted = Arc::clone(&seen);
    let mut results = queue.run_all((0..5_000).map(move |_| {
        let noted = Arc::clone(&noted);
        async move {
            noted
                .lock()
                .expect("no panic")
                .insert(thread::current().id());
            Ok::<_, ()>(())
        }
    }));
    while let Some(result) = results.next().await {
        assert_eq!(result, Ok(()));
    }
    let seen = seen.lock().expect("no panic");
    seen.clone()
}

#[test]
fn operations_that_end_at_once_run_where_the_stream_is_polled() {
    runtime().block_on(async {
        let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
        // The workers' threads must have begun before anything can be known of their runtime.
        queue.run(async {}).await.unwrap();
        assert!(threads_of(&queue).await.contains(&thread::current().id()));
    });
}

#[test]
fn queue_with_threads_of_its_own_keeps_its_operations_to_them() {
    runtime().block_on(async {
        let builder = AsyncOperationQueue::builder(QueueConfig::default()).threads(1);
        let queue = builder.build().unwrap();
        queue.run(async {}).await.unwrap();
        let threads = threads_of(&queue).await;
        assert_eq!(threads.len(), 1);
        assert!(!threads.contains(&thread::current().id()));
    });
}

#[test]
fn stream_that_is_polled_outside_the_runtime_leaves_its_operations_inside() {
    let runtime = runtime();
    let queue = runtime.block_on(async {
        let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
        queue.run(async {}).await.unwrap();
        queue
    });
    let mut results = queue.run_all((0..200).map(|_| async {
        // Panics without a runtime.
        sleep(Duration::from_nanos(1)).await;
        Ok::<_, ()>(())
    }));
    let outside = Builder::new_current_thread().build().unwrap();
    let count = outside.block_on(async {
        let mut count = 0;
        while results.next().await.transpose().unwrap().is_some() {
            count += 1;
        }
        count
    });
    assert_eq!(count, 200);
}

#[tokio::test]
async fn what_ends_is_counted_as_if_a_worker_had_run_it() {
    let config = QueueConfig::default().retry(RetryPolicy::none());
    let queue = AsyncOperationQueue::new(config).unwrap();
    queue.run(async {}).await.unwrap();
    let mut results = queue.run_all((0..300_u32).map(|number| async move {
        match number % 100 {
            7 => panic!("seven"),
            8 => Err("eight"),
            _ => Ok(number),
        }
    }));
    let mut ended = [0; 3];
    while let Some(result) = results.next().await {
        match result {
            Ok(_) => ended[0] += 1,
            Err(OperationError::Failed { error, attempts }) => {
                assert_eq!((error, attempts), ("eight", 1));
                ended[1] += 1;
            }
            Err(OperationError::Panicked { message, .. }) => {
                assert_eq!(message, "seven");
                ended[2] += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, [294, 3, 3]);
    let status = queue.status();
    assert_eq!((status.submitted, status.completed), (301, 295));
    assert_eq!((status.failed, status.panicked), (3, 3));
    assert_eq!((status.running, status.wait.count), (0, 301));
    assert_eq!(status.run.count, 301);
}

#[tokio::test(start_paused = true)]
async fn attempt_that_fails_is_repeated_by_a_worker() {
    let config = QueueConfig::default().retry(RetryPolicy::fixed(2, Duration::from_secs(1)));
    let queue = AsyncOperationQueue::new(config).unwrap();
    queue.run(async {}).await.unwrap();
    let mut results = queue.run_all((0..10).map(|_| {
        queue.operation(|cx| async move {
            if cx.attempt() < 3 {
                Err("again")
            } else {
                Ok(cx.attempt())
            }
        })
    }));
    while let Some(result) = results.next().await {
        assert_eq!(result, Ok(3));
    }
    let status = queue.status();
    assert_eq!((status.completed, status.retried), (11, 20));
}

#[tokio::test]
async fn operation_that_waits_goes_on_while_the_consumer_is_busy() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(1)).unwrap();
    queue.run(async {}).await.unwrap();
    let (send, receive) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let operation = async move {
        let number: u32 = receive.await.map_err(|_| "lost")?;
        done.send(number).map_err(|_| "nobody listens")?;
        Ok::<_, &str>(number)
    };
    let mut results = queue.run_all([operation]);
    {
        // One poll begins it.
        let mut next = std::pin::pin!(results.next());
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
    }
    assert_eq!(queue.status().running, 1);
    send.send(5).unwrap();
    // The stream is not polled meanwhile.
    assert_eq!(is_done.await, Ok(5));
    assert_eq!(results.next().await, Some(Ok(5)));
    assert_eq!(queue.status().running, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_without_a_slot_or_before_what_waits() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(1)).unwrap();
    queue.run(async {}).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let (open, gate) = oneshot::channel::<()>();
    let holder = queue.infallible(gate).submit().await.unwrap();
    let note = |number: u32| {
        let order = Arc::clone(&order);
        async move {
            order.lock().unwrap().push(number);
            Ok::<_, ()>(())
        }
    };
    while queue.status().running == 0 {
        tokio::task::yield_now().await;
    }
    let mut early = queue.run_all([note(9)]);
    tokio::select! {
        biased;
        result = early.next() => panic!("{result:?}"),
        () = sleep(Duration::from_secs(1)) => assert!(order.lock().unwrap().is_empty()),
    }
    drop(early);
    let first = queue.future(note(0)).submit().await.unwrap();
    let mut results = queue.run_all((1..4).map(note)).ordered();
    tokio::select! {
        biased;
        result = results.next() => panic!("{result:?}"),
        () = sleep(Duration::from_secs(1)) => assert!(order.lock().unwrap().is_empty()),
    }
    open.send(()).unwrap();
    while results.next().await.transpose().unwrap().is_some() {}
    first.await.unwrap();
    assert!(holder.await.is_ok());
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn panic_of_the_iterator_leaves_no_slot_behind() {
    let queue = AsyncOperationQueue::new(QueueConfig::default().max_concurrent(1)).unwrap();
    queue.run(async {}).await.unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ran);
    let mut results = queue.run_all((0..100).map(move |number| {
        assert!(number < 50, "no more");
        let counter = Arc::clone(&counter);
        async move { Ok::<_, ()>(counter.fetch_add(1, Ordering::SeqCst)) }
    }));
    let mut polls = 0;
    let panicked = loop {
        polls += 1;
        let polled = std::future::poll_fn(|cx| {
            let mut next = std::pin::pin!(results.next());
            std::task::Poll::Ready(catch_unwind(AssertUnwindSafe(|| next.as_mut().poll(cx))))
        });
        match polled.await {
            Err(_) => break true,
            Ok(_) if polls > 1_000 => break false,
            Ok(_) => tokio::task::yield_now().await,
        }
    };
    assert!(panicked);
    drop(results);
    // The only slot is free.
    assert_eq!(queue.run(async { 3 }).await, Ok(3));
    let status = queue.status();
    assert_eq!(
        (status.running, status.completed),
        (0, ran.load(Ordering::SeqCst) as u64 + 2)
    );
}
