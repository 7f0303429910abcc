//! Many entries in one call, with fewer locks than in as many calls.

use std::ops::Range;
use std::time::Duration;

use crate::error::{PutError, PutManyError};
use crate::index::KeyHash;
use crate::namespace::Namespace;
use crate::options::{EntryOptions, Terms};
use crate::reading::{Compressed, Found, Look};
use crate::segment::raw;
use crate::store::Core;
use crate::value::Value;
use crate::writing::{Expected, Written, into_put_error};

/// Entries for which places are reserved under one lock, at most.
const CHUNK: usize = 32;
/// Bytes of keys and values for which they are, unless a single entry is larger. Others wait that long, and what is
/// reserved cannot give way.
const CHUNK_BYTES: usize = 16 << 10;

impl Namespace {
    /// The values of keys, in their order: as [`get`](Self::get) for each, but keys whose entries lie behind the same lock
    /// are looked up together.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.put_many([("run/1", "passed"), ("run/3", "failed")])?;
    /// let found = store.get_many(&["run/1", "run/2", "run/3"]);
    /// assert!(found[1].is_none());
    /// assert_eq!(found[2].as_deref(), Some(&b"failed"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn get_many<K: AsRef<[u8]>>(&self, keys: &[K]) -> Vec<Option<Value>> {
        let values = self.core.find_many(self.number, keys, Look::Read);
        let hits = values.iter().filter(|value| value.is_some()).count();
        let counts = &self.core.shared.counts;
        counts.hits(hits);
        counts.misses(values.len() - hits);
        values
    }

    /// Puts entries in their order, for the store's [time to live](crate::MemoryConfig::time_to_live). Says how many. Of those
    /// with the same key, the last one stays. Other threads see the entries come one by one.
    ///
    /// # Errors
    ///
    /// [`PutManyError`] at the first entry that cannot be put. Those before it are there, and none after it; the iterator
    /// has been advanced by up to 32 further ones.
    pub fn put_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<usize, PutManyError> {
        self.put_many_with(entries, &EntryOptions::default())
    }

    /// [`put_many`](Self::put_many) for as long as `time_to_live`.
    ///
    /// # Errors
    ///
    /// As [`put_many`](Self::put_many).
    pub fn put_many_for<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
        time_to_live: Duration,
    ) -> Result<usize, PutManyError> {
        let options = EntryOptions::default().time_to_live(time_to_live);
        self.put_many_with(entries, &options)
    }

    /// [`put_many`](Self::put_many) as the options say, each entry.
    ///
    /// # Errors
    ///
    /// As [`put_many`](Self::put_many).
    pub fn put_many_with<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        entries: impl IntoIterator<Item = (K, V)>,
        options: &EntryOptions,
    ) -> Result<usize, PutManyError> {
        let mut entries = entries.into_iter();
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut put = 0;
        loop {
            let mut bytes = 0;
            while chunk.len() < CHUNK && bytes < CHUNK_BYTES {
                let Some((key, value)) = entries.next() else {
                    break;
                };
                bytes += key.as_ref().len() + value.as_ref().len();
                chunk.push((key, value));
            }
            if chunk.is_empty() {
                return Ok(put);
            }
            let chunk_put = options.with_terms(&self.core, |terms| {
                self.core.put_some(self.number, &chunk, terms)
            });
            let (some, result) = chunk_put.unwrap_or_else(|error| (0, Err(error)));
            put += some;
            result.map_err(|source| PutManyError { put, source })?;
            chunk.clear();
        }
    }
}

/// Of a key that is being looked up: its place in the answer, and its hash.
struct Wanted {
    at: usize,
    hash: KeyHash,
}

