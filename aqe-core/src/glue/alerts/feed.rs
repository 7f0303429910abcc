//! Alerts of a program that has a monitor: what its ticks see, and how its operations end.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use aqe_monitor::alerts::{AlertError, AlerterConfig, StoreError};
use aqe_monitor::sampler::SystemSample;

use super::orders::AlertOrders;
use super::watch::AlertWatch;
use super::window::Window;

/// An alerter that is told of the system at each tick of a [`Monitor`](crate::Monitor), and of the operations that ended
/// within the last minute.
///
/// The store is opened with the first tick, on the thread of the monitor, so that nobody else waits for its disk; while
/// another program has it, with a later one.
/// Dropping this ends the alerter without waiting for messages; [`end`](Self::end) waits for them.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::{Duration, Instant};
/// use aqe_core::{AlertFeed, AlertSecrets, AlertSetup, Config, Monitor};
///
/// let config = Config::default();
/// let state = tempfile::tempdir()?;
/// let setup = AlertSetup::new(&config, state.path())?;
/// let feed = Arc::new(AlertFeed::new(setup.alerter(AlertSecrets::All)?));
/// let alerts = Arc::clone(&feed);
/// let monitor = Monitor::builder()
///     .config(&config)
///     .on_tick(move |tick| alerts.tick(Instant::now(), &tick.system))
///     .start();
///
/// // Whenever an operation ends, from any thread:
/// feed.ended(Instant::now(), Duration::from_secs(2), true);
/// // At the end: the last tick first, then the last messages.
/// monitor.stop();
/// assert!(feed.end(Duration::from_secs(10))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AlertFeed {
    window: Mutex<Window>,
    orders: AlertOrders,
    /// Locked while the store is opened and while the alerter ends; who says that an operation ended does not wait.
    watch: Mutex<Watch>,
}

enum Watch {
    /// With the reason if it was tried: then somebody else had the store, for a moment or for long. Boxed, since it is much
    /// larger than the rest.
    Unopened(Box<AlerterConfig>, Option<AlertError>),
    Open(AlertWatch),
    /// It has ended, or could not be opened for a reason that stays.
    Closed(Option<AlertError>),
}

impl AlertFeed {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(config: AlerterConfig) -> Self {
        Self {
            window: Mutex::default(),
            orders: AlertOrders::beside(&config.path),
            watch: Mutex::new(Watch::Unopened(Box::new(config), None)),
        }
    }

    /// Takes note of an operation that ended at `now`. At most 10,000 of the last minute are kept.
    pub fn ended(&self, now: Instant, took: Duration, failed: bool) {
        lock(&self.window).ended(now, took, failed);
    }

    /// Observes the system, and the operations of the last minute, and takes up [orders](AlertOrders). The first call opens
    /// the store, and one with orders writes to it; the others wait for neither disk nor receivers.
    pub fn tick(&self, now: Instant, system: &SystemSample) {
        let work = lock(&self.window).look(now);
        let mut watch = lock(&self.watch);
        watch.open();
        if let Watch::Open(watch) = &*watch {
            // What cannot be read now stays for the next tick, and whoever ordered it sees that it has not begun.
            let _ = self.orders.obey(watch.alerter(), SystemTime::now());
            watch.observe_system(system);
            watch.observe_work(work);
        }
    }

    /// Waits until all messages are delivered, for at most `wait`, and ends the alerter, which waits for attempts under
    /// way; `false` if messages wait for the next one that opens the store. Calling it again is harmless.
    ///
    /// # Errors
    ///
    /// When the store could not be opened, or not be read or written.
    pub fn end(&self, wait: Duration) -> Result<bool, AlertError> {
        // Let go of at once: delivering takes its time.
        let watch = std::mem::replace(&mut *lock(&self.watch), Watch::Closed(None));
        match watch {
            Watch::Open(watch) => Ok(watch.close(wait)?),
            Watch::Closed(Some(error)) | Watch::Unopened(_, Some(error)) => Err(error),
            Watch::Closed(None) | Watch::Unopened(_, None) => Ok(true),
        }
    }
}

impl Watch {
    fn open(&mut self) {
        *self = match std::mem::replace(self, Self::Closed(None)) {
            Self::Unopened(config, _) => match AlertWatch::open((*config).clone()) {
                Ok(watch) => Self::Open(watch),
                Err(error @ AlertError::Store(StoreError::InUse { .. })) => {
                    Self::Unopened(config, Some(error))
                }
                Err(error) => Self::Closed(Some(error)),
            },
            opened => opened,
        };
    }
}

impl fmt::Debug for AlertFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*lock(&self.watch) {
            Watch::Unopened(..) => "unopened",
            Watch::Open(_) => "open",
            Watch::Closed(_) => "closed",
        };
        f.debug_struct("AlertFeed")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// A panic under one of these locks left a value out at worst.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use aqe_monitor::alerts::{AlertLog, Phase, Rule};

    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[test]
    fn what_a_tick_sees_is_stored_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.db");
        let rule = Rule::above("slow", "executionTime", 5.0).hold(Duration::ZERO);
        let feed = AlertFeed::new(AlerterConfig::new(&path).rules([rule]));
        let now = Instant::now();
        feed.ended(now, Duration::from_secs(6), false);
        assert!(!path.exists());
        feed.tick(now, &SystemSample::default());
        assert!(feed.end(WAIT).unwrap());
        let alerts = AlertLog::open(&path).unwrap().alerts().unwrap();
        assert_eq!(
            (&*alerts[0].key.rule, alerts[0].phase),
            ("slow", Phase::Firing)
        );
        // What comes too late opens nothing again.
        feed.tick(now, &SystemSample::default());
        assert!(feed.end(WAIT).unwrap());
    }

    #[test]
    fn a_tick_takes_up_orders() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.db");
        let feed = AlertFeed::new(AlerterConfig::new(&path));
        let wall = SystemTime::now();
        let orders = AlertOrders::beside(&path);
        orders.silence(None, 100 * WAIT, "", wall).unwrap();
        feed.tick(Instant::now(), &SystemSample::default());
        let silences = AlertLog::open(&path).unwrap().silences(wall).unwrap();
        assert_eq!(silences.len(), 1);
    }

    #[test]
    fn without_a_tick_there_is_no_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.db");
        assert!(AlertFeed::new(AlerterConfig::new(&path)).end(WAIT).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn a_store_that_is_in_use_is_had_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.db");
        let other = AlertWatch::open(AlerterConfig::new(&path)).unwrap();
        let never = AlertFeed::new(AlerterConfig::new(&path));
        let later = AlertFeed::new(AlerterConfig::new(&path));
        let (now, system) = (Instant::now(), SystemSample::default());
        never.tick(now, &system);
        later.tick(now, &system);
        let error = never.end(WAIT).unwrap_err();
        assert!(matches!(error, AlertError::Store(StoreError::InUse { .. })));
        drop(other);
        // The lock may be in a child of another test for a moment, until that has become another program.
        while !format!("{later:?}").contains("\"open\"") {
            later.tick(now, &system);
        }
        assert!(later.end(WAIT).unwrap());
    }

    #[test]
    fn a_store_that_cannot_be_had_is_told_at_the_end() {
        let feed = AlertFeed::new(AlerterConfig::new("/nowhere/at/all/alerts.db"));
        feed.tick(Instant::now(), &SystemSample::default());
        let error = feed.end(WAIT).unwrap_err();
        assert!(matches!(error, AlertError::Store(_)), "{error}");
    }
}
