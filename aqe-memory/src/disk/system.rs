//! The seam between a folder and the system it is on.
//!
//! Whatever the system can refuse goes through here. Outside of tests that is nothing at all; in tests the n-th call of a thread can
//! be made to fail, alone or with all that follow it, as on a disk that is full or gone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Makes a call that the system can refuse.
#[inline]
pub(crate) fn call<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(test)]
    faults::next()?;
    call()
}

/// Makes a file with this content, which is on disk afterwards.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = call(|| File::create(path))?;
    call(|| file.write_all(bytes))?;
    call(|| file.sync_all())
}

/// Gives a file the name of another one, which it takes the place of.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    call(|| fs::rename(from, to))
}

#[cfg(test)]
pub(crate) mod faults {
    //! Which calls fail. Tests run side by side, each in a thread of its own, so what fails is said for a thread.

    use std::cell::RefCell;
    use std::io;
    use std::ops::Range;

    struct Plan {
        calls: u64,
        fails: Range<u64>,
    }

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
    }

    /// Lets these calls of this thread fail, counted from 0 and from now.
    pub(crate) fn arm(fails: Range<u64>) {
        PLAN.set(Some(Plan { calls: 0, fails }));
    }

    /// Lets no more calls fail, and says how many there were.
    pub(crate) fn disarm() -> u64 {
        PLAN.take().map_or(0, |plan| plan.calls)
    }

    pub(super) fn next() -> io::Result<()> {
        PLAN.with_borrow_mut(|plan| {
            let Some(plan) = plan else { return Ok(()) };
            plan.calls += 1;
            match plan.fails.contains(&(plan.calls - 1)) {
                true => Err(io::Error::other("made to fail")),
                false => Ok(()),
            }
        })
    }
}
