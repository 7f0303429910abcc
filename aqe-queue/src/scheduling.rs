//! Which operation is next, and how many run at once.

use std::time::Duration;

use crate::config::ConfigError;
use crate::limit::AdaptiveLimit;

/// How a queue chooses what to start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduling {
    /// In the order of arrival, whatever the priorities: all operations are of level 0.
    Fifo,
    /// The most urgent level first, and within a level in the order of arrival.
    #[default]
    Priority,
    /// As [`Priority`](Self::Priority), with a limit on concurrency that follows the run times and failures it sees;
    /// `max_concurrent` is the most it can be. [`QueueStatus::max_concurrent`](crate::QueueStatus::max_concurrent)
    /// tells the present limit.
    Adaptive(AdaptiveLimit),
}

impl Scheduling {
    pub(crate) const fn validate(&self, max_concurrent: usize) -> Result<(), ConfigError> {
        const fn within(
            field: &'static str,
            value: usize,
            from: usize,
            to: usize,
        ) -> Result<(), ConfigError> {
            if value < from || value > to {
                return Err(ConfigError::OutOfRange {
                    field,
                    value,
                    from,
                    to,
                });
            }
            Ok(())
        }
        let Self::Adaptive(limit) = self else {
            return Ok(());
        };
        let checks = [
            within("scheduling.min", limit.min, 1, max_concurrent),
            within("scheduling.start", limit.start, 1, usize::MAX),
            within(
                "scheduling.tolerance_percent",
                limit.tolerance_percent as usize,
                100,
                10_000,
            ),
            within(
                "scheduling.error_percent",
                limit.error_percent as usize,
                0,
                100,
            ),
        ];
        let mut index = 0;
        while index < checks.len() {
            if let Err(error) = checks[index] {
                return Err(error);
            }
            index += 1;
        }
        if let Duration::ZERO = limit.window {
            return Err(ConfigError::ZeroDuration {
                field: "scheduling.window",
            });
        }
        Ok(())
    }
}
