//! What a memory store says at a tick.

use aqe_memory::{Store, StoreStats};
use aqe_monitor::registry::{Counter, Family, Gauge, Metric, RegisterError, Registry, Unit};

/// Passes on what a store holds and has done.
pub(super) fn part(
    registry: &Registry,
    name: &str,
    store: &Store,
) -> Result<impl FnMut() -> bool + Send + 'static, RegisterError> {
    let gauges = gauges(registry, name)?;
    let counters = counters(registry, name)?;
    let store = store.clone();
    Ok(move || {
        let stats = store.stats();
        for (gauge, read) in &gauges {
            gauge.set(read(&stats) as f64);
        }
        for (counter, read) in &counters {
            counter.raise_to(read(&stats));
        }
        true
    })
}

type Read = fn(&StoreStats) -> u64;

fn gauges(registry: &Registry, store: &str) -> Result<Vec<(Gauge, Read)>, RegisterError> {
    let bytes: [(&'static str, &'static str, Read); 6] = [
        (
            "aqe_memory_resident_bytes",
            "Memory that the store takes.",
            |stats| stats.resident_bytes,
        ),
        (
            "aqe_memory_uncompressed_bytes",
            "Of these, uncompressed entries.",
            |stats| stats.uncompressed_bytes,
        ),
        (
            "aqe_memory_compressed_bytes",
            "Of these, compressed entries.",
            |stats| stats.compressed_bytes,
        ),
        ("aqe_memory_index_bytes", "Of these, the index.", |stats| {
            stats.index_bytes
        }),
        (
            "aqe_memory_ceiling_bytes",
            "The most memory that the store takes for now.",
            |stats| stats.ceiling_bytes,
        ),
        (
            "aqe_memory_disk_bytes",
            "Files in the store's folder.",
            |stats| stats.disk_bytes,
        ),
    ];
    let entries: Read = |stats| stats.entries;
    let entries_metric = Metric::new("aqe_memory_entries").help("Entries in the store.");
    let metrics =
        bytes.map(|(name, help, read)| (Metric::new(name).help(help).unit(Unit::Bytes), read));
    let all = metrics.into_iter().chain([(entries_metric, entries)]);
    all.map(|(metric, read)| {
        let family = registry.gauges(metric)?;
        Ok((family.with(&[("store", store)]).clone(), read))
    })
    .collect()
}

fn counters(registry: &Registry, store: &str) -> Result<Vec<(Counter, Read)>, RegisterError> {
    let family =
        |name: &'static str, help: &'static str| registry.counters(Metric::new(name).help(help));
    let labelled = |family: &Family<Counter>, name: &str, value: &str, read: Read| {
        // In the order of their names, in which labels are found faster.
        let labels = [(name, value), ("store", store)];
        (family.with(&labels).clone(), read)
    };
    let reads = family("aqe_memory_reads_total", "Reads, by what they found.")?;
    let removals = family(
        "aqe_memory_removals_total",
        "Entries that are gone, by cause.",
    )?;
    let loads = family("aqe_memory_loads_total", "Loaders that have ended, by how.")?;
    let plain = |name, help, read: Read| {
        let family = family(name, help)?;
        Ok((family.with(&[("store", store)]).clone(), read))
    };
    Ok(vec![
        labelled(&reads, "found", "yes", |stats| stats.hits),
        labelled(&reads, "found", "no", |stats| stats.misses),
        labelled(&removals, "cause", "expired", |stats| stats.expired),
        labelled(&removals, "cause", "evicted", |stats| stats.evicted),
        labelled(&removals, "cause", "removed", |stats| stats.removed),
        labelled(&removals, "cause", "replaced", |stats| stats.replaced),
        labelled(&loads, "outcome", "failed", |stats| stats.failed_loads),
        labelled(&loads, "outcome", "loaded", |stats| {
            stats.loads.saturating_sub(stats.failed_loads)
        }),
        plain("aqe_memory_puts_total", "Values that were put.", |stats| {
            stats.puts
        })?,
        plain(
            "aqe_memory_unreadable_total",
            "Reads of the folder that failed, or found damage.",
            |stats| stats.unreadable,
        )?,
    ])
}
