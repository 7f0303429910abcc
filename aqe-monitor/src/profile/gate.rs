//! A value that signal handlers may use while it is there, and that is taken away only when none does.

#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};
#[cfg(not(all(loom, test)))]
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

use std::ptr;

/// Holds a value or none.
pub(super) struct Gate<T> {
    /// Handlers between their first and last step, whether they found a value or not.
    inside: AtomicUsize,
    /// Of a `Box`, or null. Written by `open` and `close`, read by handlers.
    value: AtomicPtr<T>,
}

impl<T> Gate<T> {
    #[cfg(not(all(loom, test)))]
    pub(super) const fn new() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            value: AtomicPtr::new(ptr::null_mut()),
        }
    }

    #[cfg(all(loom, test))]
    pub(super) fn new() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            value: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// Puts a value in. There must be none: the caller sees to it that one profile is taken at a time. Were there one,
    /// it would stay allocated for ever, which is safe.
    pub(super) fn open(&self, value: T) {
        // Release: whoever finds the pointer finds the value whole.
        self.value
            .store(Box::into_raw(Box::new(value)), Ordering::Release);
    }

    /// Uses the value if there is one. Async-signal-safe if `body` is.
    pub(super) fn with(&self, body: impl FnOnce(&T)) {
        // Two writes, each followed by a read of what the other wrote: with a fence between them at both sides at least
        // one sees the other's. Either `close` sees that somebody is inside and waits, or the load finds its null.
        self.inside.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire: the value that `open` stored is whole.
        let value = self.value.load(Ordering::Acquire);
        if !value.is_null() {
            // SAFETY: not null, so from `Box::into_raw`, and by the above not yet taken back by `close`.
            body(unsafe { &*value });
        }
        // Release: what `body` did is done before `close` sees that nobody is inside.
        self.inside.fetch_sub(1, Ordering::Release);
    }

    /// Takes the value out when nobody uses it any more. Waits for handlers, which are short; must not be called in one.
    pub(super) fn close(&self) -> Option<T> {
        // Acquire: what `open` did to the value comes before it is dropped.
        let value = self.value.swap(ptr::null_mut(), Ordering::Acquire);
        fence(Ordering::SeqCst);
        // Acquire: what handlers did to the value comes before it is dropped, too.
        while self.inside.load(Ordering::Acquire) != 0 {
            #[cfg(all(loom, test))]
            loom::thread::yield_now();
            #[cfg(not(all(loom, test)))]
            std::thread::yield_now();
        }
        if value.is_null() {
            return None;
        }
        // SAFETY: from `Box::into_raw`, swapped out once, and nobody is inside who could have read it before.
        Some(*unsafe { Box::from_raw(value) })
    }
}

impl<T> Drop for Gate<T> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_there_between_open_and_close() {
        let gate = Gate::new();
        let look = || {
            let mut seen = None;
            gate.with(|&value| seen = Some(value));
            seen
        };
        assert_eq!(look(), None);
        gate.open(7);
        assert_eq!(look(), Some(7));
        assert_eq!(gate.close(), Some(7));
        assert_eq!((look(), gate.close()), (None, None));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    /// Loom reports a write to a cell that somebody reads at the same time: dropping the value is such a write.
    struct Value(UnsafeCell<u32>);

    #[test]
    fn a_value_is_not_taken_while_it_is_used() {
        loom::model(|| {
            let gate = Arc::new(Gate::new());
            gate.open(Value(UnsafeCell::new(5)));
            let handlers: Vec<_> = (0..2)
                .map(|_| {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || {
                        gate.with(|value| {
                            value.0.with(|at| {
                                // SAFETY: loom checks that nobody writes meanwhile.
                                assert_eq!(unsafe { *at }, 5);
                            })
                        })
                    })
                })
                .collect();
            let value = gate.close().expect("opened");
            // SAFETY: loom checks that nobody reads meanwhile.
            value.0.with_mut(|at| unsafe { *at = 0 });
            drop(value);
            for handler in handlers {
                handler.join().unwrap();
            }
        });
    }
}
