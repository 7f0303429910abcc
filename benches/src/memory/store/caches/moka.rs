//! moka: with the hasher that it has by default, with aqe's, and with one time to live for all entries instead of one for each.

use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use moka::Expiry;
use moka::sync::Cache as Inner;
use xtask::Result;

use super::{Cache, Key, Shared, TIME_TO_LIVE};

/// A value that says how long it lives.
#[derive(Clone)]
struct Timed {
    time_to_live: Duration,
    value: Shared,
}

struct EachItsOwn;

impl Expiry<Key, Timed> for EachItsOwn {
    fn expire_after_create(&self, _: &Key, value: &Timed, _: Instant) -> Option<Duration> {
        Some(value.time_to_live)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        value: &Timed,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(value.time_to_live)
    }
}

fn timed(value: &[u8]) -> Timed {
    Timed {
        time_to_live: TIME_TO_LIVE,
        value: value.into(),
    }
}

/// With a time to live for each entry.
pub(in super::super) struct MokaDefault(Inner<Key, Timed>);

impl Cache for MokaDefault {
    fn with_room(entries: usize) -> Result<Self> {
        let cache = Inner::builder()
            .max_capacity(entries as u64)
            .expire_after(EachItsOwn)
            .build();
        Ok(Self(cache))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), timed(value));
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.value.last().copied()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

/// The same with a faster hasher.
pub(in super::super) struct MokaFoldhash(Inner<Key, Timed, RandomState>);

impl Cache for MokaFoldhash {
    fn with_room(entries: usize) -> Result<Self> {
        let cache = Inner::builder()
            .max_capacity(entries as u64)
            .expire_after(EachItsOwn)
            .build_with_hasher(RandomState::default());
        Ok(Self(cache))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), timed(value));
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.value.last().copied()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}

/// With the faster hasher, and one time to live for all.
pub(in super::super) struct MokaOneTtl(Inner<Key, Shared, RandomState>);

impl Cache for MokaOneTtl {
    fn with_room(entries: usize) -> Result<Self> {
        let cache = Inner::builder()
            .max_capacity(entries as u64)
            .time_to_live(TIME_TO_LIVE)
            .build_with_hasher(RandomState::default());
        Ok(Self(cache))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.last().copied()
    }

    fn settle(&self) {
        self.0.run_pending_tasks();
    }
}
