//! Values of a type instead of bytes (feature `typed`).
//!
//! A [`Typed`] namespace is a [`Namespace`] whose values are encoded with serde: compactly, by position
//! and without names of fields, in the format of postcard. Such bytes do not say what they are, so each value begins with two
//! that do: the format, and the version of its type. When the type changes in a way that its old bytes do not allow (a
//! field that was added, removed, moved or changed), give it another [version](Typed::version). Old entries are told from new
//! ones then, and never read as something that they are not.
//!
//! ```
//! use aqe_memory::{MemoryConfig, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Run {
//!     suite: String,
//!     passed: u32,
//! }
//!
//! let store = Store::new(MemoryConfig::default())?;
//! let runs = store.namespace("runs")?.typed::<Run>();
//! runs.put("run/1", &Run { suite: "api".into(), passed: 12 })?;
//! assert_eq!(runs.get("run/1")?.map(|run| run.passed), Some(12));
//!
//! // Some months later, with another field.
//! # type Run2 = (String, u32, bool);
//! let runs = runs.namespace().typed::<Run2>().version(2);
//! let error = runs.get("run/1").unwrap_err();
//! assert_eq!(error.to_string().split(':').next(), Some("entry `run/1` is of version 1 of its type, not 2"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk::DiskError;
use crate::entries::Entries;
use crate::error::{CompareError, PutError};
use crate::load::LoadError;
use crate::namespace::Namespace;
use crate::options::EntryOptions;
use crate::shared::with_scratch;
use crate::store::Version;

/// The first byte of a value: what follows is the version and a value in postcard's format, which is stable.
const POSTCARD: u8 = 1;
/// The version of a type that says nothing.
const FIRST: u8 = 1;

/// A namespace whose values are of type `T`. See the [module](self).
pub struct Typed<T> {
    namespace: Namespace,
    codec: Codec<T>,
}

impl Namespace {
    /// This namespace with values of type `T`, of version 1.
    #[must_use]
    pub fn typed<T: Serialize + DeserializeOwned>(&self) -> Typed<T> {
        Typed {
            namespace: self.clone(),
            codec: Codec::new(),
        }
    }
}

impl<T: Serialize + DeserializeOwned> Typed<T> {
    /// Sets the version of the type: another one for each change of what its bytes are.
    #[must_use]
    pub fn version(mut self, version: u8) -> Self {
        self.codec.version = version;
        self
    }

