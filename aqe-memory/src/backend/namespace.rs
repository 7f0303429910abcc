//! A namespace of any store, with what people need beside the store's own methods.

use std::fmt;
use std::sync::Arc;

use super::{Entry, MemoryStore, PutOptions, Receipt, StoreError};
use crate::load::{Drives, Ended, LoadError, Loads, SharedError, Turn, own, theirs};
use crate::store::Version;
use crate::value::Value;

/// Conveniences for every [`MemoryStore`].
pub trait MemoryStoreExt: MemoryStore {
    /// A namespace of the store. Clones of it load what is not there together; two that were asked for do not.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use aqe_memory::backend::{MemoryStore, MemoryStoreExt};
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store: Arc<dyn MemoryStore> = Arc::new(Store::new(MemoryConfig::default())?);
    /// let runs = store.in_namespace("runs");
    /// runs.put(b"1", b"passed").await?;
    /// let value = runs.get_or_load(b"2", || async { Ok::<_, std::io::Error>("failed") }).await?;
    /// assert_eq!(runs.keys(b"", None, 10).await?.len(), 2);
    /// assert_eq!(*value, *b"failed");
    /// # Ok(()) }
    /// ```
    fn in_namespace(self: &Arc<Self>, name: &str) -> NamespaceOf<Self> {
        NamespaceOf {
            store: Arc::clone(self),
            name: Arc::from(name),
            loads: Arc::default(),
        }
    }
}

impl<S: MemoryStore + ?Sized> MemoryStoreExt for S {}

/// A namespace of a store: see [`MemoryStoreExt::in_namespace`].
pub struct NamespaceOf<S: ?Sized> {
    store: Arc<S>,
    name: Arc<str>,
    loads: Arc<Loads<Value>>,
}

