//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

pub mod backend;
mod batch;
mod builder;
mod clock;
mod config;
// Our own unit tests run the public checks too, whatever features are on.
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod disk;
mod entries;
mod error;
mod folder;
mod index;
mod load;
mod names;
mod removal;
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

pub use self::builder::StoreBuilder;
pub use self::clock::ManualClock;
pub use self::config::{ConfigError, MemoryConfig};
pub use self::disk::error::{DiskError, OpenError};
pub use self::disk::recovery::Damage;
pub use self::entries::Entries;
pub use self::error::{CompareError, NamespaceError, PutError, PutManyError};
pub use self::load::LoadError;
pub use self::removal::Removal;
pub use self::stats::{Cause, StoreStats};
pub use self::store::{Namespace, Store, Version};
#[cfg(feature = "typed")]
pub use self::typed::Typed;
pub use self::value::Value;