    /// The namespace, with values as bytes.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The value of a key, if there is one and its time is not over.
    ///
    /// # Errors
    ///
    /// [`TypedError::OtherVersion`] and [`TypedError::NotOfType`] when what is there is not of this type.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<T>, TypedError> {
        let found = self.get_versioned(key)?;
        Ok(found.map(|(value, _)| value))
    }

    /// The value of a key and the entry's version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Result<Option<(T, Version)>, TypedError> {
        let key = key.as_ref();
        let Some((bytes, version)) = self.namespace.get_versioned(key) else {
            return Ok(None);
        };
        let value = self.codec.decode(key, &bytes)?;
        Ok(Some((value, version)))
    }

    /// Puts a value, as [`Namespace::put`].
    ///
    /// # Errors
    ///
    /// [`TypedError::Encode`] or [`TypedError::Put`]; what the key had is still there then.
    pub fn put(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Version, TypedError> {
        let put = |key: &[u8], bytes: &[u8]| self.namespace.put(key, bytes);
        self.encoded(key.as_ref(), value, put)
    }

    /// Puts a value for as long as `time_to_live`, as [`Namespace::put_for`].
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_for(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        time_to_live: Duration,
    ) -> Result<Version, TypedError> {
        let put = |key: &[u8], bytes: &[u8]| self.namespace.put_for(key, bytes, time_to_live);
        self.encoded(key.as_ref(), value, put)
    }

    /// Puts a value as the options say, as [`Namespace::put_with`].
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: &T,
        options: &EntryOptions,
    ) -> Result<Version, TypedError> {
        let put = |key: &[u8], bytes: &[u8]| self.namespace.put_with(key, bytes, options);
        self.encoded(key.as_ref(), value, put)
    }

    /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none.
    ///
    /// # Errors
    ///
    /// [`TypedError::Changed`], or as [`put`](Self::put).
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: Option<Version>,
        value: &T,
    ) -> Result<Version, TypedError> {
        let put = |key: &[u8], bytes: &[u8]| self.namespace.compare_and_set(key, expected, bytes);
        self.encoded(key.as_ref(), value, put)
    }

    /// Removes a key's entry, whatever it is. Says whether there was one.
    ///
    /// # Errors
    ///
    /// [`TypedError::Put`], as [`Namespace::remove`].
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<bool, TypedError> {
        Ok(self.namespace.remove(key.as_ref())?)
    }

    /// The value of a key, which is loaded and put if there is none, as [`Namespace::get_or_load`]. An entry that is not of this
    /// type, or of another version of it, is as if it were not there, and is replaced.
    ///
    /// # Errors
    ///
    /// [`TypedLoadError::Loader`] is what the loader failed with, for all who waited for it.
    /// [`TypedLoadError::Typed`] when what was loaded cannot be encoded, or somebody put something else meanwhile.
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Cancel safety
    ///
    /// As [`Namespace::get_or_load`].
    pub async fn get_or_load<Fut, E>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> Fut,
    ) -> Result<T, LoadError<TypedLoadError<E>>>
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Send + Sync + 'static,
    {
        let time_to_live = self.namespace.core.config.time_to_live;
        self.load(key.as_ref(), time_to_live, loader).await
    }

    /// [`get_or_load`](Self::get_or_load) of a value that lives for as long as `time_to_live` from when it is there.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Cancel safety
    ///
    /// As [`Namespace::get_or_load`].
    pub async fn get_or_load_for<Fut, E>(
        &self,
        key: impl AsRef<[u8]>,
        time_to_live: Duration,
        loader: impl FnOnce() -> Fut,
    ) -> Result<T, LoadError<TypedLoadError<E>>>
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Send + Sync + 'static,
    {
        self.load(key.as_ref(), Some(time_to_live), loader).await
    }

    /// [`get_or_load`](Self::get_or_load) for threads, as [`Namespace::get_or_insert_with`].
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// If the loader does.
    pub fn get_or_insert_with<E>(
        &self,
        key: impl AsRef<[u8]>,
        loader: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, LoadError<TypedLoadError<E>>>
    where
        E: Send + Sync + 'static,
    {
        let key = key.as_ref();
        if let Some(value) = self.readable(key).map_err(typed)? {
            return Ok(value);
        }
        let time_to_live = self.namespace.core.config.time_to_live;
        let load = || self.codec.encode_loaded(key, loader());
        let loaded = self.namespace.load_missing_here(key, time_to_live, load)?;
        self.codec.decode(key, &loaded).map_err(typed)
    }

    /// The entries whose keys begin with `prefix`, in the order of keys, as [`Namespace::entries`]. One that is not of this type
    /// is an error, and the next ones follow.
    #[must_use = "nothing is read before the iterator is used"]
    pub fn entries(&self, prefix: impl AsRef<[u8]>) -> TypedEntries<T> {
        TypedEntries {
            entries: self.namespace.entries(prefix.as_ref()),
            codec: self.codec,
        }
    }

    async fn load<Fut, E>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loader: impl FnOnce() -> Fut,
    ) -> Result<T, LoadError<TypedLoadError<E>>>
    where
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: 'static,
        E: Send + Sync + 'static,
    {
        if let Some(value) = self.readable(key).map_err(typed)? {
            return Ok(value);
        }
        let (codec, owned) = (self.codec, Box::<[u8]>::from(key));
        let load = || {
            let loading = loader();
            async move { codec.encode_loaded(&owned, loading.await) }
        };
        let loaded = self.namespace.load_missing(key, time_to_live, load).await?;
        self.codec.decode(key, &loaded).map_err(typed)
    }

    /// The value of a key. One that cannot be read is removed.
    fn readable(&self, key: &[u8]) -> Result<Option<T>, TypedError> {
        let Some((bytes, version)) = self.namespace.get_versioned(key) else {
            return Ok(None);
        };
        if let Ok(value) = self.codec.decode(key, &bytes) {
            return Ok(Some(value));
        }
        // Only this one: what somebody puts meanwhile stays.
        self.namespace.compare_and_remove(key, version)?;
        Ok(None)
    }

    fn encoded<E: Into<TypedError>>(
        &self,
        key: &[u8],
        value: &T,
        put: impl FnOnce(&[u8], &[u8]) -> Result<Version, E>,
    ) -> Result<Version, TypedError> {
        with_scratch(|scratch| {
            self.codec.encode(key, value, scratch)?;
            put(key, scratch).map_err(E::into)
        })
    }
}

