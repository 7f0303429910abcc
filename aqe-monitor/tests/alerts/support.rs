//! A clock by hand, and alerters that it drives.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aqe_monitor::alerts::{
    Alerter, AlerterConfig, Attempt, Clock, Flap, Limits, Observation, Receiver, Retry, Rule,
    Secret, Webhook,
};

use crate::hook::Hook;

/// Time that passes when the test says so.
#[derive(Debug, Clone)]
pub(crate) struct Hand(Arc<Mutex<(Duration, SystemTime)>>);

impl Default for Hand {
    fn default() -> Self {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Self(Arc::new(Mutex::new((Duration::ZERO, wall))))
    }
}

impl Hand {
    pub(crate) fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        now.0 += time;
        now.1 += time;
    }

    pub(crate) fn pass_until(&self, elapsed: Duration) {
        let now = self.elapsed();
        self.pass(elapsed.saturating_sub(now));
    }

    pub(crate) fn set_wall(&self, wall: SystemTime) {
        self.0.lock().unwrap().1 = wall;
    }
}

impl Clock for Hand {
    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    fn wall(&self) -> SystemTime {
        self.0.lock().unwrap().1
    }
}

/// Fires and is resolved with the first value on either side of 10.
pub(crate) fn quick() -> Rule {
    Rule::above("quick", "m", 10.0)
        .hold(Duration::ZERO)
        .recover(Duration::ZERO)
        .repeat(Duration::ZERO)
        .stale_after(Duration::ZERO)
}

/// Gathers nothing, and lets everything come and go as often as it likes.
pub(crate) fn limits() -> Limits {
    let flap = Flap::new(u8::MAX, Duration::ZERO);
    Limits::default().group_interval(Duration::ZERO).flap(flap)
}

pub(crate) fn config(folder: &Path) -> AlerterConfig {
    AlerterConfig::new(folder.join("alerts.sqlite"))
        .rules([quick()])
        .limits(limits())
}

pub(crate) fn hook_receiver(hook: &Hook) -> Receiver {
    let url = Secret::new(format!("http://{}/in", hook.address()));
    Receiver::new("hook", Webhook::new(url))
        .timeout(Duration::from_secs(10))
        .retry(Retry::new(
            4,
            Duration::from_secs(2),
            Duration::from_secs(60),
        ))
}

/// Makes the alert fire, or ends it.
pub(crate) fn set(alerter: &Alerter, on: bool) {
    let value = if on { 20.0 } else { 1.0 };
    alerter.observe(&Observation::new("m", value));
    alerter.tick().unwrap();
}

/// Delivers until nothing waits, however long that takes on the clock.
pub(crate) fn deliver_all(alerter: &Alerter, clock: &Hand) {
    for _ in 0..1_000 {
        match alerter.deliver().unwrap() {
            Some(due) => clock.pass_until(due),
            None => return,
        }
    }
    panic!("it never ends");
}

/// What became of the attempts, the oldest first.
pub(crate) fn outcomes(alerter: &Alerter) -> Vec<String> {
    let words = attempts(alerter).into_iter().map(|attempt| attempt.outcome);
    words.collect()
}

pub(crate) fn attempts(alerter: &Alerter) -> Vec<Attempt> {
    let mut attempts = alerter.log().unwrap().attempts(10_000).unwrap();
    attempts.reverse();
    attempts
}
