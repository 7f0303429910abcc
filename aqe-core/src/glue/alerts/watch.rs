//! What a tick knows becomes values that an alerter takes.

use std::time::Duration;

use aqe_monitor::alerts::{AlertError, Alerter, AlerterConfig, Observation, StoreError};
use aqe_monitor::sampler::SystemSample;

use super::metric::AlertMetric;

/// What operations came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AlertWork {
    /// How many ended.
    pub finished: u64,
    /// Of those, how many failed.
    pub failed: u64,
    /// 95 of a hundred took no longer; `None` if none ended.
    pub execution_time_p95: Option<Duration>,
}

impl AlertWork {
    /// Operations of which nobody knows how long they took.
    #[must_use]
    pub const fn new(finished: u64, failed: u64) -> Self {
        Self {
            finished,
            failed,
            execution_time_p95: None,
        }
    }

    /// Sets how long they took.
    #[must_use]
    pub const fn execution_time_p95(mut self, time: Duration) -> Self {
        self.execution_time_p95 = Some(time);
        self
    }
}

/// An alerter that is told what a program measures.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use aqe_core::{AlertSecrets, AlertSetup, AlertWatch, AlertWork, Config};
///
/// let state = tempfile::tempdir()?;
/// let setup = AlertSetup::new(&Config::default(), state.path())?;
/// let watch = AlertWatch::open(setup.alerter(AlertSecrets::All)?)?;
/// // Every few seconds; what a sampler says of the system goes in as well:
/// watch.observe_work(AlertWork::new(400, 30).execution_time_p95(Duration::from_secs(2)));
/// assert_eq!(watch.alerter().status().len(), 2);
/// // At the end:
/// assert!(watch.close(Duration::from_secs(10))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct AlertWatch {
    alerter: Alerter,
}

impl AlertWatch {
    /// Opens the store and starts the alerter's threads.
    ///
    /// # Errors
    ///
    /// As with [`Alerter::open`].
    pub fn open(config: AlerterConfig) -> Result<Self, AlertError> {
        Ok(Self::over(Alerter::open(config)?))
    }

    /// Uses an alerter that is open.
    #[must_use]
    pub fn over(alerter: Alerter) -> Self {
        Self { alerter }
    }

    /// The alerter.
    #[must_use]
    pub fn alerter(&self) -> &Alerter {
        &self.alerter
    }

    /// Observes the system: what it does not tell is not observed.
    pub fn observe_system(&self, system: &SystemSample) {
        if let Some(ratio) = cpu_ratio(system) {
            self.observe(AlertMetric::CpuUsage, ratio * 100.0, u64::MAX);
        }
        if let Some(ratio) = memory_ratio(system) {
            self.observe(AlertMetric::MemoryUsage, ratio * 100.0, u64::MAX);
        }
    }

    /// Observes what operations came to, for whoever counts them himself. Where none ended, nothing is observed.
    pub fn observe_work(&self, work: AlertWork) {
        if work.finished > 0 {
            let failed = work.failed as f64 / work.finished as f64 * 100.0;
            self.observe(AlertMetric::ErrorRate, failed, work.finished);
        }
        if let Some(time) = work.execution_time_p95 {
            self.observe(
                AlertMetric::ExecutionTime,
                time.as_secs_f64(),
                work.finished,
            );
        }
    }

    /// Waits until all messages are delivered, for at most `wait`, and ends the alerter, which waits for attempts under
    /// way; `false` if messages wait for the next one that opens the store.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn close(self, wait: Duration) -> Result<bool, StoreError> {
        self.alerter.flush(wait)
    }

    fn observe(&self, metric: AlertMetric, value: f64, events: u64) {
        let observation = Observation::new(metric.name(), value).events(events);
        self.alerter.observe(&observation);
    }
}

/// The fuller of the machine and the cgroup: either can be what slows everything.
fn cpu_ratio(system: &SystemSample) -> Option<f64> {
    let machine = system.machine.cpu.map(|cpu| cpu.busy_ratio);
    let cgroup = system.cgroup.and_then(|cgroup| {
        let (used, limit) = (cgroup.cpu_used?, cgroup.cpu_limit?);
        (limit > 0.0).then(|| used / limit)
    });
    fuller(machine, cgroup)
}

