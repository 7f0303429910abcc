//! What hand-overs between threads are made of: from `std` and `parking_lot` or, to explore all interleavings, from loom.

#[cfg(all(loom, test))]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic};

#[cfg(not(all(loom, test)))]
pub(crate) use parking_lot::{Condvar, Mutex};
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use self::explored::{Condvar, Mutex};
#[cfg(not(all(loom, test)))]
pub(crate) use self::plain::UnsafeCell;

#[cfg(not(all(loom, test)))]
mod plain {
    /// `std`'s cell behind loom's interface.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }
}

#[cfg(all(loom, test))]
pub(crate) use self::explored::block_on;

#[cfg(all(loom, test))]
mod explored {
    use std::ops::{Deref, DerefMut};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    use loom::sync;

    /// Loom's lock behind `parking_lot`'s interface: nothing is poisoned.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    pub(crate) struct Guard<'m, T>(Option<sync::MutexGuard<'m, T>>);

    #[derive(Debug, Default)]
    pub(crate) struct Condvar(sync::Condvar);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> Guard<'_, T> {
            Guard(self.0.lock().ok())
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("a lock that nobody poisons")
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("a lock that nobody poisons")
        }
    }

    impl Condvar {
        pub(crate) fn wait<T>(&self, guard: &mut Guard<'_, T>) {
            let held = guard.0.take().expect("a lock that nobody poisons");
            guard.0 = self.0.wait(held).ok();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Runs a future on a thread of loom's, which sleeps until it is woken. One that never is is a deadlock.
    pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
        #[derive(Default)]
        struct Sleeper {
            woken: Mutex<bool>,
            bell: Condvar,
        }

        impl Wake for Sleeper {
            fn wake(self: Arc<Self>) {
                *self.woken.lock() = true;
                self.bell.notify_all();
            }
        }

        let mut future = pin!(future);
        let sleeper = Arc::new(Sleeper::default());
        let waker = Waker::from(Arc::clone(&sleeper));
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
            let mut woken = sleeper.woken.lock();
            while !std::mem::replace(&mut *woken, false) {
                sleeper.bell.wait(&mut woken);
            }
        }
    }
}
