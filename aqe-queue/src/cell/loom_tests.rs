//! All interleavings of the cell's hand-overs.
//!
//! Run with `cargo xtask ci loom`.

use std::sync::atomic::{AtomicUsize, Ordering as Std};
use std::task::Wake;

use loom::thread;
use parking_lot::Mutex;

use super::*;
use crate::body::Once;
use crate::error::CancelReason;
use crate::handle::OnDrop;

/// Stands for the queue. Its own parts are `std`'s: they are not what is explored.
#[derive(Default)]
struct Yard {
    ready: Mutex<Vec<OpRef>>,
}

impl Home for Yard {
    fn schedule(&self, op: OpRef) {
        self.ready.lock().push(op);
    }

    fn withdrawn(&self, op: Owned, _: Waited, ending: Ending) {
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
    retry: RetryPolicy::none(),
    budget: None,
    keeps_history: false,
};

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Std::SeqCst);
    }
}

fn cell<T: Send + 'static>(
    future: impl Future<Output = Result<T, ()>> + Send + 'static,
) -> (OpRef, Receiver<T, ()>, Arc<Yard>) {
    let yard = Arc::new(Yard::default());
    let mut fresh = Fresh::new(
        Once::new(future),
        None,
        0,
        OnDrop::Detach,
        &Nursery::new(Arc::clone(&yard)),
    );
    (fresh.op(), fresh.into_receiver(), yard)
}

fn finish(owned: Owned, start: bool) {
    let (owned, step) = owned.poll(start, &DEFAULTS, &mut fastrand::Rng::with_seed(1));
    let Step::Ended(ending) = step else {
        panic!("it has not ended")
    };
    owned.publish(ending);
}

/// Polls twice with different wakers, as a handle does that moves between tasks, while the operation ends.
#[test]
fn loom_receiver_gets_the_outcome_or_a_wake() {
    loom::model(|| {
        let (op, mut receiver, _yard) = cell(async { Ok(Box::new(7)) });
        let worker = thread::spawn(move || finish(Owned::claim(op).unwrap(), true));
        let counts = [0, 1].map(|_| Arc::new(Count(AtomicUsize::new(0))));
        let mut found = None;
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            if let Poll::Ready(outcome) = receiver.poll(&mut Context::from_waker(&waker)) {
                found = Some(outcome);
                break;
            }
        }
        worker.join().unwrap();
        if found.is_none() {
            assert_eq!(
                counts[1].0.load(Std::SeqCst),
                1,
                "the last waker was not woken"
            );
            let Poll::Ready(outcome) = receiver.poll(&mut Context::from_waker(Waker::noop()))
            else {
                panic!("it has ended")
            };
            found = Some(outcome);
        }
        assert!(matches!(found, Some(Outcome::Completed(value)) if *value == 7));
    });
}

/// A handle that is dropped takes its waker and the outcome with it, or leaves them to the publisher.
#[test]
fn loom_receiver_can_go_at_any_moment() {
    loom::model(|| {
        let held = Arc::new(());
        let value = Arc::clone(&held);
        let (op, mut receiver, yard) = cell(async { Ok(value) });
        // Somebody else, such as the timers, keeps the operation.
        let kept = op.clone();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let polled = receiver.poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
        drop(waker);
        let worker = thread::spawn(move || finish(Owned::claim(op).unwrap(), true));
        drop(receiver);
        worker.join().unwrap();
        assert_eq!(Arc::strong_count(&count), 1, "the waker was leaked");
        assert_eq!(Arc::strong_count(&held), 1, "the outcome was kept");
        drop(kept);
        assert_eq!(Arc::strong_count(&yard), 1, "the memory was leaked");
    });
}

/// A wake that comes while the operation is being parked schedules it exactly once.
#[test]
fn loom_no_wake_is_lost() {
    loom::model(|| {
        let wakers = Arc::new(Mutex::new(None));
        let (left, ready) = (
            Arc::clone(&wakers),
            Arc::new(loom::sync::atomic::AtomicBool::new(false)),
        );
        let is_ready = Arc::clone(&ready);
        let (op, receiver, yard) = cell(std::future::poll_fn(move |cx| {
            if is_ready.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            *left.lock() = Some(cx.waker().clone());
            Poll::Pending
        }));
        let (owned, step) =
            Owned::claim(op)
                .unwrap()
                .poll(true, &DEFAULTS, &mut fastrand::Rng::with_seed(1));
        assert_eq!(step, Step::Pending);
        let waker = wakers.lock().take().unwrap();
        let other = waker.clone();
        let wakes = [waker, other].map(|waker| {
            let ready = Arc::clone(&ready);
            thread::spawn(move || {
                ready.store(true, Ordering::Release);
                waker.wake();
            })
        });
        let parked = owned.park();
        for wake in wakes {
            wake.join().unwrap();
        }
        let mut scheduled: Vec<OpRef> = yard.ready.lock().drain(..).collect();
        scheduled.extend(parked);
        assert_eq!(scheduled.len(), 1, "scheduled once");
        finish(Owned::resume(scheduled.remove(0)).unwrap(), false);
        assert!(receiver.header().is_done());
    });
}

