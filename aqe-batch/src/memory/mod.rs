//! How much memory is in use, of what there is.
//!
//! What there is, is the least of the machine's memory and the limits of the control groups above the process. What is
//! in use is what the kernel could not give back without swapping: a page cache full of files that were read once is
//! not in the way of anybody.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
use self::linux as system;
#[cfg(not(target_os = "linux"))]
use self::portable as system;

use std::fmt;
use std::time::Duration;

/// Tells which share of the memory is in use, 0–1; `None` where it is not known.
pub(crate) type Probe = Box<dyn FnMut() -> Option<f64> + Send>;

/// How often the memory is looked at.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A probe of this machine.
pub(crate) fn probe() -> Probe {
    let mut system = system::System::find();
    Box::new(move || system.used())
}

/// Decides whether new chunks wait. No input or output: the share and the time come in.
#[derive(Debug)]
pub(crate) struct Watch {
    threshold: f64,
    patience: Duration,
    /// Since when new chunks wait, if they do.
    since: Option<Duration>,
    /// How long they waited before that.
    waited: Duration,
}

/// What a look at the memory means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Wait,
    /// Too long.
    GiveUp {
        waited: Duration,
    },
}

impl Watch {
    pub(crate) fn new(percent: f64, patience: Duration) -> Self {
        Self {
            threshold: percent / 100.0,
            patience,
            since: None,
            waited: Duration::ZERO,
        }
    }

    /// Takes a share of memory in use; what is not known holds nobody up.
    pub(crate) fn look(&mut self, now: Duration, used: Option<f64>) -> Verdict {
        if used.is_some_and(|used| used > self.threshold) {
            let since = *self.since.get_or_insert(now);
            let waited = now.saturating_sub(since);
            if waited > self.patience {
                return Verdict::GiveUp { waited };
            }
            return Verdict::Wait;
        }
        if let Some(since) = self.since.take() {
            self.waited += now.saturating_sub(since);
        }
        Verdict::Go
    }

    /// How long new chunks have waited in all.
    pub(crate) fn waited(&self, now: Duration) -> Duration {
        let waits = self.since.map(|since| now.saturating_sub(since));
        self.waited + waits.unwrap_or_default()
    }
}

/// A probe with its watch.
pub(crate) struct Memory {
    pub(crate) probe: Probe,
    pub(crate) watch: Watch,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_wait_above_the_threshold_and_not_for_ever() {
        let second = Duration::from_secs;
        let mut watch = Watch::new(80.0, second(10));
        assert_eq!(watch.look(second(0), Some(0.8)), Verdict::Go);
        assert_eq!(watch.look(second(1), Some(0.81)), Verdict::Wait);
        assert_eq!(watch.look(second(11), Some(0.9)), Verdict::Wait);
        assert_eq!(watch.waited(second(11)), second(10));
        assert_eq!(watch.look(second(11), Some(0.5)), Verdict::Go);
        assert_eq!(watch.look(second(20), Some(0.9)), Verdict::Wait);
        assert_eq!(watch.waited(second(25)), second(15));
        assert_eq!(watch.look(second(25), None), Verdict::Go);
        assert_eq!(watch.look(second(30), Some(1.0)), Verdict::Wait);
        let waited = second(11);
        let given_up = Verdict::GiveUp { waited };
        assert_eq!(watch.look(second(41), Some(1.0)), given_up);
    }

    #[test]
    fn this_machine_has_some_memory_in_use() {
        let used = probe()();
        if cfg!(target_os = "linux") {
            assert!(
                used.is_some_and(|used| used > 0.0 && used < 1.5),
                "{used:?}"
            );
        } else {
            assert_eq!(used, None);
        }
    }
}
