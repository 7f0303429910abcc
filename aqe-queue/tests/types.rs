//! What compiles: a table of the types and futures that may go between threads.

use std::time::Duration;

use aqe_queue::backend::{Backend, InProcess, Wire};
use aqe_queue::lanes::Place;
use aqe_queue::{
    AsyncOperationQueue, AttemptContext, BatchContext, CancelSignal, Canceller, Completion,
    DrainReport, Event, EventStream, Lane, Lanes, OperationError, OperationHandle, Placement,
    QueueBuilder, QueueConfig, QueueStatus, QueueWorker, Registry, StatusStream, SubmitError,
};

fn send<T: Send>() {}
fn send_sync<T: Send + Sync>() {}
fn is_send<T: Send>(_: &T) {}
fn unpin<T: Unpin>() {}

#[test]
fn types_go_between_threads() {
    send_sync::<AsyncOperationQueue>();
    send_sync::<AttemptContext>();
    send_sync::<BatchContext>();
    send_sync::<Lane>();
    send_sync::<Lanes>();
    send_sync::<Place>();
    send_sync::<CancelSignal>();
    send_sync::<Canceller>();
    send_sync::<Completion<(), ()>>();
    send_sync::<DrainReport>();
    send_sync::<Event>();
    send_sync::<InProcess>();
    send_sync::<OperationError<()>>();
    send_sync::<QueueConfig>();
    send_sync::<QueueStatus>();
    send_sync::<Registry>();
    send_sync::<SubmitError<()>>();
    send_sync::<Wire<InProcess>>();
    send_sync::<std::sync::Arc<dyn Backend>>();
    send::<EventStream>();
    send::<QueueBuilder>();
    send::<QueueWorker>();
    send::<StatusStream>();
    // A value that is `Send` and not `Sync` can be the result of an operation.
    send_sync::<OperationHandle<std::cell::Cell<u8>, std::cell::Cell<u8>>>();
    unpin::<OperationHandle<std::marker::PhantomPinned, ()>>();
}

#[tokio::test]
async fn futures_go_between_threads() {
    let queue = AsyncOperationQueue::new(QueueConfig::default()).unwrap();
    is_send(&queue.future(async { Ok::<_, ()>(()) }).submit());
    is_send(&queue.operation(|_| async { Ok::<_, ()>(()) }).submit());
    is_send(&queue.run(async {}));
    is_send(&queue.run_all([async { Ok::<_, ()>(()) }]).next());
    is_send(&queue.run_all([async { Ok::<_, ()>(()) }]).ordered().next());
    is_send(&queue.run_all([queue.operation(|_| async { Ok::<_, ()>(()) })]));
    is_send(&queue.idle());
    is_send(&queue.drain());
    is_send(&queue.drain_within(Duration::ZERO));
    is_send(&queue.shutdown(Duration::ZERO));
    is_send(&queue.subscribe().next());
    is_send(&queue.watch(Duration::from_secs(1)).next());
    let lanes = Lanes::new(Placement::Random);
    is_send(&lanes.place());
    is_send(&lanes.idle());
    is_send(&lanes.drain_within(Duration::ZERO));
    is_send(&lanes.shutdown(Duration::ZERO));
    is_send(&aqe_queue::backend::serve(
        &queue,
        std::sync::Arc::new(InProcess::default()),
    ));
    is_send(
        &queue
            .future(async { Ok::<_, ()>(()) })
            .try_submit()
            .unwrap()
            .completion(),
    );
}
