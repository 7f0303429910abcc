//! From which value on something is a finding.

/// From which value on something is a finding; shares are 0–1.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(default)
)]
#[non_exhaustive]
pub struct Thresholds {
    /// Share of the processors that is busy: `monitoring.alerting.thresholds.cpuUsage`.
    pub cpu: f64,
    /// Share of the memory limit in use: `monitoring.alerting.thresholds.memoryUsage`.
    pub memory: f64,
    /// Share of the disk's channels that is busy. Waits at a device double at a half and grow fivefold at 0.8.
    pub disk: f64,
    /// Share of the pool's connections that is in use.
    pub connections: f64,
    /// Share of operations or requests that fails: `monitoring.alerting.thresholds.errorRate`.
    pub errors: f64,
    /// Share of reads that miss an entry because it had been evicted.
    pub misses: f64,
    /// Share of the slots, or connections, that advice leaves busy. What is left drains backlogs and takes bursts.
    pub target: f64,
    /// Operations that a window needs for means that are known to a tenth.
    pub operations: u64,
    /// Seconds that a window needs.
    pub seconds: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            cpu: 0.85,
            memory: 0.8,
            disk: 0.85,
            connections: 0.9,
            errors: 0.05,
            misses: 0.05,
            target: 0.8,
            operations: 100,
            seconds: 10.0,
        }
    }
}

impl Thresholds {
    /// Each share within (0, 1], and at least one operation: both divide.
    pub(super) fn clamped(self) -> Self {
        let share = |x: f64| {
            if x.is_finite() {
                x.clamp(0.01, 1.0)
            } else {
                1.0
            }
        };
        Self {
            cpu: share(self.cpu),
            memory: share(self.memory),
            disk: share(self.disk),
            connections: share(self.connections),
            errors: share(self.errors),
            misses: share(self.misses),
            target: share(self.target),
            operations: self.operations.max(1),
            seconds: if self.seconds.is_finite() {
                self.seconds.max(0.0)
            } else {
                f64::MAX
            },
        }
    }
}
