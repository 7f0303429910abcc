//! Hands one value from the launcher's thread to a future.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// What a promise is worth when its maker is gone.
pub(super) trait Abandoned {
    fn abandoned() -> Self;
}

impl Abandoned for () {
    fn abandoned() -> Self {}
}

struct Cell<T> {
    state: Mutex<State<T>>,
    /// 0 until the process exists. Written once by the launcher's thread; relaxed, since nothing else hangs on it.
    pid: AtomicU32,
    /// Set by the waiting side, once. Relaxed: whoever must see it takes a lock that the setter takes after setting it.
    stop_requested: AtomicBool,
}

enum State<T> {
    Waiting(Option<Waker>),
    Kept(T),
    Taken,
}

/// Makes a promise and the future that waits for it.
pub(super) fn promise<T: Abandoned>() -> (Promise<T>, Promised<T>) {
    let cell = Arc::new(Cell {
        state: Mutex::new(State::Waiting(None)),
        pid: AtomicU32::new(0),
        stop_requested: AtomicBool::new(false),
    });
    (Promise(Some(Arc::clone(&cell))), Promised(cell))
}

/// The maker's side. Dropped unkept, also by a panic, it hands over [`Abandoned::abandoned`], so that nobody waits for ever.
pub(super) struct Promise<T: Abandoned>(Option<Arc<Cell<T>>>);

impl<T: Abandoned> Promise<T> {
    pub(super) fn keep(mut self, value: T) {
        self.settle(value);
    }

    pub(super) fn announce(&self, pid: u32) {
        if let Some(cell) = &self.0 {
            cell.pid.store(pid, Ordering::Relaxed);
        }
    }

    pub(super) fn is_stop_requested(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|cell| cell.stop_requested.load(Ordering::Relaxed))
    }

    fn settle(&mut self, value: T) {
        let Some(cell) = self.0.take() else { return };
        let old = std::mem::replace(&mut *cell.state.lock(), State::Kept(value));
        // The lock is released by now: the woken task takes it.
        if let State::Waiting(Some(waker)) = old {
            waker.wake();
        }
    }
}

impl<T: Abandoned> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.settle(T::abandoned());
        }
    }
}

impl<T: Abandoned> fmt::Debug for Promise<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Promise")
    }
}

/// The waiting side.
pub(super) struct Promised<T>(Arc<Cell<T>>);

impl<T> Promised<T> {
    pub(super) fn pid(&self) -> Option<u32> {
        Some(self.0.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// Tells the maker, when it next looks, that the value is no longer wanted.
    pub(super) fn request_stop(&self) {
        self.0.stop_requested.store(true, Ordering::Relaxed);
    }

    /// Says whether the value has arrived (and perhaps been taken).
    pub(super) fn is_settled(&self) -> bool {
        !matches!(*self.0.state.lock(), State::Waiting(_))
    }
}

impl<T: Abandoned> Future for Promised<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.state.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            _ => match std::mem::replace(&mut *state, State::Taken) {
                State::Kept(value) => Poll::Ready(value),
                _ => Poll::Ready(T::abandoned()),
            },
        }
    }
}

impl<T> fmt::Debug for Promised<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Promised")
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}

/// Waits on the calling thread, without a runtime.
pub(super) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = Pin::new(&mut future).poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Value(u8);

    impl Abandoned for Value {
        fn abandoned() -> Self {
            Self(0)
        }
    }

    #[test]
    fn the_value_crosses_threads() {
        let (promise, promised) = promise::<Value>();
        let keeper = std::thread::spawn(move || promise.keep(Value(7)));
        assert_eq!(block_on(promised), Value(7));
        keeper.join().unwrap();
    }

    #[test]
    fn a_dropped_promise_does_not_leave_anybody_waiting() {
        let (promise, promised) = promise::<Value>();
        drop(promise);
        assert!(promised.is_settled());
        assert_eq!(block_on(promised), Value(0));
    }

    #[test]
    fn a_value_is_taken_once() {
        let (promise, mut promised) = promise::<Value>();
        promise.keep(Value(1));
        assert_eq!(block_on(&mut promised), Value(1));
        assert_eq!(block_on(&mut promised), Value(0));
    }
}
