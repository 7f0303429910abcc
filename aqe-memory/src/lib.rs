//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

pub mod backend;
mod batch;
mod builder;
mod clock;
mod config;
// Our own unit tests run the public checks too, whatever features are on.
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(feature = "encryption")]
pub mod crypt;
mod dictionaries;
mod disk;
mod entries;
mod error;
mod folder;
mod index;
mod load;
mod names;
mod removal;
mod seal;
mod segment;
mod shared;
mod stats;
mod store;
mod striped;
mod sweeper;
mod sync;
mod tiers;
#[cfg(feature = "typed")]
pub mod typed;
mod value;

// Benches and fuzzing drive these two without a store around them.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod codec;
#[cfg(not(feature = "internals"))]
#[expect(
    unreachable_pub,
    reason = "benches and fuzzing reach it with the feature `internals`"
)]
mod codec;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod policy;
#[cfg(not(feature = "internals"))]
#[expect(
    unreachable_pub,
    reason = "benches and fuzzing reach it with the feature `internals`"
)]
mod policy;

pub use self::builder::StoreBuilder;
pub use self::clock::ManualClock;
#[cfg(feature = "encryption")]
pub use self::config::Keys;
pub use self::config::{Compression, ConfigError, MemoryConfig};
pub use self::disk::error::{DiskError, OpenError};
pub use self::disk::recovery::Damage;
pub use self::entries::Entries;
#[cfg(feature = "encryption")]
pub use self::error::RotateError;
pub use self::error::{CompareError, NamespaceError, PutError, PutManyError};
pub use self::load::LoadError;
pub use self::removal::Removal;
pub use self::stats::{Cause, StoreStats};
pub use self::store::{Namespace, Store, Version};
#[cfg(feature = "typed")]
pub use self::typed::Typed;
pub use self::value::Value;

/// Any bytes as the files of a store's folder, for fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_files(data: &[u8]) {
    disk::fuzz(data);
}