impl Core {
    pub(crate) fn find_many<K: AsRef<[u8]>>(
        &self,
        namespace: u16,
        keys: &[K],
        look: Look<'_>,
    ) -> Vec<Option<Value>> {
        let hash = |key: &K| self.shared.index.hash(namespace, key.as_ref());
        let wanted = keys.iter().enumerate();
        let mut wanted: Vec<_> = wanted
            .map(|(at, key)| Wanted {
                at,
                hash: hash(key),
            })
            .collect();
        wanted.sort_unstable_by_key(|wanted| wanted.hash.shard);
        let now = self.now();
        let mut values: Vec<_> = keys.iter().map(|_| None).collect();
        let mut copies = Copies::default();
        let (mut record, mut behind) = (Vec::new(), Vec::new());
        for wanted in wanted.chunk_by(|one, other| one.hash.shard == other.hash.shard) {
            let shard = self.shared.index.read(wanted[0].hash);
            for wanted in wanted {
                let key = keys[wanted.at].as_ref();
                match self.find_in(&shard, wanted.hash, namespace, key, now, look) {
                    Some(Found::Raw {
                        value, is_behind, ..
                    }) => {
                        values[wanted.at] = Some(value);
                        if is_behind {
                            behind.push(wanted.at);
                        }
                    }
                    Some(Found::Compressed(compressed))
                        if self.copy(&compressed, &mut record).is_some() =>
                    {
                        copies.add(wanted.at, &record, compressed);
                    }
                    Some(Found::Compressed(_)) | None => {}
                }
            }
            drop(shard);
            for (at, record, compressed) in copies.drain() {
                let unpacked = self.unpack(&compressed, record);
                values[at] = unpacked.map(|(value, _)| value);
            }
            copies.clear();
            for at in behind.drain(..) {
                self.log_again(namespace, keys[at].as_ref());
            }
        }
        values
    }

    /// Puts entries until one cannot be put. Says how many were put.
    fn put_some<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        namespace: u16,
        entries: &[(K, V)],
        terms: &Terms<'_>,
    ) -> (usize, Result<(), PutError>) {
        if self.folder.is_some() {
            return self.log_some(namespace, entries, terms);
        }
        let (deadline, now) = (terms.deadline, terms.now);
        let _putting = self.shared.marks.put_begins(&terms.extras);
        let (mut written, result) = self.write_some(namespace, entries, terms);
        let put = written.len();
        // Stable: entries of one key are published in their order.
        written.sort_by_key(|written| written.hash.shard);
        for same in written.chunk_by(|one, other| one.hash.shard == other.hash.shard) {
            let mut shard = self.shared.index.write(same[0].hash);
            for written in same {
                let published = self.publish(&mut shard, written, Expected::Anything, now);
                debug_assert!(published.is_ok(), "nothing was expected of the entry");
            }
        }
        written.iter().for_each(|written| self.published(written));
        self.shared.counts.puts(put);
        if put > 0 {
            self.alarm.set(deadline);
        }
        (put, result)
    }

    /// As [`put_some`](Self::put_some), where each entry is written to the folder on its own.
    fn log_some<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        namespace: u16,
        entries: &[(K, V)],
        terms: &Terms<'_>,
    ) -> (usize, Result<(), PutError>) {
        for (put, (key, value)) in entries.iter().enumerate() {
            let (key, value) = (key.as_ref(), value.as_ref());
            let result = self.put_on(namespace, key, value, terms, Expected::Anything);
            if let Err(error) = result {
                return (put, Err(into_put_error(error)));
            }
        }
        (entries.len(), Ok(()))
    }

    /// Writes entries, under one lock, until there is one that cannot be put.
    fn write_some<'a, K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &'a self,
        namespace: u16,
        entries: &'a [(K, V)],
        terms: &Terms<'_>,
    ) -> (Vec<Written<'a>>, Result<(), PutError>) {
        let mut written = Vec::with_capacity(entries.len());
        let mut tiers = self.tiers.lock();
        for (key, value) in entries {
            let (key, value) = (key.as_ref(), value.as_ref());
            if let Err(error) = self.check(key, value) {
                return (written, Err(error));
            }
            let size = raw::size(key.len(), value.len(), false, &terms.extras);
            let hash = self.shared.index.hash(namespace, key);
            let reserved = match tiers.place(&self.shared, hash, size, terms.deadline, terms.now) {
                Ok(reserved) => reserved,
                Err(reason) => return (written, Err(reason.into())),
            };
            // SAFETY: the place was reserved for a record of this size, just now.
            written.push(unsafe { self.write(reserved, hash, (namespace, key), value, terms) });
        }
        (written, Ok(()))
    }
}

/// Records that were copied under a lock, to be unpacked without it.
#[derive(Default)]
struct Copies<'a> {
    bytes: Vec<u8>,
    records: Vec<(usize, Range<usize>, Compressed<'a>)>,
}

impl<'a> Copies<'a> {
    fn add(&mut self, at: usize, record: &[u8], compressed: Compressed<'a>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record);
        self.records.push((at, start..self.bytes.len(), compressed));
    }

    fn drain(&mut self) -> impl Iterator<Item = (usize, &[u8], Compressed<'a>)> {
        let records = self.records.drain(..);
        records.map(|(at, range, compressed)| (at, &self.bytes[range], compressed))
    }

    fn clear(&mut self) {
        self.bytes.clear();
    }
}
