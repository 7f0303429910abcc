//! What runs come to, by the names that people type.

use std::time::Duration;

use crate::args::MetricArg;
use crate::report::style::Human;
use crate::report::text::one_line;

impl MetricArg {
    /// The name of the result in the history; all are times in seconds.
    pub(super) fn result(self) -> &'static str {
        match self {
            Self::Execution => "wall_seconds",
            Self::Cpu => "cpu_seconds",
            Self::MedianTest => "p50_seconds",
            Self::SlowTest => "p95_seconds",
        }
    }

    /// As a heading.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Execution => "Time of the run",
            Self::Cpu => "Processor time of the run",
            Self::MedianTest => "Median of the tests' times",
            Self::SlowTest => "95th percentile of the tests' times",
        }
    }
}

/// Seconds as people read them.
pub(super) fn human(seconds: f64) -> String {
    let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    Human(time).to_string()
}

/// When something was, after its version if that is known.
pub(super) fn of_version(version: &str, started: &str) -> String {
    match version {
        "" => started.to_owned(),
        version => format!("{} {started}", one_line(version)),
    }
}

/// A ratio as a change: 1.1 is `+10.0%`.
pub(super) fn change(ratio: f64) -> String {
    format!("{:+.1}%", (ratio - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign() {
        assert_eq!(
            [change(1.1), change(0.5), change(1.0)],
            ["+10.0%", "-50.0%", "+0.0%"]
        );
    }

    #[test]
    fn times_that_no_clock_shows_do_no_harm() {
        assert_eq!(human(1.5), "1.50s");
        human(f64::NAN);
        human(-1.0);
        human(f64::MAX);
    }
}
