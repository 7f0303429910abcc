//! The atomics and the cell of `cell.rs`, from `std` or, to explore all interleavings, from loom.

#[cfg(all(loom, test))]
pub(crate) use loom::{cell::UnsafeCell, sync::atomic};

#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::atomic;

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
