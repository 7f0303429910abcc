//! Narrow questions about the store, each beside what people build with today. Entries per second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use aqe_benches::memory::artefacts::{Kind, values};
use aqe_memory::{MemoryConfig, Store};
use criterion::{BatchSize, Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    hit(&mut criterion);
    insert(&mut criterion);
    read_compressed(&mut criterion);
    criterion.final_summary();
}

const TIME_TO_LIVE: Duration = Duration::from_secs(3_600);
const VALUE: [u8; 100] = [b'v'; 100];

type Key = [u8; 28];

fn keys(count: u64) -> Vec<Key> {
    let key = |n: u64| {
        let mut key = [b'.'; 28];
        key[..8].copy_from_slice(&n.to_le_bytes());
        key
    };
    (0..count).map(key).collect()
}

fn store(max_size: u64, cache_size: u64) -> Store {
    let config = MemoryConfig::default()
        .max_size(max_size)
        .cache_size(cache_size);
    Store::new(config).unwrap_or_else(|error| panic!("{error}"))
}

fn put(store: &Store, key: &[u8], value: &[u8]) {
    let put = store.put_for(key, value, TIME_TO_LIVE);
    assert!(put.is_ok(), "{put:?}");
}

/// What does a read cost that finds its entry? quick_cache knows no deadlines, moka has one for all entries here.
fn hit(criterion: &mut Criterion) {
    const ENTRIES: u64 = 10_000;

    let keys = keys(ENTRIES);
    let mut group = criterion.benchmark_group("hit");
    group.throughput(Throughput::Elements(ENTRIES));
    let aqe = store(64 << 20, 64 << 20);
    let quick = quick_cache::sync::Cache::<Box<[u8]>, Arc<[u8]>>::new(2 * ENTRIES as usize);
    let moka: moka::sync::Cache<Box<[u8]>, Arc<[u8]>> = moka::sync::Cache::builder()
        .max_capacity(2 * ENTRIES)
        .time_to_live(TIME_TO_LIVE)
        .build();
    for key in &keys {
        put(&aqe, key, &VALUE);
        quick.insert(key[..].into(), VALUE[..].into());
        moka.insert(key[..].into(), VALUE[..].into());
    }
    group.bench_function("aqe", |bencher| {
        bencher.iter(|| keys.iter().for_each(|key| _ = black_box(aqe.get(key))));
    });
    group.bench_function("quick_cache", |bencher| {
        bencher.iter(|| {
            keys.iter()
                .for_each(|key| _ = black_box(quick.get(&key[..])));
        });
    });
    group.bench_function("moka", |bencher| {
        bencher.iter(|| {
            keys.iter()
                .for_each(|key| _ = black_box(moka.get(&key[..])));
        });
    });
    group.finish();
}

/// What does an entry cost that comes into an empty store?
fn insert(criterion: &mut Criterion) {
    const ENTRIES: u64 = 10_000;

    let keys = keys(ENTRIES);
    let mut group = criterion.benchmark_group("insert");
    group.throughput(Throughput::Elements(ENTRIES));
    group.bench_function("aqe", |bencher| {
        let new = || store(64 << 20, 64 << 20);
        bencher.iter_batched(
            new,
            |store| {
                keys.iter().for_each(|key| put(&store, key, &VALUE));
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("quick_cache", |bencher| {
        let new = || quick_cache::sync::Cache::<Box<[u8]>, Arc<[u8]>>::new(2 * ENTRIES as usize);
        bencher.iter_batched(
            new,
            |cache| {
                keys.iter()
                    .for_each(|key| cache.insert(key[..].into(), VALUE[..].into()));
                cache
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// What does it cost to have a compressed value of 2 KB back? The alternative is moka with lz4_flex, value by value.
fn read_compressed(criterion: &mut Criterion) {
    const ENTRIES: u64 = 4_000;

    let keys = keys(ENTRIES);
    let mut group = criterion.benchmark_group("read-compressed");
    group.throughput(Throughput::Elements(ENTRIES));
    let moka: moka::sync::Cache<Box<[u8]>, Arc<[u8]>> = moka::sync::Cache::new(2 * ENTRIES);
    for (key, value) in keys.iter().zip(values(Kind::Json, 1, keys.len())) {
        let compressed = lz4_flex::block::compress_prepend_size(&value);
        moka.insert(key[..].into(), compressed.into());
    }
    group.bench_function("aqe", |bencher| {
        // A store of its own each time, since what is read twice is not compressed any more. The eighth of it that is not
        // compressed anyway is small.
        let new = || {
            let store = store(6 << 20, 0);
            let values = values(Kind::Json, 1, keys.len());
            keys.iter()
                .zip(values)
                .for_each(|(key, value)| put(&store, key, &value));
            store
        };
        bencher.iter_batched(
            new,
            |store| {
                keys.iter().for_each(|key| _ = black_box(store.get(key)));
                store
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("moka-lz4", |bencher| {
        bencher.iter(|| {
            for key in &keys {
                let value = moka.get(&key[..]);
                let value =
                    value.and_then(|value| lz4_flex::block::decompress_size_prepended(&value).ok());
                black_box(value);
            }
        });
    });
    group.finish();
}