impl<T> Clone for Typed<T> {
    fn clone(&self) -> Self {
        Self {
            namespace: self.namespace.clone(),
            codec: self.codec,
        }
    }
}

impl<T> fmt::Debug for Typed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed")
            .field("namespace", &self.namespace)
            .field("type", &type_name::<T>())
            .field("version", &self.codec.version)
            .finish()
    }
}

fn typed<E>(error: TypedError) -> LoadError<TypedLoadError<E>> {
    LoadError::new(Arc::new(TypedLoadError::Typed(error)))
}

/// Gives keys and values in the order of keys: see [`Typed::entries`].
pub struct TypedEntries<T> {
    entries: Entries,
    codec: Codec<T>,
}

impl<T: Serialize + DeserializeOwned> Iterator for TypedEntries<T> {
    type Item = Result<(Box<[u8]>, T), TypedError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, bytes) = self.entries.next()?;
        let decoded = self.codec.decode(&key, &bytes);
        Some(decoded.map(|value| (key, value)))
    }
}

impl<T: Serialize + DeserializeOwned> FusedIterator for TypedEntries<T> {}

impl<T> fmt::Debug for TypedEntries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedEntries").field(&self.entries).finish()
    }
}

/// From values to bytes and back.
pub(crate) struct Codec<T> {
    pub(crate) version: u8,
    values: PhantomData<fn(T) -> T>,
}

impl<T> Clone for Codec<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Codec<T> {}

impl<T> Codec<T> {
    pub(crate) fn new() -> Self {
        Self {
            version: FIRST,
            values: PhantomData,
        }
    }
}

impl<T: Serialize + DeserializeOwned> Codec<T> {
    /// Puts the value's bytes in place of what is in `bytes`.
    pub(crate) fn encode(
        &self,
        key: &[u8],
        value: &T,
        bytes: &mut Vec<u8>,
    ) -> Result<(), TypedError> {
        bytes.clear();
        bytes.extend_from_slice(&[POSTCARD, self.version]);
        let encoded = postcard::to_extend(value, std::mem::take(bytes));
        *bytes = encoded.map_err(|error| TypedError::Encode {
            key: show(key),
            type_name: type_name::<T>(),
            source: Box::new(error),
        })?;
        Ok(())
    }

    pub(crate) fn encode_loaded<E>(
        &self,
        key: &[u8],
        loaded: Result<T, E>,
    ) -> Result<Vec<u8>, TypedLoadError<E>> {
        let value = loaded.map_err(TypedLoadError::Loader)?;
        let mut bytes = Vec::new();
        let encoded = self.encode(key, &value, &mut bytes);
        encoded.map_err(TypedLoadError::Typed)?;
        Ok(bytes)
    }

    pub(crate) fn decode(&self, key: &[u8], bytes: &[u8]) -> Result<T, TypedError> {
        let not_of_type = |source: Option<Box<dyn Error + Send + Sync>>| TypedError::NotOfType {
            key: show(key),
            type_name: type_name::<T>(),
            source,
        };
        let [POSTCARD, version, bytes @ ..] = bytes else {
            return Err(not_of_type(None));
        };
        if *version != self.version {
            return Err(TypedError::OtherVersion {
                key: show(key),
                type_name: type_name::<T>(),
                found: *version,
                expected: self.version,
            });
        }
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            Ok(_) => Err(not_of_type(None)),
            Err(error) => Err(not_of_type(Some(Box::new(error)))),
        }
    }
}

fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Why a value of a type was not read or not put.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedError {
    /// What is there was put as another version of the type.
    #[error(
        "entry `{key}` is of version {found} of its type, not {expected}: remove it, or read it as the type that it was \
         (`{type_name}` has changed since), with `version({found})`, and put it again"
    )]
    OtherVersion {
        /// The key, with what is not ASCII escaped.
        key: String,
        /// The type's name.
        type_name: &'static str,
        /// The version that is there.
        found: u8,
        /// The version that was to be read.
        expected: u8,
    },
    /// What is there is not of the type.
    #[error(
        "entry `{key}` is no `{type_name}`: it was put as something else, or the type has changed without another `version`; \
         remove the entry, or read it as the type that it was"
    )]
    NotOfType {
        /// The key, with what is not ASCII escaped.
        key: String,
        /// The type's name.
        type_name: &'static str,
        /// Where its bytes differ from the type's, if that is known.
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The value has no encoding: its `Serialize` refused, or needs a format that describes itself.
    #[error("the `{type_name}` for `{key}` cannot be encoded")]
    Encode {
        /// The key, with what is not ASCII escaped.
        key: String,
        /// The type's name.
        type_name: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The entry is not what the caller has seen.
    #[error("the entry has changed")]
    Changed {
        /// Its version now; `None` if it is not there.
        current: Option<Version>,
    },
    /// The store did not take the bytes.
    #[error(transparent)]
    Put(#[from] PutError),
    /// A [reader](crate::reader) cannot read the folder.
    #[error(transparent)]
    Read(#[from] DiskError),
}

impl From<CompareError> for TypedError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Changed { current } => Self::Changed { current },
            CompareError::Put(error) => Self::Put(error),
        }
    }
}

/// Why there is no value, neither from the store nor from the loader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypedLoadError<E> {
    /// The loader failed.
    #[error(transparent)]
    Loader(E),
    /// What was loaded, or what somebody put meanwhile, cannot be encoded or read.
    #[error(transparent)]
    Typed(TypedError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Result {
        Passed { millis: u64 },
        Failed(Vec<String>),
        Skipped,
    }

    proptest! {
        #[test]
        fn a_value_comes_back(millis: u64, lines in proptest::collection::vec(".*", 0..4), version: u8) {
            let codec = Codec { version, values: PhantomData };
            let mut bytes = vec![9; 9];
            for value in [Result::Passed { millis }, Result::Failed(lines), Result::Skipped] {
                codec.encode(b"key", &value, &mut bytes).unwrap();
                prop_assert_eq!(codec.decode(b"key", &bytes).unwrap(), value);
                let cut: std::result::Result<Result, _> = codec.decode(b"key", &bytes[..bytes.len() - 1]);
                prop_assert!(cut.is_err());
                bytes.push(0);
                prop_assert!(codec.decode(b"key", &bytes).is_err(), "something follows");
            }
        }

        #[test]
        fn garbage_is_an_error_or_a_value(garbage in proptest::collection::vec(any::<u8>(), 0..50)) {
            let codec = Codec::<Result>::new();
            let framed = [&[POSTCARD, FIRST][..], &garbage].concat();
            for bytes in [&garbage, &framed] {
                if let Ok(value) = codec.decode(b"key", bytes) {
                    let mut again = Vec::new();
                    codec.encode(b"key", &value, &mut again).unwrap();
                    prop_assert_eq!(codec.decode(b"key", &again).unwrap(), value);
                }
            }
        }
    }

    #[test]
    fn an_absurd_length_allocates_nothing_of_it() {
        let bytes = [&[POSTCARD, FIRST, 1][..], &[0xFF; 9], &[1]].concat();
        assert!(Codec::<Result>::new().decode(b"key", &bytes).is_err());
    }
}