/// A worker and two cancellations want a queued operation: one of them has it, and the handle hears of one end.
#[test]
fn loom_one_of_worker_and_cancellations_wins() {
    loom::model(|| {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let (op, mut receiver, _yard) = cell(async move {
            drop(inside);
            Ok(())
        });
        let cancels = [CancelReason::Asked, CancelReason::Cleared].map(|reason| {
            let op = op.clone();
            thread::spawn(move || stop(&op, Stop::Cancel(reason), true))
        });
        let claimed = Owned::claim(op);
        let ran = claimed.is_some();
        if let Some(owned) = claimed {
            finish(owned, true);
        }
        let cancelled = cancels
            .map(|cancel| cancel.join().unwrap())
            .iter()
            .filter(|won| **won)
            .count();
        assert_eq!(usize::from(ran) + cancelled, 1);
        let Poll::Ready(outcome) = receiver.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it has ended")
        };
        assert_eq!(matches!(outcome, Outcome::Completed(())), ran);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

/// A cancellation and a timeout reach an operation that is being parked: it is scheduled once, with the mark.
#[test]
fn loom_parking_operation_hears_that_it_is_to_end() {
    loom::model(|| {
        let (op, _receiver, yard) = cell::<()>(std::future::pending());
        let (owned, _) = Owned::claim(op.clone()).unwrap().poll(
            true,
            &DEFAULTS,
            &mut fastrand::Rng::with_seed(1),
        );
        let cancel = {
            let op = op.clone();
            thread::spawn(move || stop(&op, Stop::Cancel(CancelReason::Asked), false))
        };
        let late = {
            let (op, yard) = (op.clone(), Arc::clone(&yard));
            thread::spawn(move || {
                if mark_over_time(&op) {
                    yard.schedule(op);
                }
            })
        };
        let parked = owned.park();
        assert!(cancel.join().unwrap());
        late.join().unwrap();
        let mut scheduled: Vec<OpRef> = yard.ready.lock().drain(..).collect();
        scheduled.extend(parked);
        assert_eq!(scheduled.len(), 1, "scheduled once");
        let mut owned = Owned::resume(scheduled.remove(0)).unwrap();
        let stop = owned.stop().unwrap();
        assert_eq!(stop, Stop::Cancel(CancelReason::Asked));
        owned.conclude(stop);
        owned.publish(stop.ending());
    });
}

/// Operations that lie in one block go on several threads, while another is laid and the block is closed: it is freed
/// once, by the last, which is when it lets go of the queue.
#[test]
fn loom_block_goes_with_the_last_of_its_operations() {
    loom::model(|| {
        let yard = Arc::new(Yard::default());
        let nursery = Arc::new(Nursery::new(Arc::clone(&yard)));
        let lay = |nursery: &Nursery<Yard>| {
            let once = Once::new(async { Ok::<_, ()>(()) });
            Fresh::new(once, None, 0, OnDrop::Detach, nursery).op()
        };
        // The first has a block to itself, and two fit into the next.
        let (first, second) = (lay(&nursery), lay(&nursery));
        let leaver = thread::spawn(move || drop(second));
        let user = {
            let nursery = Arc::clone(&nursery);
            thread::spawn(move || drop(lay(&nursery)))
        };
        drop(first);
        drop(nursery);
        leaver.join().unwrap();
        user.join().unwrap();
        assert_eq!(Arc::strong_count(&yard), 1);
    });
}

/// A block is used again while the last of what lay in it is let go: whoever lays something there finds that the other
/// has finished with it.
#[test]
fn loom_block_is_used_again_after_those_who_used_it() {
    loom::model(|| {
        let nursery = Nursery::new(Arc::new(Yard::default()));
        let layout = std::alloc::Layout::new::<[u64; 4]>();
        // The block has room for one.
        let first = nursery.place(0, layout);
        // Stands for the memory there, which loom does not see.
        let memory = Arc::new(UnsafeCell::new(0));
        let (at, offset) = (first.at.as_ptr().addr(), first.offset);
        let block = SendBlock(first.block());
        let leaver = {
            let memory = Arc::clone(&memory);
            thread::spawn(move || {
                let block = block;
                // SAFETY: loom says so if it is not this thread's alone.
                memory.with_mut(|memory| unsafe { *memory += 1 });
                // SAFETY: the first is let go here alone.
                unsafe { block::Block::release(block.0, 1) };
            })
        };
        let second = nursery.place(0, layout);
        assert_eq!(second.offset, offset);
        if second.at.as_ptr().addr() == at {
            // SAFETY: as above.
            memory.with_mut(|memory| unsafe { *memory += 1 });
        }
        // SAFETY: the second is let go here alone.
        unsafe { block::Block::release(second.block(), 1) };
        leaver.join().unwrap();
    });
}

/// A block on its way to another thread, as in a reference to what lies in it.
struct SendBlock(ptr::NonNull<block::Block>);

// SAFETY: blocks are made to be let go of by any thread.
unsafe impl Send for SendBlock {}
