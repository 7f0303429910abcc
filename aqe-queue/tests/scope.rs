//! Operations that borrow.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::{
    AsyncOperationQueue, CancelReason, OperationError, Priority, QueueConfig, SubmitError,
};
use tokio::runtime::{Builder, Runtime};

fn start(config: QueueConfig) -> (Runtime, AsyncOperationQueue) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    let queue = runtime.block_on(async { AsyncOperationQueue::new(config).unwrap() });
    (runtime, queue)
}

#[test]
fn operations_borrow_and_are_over_when_the_scope_is() {
    // Fewer places than operations: `submit` has to wait.
    let (_runtime, queue) = start(QueueConfig::default().capacity(3));
    let numbers: Vec<usize> = (0..100).collect();
    let sum = AtomicUsize::new(0);
    let last = queue.scope(|scope| {
        for number in &numbers[..99] {
            // The handle is dropped, and the operation runs.
            let operation = async {
                tokio::task::yield_now().await;
                sum.fetch_add(*number, Ordering::SeqCst);
                Ok::<_, ()>(())
            };
            scope.submit(Priority::Medium, operation).unwrap();
        }
        let last = scope
            .submit(Priority::Low, async { Ok::<_, ()>(numbers[99]) })
            .unwrap();
        last.wait().unwrap()
    });
    assert_eq!((sum.into_inner(), last), (99 * 98 / 2, 99));
}

#[test]
fn scope_outlives_panics_and_cancellations() {
    let (_runtime, queue) = start(QueueConfig::default());
    let dropped = AtomicUsize::new(0);
    struct Count<'a>(&'a AtomicUsize);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        queue.scope(|scope| {
            for number in 0..10 {
                let count = Count(&dropped);
                let operation = async move {
                    let _count = count;
                    if number % 2 == 0 {
                        panic!("of the operation");
                    }
                    std::future::pending::<Result<(), ()>>().await
                };
                let handle = scope.submit(Priority::Medium, operation).unwrap();
                if number % 2 == 0 {
                    assert!(matches!(
                        handle.wait(),
                        Err(OperationError::Panicked { .. })
                    ));
                } else {
                    assert!(handle.cancel());
                    let cancelled = handle.wait().unwrap_err();
                    let OperationError::Cancelled { reason, .. } = cancelled else {
                        panic!("{cancelled}");
                    };
                    assert_eq!(reason, CancelReason::Asked);
                }
            }
            panic!("of the scope");
        })
    }));
    assert_eq!(
        *unwound.unwrap_err().downcast::<&str>().unwrap(),
        "of the scope"
    );
    assert_eq!(dropped.into_inner(), 10);
}

#[test]
fn refused_operation_does_not_keep_the_scope() {
    let (runtime, queue) = start(QueueConfig::default());
    runtime.block_on(queue.shutdown(Duration::ZERO));
    let text = "borrowed".to_owned();
    queue.scope(|scope| {
        let refused = scope.submit(Priority::Medium, async { Ok::<_, ()>(text.len()) });
        assert!(matches!(refused, Err(SubmitError::Closed(()))));
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scope_is_for_threads_that_may_block() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    let blocked = catch_unwind(AssertUnwindSafe(|| queue.scope(|_| ())));
    assert!(blocked.is_err());
    let number = tokio::task::spawn_blocking(move || {
        let number = 7;
        queue.scope(|scope| {
            scope
                .submit(Priority::High, async { Ok::<_, ()>(number) })
                .unwrap()
                .wait()
        })
    });
    assert_eq!(number.await.unwrap(), Ok(7));
}