impl<S: MemoryStore + ?Sized> NamespaceOf<S> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    /// The value of a key, if there is one and its time is not over.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let entry = self.store.get(&self.name, key).await?;
        Ok(entry.map(|entry| entry.value))
    }

    /// The value of a key and its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn get_entry(&self, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        self.store.get(&self.name, key).await
    }

    /// Puts a value, for the store's time to live, in memory at least.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// The value may have been put or not when the call is dropped.
    pub async fn put(&self, key: &[u8], value: &[u8]) -> Result<Receipt, StoreError> {
        self.put_with(key, value, PutOptions::default()).await
    }

    /// Puts a value.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// The value may have been put or not when the call is dropped.
    pub async fn put_with(
        &self,
        key: &[u8],
        value: &[u8],
        options: PutOptions,
    ) -> Result<Receipt, StoreError> {
        self.store.put(&self.name, key, value, options).await
    }

    /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`], or another one.
    ///
    /// # Cancel safety
    ///
    /// The value may have been put or not when the call is dropped.
    pub async fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<Version>,
        value: &[u8],
        options: PutOptions,
    ) -> Result<Receipt, StoreError> {
        let store = &self.store;
        store
            .compare_and_set(&self.name, key, expected, value, options)
            .await
    }

    /// Removes a key's entry. Says whether there was one. What clones of this namespace are loading for the key now is not
    /// kept.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// The entry may have been removed or not when the call is dropped.
    pub async fn remove(&self, key: &[u8]) -> Result<bool, StoreError> {
        self.loads.invalidate_named(key);
        self.store.remove(&self.name, key, None).await
    }

    /// The keys that begin with `prefix` and are greater than `after`, in order, `most` at most.
    ///
    /// # Errors
    ///
    /// A [`StoreError`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn keys(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        most: usize,
    ) -> Result<Vec<Box<[u8]>>, StoreError> {
        self.store.keys(&self.name, prefix, after, most).await
    }

    /// The value of a key, which is loaded and put if there is none. Like [`Namespace::get_or_load`](crate::Namespace::get_or_load),
    /// with one loader at a time among clones of this namespace.
    ///
    /// A store that fails makes this slower and does not break it: what cannot be read is loaded, and what cannot be put is
    /// given all the same.
    ///
    /// # Errors
    ///
    /// What the loader fails with goes to all who waited for it, if their error is of the same type; others start their
    /// own.
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped leaves the loader to those who wait for it still.
    pub async fn get_or_load<F, Fut, B, E>(
        &self,
        key: &[u8],
        loader: F,
    ) -> Result<Value, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: Into<Vec<u8>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        self.get_or_load_with(key, PutOptions::default(), loader)
            .await
    }

    /// [`get_or_load`](Self::get_or_load), where what is loaded is put with these options.
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
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_with<F, Fut, B, E>(
        &self,
        key: &[u8],
        options: PutOptions,
        loader: F,
    ) -> Result<Value, LoadError<E>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: Into<Vec<u8>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        if let Ok(Some(value)) = self.get(key).await {
            return Ok(value);
        }
        loop {
            match self.loads.join(key.into(), Drives::Yes) {
                Turn::Lead(lead) => {
                    let filling = Filling {
                        namespace: self.clone(),
                        key: key.into(),
                        options,
                    };
                    let stale = lead.stale();
                    let seat = lead.start(Box::pin(async move {
                        // It may have come between the look above and this turn.
                        if let Ok(Some(value)) = filling.namespace.get(&filling.key).await {
                            return Ok(value);
                        }
                        let loaded = loader()
                            .await
                            .map_err(|error| -> SharedError { Arc::new(error) })?;
                        Ok(filling.fill(loaded.into(), || stale.is_stale()).await)
                    }));
                    return own(seat.await);
                }
                Turn::Follow(seat) => match seat.await {
                    Ended::Nested => {
                        let loaded = loader().await;
                        let loaded = loaded.map_err(|error| LoadError::new(Arc::new(error)))?;
                        return Ok(Value::from(loaded.into()));
                    }
                    ended => {
                        if let Some(result) = theirs(ended) {
                            return result;
                        }
                    }
                },
            }
        }
    }
}

/// A place for what is being loaded.
struct Filling<S: ?Sized> {
    namespace: NamespaceOf<S>,
    key: Box<[u8]>,
    options: PutOptions,
}

impl<S: MemoryStore + ?Sized> Filling<S> {
    /// Puts what was loaded, unless somebody has put something or has removed the key meanwhile. Gives what is there.
    async fn fill(&self, loaded: Vec<u8>, is_stale: impl Fn() -> bool) -> Value {
        let Self {
            namespace,
            key,
            options,
        } = self;
        if is_stale() {
            return Value::from(loaded);
        }
        match namespace
            .compare_and_set(key, None, &loaded, *options)
            .await
        {
            Ok(receipt) if is_stale() => {
                // The removal may have come before this was put. If this cannot be removed, it is there until its time is
                // over, as it would be if it had been loaded a moment later.
                let (store, name) = (&namespace.store, &namespace.name);
                let _ = store.remove(name, key, Some(receipt.version)).await;
                Value::from(loaded)
            }
            Err(StoreError::Changed { .. }) => match namespace.get(key).await {
                Ok(Some(value)) => value,
                _ => Value::from(loaded),
            },
            _ => Value::from(loaded),
        }
    }
}

impl<S: ?Sized> Clone for NamespaceOf<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            name: Arc::clone(&self.name),
            loads: Arc::clone(&self.loads),
        }
    }
}

impl<S: ?Sized> fmt::Debug for NamespaceOf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamespaceOf").field(&self.name).finish()
    }
}

#[cfg(feature = "typed")]
pub use self::typed::TypedOf;

#[cfg(feature = "typed")]
mod typed {
    use std::fmt;
    use std::sync::Arc;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::NamespaceOf;
    use crate::backend::{MemoryStore, PutOptions, Receipt, StoreError};
    use crate::load::LoadError;
    use crate::store::Version;
    use crate::typed::{Codec, TypedError, TypedLoadError};

    /// A namespace of any store whose values are of type `T`, as [`Typed`](crate::Typed) is of the store of this process.
    /// The bytes are the same.
    pub struct TypedOf<S: ?Sized, T> {
        namespace: NamespaceOf<S>,
        codec: Codec<T>,
    }

    impl<S: MemoryStore + ?Sized> NamespaceOf<S> {
        /// This namespace with values of type `T`, of version 1.
        #[must_use]
        pub fn typed<T: Serialize + DeserializeOwned>(&self) -> TypedOf<S, T> {
            TypedOf {
                namespace: self.clone(),
                codec: Codec::new(),
            }
        }
    }

    impl<S, T> TypedOf<S, T>
    where
        S: MemoryStore + ?Sized,
        T: Serialize + DeserializeOwned + Send + Sync,
    {
        /// Sets the version of the type: another one for each change of what its bytes are.
        #[must_use]
        pub fn version(mut self, version: u8) -> Self {
            self.codec.version = version;
            self
        }

        /// The namespace, with values as bytes.
        #[must_use]
        pub fn namespace(&self) -> &NamespaceOf<S> {
            &self.namespace
        }

        /// The value of a key, if there is one and its time is not over.
        ///
        /// # Errors
        ///
        /// [`StoreError::Failed`] with a [`TypedError`] when what is there is not of this type, or another one.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn get(&self, key: impl AsRef<[u8]> + Send) -> Result<Option<T>, StoreError> {
            let found = self.get_versioned(key).await?;
            Ok(found.map(|(value, _)| value))
        }

        /// The value of a key and its version, for [`compare_and_set`](Self::compare_and_set).
        ///
        /// # Errors
        ///
        /// As [`get`](Self::get).
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn get_versioned(
            &self,
            key: impl AsRef<[u8]> + Send,
        ) -> Result<Option<(T, Version)>, StoreError> {
            let key = key.as_ref();
            let Some(entry) = self.namespace.get_entry(key).await? else {
                return Ok(None);
            };
            let value = self.codec.decode(key, &entry.value).map_err(unreadable)?;
            Ok(Some((value, entry.version)))
        }

        /// Puts a value.
        ///
        /// # Errors
        ///
        /// [`StoreError::Rejected`] with a [`TypedError`] when the value cannot be encoded, or another one.
        ///
        /// # Cancel safety
        ///
        /// The value may have been put or not when the call is dropped.
        pub async fn put(
            &self,
            key: impl AsRef<[u8]> + Send,
            value: &T,
            options: PutOptions,
        ) -> Result<Receipt, StoreError> {
            let key = key.as_ref();
            let bytes = self.encode(key, value)?;
            self.namespace.put_with(key, &bytes, options).await
        }

        /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none.
        ///
        /// # Errors
        ///
        /// [`StoreError::Changed`], or as [`put`](Self::put).
        ///
        /// # Cancel safety
        ///
        /// The value may have been put or not when the call is dropped.
        pub async fn compare_and_set(
            &self,
            key: impl AsRef<[u8]> + Send,
            expected: Option<Version>,
            value: &T,
            options: PutOptions,
        ) -> Result<Receipt, StoreError> {
            let key = key.as_ref();
            let bytes = self.encode(key, value)?;
            self.namespace
                .compare_and_set(key, expected, &bytes, options)
                .await
        }

        /// The value of a key, which is loaded and put if there is none, as [`NamespaceOf::get_or_load`]. An entry that is not
        /// of this type, or of another version of it, is as if it were not there, and is replaced.
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
        /// As [`NamespaceOf::get_or_load`].
        pub async fn get_or_load<F, Fut, E>(
            &self,
            key: impl AsRef<[u8]> + Send,
            options: PutOptions,
            loader: F,
        ) -> Result<T, LoadError<TypedLoadError<E>>>
        where
            F: FnOnce() -> Fut + Send + 'static,
            Fut: Future<Output = Result<T, E>> + Send + 'static,
            T: 'static,
            E: Send + Sync + 'static,
        {
            let key = key.as_ref();
            if let Ok(Some(entry)) = self.namespace.get_entry(key).await {
                if let Ok(value) = self.codec.decode(key, &entry.value) {
                    return Ok(value);
                }
                let (store, name) = (&self.namespace.store, &self.namespace.name);
                // If it stays, decoding it below says so.
                let _ = store.remove(name, key, Some(entry.version)).await;
            }
            let (codec, owned) = (self.codec, Box::<[u8]>::from(key));
            let load = move || async move { codec.encode_loaded(&owned, loader().await) };
            let loaded = self.namespace.get_or_load_with(key, options, load).await?;
            let decoded = self.codec.decode(key, &loaded);
            decoded.map_err(|error| LoadError::new(Arc::new(TypedLoadError::Typed(error))))
        }

        /// Removes a key's entry, whatever it is. Says whether there was one.
        ///
        /// # Errors
        ///
        /// A [`StoreError`].
        ///
        /// # Cancel safety
        ///
        /// The entry may have been removed or not when the call is dropped.
        pub async fn remove(&self, key: impl AsRef<[u8]> + Send) -> Result<bool, StoreError> {
            self.namespace.remove(key.as_ref()).await
        }

        fn encode(&self, key: &[u8], value: &T) -> Result<Vec<u8>, StoreError> {
            let mut bytes = Vec::new();
            let encoded = self.codec.encode(key, value, &mut bytes);
            encoded.map_err(|error| StoreError::Rejected(Box::new(error)))?;
            Ok(bytes)
        }
    }

    fn unreadable(error: TypedError) -> StoreError {
        StoreError::Failed(Box::new(error))
    }

    impl<S: ?Sized, T> Clone for TypedOf<S, T> {
        fn clone(&self) -> Self {
            Self {
                namespace: self.namespace.clone(),
                codec: self.codec,
            }
        }
    }

    impl<S: ?Sized, T> fmt::Debug for TypedOf<S, T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("TypedOf")
                .field("namespace", &self.namespace)
                .field("version", &self.codec.version)
                .finish_non_exhaustive()
        }
    }
}
