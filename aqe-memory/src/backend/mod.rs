//! What a store is, whoever implements it: in this process, or on other machines.
//!
//! [`MemoryStore`] is for those who implement one: few methods, and no conveniences. [`MemoryStoreExt`] is for those who use
//! one, and gives a [`NamespaceOf`] any store: bytes, typed values, and loading what is not there once. Who has a
//! [`Store`](crate::Store) and needs no other uses its own methods, which are not asynchronous and need no allocation.
//!
//! An implementation shows that it keeps the contract with the checks of `conformance` (feature `conformance`).

mod local;
mod namespace;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "typed")]
pub use self::namespace::TypedOf;
pub use self::namespace::{MemoryStoreExt, NamespaceOf};
use crate::store::Version;
use crate::value::Value;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A store of entries that expire, by namespace and key.
///
/// # Contract
///
/// - Each call on one key takes effect at one moment between its beginning and its end; calls on different keys need not
///   be seen by all in one order. Who has an answer sees what it says in every later call, through every clone.
/// - Each value that is put has a [`Version`] of its own, which no other value of its key has.
/// - An entry whose time is over is in no answer. It is not over before its time, to the millisecond. An entry may be gone
///   before, for want of room, if the implementation says so.
/// - A namespace is there from the first put of an entry to it. The empty name is a name.
/// - A call that is dropped has taken effect or not, as a whole; [`compare_and_set`](Self::compare_and_set) tells afterwards.
/// - A wrapper passes errors on, and versions as they are.
pub trait MemoryStore: Send + Sync + 'static {
    /// The entry of a key, if there is one.
    fn get<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>>;

    /// Puts a value in place of what the key had. The receipt's durability is that which was asked for, or more.
    fn put<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        value: &'a [u8],
        options: PutOptions,
    ) -> BoxFuture<'a, Result<Receipt, StoreError>>;

    /// Puts a value if the key's entry has this version still, or, with `None`, if the key has none. Otherwise
    /// [`StoreError::Changed`].
    fn compare_and_set<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        expected: Option<Version>,
        value: &'a [u8],
        options: PutOptions,
    ) -> BoxFuture<'a, Result<Receipt, StoreError>>;

    /// Removes the entry of a key; of this version, if one is given. Says whether there was one.
    fn remove<'a>(
        &'a self,
        namespace: &'a str,
        key: &'a [u8],
        expected: Option<Version>,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The keys of a namespace that begin with `prefix` and are greater than `after`, in order, `most` at most. One that has an
    /// entry from the beginning of the call to its end is among them. Fewer than `most` means that there are no more.
    fn keys<'a>(
        &'a self,
        namespace: &'a str,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Box<[u8]>>, StoreError>>;

    /// The names of all namespaces that have had an entry, in order. Others may be among them.
    fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Arc<str>>, StoreError>>;

    /// Waits until everything whose put or removal has returned is as durable as this store can make it.
    fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// A value that is there, and which one of its key's it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Its version.
    pub version: Version,
}

impl Entry {
    /// An entry.
    #[must_use]
    pub fn new(value: impl Into<Value>, version: Version) -> Self {
        Self {
            value: value.into(),
            version,
        }
    }
}

/// How a value is put. By default for the store's own time to live, and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// How long the entry lives.
    pub time_to_live: TimeToLive,
    /// What the value must survive, once the call has returned.
    pub durability: Durability,
}

impl PutOptions {
    /// Sets [`time_to_live`](Self::time_to_live).
    #[must_use]
    pub fn time_to_live(mut self, time_to_live: impl Into<TimeToLive>) -> Self {
        self.time_to_live = time_to_live.into();
        self
    }

    /// Sets [`durability`](Self::durability).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

/// How long an entry lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeToLive {
    /// As long as the store is set to.
    #[default]
    OfStore,
    /// This long.
    For(Duration),
    /// Until it is removed, or has to give way.
    Forever,
}

impl From<Duration> for TimeToLive {
    fn from(time_to_live: Duration) -> Self {
        Self::For(time_to_live)
    }
}

/// What a value survives. Each survives what the ones before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// Nothing: it is gone with the process that holds it.
    #[default]
    Memory,
    /// The end of the process, whatever ends it.
    Written,
    /// The end of the machine: a power cut.
    Synced,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Written => "written",
            Self::Synced => "synced",
        })
    }
}

/// What became of a value that was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// Its version.
    pub version: Version,
    /// What it survives.
    pub durability: Durability,
}

impl Receipt {
    /// A receipt.
    #[must_use]
    pub const fn new(version: Version, durability: Durability) -> Self {
        Self {
            version,
            durability,
        }
    }
}

/// The cause of a [`StoreError`].
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a store did not do what it was asked for, by what the caller can do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Read again: the entry is not what was expected.
    #[error("the entry has changed")]
    Changed {
        /// Its version now; `None` if it is not there.
        current: Option<Version>,
    },
    /// Change the call: this store never takes such a namespace, key or value.
    #[error("the store does not take this")]
    Rejected(#[source] BoxError),
    /// Ask for less: this store never makes anything as durable as that. Nothing was put.
    #[error("`{asked}` was asked for, and the store offers `{offered}` at most")]
    NotDurable {
        /// What was asked for.
        asked: Durability,
        /// The most that there is.
        offered: Durability,
    },
    /// Remove something, or wait until something is over: there is no room.
    #[error("the store has no room")]
    Full(#[source] BoxError),
    /// Try again later: the store is not to be reached. The call may have taken effect.
    #[error("the store is not available")]
    Unavailable(#[source] BoxError),
    /// Give up, or open the store anew: it is broken. The call may have taken effect.
    #[error("the store has failed")]
    Failed(#[source] BoxError),
}

macro_rules! forward {
    ($($pointer:ident),+) => {$(
        impl<S: MemoryStore + ?Sized> MemoryStore for $pointer<S> {
            fn get<'a>(
                &'a self,
                namespace: &'a str,
                key: &'a [u8],
            ) -> BoxFuture<'a, Result<Option<Entry>, StoreError>> {
                (**self).get(namespace, key)
            }

            fn put<'a>(
                &'a self,
                namespace: &'a str,
                key: &'a [u8],
                value: &'a [u8],
                options: PutOptions,
            ) -> BoxFuture<'a, Result<Receipt, StoreError>> {
                (**self).put(namespace, key, value, options)
            }

            fn compare_and_set<'a>(
                &'a self,
                namespace: &'a str,
                key: &'a [u8],
                expected: Option<Version>,
                value: &'a [u8],
                options: PutOptions,
            ) -> BoxFuture<'a, Result<Receipt, StoreError>> {
                (**self).compare_and_set(namespace, key, expected, value, options)
            }

            fn remove<'a>(
                &'a self,
                namespace: &'a str,
                key: &'a [u8],
                expected: Option<Version>,
            ) -> BoxFuture<'a, Result<bool, StoreError>> {
                (**self).remove(namespace, key, expected)
            }

            fn keys<'a>(
                &'a self,
                namespace: &'a str,
                prefix: &'a [u8],
                after: Option<&'a [u8]>,
                most: usize,
            ) -> BoxFuture<'a, Result<Vec<Box<[u8]>>, StoreError>> {
                (**self).keys(namespace, prefix, after, most)
            }

            fn namespaces(&self) -> BoxFuture<'_, Result<Vec<Arc<str>>, StoreError>> {
                (**self).namespaces()
            }

            fn flush(&self) -> BoxFuture<'_, Result<(), StoreError>> {
                (**self).flush()
            }
        }
    )+};
}

forward!(Box, Arc);
