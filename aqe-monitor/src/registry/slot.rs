//! A place that is empty, and then holds one thing for ever.
//!
//! `std`'s `OnceLock` says with a word of its own whether it is full; looking at both words is a quarter of what it costs
//! to record a value. Here the pointer says it.

use std::fmt;
use std::ptr;

use super::sync::atomic::AtomicPtr;
use super::sync::atomic::Ordering::{AcqRel, Acquire};

/// A place for one `T`, which is never freed.
pub(crate) struct Slot<T: Send + Sync + 'static>(AtomicPtr<T>);

impl<T: Send + Sync + 'static> Slot<T> {
    pub(crate) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// What is there.
    #[inline]
    pub(crate) fn get(&self) -> Option<&'static T> {
        let held = self.0.load(Acquire);
        // SAFETY: the pointer is null, or that of a leaked box (`get_or_leak` is the only one to set it), which nobody
        // frees and of which there are only shared references. Acquired, so that what was made is seen whole.
        unsafe { held.as_ref() }
    }

    /// What is there; if nothing is, it becomes what `make` makes. Of several that try at once, one succeeds.
    pub(crate) fn get_or_leak(&self, make: impl FnOnce() -> T) -> &'static T {
        if let Some(held) = self.get() {
            return held;
        }
        let made: &'static T = Box::leak(Box::new(make()));
        let made_ptr = ptr::from_ref(made).cast_mut();
        match self
            .0
            .compare_exchange(ptr::null_mut(), made_ptr, AcqRel, Acquire)
        {
            Ok(_) => made,
            // What was made in vain stays allocated: a lessee is alone with its slots, so it does not happen.
            Err(_) => self.get().unwrap_or(made),
        }
    }
}

impl<T: Send + Sync + 'static> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.get().is_some()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    #[test]
    fn what_came_first_stays() {
        // What it holds is held for ever, so that it stays as long.
        static SLOT: LazyLock<Slot<String>> = LazyLock::new(Slot::new);
        let slot = &*SLOT;
        assert_eq!(slot.get(), None);
        let first: &'static String = slot.get_or_leak(|| "first".to_owned());
        assert!(ptr::eq(first, slot.get_or_leak(|| "second".to_owned())));
        assert_eq!(slot.get().map(String::as_str), Some("first"));
    }
}
