//! From section `batch` of the configuration to the settings of a batch processor.

use aqe_batch::BatchConfig;

use crate::config::BatchSettings;

/// Carries all five keys of the section over; what the file cannot say keeps the batch processor's own default. Every value
/// that the file accepts is one that the batch processor accepts.
///
/// ```
/// use aqe_core::{BatchConfig, BatchProcessor, Config};
///
/// let config = Config::parse("batch:\n  chunkSize: 50\n", "qe.config.yaml")?;
/// let processor = BatchProcessor::new(BatchConfig::from(&config.batch).skip_limit(3))?;
/// assert_eq!((processor.config().chunk_size, processor.config().concurrency), (50, 5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl From<&BatchSettings> for BatchConfig {
    fn from(settings: &BatchSettings) -> Self {
        // Taken apart by name, so that a key added to the section cannot be forgotten here.
        let &BatchSettings {
            chunk_size,
            concurrency,
            checkpoint_interval,
            memory_threshold,
            error_threshold,
        } = settings;
        Self::default()
            .chunk_size(chunk_size.get())
            .concurrency(concurrency.get())
            .checkpoint_interval(checkpoint_interval.get())
            .memory_threshold(memory_threshold.as_ratio() * 100.0)
            .error_threshold(error_threshold as u64)
    }
}

#[cfg(test)]
mod tests {
    use aqe_batch::BatchProcessor;

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_key_of_the_section_arrives() {
        let text = "batch: {chunkSize: 7, concurrency: 3, checkpointInterval: 12, memoryThreshold: 62.5, \
                    errorThreshold: 0}\n";
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        let batch = BatchConfig::from(&config.batch);
        assert_eq!((batch.chunk_size, batch.concurrency), (7, 3));
        assert_eq!(
            (batch.checkpoint_interval, batch.error_threshold),
            (12, Some(0))
        );
        assert_eq!(batch.memory_threshold, Some(62.5));
    }

    #[test]
    fn the_defaults_of_the_file_are_the_defaults_of_the_batch_processor() {
        let of_the_file = BatchConfig::from(&Config::default().batch);
        assert_eq!(of_the_file, BatchConfig::default());
    }

    #[test]
    fn the_largest_values_of_the_file_are_accepted() {
        let text = "batch: {chunkSize: 1000000, concurrency: 10000, checkpointInterval: 1000000000, \
                    memoryThreshold: 100, errorThreshold: 1000000000}\n";
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        assert!(BatchProcessor::new(BatchConfig::from(&config.batch)).is_ok());
    }
}
