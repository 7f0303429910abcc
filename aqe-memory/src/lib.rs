//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

mod batch;
mod builder;
mod clock;
mod config;
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
pub use self::value::Value;
