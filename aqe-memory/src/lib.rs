//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

mod clock;
mod config;
#[cfg(feature = "encryption")]
pub mod crypt;
mod dictionaries;
mod disk;
mod error;
mod folder;
mod index;
mod seal;
mod segment;
mod shared;
mod stats;
mod store;
mod sweeper;
mod sync;
mod tiers;
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

pub use self::clock::ManualClock;
#[cfg(feature = "encryption")]
pub use self::config::Keys;
pub use self::config::{Compression, ConfigError, MemoryConfig};
pub use self::disk::error::{DiskError, OpenError};
pub use self::disk::recovery::Damage;
#[cfg(feature = "encryption")]
pub use self::error::RotateError;
pub use self::error::{CompareError, NamespaceError, PutError};
pub use self::stats::{Cause, StoreStats};
pub use self::store::{Namespace, Store, Version};
pub use self::value::Value;

/// Any bytes as the files of a store's folder, for fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_files(data: &[u8]) {
    disk::fuzz(data);
}
