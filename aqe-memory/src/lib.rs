//! A store of entries that expire: bounded by real memory, compressed, in a folder if wanted, sealed if wanted.
//!
//! Most applications use this through `aqe-core`, which takes its sizes from a configuration file. This crate is for those who
//! want the store alone.
//!
//! It is **not** a database: there are no queries but by key and by prefix, and no transactions over several keys. It is
//! not a cache in front of something else either, though [`Namespace::get_or_load`] makes one of it: in a folder it keeps what it
//! has taken, and says when there is no more room.
//!
//! # A complete program
//!
//! ```
//! use std::time::Duration;
//! use aqe_memory::{MemoryConfig, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! // At most 64 MiB of memory, all in all.
//! let config = MemoryConfig::default().max_size(64 << 20);
//! let store = Store::open(folder.path(), config.clone())?;
//! let durations = store.namespace("durations")?;
//!
//! // Written to the folder before the call returns; forgotten after a day.
//! durations.put_for(b"checkout::pays", b"1250 ms", Duration::from_secs(86_400))?;
//! assert_eq!(durations.get(b"checkout::pays").as_deref(), Some(&b"1250 ms"[..]));
//!
//! // Only if nobody else has changed it meanwhile.
//! let Some((_, seen)) = durations.get_versioned(b"checkout::pays") else { panic!("it was just put") };
//! durations.compare_and_set(b"checkout::pays", Some(seen), b"980 ms")?;
//! assert!(durations.compare_and_set(b"checkout::pays", Some(seen), b"990 ms").is_err());
//!
//! // However the process ends: the next one finds it.
//! drop((durations, store));
//! let store = Store::open(folder.path(), config)?;
//! assert_eq!(store.namespace("durations")?.get(b"checkout::pays").as_deref(), Some(&b"980 ms"[..]));
//! # Ok(()) }
//! ```
//!
//! # What the words mean
//!
//! | Word | Meaning |
//! | --- | --- |
//! | entry | A key, a value, and until when it lives. Keys have up to 65,535 bytes, values up to a quarter of `cache_size`. |
//! | expire | An entry's time is over: no read gives it any more, to the millisecond (beyond 24 days, to the second), as far as the clock's tick of 1 to 10 ms goes. Its memory follows within a fraction of a second of its neighbours' end. |
//! | evict | There is no room: an entry is compressed, or in memory alone dropped. In a folder nothing is dropped; a put is refused. |
//! | remove | Somebody asked for it. |
//! | idle | Nobody has read the entry for a while: [`EntryOptions::time_to_idle`] says for how long it may be so. |
//! | tag, invalidate | What entries belong to besides their key, and putting an end to all that were put with it: [`Namespace::invalidate_tag`]. |
//! | snapshot | What a namespace holds at one moment: [`Namespace::snapshot`]. |
//! | clean up | Memory and disk that nothing needs are given back: [`Store::cleanup_with`]. |
//! | optimize | What is compressed is made smaller: [`Store::optimize`]. |
//! | version | What every put gives an entry anew, for [`Namespace::compare_and_set`]. |
//! | written | It survives the end of the process: every put to a folder. |
//! | synced | It survives the end of the machine: what was put before a [`Namespace::flush`]. |
//!
//! # Modules and features
//!
//! | module | what it gives | feature |
//! | --- | --- | --- |
//! | [`backend`] | the store as a trait, for those who keep entries elsewhere | always there |
//! | [`reader`] | reading a folder while another process writes to it | always there |
//! | `conformance` | checks that any implementation of it can be run through | `conformance` |
//! | `crypt` | keys: from the environment, a file, a provider of one's own | `encryption`; builds a C library |
//! | | analyses, diagnoses and reports can be serialized | `serde` |
//! | `typed` | values of a type instead of bytes, by serde | `typed`, on by default |
//!
//! The feature `zstd` adds Zstandard beside LZ4; it builds a C library.
//!
//! # Limits
//!
//! One process at a time writes to a folder; others read it with a [`Reader`]. A folder's index is in memory: about twelve bytes for
//! each entry. Listing keys looks at every key. Of an entry that lives while it is read, not every read is in the folder: killed,
//! it may end sooner by an eighth of its time to idle. Reads of entries that are on disk only block their thread for as long as the
//! disk takes. Memory is mapped and counted in
//! pages of 4 KiB.

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
#[cfg(test)]
mod fault_tests;
mod folder;
mod index;
mod insight;
mod invalidate;
mod load;
mod marks;
mod names;
mod namespace;
mod options;
mod overwriting;
mod pressure;
pub mod reader;
mod reading;
mod reclaim;
mod removal;
mod seal;
mod segment;
mod shared;
mod sip;
mod snapshot;
mod stats;
mod store;
mod striped;
mod sweeper;
mod sync;
mod tiers;
#[cfg(feature = "typed")]
pub mod typed;
mod upkeep;
mod value;
mod writing;

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

pub use self::backend::TimeToLive;
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
pub use self::insight::analysis::{
    Amount, Analysis, DictionaryAnalysis, EntryTier, HistogramBar, LargeEntry, NamespaceAnalysis,
    TierAnalysis,
};
pub use self::insight::diagnosis::{AllocationSite, Diagnosis, Finding, Problem, Severity};
pub use self::insight::process::ProcessMemory;
pub use self::insight::trends::{Rates, TrendSample, Trends};
pub use self::load::LoadError;
pub use self::namespace::Namespace;
pub use self::options::EntryOptions;
pub use self::pressure::MemoryReading;
pub use self::reader::{Reader, ReaderNamespace};
pub use self::reclaim::{Cleanup, CleanupReport, Footprint, Optimize, OptimizeReport};
pub use self::removal::Removal;
pub use self::snapshot::{Snapshot, SnapshotError};
pub use self::stats::{Cause, StoreStats};
pub use self::store::{Store, Version};
#[cfg(feature = "typed")]
pub use self::typed::Typed;
pub use self::value::Value;

/// Any bytes as the files of a store's folder, for fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn fuzz_files(data: &[u8]) {
    disk::fuzz(data);
}
