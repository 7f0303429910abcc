//! The cell without a queue around it.

use std::sync::atomic::{AtomicUsize, Ordering as Std};
use std::task::Wake;

use parking_lot::Mutex;

use super::*;
use crate::body::Repeat;
use crate::error::CancelReason;
use crate::handle::OnDrop;

/// Stands for the queue: remembers what it was told.
#[derive(Default)]
pub(super) struct Yard {
    ready: Mutex<Vec<OpRef>>,
    withdrawn: AtomicUsize,
}

impl Home for Yard {
    fn schedule(&self, op: OpRef) {
        self.ready.lock().push(op);
    }

    fn withdrawn(&self, op: Owned, _: Waited, ending: Ending) {
        self.withdrawn.fetch_add(1, Std::SeqCst);
        op.publish(ending);
    }

    fn set_level(&self, _: &OpRef, _: u8) -> bool {
        false
    }

    fn levels(&self) -> u8 {
        1
    }

    fn signal(&self, _: &OpRef) -> CancelSignal {
        CancelSignal::new()
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn end_signal(&self, _: u64, _: bool) {}
}

const DEFAULTS: Defaults = Defaults {
    timeout: None,
    retry: RetryPolicy::fixed(1, Duration::ZERO),
    budget: None,
    keeps_history: false,
};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Std::SeqCst);
    }
}

fn cell<T: Send + 'static, F: Future<Output = Result<T, ()>> + Send + 'static>(
    factory: impl FnMut(AttemptContext) -> F + Send + 'static,
) -> (OpRef, Receiver<T, ()>, Arc<Yard>) {
    let yard = Arc::new(Yard::default());
    let mut fresh = Fresh::new(
        Repeat::new(factory),
        None,
        0,
        OnDrop::Detach,
        &Nursery::new(Arc::clone(&yard)),
    );
    (fresh.op(), fresh.into_receiver(), yard)
}

fn poll(owned: Owned, start: bool) -> (Owned, Step) {
    owned.poll(start, &DEFAULTS, &mut fastrand::Rng::with_seed(1))
}

#[test]
fn outcome_is_given_once_and_the_last_waker_is_woken() {
    let (op, mut receiver, _yard) = cell(|_| async { Ok(7) });
    let (first, last) = (
        Arc::new(Count(AtomicUsize::new(0))),
        Arc::new(Count(AtomicUsize::new(0))),
    );
    for count in [&first, &last] {
        let waker = Waker::from(Arc::clone(count));
        assert!(receiver.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Ended(Ending::Completed));
    owned.publish(Ending::Completed);
    assert_eq!(
        (first.0.load(Std::SeqCst), last.0.load(Std::SeqCst)),
        (0, 1)
    );
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(
        receiver.poll(&mut cx),
        Poll::Ready(Outcome::Completed(7))
    ));
    assert!(receiver.poll(&mut cx).is_pending());
}

#[test]
fn run_right_is_exclusive() {
    let (op, _receiver, yard) = cell(|_| std::future::pending::<Result<(), ()>>());
    let owned = Owned::claim(op.clone()).unwrap();
    assert!(Owned::claim(op.clone()).is_none());
    assert!(Owned::resume(op.clone()).is_none());
    assert!(seize(&op).is_none());
    let (owned, _) = poll(owned, true);
    assert!(owned.park().is_none());
    assert!(Owned::claim(op.clone()).is_none());
    // Asked to end while it waits to be woken: it is scheduled, and whoever resumes it sees why.
    assert!(stop(&op, Stop::Deadline, false));
    assert!(!stop(&op, Stop::Deadline, false));
    assert_eq!(yard.ready.lock().drain(..).count(), 1);
    let owned = Owned::resume(op).unwrap();
    assert_eq!(owned.stop(), Some(Stop::Deadline));
}

#[test]
fn late_waker_of_an_ended_attempt_wakes_nothing() {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let (op, _receiver, yard) = cell(move |_| {
        let keep = Arc::clone(&keep);
        std::future::poll_fn(move |cx| {
            keep.lock().get_or_insert_with(|| cx.waker().clone());
            Poll::Ready(Err::<(), ()>(()))
        })
    });
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Retry(Duration::ZERO));
    let Ok((op, _)) = owned.requeue(false) else {
        panic!("nobody stopped it")
    };
    kept.lock().as_ref().unwrap().wake_by_ref();
    assert!(yard.ready.lock().is_empty());
    assert!(op.header().is_waiting());
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Ended(Ending::Failed));
    owned.publish(Ending::Failed);
    kept.lock().take().unwrap().wake();
    assert!(yard.ready.lock().is_empty());
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn panics_of_user_code_stay_in_the_cell() {
    // A panic whose payload panics again when it is dropped.
    let (op, mut receiver, _yard) = cell::<(), _>(|_| async { std::panic::panic_any(Bomb) });
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Ended(Ending::Panicked));
    owned.publish(Ending::Panicked);
    let outcome = receiver.poll(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(outcome, Poll::Ready(Outcome::Panicked(message)) if &*message == "the panic carried no text")
    );

    // A body that panics when it is dropped: the value was there before.
    let bomb = Bomb;
    let (op, mut receiver, _yard) = cell(move |_| {
        let _held = &bomb;
        async { Ok(7) }
    });
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Ended(Ending::Completed));
    owned.publish(Ending::Completed);
    let outcome = receiver.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(outcome, Poll::Ready(Outcome::Completed(7))));

    // A value that panics when it is dropped, and nobody takes it.
    let (op, receiver, _yard) = cell(|_| async { Ok(Bomb) });
    drop(receiver);
    let (owned, step) = poll(Owned::claim(op).unwrap(), true);
    assert_eq!(step, Step::Ended(Ending::Completed));
    owned.publish(Ending::Completed);
}

#[test]
fn cancelled_body_is_dropped_at_once() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let (op, mut receiver, yard) = cell(move |_| {
        let inside = Arc::clone(&inside);
        async move {
            drop(inside);
            Ok(())
        }
    });
    assert_eq!(Arc::strong_count(&held), 2);
    assert!(stop(&op, Stop::Cancel(CancelReason::Asked), true));
    assert_eq!(
        (Arc::strong_count(&held), yard.withdrawn.load(Std::SeqCst)),
        (1, 1)
    );
    let outcome = receiver.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(
        outcome,
        Poll::Ready(Outcome::Cancelled(CancelReason::Asked))
    ));
}

#[test]
fn reasons_to_stop_are_told_apart() {
    let reasons = [
        CancelReason::Asked,
        CancelReason::Dropped,
        CancelReason::Cleared,
        CancelReason::Shutdown,
        CancelReason::Threshold,
    ];
    let stops = reasons.map(Stop::Cancel).into_iter();
    for stop in stops.chain([Stop::Deadline, Stop::Shed]) {
        assert_eq!(stop.bits() & !STOP, 0, "{stop:?}");
        assert_eq!(Stop::from_bits(stop.bits() | DONE | WAITER), Some(stop));
    }
    assert_eq!(Stop::from_bits(DONE | WAITER), None);
}
