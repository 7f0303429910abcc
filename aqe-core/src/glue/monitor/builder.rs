//! What is said of a monitor before it starts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aqe_monitor::registry::Registry;
use aqe_monitor::sampler::{Clock, Parts, Sampler, Source, SystemClock};

use super::shared::Shared;
use super::thread::{self, Listener};
use super::{Monitor, MonitorTick};
use crate::Config;
use crate::config::MonitoringSettings;

/// Sets up a [`Monitor`]; [`Monitor::builder`] starts with a registry of its own, the interval of the default
/// [`Config`], all parts of the system, and no history.
#[must_use = "a builder does nothing until `start`"]
pub struct MonitorBuilder {
    interval: Duration,
    parts: Parts,
    registry: Option<Registry>,
    sources: Vec<(String, Box<dyn Source>)>,
    clock: Option<Arc<dyn Clock>>,
    listeners: Vec<Listener>,
    #[cfg(feature = "monitor-history")]
    history: Option<std::path::PathBuf>,
    #[cfg(feature = "monitor-history")]
    history_config: aqe_monitor::history::HistoryConfig,
}

impl Default for MonitorBuilder {
    fn default() -> Self {
        let settings = MonitoringSettings::default();
        let builder = Self {
            interval: settings.interval,
            parts: Parts::default(),
            registry: None,
            sources: Vec::new(),
            clock: None,
            listeners: Vec::new(),
            #[cfg(feature = "monitor-history")]
            history: None,
            #[cfg(feature = "monitor-history")]
            history_config: aqe_monitor::history::HistoryConfig::default(),
        };
        builder.settings(&settings)
    }
}

impl MonitorBuilder {
    /// Takes `monitoring.interval` and `monitoring.retention` over. Whether there is to be a monitor at all
    /// (`monitoring.enabled`) is decided by whoever starts it.
    pub fn config(self, config: &Config) -> Self {
        self.settings(&config.monitoring)
    }

    fn settings(mut self, settings: &MonitoringSettings) -> Self {
        self.interval = settings.interval;
        #[cfg(feature = "monitor-history")]
        {
            self.history_config = self.history_config.retention(settings.retention);
        }
        self
    }

    /// Sets the time between two ticks; at least 10 ms.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets which parts of the system are looked at.
    pub fn parts(mut self, parts: Parts) -> Self {
        self.parts = parts;
        self
    }

    /// Sets the registry, which others may count in already.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Adds a part of the program that has something to say at each tick, by a name for messages. One that panics is
    /// not asked again, which is a [problem](Monitor::problems).
    pub fn source(mut self, name: impl Into<String>, source: impl Source) -> Self {
        self.sources.push((name.into(), Box::new(source)));
        self
    }

    /// Sets the clock, which a test can drive.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Calls `listener` with each tick, the last included, on the monitor's thread, which waits for it: it should not
    /// block. One that panics is not called again, which is a [problem](Monitor::problems).
    pub fn on_tick(mut self, listener: impl FnMut(&MonitorTick) + Send + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Keeps every tick in the [history](aqe_monitor::history) in this file, whose folder must be there: readings and
    /// gauges as gauges, counters, and histograms as buckets of what came since the tick before.
    ///
    /// The file is opened by the monitor's thread. If it cannot be, the monitor goes on without it, and tries again at
    /// each tick.
    ///
    /// Series are called as in the text of the registry, counters with `_total` at their end. A histogram of seconds has
    /// the unit `nanoseconds`, since that is what its buckets and its sum are in.
    #[cfg(feature = "monitor-history")]
    pub fn history(mut self, path: impl Into<std::path::PathBuf>) -> Self {
        self.history = Some(path.into());
        self
    }

    /// Changes the history's settings after the configuration has had its say, such as its bounds, which no file sets.
    #[cfg(feature = "monitor-history")]
    pub fn history_config(
        mut self,
        change: impl FnOnce(aqe_monitor::history::HistoryConfig) -> aqe_monitor::history::HistoryConfig,
    ) -> Self {
        self.history_config = change(self.history_config);
        self
    }

    /// Starts the monitor's thread, whose first tick comes at once. If the system starts no thread, that is a
    /// [problem](Monitor::problems), and the registry works all the same.
    #[must_use = "it ends when it is dropped"]
    pub fn start(self) -> Monitor {
        let registry = match self.registry {
            Some(registry) => registry,
            // Not the default one, which counts nothing.
            None => Registry::new(),
        };
        let clock = self
            .clock
            .unwrap_or_else(|| Arc::new(SystemClock::default()));
        let shared = Arc::new(Shared::new(registry, clock));
        let mut sampler = Sampler::with_parts(self.interval, self.parts);
        for (name, source) in self.sources {
            sampler.add(name, Boxed(source));
        }
        let interval = sampler.interval();
        #[cfg(feature = "monitor-history")]
        let keeper = self
            .history
            .map(|path| super::keep::Keeper::new(path, self.history_config));
        thread::spawn(
            Arc::clone(&shared),
            sampler,
            self.listeners,
            #[cfg(feature = "monitor-history")]
            keeper,
        );
        Monitor { shared, interval }
    }
}

/// A source of any type, as a source.
struct Boxed(Box<dyn Source>);

impl Source for Boxed {
    fn sample(&mut self, readings: &mut aqe_monitor::sampler::Readings) {
        self.0.sample(readings);
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources: Vec<_> = self.sources.iter().map(|(name, _)| name).collect();
        f.debug_struct("MonitorBuilder")
            .field("interval", &self.interval)
            .field("parts", &self.parts)
            .field("sources", &sources)
            .field("listeners", &self.listeners.len())
            .finish_non_exhaustive()
    }
}
