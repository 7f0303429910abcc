//! quick_cache, which knows no deadlines, and with those that its users add to their values.

use std::time::Instant;

use quick_cache::sync::Cache as Inner;
use xtask::Result;

use super::{Cache, Key, Shared, TIME_TO_LIVE};

/// As it is.
pub(in super::super) struct Quick(Inner<Key, Shared>);

impl Cache for Quick {
    fn with_room(entries: usize) -> Result<Self> {
        Ok(Self(Inner::new(entries)))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        self.0.insert(key.into(), value.into());
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        self.0.get(key)?.last().copied()
    }
}

#[derive(Clone)]
struct Timed {
    deadline: Instant,
    value: Shared,
}

/// With a deadline in every value, which reads compare with the clock.
pub(in super::super) struct QuickTtl(Inner<Key, Timed>);

impl Cache for QuickTtl {
    fn with_room(entries: usize) -> Result<Self> {
        Ok(Self(Inner::new(entries)))
    }

    #[inline]
    fn put(&self, key: &[u8], value: &[u8]) {
        let value = Timed {
            deadline: Instant::now() + TIME_TO_LIVE,
            value: value.into(),
        };
        self.0.insert(key.into(), value);
    }

    #[inline]
    fn get(&self, key: &[u8]) -> Option<u8> {
        let found = self.0.get(key)?;
        if found.deadline <= Instant::now() {
            self.0.remove(key);
            return None;
        }
        found.value.last().copied()
    }
}
