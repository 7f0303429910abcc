//! What the cells are made of: from `std` and `parking_lot` or, to explore all interleavings, from loom.

#[cfg(all(loom, test))]
pub(crate) use loom::sync::atomic;

#[cfg(not(all(loom, test)))]
pub(crate) use parking_lot::Mutex;
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

#[cfg(all(loom, test))]
pub(crate) use self::explored::Mutex;

#[cfg(all(loom, test))]
mod explored {
    /// Loom's lock behind `parking_lot`'s interface: nothing is poisoned.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
            self.0.lock().expect("a lock that nobody poisons")
        }
    }
}
