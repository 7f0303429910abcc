//! What is asked of a reader.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::Core;
use super::catalog::{Catalog, Miss};
use super::entries::ReaderEntries;
use crate::codec::Dictionary;
use crate::disk::{DiskError, dictionary};
use crate::segment::packed::{Form, Packed};
use crate::shared::{self, kept_of, with_scratch};
use crate::store::Version;
use crate::value::Value;

/// Entries of a namespace, as another process puts them: see [`Reader`](super::Reader).
#[derive(Clone)]
pub struct ReaderNamespace {
    pub(super) core: Arc<Core>,
    name: Arc<str>,
    /// Known once the namespace is there. It never changes.
    number: OnceLock<u16>,
}

impl ReaderNamespace {
    pub(super) fn new(core: &Arc<Core>, name: &str) -> Self {
        Self {
            core: Arc::clone(core),
            name: Arc::from(name),
            number: OnceLock::new(),
        }
    }

    /// Its name; empty for the namespace that the reader itself is.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value of a key, if there is one and its time is not over.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the folder cannot be read. What is damaged is as if it were not there, and
    /// [counted](super::ReaderStats::unreadable).
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>, DiskError> {
        let found = self.get_versioned(key)?;
        Ok(found.map(|(value, _)| value))
    }

    /// The value of a key and the entry's version.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_versioned(&self, key: &[u8]) -> Result<Option<(Value, Version)>, DiskError> {
        self.find(key, |catalog, packed, tries| {
            match self.core.decode(catalog, packed, tries)? {
                Some(value) => {
                    let version = Version(kept_of(packed.version));
                    Ok(Some((Value::owned(value), version)))
                }
                None => {
                    self.core.unreadable.fetch_add(1, Ordering::Relaxed);
                    Ok(None)
                }
            }
        })
    }

    /// Whether a key has an entry.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains(&self, key: &[u8]) -> Result<bool, DiskError> {
        let found = self.find(key, |_, _, _| Ok(Some(())))?;
        Ok(found.is_some())
    }

    /// The keys that begin with `prefix` and are greater than `after`, in order, `most` at most.
    ///
    /// A key that has an entry from the beginning of the call to its end is among them. The call reads all records of the
    /// folder, and other calls of this reader that find something new wait for it meanwhile.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<Box<[u8]>>, DiskError> {
        let (mut scanned, mut found) = (BTreeMap::new(), BTreeSet::<Box<[u8]>>::new());
        self.core.look_up(|catalog, _| {
            let Some(namespace) = self.number(catalog) else {
                return Ok(());
            };
            let now = self.core.clock.now();
            catalog.each_entry(&mut scanned, |packed, epoch| {
                let key = packed.key;
                let fits = packed.namespace == namespace
                    && packed.lifetime.deadline(epoch) > now
                    && key.starts_with(prefix)
                    && after.is_none_or(|after| key > after)
                    && (found.len() < most || found.last().is_some_and(|last| key < &**last));
                // What was moved while the call looked for it comes twice.
                if fits && found.insert(Box::from(key)) && found.len() > most {
                    found.pop_last();
                }
            })
        })?;
        Ok(found.into_iter().collect())
    }

    /// The entries whose keys begin with `prefix`, in the order of keys, as [`Namespace::entries`](crate::Namespace::entries)
    /// gives them. It asks for [`keys`](Self::keys) in pages, the first of 256 and the largest of 65,536. An error ends it.
    #[must_use = "nothing is read before the iterator is used"]
    pub fn entries(&self, prefix: &[u8]) -> ReaderEntries {
        ReaderEntries::new(self, prefix)
    }

    /// Shows the record of a key's entry, if there is one and its time is not over.
    fn find<R>(
        &self,
        key: &[u8],
        mut show: impl FnMut(&Catalog, &Packed<'_>, u32) -> Result<Option<R>, Miss>,
    ) -> Result<Option<R>, DiskError> {
        with_scratch(|record| {
            self.core.look_up(|catalog, tries| {
                let Some(namespace) = self.number(catalog) else {
                    return Ok(None);
                };
                let found = catalog.find(namespace, key, record)?;
                let Some(epoch) = found.epoch else {
                    let unreadable = found.unreadable;
                    self.core
                        .unreadable
                        .fetch_add(unreadable, Ordering::Relaxed);
                    return Ok(None);
                };
                match Packed::read(record) {
                    Some(packed)
                        if packed.form != Form::Gone
                            && !catalog.is_void(&packed)
                            && packed.lifetime.deadline(epoch) > self.core.clock.now() =>
                    {
                        show(catalog, &packed, tries)
                    }
                    _ => Ok(None),
                }
            })
        })
    }

    fn number(&self, catalog: &Catalog) -> Option<u16> {
        if let Some(number) = self.number.get() {
            return Some(*number);
        }
        let number = catalog.number(&self.name)?;
        Some(*self.number.get_or_init(|| number))
    }
}

impl fmt::Debug for ReaderNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReaderNamespace").field(&self.name).finish()
    }
}

impl Core {
    /// The value of a record; `None` if it cannot be decoded.
    fn decode(
        &self,
        catalog: &Catalog,
        packed: &Packed<'_>,
        tries: u32,
    ) -> Result<Option<Box<[u8]>>, Miss> {
        let mut failed = None;
        let value = shared::decode(packed, |id| match self.dictionary(catalog, id) {
            Ok(dictionary) => {
                // It may be sealed with a key that is newer than those that are known.
                if dictionary.is_none() && tries == 0 {
                    failed = Some(Miss::Vanished);
                }
                dictionary
            }
            Err(error) => {
                failed = Some(Miss::Failed(error));
                None
            }
        });
        failed.map_or(Ok(value), Err)
    }

    /// A dictionary, which is read when it is needed first: it is in the folder before any record that needs it.
    fn dictionary(&self, catalog: &Catalog, id: u32) -> Result<Option<Arc<Dictionary>>, DiskError> {
        if let Some(dictionary) = self.dictionaries.get(id) {
            return Ok(Some(dictionary));
        }
        let made = dictionary::load(&self.folder, id, catalog.store(), catalog.vault())?;
        if let Some(made) = made {
            self.dictionaries.install(made);
        }
        Ok(self.dictionaries.get(id))
    }
}
