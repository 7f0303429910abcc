//! How a store is put together that is more than its settings.

use std::fmt;
use std::path::Path;

use crate::clock::{Clock, ManualClock};
use crate::config::{ConfigError, MemoryConfig};
use crate::disk::error::OpenError;
use crate::pressure::{Gauge, MemoryReading};
use crate::removal::{Hooks, Removal};
use crate::store::Store;

/// Puts a store together: see [`Store::builder`].
#[derive(Default)]
#[must_use = "a builder does nothing before it builds"]
pub struct StoreBuilder {
    config: MemoryConfig,
    clock: Option<Clock>,
    hooks: Hooks,
}

impl StoreBuilder {
    /// Sets the settings, in place of the defaults.
    pub fn config(mut self, config: MemoryConfig) -> Self {
        self.config = config;
        self
    }

    /// Lets time pass when the clock is moved, as [`Store::with_clock`] does.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Some(clock.clock());
        self
    }

    /// Sets who is told of every entry that is gone: expired, evicted, removed or replaced. What is in the store when it
    /// ends is not told.
    ///
    /// The listener is called on a thread of its own, one removal after the other, in order for each key, and under no lock:
    /// it may use the store. What it panics with is [counted](crate::StoreStats::listener_panics), and it is called again for
    /// the next removal. A store that it holds on to never ends; the last handle of a store waits, when it is dropped, until
    /// the listener has been told everything.
    ///
    /// Who puts or removes something does not wait for the listener. Removals of which it has not been told yet take at
    /// most 4 MiB (a sixteenth of [`max_size`](MemoryConfig::max_size) in a small store), beside what the store holds: some
    /// 60,000 of them with keys of 20 bytes. When they are that many, what is evicted, removed or replaced is not told, but
    /// counted in [`Removal::missed`] and [`StoreStats::removals_missed`](crate::StoreStats::removals_missed). What
    /// expires waits to be cleared away until there is room, unless the listener takes longer than a second for one call.
    pub fn listener(mut self, listener: impl Fn(&Removal) + Send + Sync + 'static) -> Self {
        self.hooks.listen = Some(Box::new(listener));
        self
    }

    /// Sets what says how much memory there is for all, and how much of it is taken, instead of the system: see
    /// [`MemoryConfig::pressure_threshold`]. It is asked every ten seconds, and every second when memory is short; `None`
    /// means that there is no saying. It is called under no lock of readers or writers, by the thread that clears away what is over.
    pub fn memory_gauge(
        mut self,
        read: impl Fn() -> Option<MemoryReading> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.gauge = Some(Gauge::new(read));
        self
    }

    /// The store, in memory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which setting cannot be.
    pub fn build(self) -> Result<Store, ConfigError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        Store::build_in_memory(self.config, clock, self.hooks)
    }

    /// The store in a folder, as [`Store::open`] opens it.
    ///
    /// # Errors
    ///
    /// As [`Store::open`].
    pub fn open(self, folder: impl AsRef<Path>) -> Result<Store, OpenError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        Store::open_at(folder.as_ref(), self.config, clock, self.hooks)
    }
}

impl fmt::Debug for StoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreBuilder")
            .field("config", &self.config)
            .field("clock", &self.clock)
            .field("listener", &self.hooks.listen.as_ref().map(|_| ".."))
            .finish()
    }
}
