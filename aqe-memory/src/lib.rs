//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

mod clock;
mod config;
#[cfg(feature = "encryption")]
pub mod crypt;
mod disk;
mod error;
mod folder;
mod index;
// Not part of the interface: public for the comparison of hit ratios, which drives the policy without a store around it.
#[doc(hidden)]
pub mod policy;
mod seal;
mod segment;
mod shared;
mod stats;
mod store;
mod sweeper;
mod sync;
mod tiers;
mod value;

pub use self::clock::ManualClock;
#[cfg(feature = "encryption")]
pub use self::config::Keys;
pub use self::config::{ConfigError, MemoryConfig};
pub use self::disk::error::{DiskError, OpenError};
pub use self::disk::recovery::Damage;
#[cfg(feature = "encryption")]
pub use self::error::RotateError;
pub use self::error::{CompareError, NamespaceError, PutError};
pub use self::stats::{Cause, StoreStats};
pub use self::store::{Namespace, Store, Version};
pub use self::value::Value;