fn memory_ratio(system: &SystemSample) -> Option<f64> {
    let cgroup = system.cgroup.and_then(|cgroup| {
        let (used, limit) = (cgroup.memory_used_bytes?, cgroup.memory_limit_bytes?);
        (limit > 0).then(|| used as f64 / limit as f64)
    });
    fuller(system.machine.memory_used_ratio(), cgroup)
}

fn fuller(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    let both = [one, other].into_iter().flatten();
    // A cgroup is measured over a moment that is not quite the limit's, and may be a little over it.
    both.map(|ratio| ratio.clamp(0.0, 1.0)).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::SystemTime;

    use aqe_monitor::alerts::{Clock, Phase, Rule};
    use aqe_monitor::sampler::Cpu;

    use super::*;

    /// Stands still until it is moved.
    #[derive(Debug, Clone, Default)]
    struct ByHand(Arc<Mutex<Duration>>);

    impl ByHand {
        fn pass(&self, time: Duration) {
            *self.0.lock().unwrap() += time;
        }
    }

    impl Clock for ByHand {
        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + self.elapsed()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn system(cpu: f64, memory: f64) -> SystemSample {
        let mut system = SystemSample::default();
        let mut busy = Cpu::default();
        busy.busy_ratio = cpu;
        system.machine.cpu = Some(busy);
        system.machine.memory_bytes = Some(1_000_000);
        system.machine.memory_available_bytes = Some(1_000_000 - (memory * 1e6) as u64);
        system
    }

    /// A watch with the default rules, and its folder and clock.
    fn watch() -> (AlertWatch, tempfile::TempDir, ByHand) {
        let folder = tempfile::tempdir().unwrap();
        let clock = ByHand::default();
        let config = AlerterConfig::new(folder.path().join("alerts.db")).rules(Rule::defaults());
        let alerter = Alerter::manual(config, clock.clone()).unwrap();
        (AlertWatch::over(alerter), folder, clock)
    }

    fn values(watch: &AlertWatch) -> Vec<(String, f64, Phase)> {
        let status = watch.alerter().status().into_iter();
        let values = status.map(|one| (one.key.rule, one.value.unwrap(), one.phase));
        values.collect()
    }

    #[test]
    fn what_is_measured_becomes_a_value_of_each_metric() {
        let (watch, _folder, _) = watch();
        watch.observe_work(AlertWork::new(40, 10).execution_time_p95(60 * SECOND));
        watch.observe_system(&system(0.5, 0.25));
        let expected = [
            ("cpuUsage", 50.0, Phase::Inactive),
            ("errorRate", 25.0, Phase::Pending),
            ("executionTime", 60.0, Phase::Pending),
            ("memoryUsage", 25.0, Phase::Inactive),
        ];
        let expected = expected.map(|(name, value, phase)| (name.to_owned(), value, phase));
        assert_eq!(values(&watch), expected);
    }

    #[test]
    fn what_lasts_is_raised_and_what_is_unknown_is_not_observed() {
        let (watch, _folder, clock) = watch();
        watch.observe_system(&SystemSample::default());
        watch.observe_work(AlertWork::default());
        assert_eq!(values(&watch), []);
        for _ in 0..=6 {
            watch.observe_system(&system(0.99, 0.1));
            clock.pass(5 * SECOND);
        }
        let expected = ("cpuUsage".to_owned(), 99.0, Phase::Firing);
        assert_eq!(values(&watch)[0], expected);
    }

    #[test]
    fn few_failures_prove_nothing() {
        let (watch, _folder, _) = watch();
        watch.observe_work(AlertWork::new(19, 19));
        assert_eq!(values(&watch)[0].2, Phase::Inactive);
        watch.observe_work(AlertWork::new(20, 20));
        assert_eq!(values(&watch)[0].2, Phase::Pending);
    }

    #[test]
    fn the_fuller_of_machine_and_cgroup_counts() {
        assert_eq!(fuller(Some(0.2), Some(0.9)), Some(0.9));
        assert_eq!(fuller(Some(0.2), None), Some(0.2));
        assert_eq!(fuller(None, Some(1.2)), Some(1.0));
        assert_eq!(fuller(None, None), None);
    }
}
