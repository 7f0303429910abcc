//! Clocks that a thread follows: the system's, and one that tests drive.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

/// A clock that a thread can wait by.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time on the clock that never steps.
    fn now(&self) -> Instant;

    /// The time on the clock on the wall.
    fn wall(&self) -> SystemTime;

    /// Waits until `deadline`, or until `stop` is set and the clock is [woken](Self::wake).
    fn wait(&self, deadline: Instant, stop: &AtomicBool);

    /// Makes all who wait look at `stop` again.
    fn wake(&self);
}

/// The system's clock.
#[derive(Debug, Default)]
pub struct SystemClock {
    lock: Mutex<()>,
    bell: Condvar,
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn wait(&self, deadline: Instant, stop: &AtomicBool) {
        let mut lock = self.lock.lock();
        // Whoever sets `stop` rings under the lock after that: the ring comes while this waits, or `stop` is seen here.
        while !stop.load(Ordering::Acquire) && Instant::now() < deadline {
            self.bell.wait_until(&mut lock, deadline);
        }
    }

    fn wake(&self) {
        let _lock = self.lock.lock();
        self.bell.notify_all();
    }
}

/// A clock that stands still until a test [advances](Self::advance) it.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    wall: SystemTime,
    passed: Mutex<Duration>,
    bell: Condvar,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            wall: SystemTime::UNIX_EPOCH,
            passed: Mutex::new(Duration::ZERO),
            bell: Condvar::new(),
        }
    }
}

impl ManualClock {
    /// One that stands at the beginning of 1970.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets time pass, and wakes those whose time has come.
    pub fn advance(&self, by: Duration) {
        let mut passed = self.passed.lock();
        *passed = passed.saturating_add(by);
        self.bell.notify_all();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        // A clock that cannot show so late a time stands still.
        self.start
            .checked_add(*self.passed.lock())
            .unwrap_or(self.start)
    }

    fn wall(&self) -> SystemTime {
        self.wall
            .checked_add(*self.passed.lock())
            .unwrap_or(self.wall)
    }

    fn wait(&self, deadline: Instant, stop: &AtomicBool) {
        let until = deadline.saturating_duration_since(self.start);
        let mut passed = self.passed.lock();
        while !stop.load(Ordering::Acquire) && *passed < until {
            self.bell.wait(&mut passed);
        }
    }

    fn wake(&self) {
        let _passed = self.passed.lock();
        self.bell.notify_all();
    }
}
