//! What is watched, by the names that people type.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::parse_duration;

/// A value that an engine knows at every tick, and that rules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AlertMetric {
    /// Share of the processors in use, in percent: of the machine or of the limit of the cgroup, whichever is fuller.
    CpuUsage,
    /// Share of the memory in use, in percent: of the machine or of the limit of the cgroup, whichever is fuller.
    MemoryUsage,
    /// 95th percentile of the times that operations of the last minute took, in seconds.
    ExecutionTime,
    /// Share of the operations of the last minute that failed, in percent.
    ErrorRate,
}

impl AlertMetric {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [
        Self::CpuUsage,
        Self::MemoryUsage,
        Self::ExecutionTime,
        Self::ErrorRate,
    ];

    /// The name in the configuration, in rules and in messages: `cpuUsage`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuUsage => "cpuUsage",
            Self::MemoryUsage => "memoryUsage",
            Self::ExecutionTime => "executionTime",
            Self::ErrorRate => "errorRate",
        }
    }

    /// The name on a command line: `cpu-usage`.
    #[must_use]
    pub const fn typed_name(self) -> &'static str {
        match self {
            Self::CpuUsage => "cpu-usage",
            Self::MemoryUsage => "memory-usage",
            Self::ExecutionTime => "execution-time",
            Self::ErrorRate => "error-rate",
        }
    }

    /// The metric of one of its two names.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let is_it = |metric: &Self| [metric.name(), metric.typed_name()].contains(&name);
        Self::ALL.into_iter().find(is_it)
    }

    /// The key of the configuration that has the threshold of its default rule.
    #[must_use]
    pub const fn threshold_key(self) -> &'static str {
        match self {
            Self::CpuUsage => "monitoring.alerting.thresholds.cpuUsage",
            Self::MemoryUsage => "monitoring.alerting.thresholds.memoryUsage",
            Self::ExecutionTime => "monitoring.alerting.thresholds.executionTime",
            Self::ErrorRate => "monitoring.alerting.thresholds.errorRate",
        }
    }

    /// Reads a level: `85` or `85%`, and `30s` of times, which always need a unit.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and what to write.
    pub fn read_level(self, text: &str) -> Result<f64, String> {
        let text = text.trim();
        let level = if self == Self::ExecutionTime {
            // Elsewhere a bare number is of milliseconds. Here somebody who types 30 means seconds, and would be told of
            // every operation.
            if text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
            {
                return Err(format!("`{text}` has no unit; write {text}s or {text}ms"));
            }
            parse_duration(text)?.as_secs_f64()
        } else {
            let number = text.strip_suffix('%').map_or(text, str::trim_end);
            number
                .parse()
                .map_err(|_| format!("`{text}` is not a percentage; write a number such as 85"))?
        };
        self.check_level(level).map(|()| level)
    }

    /// Whether the metric can have this level.
    ///
    /// # Errors
    ///
    /// Which levels it can have.
    pub fn check_level(self, level: f64) -> Result<(), String> {
        let (least, most) = match self {
            Self::ExecutionTime => (0.001, 7.0 * 86_400.0),
            _ => (0.0, 100.0),
        };
        if (least..=most).contains(&level) {
            return Ok(());
        }
        let (least, most) = (self.show(least), self.show(most));
        Err(format!(
            "{} can be {least} to {most}, not {}",
            self.typed_name(),
            self.show(level)
        ))
    }

    /// Writes a level so that [`read_level`](Self::read_level) reads it.
    #[must_use]
    pub fn show(self, level: f64) -> String {
        match self {
            Self::ExecutionTime if level.abs() < 1.0 => format!("{}ms", rounded(level * 1e3)),
            Self::ExecutionTime => format!("{}s", rounded(level)),
            _ => format!("{}%", rounded(level)),
        }
    }

    /// The level of the way back that fits a threshold: far enough below that a value which hovers about the threshold
    /// does not ring each time.
    #[must_use]
    pub fn way_back(self, threshold: f64) -> f64 {
        match self {
            Self::CpuUsage | Self::MemoryUsage => (threshold - 5.0).max(threshold / 2.0),
            Self::ExecutionTime => threshold * 0.9,
            Self::ErrorRate => threshold * 0.8,
        }
    }

    /// Values behind which fewer events stand prove nothing.
    pub(super) const fn min_events(self) -> u64 {
        match self {
            // With fewer, 5 % would be less than one.
            Self::ErrorRate => 20,
            _ => 0,
        }
    }
}

/// To three decimals, without zeros at the end: what people write comes back as they wrote it.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

impl fmt::Display for AlertMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.typed_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn both_names_are_read_and_every_key_is_one() {
        for metric in AlertMetric::ALL {
            assert_eq!(AlertMetric::of_name(metric.name()), Some(metric));
            assert_eq!(AlertMetric::of_name(metric.typed_name()), Some(metric));
            let key = metric.threshold_key();
            assert!(keys().iter().any(|one| one.path() == key), "{key}");
        }
        assert_eq!(AlertMetric::of_name("cpu"), None);
    }

    #[test]
    fn levels_are_read_and_written_back() {
        use AlertMetric::{CpuUsage, ErrorRate, ExecutionTime};
        for (metric, text, level, shown) in [
            (CpuUsage, "85", 85.0, "85%"),
            (ErrorRate, "0.5 %", 0.5, "0.5%"),
            (ExecutionTime, "30s", 30.0, "30s"),
            (ExecutionTime, "1m 30s", 90.0, "90s"),
            (ExecutionTime, "250ms", 0.25, "250ms"),
        ] {
            assert_eq!(metric.read_level(text), Ok(level), "{text}");
            assert_eq!(metric.show(level), shown);
            assert_eq!(metric.read_level(shown), Ok(level));
        }
        for (metric, text) in [
            (CpuUsage, "101"),
            (CpuUsage, "-1"),
            (CpuUsage, "NaN"),
            (CpuUsage, "inf"),
            (CpuUsage, ""),
            (ExecutionTime, "30"),
            (ExecutionTime, "0ms"),
            (ExecutionTime, "8days"),
        ] {
            assert!(metric.read_level(text).is_err(), "{metric} {text}");
        }
        let refusal = ExecutionTime.read_level("30").unwrap_err();
        assert_eq!(refusal, "`30` has no unit; write 30s or 30ms");
    }

    #[test]
    fn the_way_back_is_on_the_good_side_of_every_threshold() {
        for metric in AlertMetric::ALL {
            for threshold in [0.0, 0.001, 1.0, 5.0, 85.0, 100.0] {
                let back = metric.way_back(threshold);
                assert!((0.0..=threshold).contains(&back), "{metric} {threshold}");
            }
        }
        assert_eq!(AlertMetric::CpuUsage.way_back(85.0), 80.0);
        assert_eq!(AlertMetric::ExecutionTime.way_back(30.0), 27.0);
        assert_eq!(AlertMetric::ErrorRate.way_back(5.0), 4.0);
    }
}
