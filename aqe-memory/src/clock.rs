//! What time it is for the entries of a store.
//!
//! A deadline must mean the same after a restart, so times are milliseconds since the Unix epoch. While a store is open they
//! follow the monotonic clock from the moment at which it was opened: somebody who sets the machine's clock neither ends
//! an entry's life early nor prolongs it.
//!
//! A read compares a deadline, so reading the clock has to be nearly free. On Linux that is the coarse monotonic clock,
//! which the kernel advances with its own tick (1 to 10 ms) and which is read without a system call; elsewhere it is
//! [`Instant`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(any(test, not(target_os = "linux")))]
use std::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, as the store counts them.
pub(crate) type Millis = u64;

/// Tells a store what time it is: the machine's clock, or one that a test moves.
#[derive(Clone)]
pub(crate) struct Clock {
    source: Source,
}

#[derive(Clone)]
enum Source {
    System { epoch: Millis, start: Coarse },
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock.
    pub(crate) fn system() -> Self {
        // A machine whose clock is before 1970 counts from 1970.
        let epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            source: Source::System {
                epoch: to_millis(epoch),
                start: Coarse::now(),
            },
        }
    }

    /// The time.
    #[inline]
    pub(crate) fn now(&self) -> Millis {
        match &self.source {
            Source::System { epoch, start } => epoch + start.elapsed_millis(),
            // Relaxed: the time orders nothing but itself.
            Source::Manual(millis) => millis.load(Ordering::Relaxed),
        }
    }

    /// Whether time passes by itself.
    pub(crate) fn runs(&self) -> bool {
        matches!(self.source, Source::System { .. })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

/// A clock that stands still until it is moved, for tests of programs whose entries expire.
///
/// ```
/// use std::time::Duration;
/// use aqe_memory::{ManualClock, MemoryConfig, Store};
///
/// let clock = ManualClock::new();
/// let store = Store::with_clock(MemoryConfig::default(), &clock)?;
/// store.put_for(b"token", b"secret", Duration::from_secs(60))?;
/// clock.advance(Duration::from_secs(59));
/// assert!(store.get(b"token").is_some());
/// clock.advance(Duration::from_secs(1));
/// assert!(store.get(b"token").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands somewhere in the year 2020.
    #[must_use]
    pub fn new() -> Self {
        Self {
            millis: Arc::new(AtomicU64::new(1_600_000_000_000)),
        }
    }

    /// Moves it forward, to the millisecond.
    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(to_millis(by), Ordering::Relaxed);
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock {
            source: Source::Manual(Arc::clone(&self.millis)),
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// A duration in whole milliseconds, rounded up: what is to live for a while lives at least that long.
pub(crate) fn to_millis(duration: Duration) -> Millis {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

#[cfg(target_os = "linux")]
#[derive(Clone, Copy)]
struct Coarse {
    seconds: i64,
    nanos: i64,
}

#[cfg(target_os = "linux")]
impl Coarse {
    #[inline]
    fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        Self {
            seconds: time.tv_sec,
            nanos: time.tv_nsec,
        }
    }

    #[inline]
    fn elapsed_millis(&self) -> Millis {
        let now = Self::now();
        let millis = (now.seconds - self.seconds) * 1000 + (now.nanos - self.nanos) / 1_000_000;
        u64::try_from(millis).unwrap_or(0)
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy)]
struct Coarse(Instant);

#[cfg(not(target_os = "linux"))]
impl Coarse {
    fn now() -> Self {
        Self(Instant::now())
    }

    fn elapsed_millis(&self) -> Millis {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_with_the_machine_and_by_hand() {
        let clock = Clock::system();
        let (before, start) = (clock.now(), Instant::now());
        while clock.now() == before {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "the clock stands"
            );
            std::hint::spin_loop();
        }
        let manual = ManualClock::new();
        let clock = manual.clock();
        let before = clock.now();
        manual.advance(Duration::from_nanos(1));
        assert_eq!(clock.now(), before + 1, "durations are rounded up");
    }
}
