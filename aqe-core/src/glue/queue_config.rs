//! From the configuration to the settings of a queue, and of several side by side.

use aqe_queue::{AdaptiveLimit, Placement, QueueConfig, RetryPolicy, Scheduling};

use crate::config::{self, Config, LoadBalancing, QueueSettings};

/// What the whole configuration says about a queue: section `queue`, and `execution.scheduling`. An adaptive limit begins
/// at its maximum, and comes down when run times or failures say so.
///
/// ```
/// use aqe_core::queue::Scheduling;
/// use aqe_core::{Config, QueueConfig};
///
/// let config = Config::parse("execution:\n  scheduling: fifo\n", "qe.config.yaml")?;
/// assert_eq!(QueueConfig::from(&config).scheduling, Scheduling::Fifo);
/// # Ok::<(), aqe_core::config::Problems>(())
/// ```
impl From<&Config> for QueueConfig {
    fn from(config: &Config) -> Self {
        Self::from(&config.queue).scheduling(config.execution.scheduling.into())
    }
}

impl From<config::Scheduling> for Scheduling {
    fn from(scheduling: config::Scheduling) -> Self {
        match scheduling {
            config::Scheduling::Fifo => Self::Fifo,
            config::Scheduling::Priority => Self::Priority,
            // Whatever the maximum is in the end: a program may change it after the file has had its say.
            config::Scheduling::Adaptive => {
                Self::Adaptive(AdaptiveLimit::default().start(usize::MAX))
            }
        }
    }
}

impl From<LoadBalancing> for Placement {
    fn from(balancing: LoadBalancing) -> Self {
        match balancing {
            LoadBalancing::RoundRobin => Self::RoundRobin,
            LoadBalancing::LeastLoaded => Self::LeastLoaded,
            LoadBalancing::Random => Self::Random,
        }
    }
}

/// Carries all six keys of the section over; what the file cannot say keeps the queue's own default. Every value that
/// the file accepts is one that the queue accepts.
///
/// ```
/// use aqe_core::{Config, QueueConfig};
///
/// let config = Config::parse("queue:\n  retryAttempts: 0\n", "qe.config.yaml")?;
/// let queue = QueueConfig::from(&config.queue).capacity(500);
/// assert_eq!((queue.retry_attempts, queue.max_concurrent, queue.capacity), (0, 10, 500));
/// # Ok::<(), aqe_core::config::Problems>(())
/// ```
impl From<&QueueSettings> for QueueConfig {
    fn from(settings: &QueueSettings) -> Self {
        // Taken apart by name, so that a key added to the section cannot be forgotten here.
        let &QueueSettings {
            max_concurrent,
            batch_size,
            timeout,
            retry_attempts,
            retry_delay,
            priority_levels,
        } = settings;
        Self::default()
            .max_concurrent(max_concurrent.get())
            .batch_size(batch_size.get())
            .timeout(timeout)
            .retry(RetryPolicy::fixed(retry_attempts, retry_delay))
            .priority_levels(priority_levels.get())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Loader;

    #[test]
    fn every_key_of_the_section_arrives() {
        let text = "queue: {maxConcurrent: 7, batchSize: 3, timeout: 12s, retryAttempts: 2, retryDelay: 40, \
                    priorityLevels: 9}\n";
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        let queue = QueueConfig::from(&config.queue);
        assert_eq!((queue.max_concurrent, queue.batch_size), (7, 3));
        assert_eq!(queue.timeout, Some(Duration::from_secs(12)));
        assert_eq!(
            queue.retry_policy(),
            RetryPolicy::fixed(2, Duration::from_millis(40))
        );
        assert_eq!(queue.priority_levels, 9);
    }

    #[test]
    fn every_choice_of_the_file_arrives() {
        for (text, scheduling, start) in [
            ("fifo", Scheduling::Fifo, None),
            ("priority", Scheduling::Priority, None),
            (
                "adaptive",
                Scheduling::Adaptive(AdaptiveLimit::default().start(usize::MAX)),
                Some(()),
            ),
        ] {
            let loaded = Loader::new().flag("execution.scheduling", text).load();
            let queue = QueueConfig::from(loaded.unwrap().config());
            assert_eq!(queue.scheduling, scheduling);
            assert_eq!(queue.validate(), Ok(()));
            let is_default = QueueConfig::from(&Config::default()) == queue;
            assert_eq!(is_default, start.is_some(), "{text}");
        }
        for (text, placement) in [
            ("round-robin", Placement::RoundRobin),
            ("least-loaded", Placement::LeastLoaded),
            ("random", Placement::Random),
        ] {
            let loaded = Loader::new().flag("execution.loadBalancing", text).load();
            let balancing = loaded.unwrap().config().execution.load_balancing;
            assert_eq!(Placement::from(balancing), placement);
        }
    }

    #[test]
    fn the_defaults_of_the_section_are_the_defaults_of_the_queue() {
        assert_eq!(
            QueueConfig::from(&Config::default().queue),
            QueueConfig::default()
        );
    }

    /// The two ranges are written in two crates; a file that passes must not be refused later, without its line.
    #[test]
    fn both_ends_of_every_range_of_the_file_suit_the_queue() {
        for (key, ends) in [
            ("queue.maxConcurrent", ["1", "100000"]),
            ("queue.batchSize", ["1", "10000"]),
            ("queue.timeout", ["1ms", "7days"]),
            ("queue.retryAttempts", ["0", "100"]),
            ("queue.retryDelay", ["0", "1day"]),
            ("queue.priorityLevels", ["1", "64"]),
        ] {
            for end in ends {
                let loaded = Loader::new().flag(key, end).load().unwrap();
                let queue = QueueConfig::from(&loaded.config().queue);
                assert_eq!(queue.validate(), Ok(()), "{key} = {end}");
            }
        }
    }
}
