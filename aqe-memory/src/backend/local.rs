//! The store of this process as a [`MemoryStore`].

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use super::{
    BoxFuture, Durability, Entry, MemoryStore, PutOptions, Receipt, StoreError, TimeToLive,
};
use crate::error::{CompareError, NamespaceError, PutError};
use crate::namespace::Namespace;
use crate::store::{Store, Version};
use crate::writing::Expected;

/// Every call is done when its future is made. With a folder, a value is [written](Durability::Written) in any case; to have
/// one [synced](Durability::Synced), and to [flush](MemoryStore::flush), blocks the thread until the disk is done.
impl MemoryStore for Store {
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
        let namespace = self.existing(namespace);
        let found = namespace.and_then(|namespace| namespace.get_versioned(key));
        let found = found.map(|(value, version)| Entry { value, version });
        Box::pin(ready(Ok(found)))
    }

    fn put<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        value: &'a [u8],
        options: PutOptions,
    ) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        let put = self.put_as(namespace, key, value, Expected::Anything, options);
        Box::pin(ready(put))
    }

    fn compare_and_set<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        expected: Option<Version>,
        value: &'a [u8],
        options: PutOptions,
    ) -> BoxFuture<'a, Result<Receipt, StoreError>> {
        let expected = Expected::Version(expected);
        let put = self.put_as(namespace, key, value, expected, options);
        Box::pin(ready(put))
    }

    fn remove<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        expected: Option<Version>,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let removed = match (self.existing(namespace), expected) {
            (None, _) => Ok(false),
            (Some(namespace), None) => namespace.remove(key),
            (Some(namespace), Some(version)) => namespace.compare_and_remove(key, version),
        };
        Box::pin(ready(removed.map_err(StoreError::from)))
    }

    fn keys<'a>(
        &'a self,
        namespace: &'a str,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Box<[u8]>>, StoreError>> {
        let namespace = self.existing(namespace);
        let keys = namespace.map(|namespace| namespace.keys(prefix, after, most));
        Box::pin(ready(Ok(keys.unwrap_or_default())))
    }

    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Arc<str>>, StoreError>> {
        Box::pin(ready(Ok(Self::namespaces(self))))
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(ready(self.synced()))
    }
}

impl Store {
    /// The namespace of a name, if it was asked for before.
    fn existing(&self, name: &str) -> Option<Namespace> {
        let number = self.core().names.find(name)?;
        Some(self.numbered(number))
    }

    fn put_as(
        &self,
        namespace: &str,
        key: &[u8],
        value: &[u8],
        expected: Expected,
        options: PutOptions,
    ) -> Result<Receipt, StoreError> {
        let core = self.core();
        let (asked, offered) = (options.durability, self.most_durable());
        if asked > offered {
            return Err(StoreError::NotDurable { asked, offered });
        }
        let time_to_live: Option<Duration> = match options.time_to_live {
            TimeToLive::OfStore => core.config.time_to_live,
            TimeToLive::For(time_to_live) => Some(time_to_live),
            TimeToLive::Forever => None,
        };
        let number = self.namespace(namespace)?.number;
        let version = core.put(number, key, value, time_to_live, expected)?;
        if asked == Durability::Synced {
            self.synced()?;
        }
        let durability = match offered {
            Durability::Memory => Durability::Memory,
            _ => asked.max(Durability::Written),
        };
        Ok(Receipt {
            version,
            durability,
        })
    }

    fn synced(&self) -> Result<(), StoreError> {
        let synced = Namespace::flush(self);
        synced.map_err(|error| StoreError::Failed(Box::new(error)))
    }

    fn most_durable(&self) -> Durability {
        match self.core().folder {
            Some(_) => Durability::Synced,
            None => Durability::Memory,
        }
    }
}

impl From<PutError> for StoreError {
    fn from(error: PutError) -> Self {
        match error {
            PutError::KeyTooLong { .. }
            | PutError::ValueTooLarge { .. }
            | PutError::TooManyTags { .. }
            | PutError::TagTooLong { .. } => Self::Rejected(Box::new(error)),
            PutError::OutOfMemory | PutError::DiskFull | PutError::TooManyMarks { .. } => {
                Self::Full(Box::new(error))
            }
            PutError::Disk(_) => Self::Failed(Box::new(error)),
        }
    }
}

impl From<CompareError> for StoreError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Changed { current } => Self::Changed { current },
            CompareError::Put(error) => error.into(),
        }
    }
}

impl From<NamespaceError> for StoreError {
    fn from(error: NamespaceError) -> Self {
        match error {
            NamespaceError::TooMany { .. } | NamespaceError::TooLong { .. } => {
                Self::Rejected(Box::new(error))
            }
            NamespaceError::Disk(_) => Self::Failed(Box::new(error)),
        }
    }
}
