//! What batches say: how many runs there are, and how far each is.

use aqe_batch::{BatchProcessor, Progress};
use aqe_monitor::registry::{Gauge, Metric, RegisterError, Registry, Unit};

/// Passes on how many runs there are; over when the processor is shut down and has none.
pub(super) fn part(
    registry: &Registry,
    name: &str,
    processor: &BatchProcessor,
) -> Result<impl FnMut() -> bool + Send + 'static, RegisterError> {
    let metric = Metric::new("aqe_batch_runs").help("Runs that have begun and are not over.");
    let runs = registry
        .gauges(metric)?
        .with(&[("processor", name)])
        .clone();
    let processor = processor.clone();
    Ok(move || {
        let is_closed = processor.is_closed();
        let running = processor.running();
        runs.set(running as f64);
        !is_closed || running > 0
    })
}

/// How far a run is.
pub(super) struct Gauges {
    items: Gauge,
    done: Gauge,
    failed: Gauge,
    skipped: Gauge,
    retried: Gauge,
    rate: Gauge,
    chunk_size: Gauge,
    memory_wait: Gauge,
}

impl Gauges {
    pub(super) fn new(registry: &Registry, job: &str) -> Result<Self, RegisterError> {
        let labels = [("job", job)];
        let gauge = |name: &'static str, help: &'static str| {
            let family = registry.gauges(Metric::new(name).help(help))?;
            Ok(family.with(&labels).clone())
        };
        let memory_wait = Metric::new("aqe_batch_memory_wait_seconds")
            .help("How long chunks have waited because too much memory was in use.")
            .unit(Unit::Seconds);
        Ok(Self {
            items: gauge(
                "aqe_batch_items",
                "Items of the run, as far as it is known.",
            )?,
            done: gauge(
                "aqe_batch_items_done",
                "Items that have ended, those of earlier runs included.",
            )?,
            failed: gauge("aqe_batch_items_failed", "Items that failed.")?,
            skipped: gauge("aqe_batch_items_skipped", "Items that were skipped.")?,
            retried: gauge("aqe_batch_items_retried", "Attempts after the first.")?,
            rate: gauge(
                "aqe_batch_items_per_second",
                "Items a second, over the last half minute.",
            )?,
            chunk_size: gauge("aqe_batch_chunk_size", "Items of a chunk.")?,
            memory_wait: registry.gauges(memory_wait)?.with(&labels).clone(),
        })
    }

    pub(super) fn show(&self, progress: &Progress) {
        if let Some(total) = progress.total {
            self.items.set(total as f64);
        }
        self.done.set(progress.done as f64);
        self.failed.set(progress.failed as f64);
        self.skipped.set(progress.skipped as f64);
        self.retried.set(progress.retried as f64);
        self.rate.set(progress.rate);
        self.chunk_size.set(progress.chunk_size as f64);
        self.memory_wait.set(progress.memory_wait.as_secs_f64());
    }
}
