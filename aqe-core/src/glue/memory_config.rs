//! From section `memory` of the configuration to the settings of a store.

use aqe_memory::{Compression, MemoryConfig};

use crate::config::MemorySettings;

/// Carries over what the file can say of a store; keys to seal it with are the program's to give
/// (`MemoryConfig::keys`). Every value that the file accepts is one that a store accepts.
///
/// ```
/// use aqe_core::memory::{MemoryConfig, Store};
/// use aqe_core::Config;
///
/// let config = Config::parse("memory:\n  maxSize: 64MB\n  retentionPeriod: 1h\n", "qe.config.yaml")?;
/// let store = Store::new(MemoryConfig::from(&config.memory))?;
/// assert_eq!(store.config().max_size, 64_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl From<&MemorySettings> for MemoryConfig {
    fn from(settings: &MemorySettings) -> Self {
        // Taken apart by name, so that a key added to the section cannot be forgotten here.
        let &MemorySettings {
            max_size,
            compression,
            // Says that it should be, and not with which key.
            encryption: _,
            cache_size,
            retention_period,
            cleanup_interval,
            gc_threshold,
        } = settings;
        Self::default()
            .max_size(max_size.as_u64())
            .cache_size(cache_size.as_u64())
            .time_to_live(retention_period)
            .cleanup_interval(cleanup_interval)
            // In whole percent, of which there are 100 at most.
            .gc_threshold(gc_threshold.as_hundredths().div_ceil(100) as u8)
            .compression(match compression {
                true => Compression::Lz4,
                false => Compression::None,
            })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aqe_memory::Store;

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_key_that_a_store_knows_arrives() {
        let text = "memory: {maxSize: 9MB, cacheSize: 2MB, compression: false, retentionPeriod: 3h, \
                    cleanupInterval: 5m, gcThreshold: 64.5}\n";
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        let memory = MemoryConfig::from(&config.memory);
        assert_eq!(
            (memory.max_size, memory.cache_size),
            (9_000_000, Some(2_000_000))
        );
        assert_eq!(memory.time_to_live, Some(Duration::from_secs(3 * 3600)));
        assert_eq!(memory.compression, Compression::None);
        assert_eq!(memory.cleanup_interval, Duration::from_secs(300));
        assert_eq!(memory.gc_threshold, 65);
    }

    #[test]
    fn every_threshold_that_the_file_can_say_is_one() {
        for percent in ["1", "1.01", "99.99", "100"] {
            let text = format!("memory: {{gcThreshold: {percent}}}\n");
            let config = Config::parse(&text, "qe.config.yaml").unwrap();
            assert!(
                Store::new(MemoryConfig::from(&config.memory)).is_ok(),
                "{percent}"
            );
        }
    }

    #[test]
    fn the_smallest_store_that_the_file_can_ask_for_works() {
        let text = "memory: {maxSize: 1MB, cacheSize: 0}\n";
        let config = Config::parse(text, "qe.config.yaml").unwrap();
        let store = Store::new(MemoryConfig::from(&config.memory)).unwrap();
        store.put(b"key", b"value").unwrap();
        assert_eq!(store.get(b"key").as_deref(), Some(&b"value"[..]));
    }
}
