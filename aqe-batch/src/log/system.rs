//! The seam between a log and its system.
//!
//! Whatever the system can refuse goes through here, with the path of the log that it is for. Outside of tests that is
//! nothing at all; in tests the n-th call can be made to fail, alone or with all that follow it, as on a disk that is full.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::medium::Medium;

/// Makes a call for the log at `path`.
#[cfg(not(test))]
#[inline]
pub(crate) fn call<T>(_: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}

/// What the log at `path` is written to, once it is open.
#[cfg(not(test))]
pub(crate) fn medium(_: &Path, file: File) -> Arc<dyn Medium> {
    Arc::new(file)
}

#[cfg(test)]
pub(crate) fn call<T>(path: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    faults::next(path)?;
    call()
}

#[cfg(test)]
pub(crate) fn medium(path: &Path, file: File) -> Arc<dyn Medium> {
    Arc::new(faults::Faulty {
        path: path.to_owned(),
        file,
    })
}

#[cfg(test)]
pub(crate) mod faults {
    //! Which calls fail. Logs are told apart by their paths, as tests run side by side.

    use std::collections::BTreeMap;
    use std::fs::File;
    use std::io;
    use std::ops::Range;
    use std::path::{Path, PathBuf};

    use parking_lot::Mutex;

    use super::super::medium::Medium;

    struct Plan {
        calls: u64,
        fails: Range<u64>,
    }

    static PLANS: Mutex<BTreeMap<PathBuf, Plan>> = Mutex::new(BTreeMap::new());

    /// Lets these calls of the log at `path` fail, counted from 0 and from now.
    pub(crate) fn arm(path: &Path, fails: Range<u64>) {
        let plan = Plan { calls: 0, fails };
        PLANS.lock().insert(path.to_owned(), plan);
    }

    /// Lets no more calls fail, and returns how many there were.
    pub(crate) fn disarm(path: &Path) -> u64 {
        PLANS.lock().remove(path).map_or(0, |plan| plan.calls)
    }

    /// How many calls there were since.
    pub(crate) fn calls(path: &Path) -> u64 {
        PLANS.lock().get(path).map_or(0, |plan| plan.calls)
    }

    pub(super) fn next(path: &Path) -> io::Result<()> {
        let mut plans = PLANS.lock();
        let Some(plan) = plans.get_mut(path) else {
            return Ok(());
        };
        plan.calls += 1;
        if plan.fails.contains(&(plan.calls - 1)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(super) struct Faulty {
        pub(super) path: PathBuf,
        pub(super) file: File,
    }

    impl Medium for Faulty {
        /// A write that fails has written a part.
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            if let Err(error) = next(&self.path) {
                Medium::write_at(&self.file, &bytes[..bytes.len() / 2], offset)?;
                return Err(error);
            }
            Medium::write_at(&self.file, bytes, offset)
        }

        fn sync(&self) -> io::Result<()> {
            next(&self.path)?;
            self.file.sync()
        }
    }
}
