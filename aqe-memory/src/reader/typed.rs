//! Values of a type, as [`Typed`](crate::Typed) puts them.

use std::any::type_name;
use std::fmt;
use std::iter::FusedIterator;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ReaderEntries, ReaderNamespace};
use crate::store::Version;
use crate::typed::{Codec, TypedError};

/// A namespace of a reader whose values are of type `T`.
pub struct ReaderTyped<T> {
    namespace: ReaderNamespace,
    codec: Codec<T>,
}

impl ReaderNamespace {
    /// This namespace with values of type `T`, of version 1.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Reader, Store};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let store = Store::open(folder.path(), MemoryConfig::default())?;
    /// store.typed::<(String, u32)>().put("run/1", &("api".into(), 12))?;
    /// let runs = Reader::open(folder.path())?.typed::<(String, u32)>();
    /// assert_eq!(runs.get("run/1")?, Some(("api".into(), 12)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn typed<T: Serialize + DeserializeOwned>(&self) -> ReaderTyped<T> {
        ReaderTyped {
            namespace: self.clone(),
            codec: Codec::new(),
        }
    }
}

impl<T: Serialize + DeserializeOwned> ReaderTyped<T> {
    /// Sets the version of the type that the values have, as [`Typed::version`](crate::Typed::version) does.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.codec.version = version;
        self
    }

    /// The namespace, with values as bytes.
    pub fn namespace(&self) -> &ReaderNamespace {
        &self.namespace
    }

    /// The value of a key, if there is one and its time is not over.
    ///
    /// # Errors
    ///
    /// [`TypedError::OtherVersion`] and [`TypedError::NotOfType`] when what is there is not of this type, and
    /// [`TypedError::Read`] when the folder cannot be read.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, TypedError> {
        let found = self.get_versioned(key)?;
        Ok(found.map(|(value, _)| value))
    }

    /// The value of a key and the entry's version.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Result<Option<(T, Version)>, TypedError> {
        let key = key.as_ref();
        let Some((bytes, version)) = self.namespace.get_versioned(key)? else {
            return Ok(None);
        };
        let value = self.codec.decode(key, &bytes)?;
        Ok(Some((value, version)))
    }

    /// The entries whose keys begin with `prefix`, in the order of keys, as [`ReaderNamespace::entries`]. One that is not of this
    /// type is an error, and the next ones follow.
    #[must_use = "nothing is read before the iterator is used"]
    pub fn entries(&self, prefix: impl AsRef<[u8]>) -> ReaderTypedEntries<T> {
        ReaderTypedEntries {
            entries: self.namespace.entries(prefix.as_ref()),
            codec: self.codec,
        }
    }
}

impl<T> Clone for ReaderTyped<T> {
    fn clone(&self) -> Self {
        Self {
            namespace: self.namespace.clone(),
            codec: self.codec,
        }
    }
}

impl<T> fmt::Debug for ReaderTyped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderTyped")
            .field("namespace", &self.namespace)
            .field("type", &type_name::<T>())
            .field("version", &self.codec.version)
            .finish()
    }
}

/// Gives keys and values in the order of keys: see [`ReaderTyped::entries`].
pub struct ReaderTypedEntries<T> {
    entries: ReaderEntries,
    codec: Codec<T>,
}

impl<T: Serialize + DeserializeOwned> Iterator for ReaderTypedEntries<T> {
    type Item = Result<(Box<[u8]>, T), TypedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.next()?.map_err(TypedError::Read);
        Some(entry.and_then(|(key, bytes)| {
            let value = self.codec.decode(&key, &bytes)?;
            Ok((key, value))
        }))
    }
}

impl<T: Serialize + DeserializeOwned> FusedIterator for ReaderTypedEntries<T> {}

impl<T> fmt::Debug for ReaderTypedEntries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReaderTypedEntries")
            .field(&self.entries)
            .finish()
    }
}
