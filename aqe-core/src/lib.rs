//! An embeddable runtime for quality engineering. This is the crate to depend on.
//!
//! It gathers the components of aqe behind one name, reads the configuration that they share, and holds the little code
//! that needs two of them. It is not a test framework: it does not replace `#[test]`, assertions or the harness that a
//! project uses, and it runs nothing by itself. The program `aqe` and the crate `aqe-runner` find and run test suites
//! with it.
//!
//! # Modules
//!
//! | module | what it gives | feature |
//! | --- | --- | --- |
//! | [`config`] | `qe.config.yaml`: typed values, layers with the origin of each, presets, edits that keep comments | always there |
//!
//! # Example
//!
//! ```
//! use aqe_core::config::Loader;
//!
//! let loaded = Loader::new()
//!     .text("qe.config.yaml", "queue:\n  maxConcurrent: 12\n")
//!     .load()?;
//! for entry in loaded.entries() {
//!     println!("{} = {}   # {}", entry.key.path(), entry.value, entry.origin);
//! }
//! assert_eq!(loaded.config().queue.max_concurrent.get(), 12);
//! # Ok::<(), aqe_core::Error>(())
//! ```
//!
//! # Features
//!
//! | feature | by default | what it adds |
//! | --- | --- | --- |
//! | `queue` | yes | the operation queue |
//!
//! # Limits
//!
//! A configuration file has at most 1 MiB. Detection of cores counts cgroups and affinity on Linux, and what the standard
//! library reports elsewhere; the memory of a machine is known on Linux only.

pub mod config;
mod error;

#[cfg(feature = "queue")]
#[doc(inline)]
pub use aqe_queue as queue;

#[doc(inline)]
pub use self::config::{Config, ConfigError, Loader};
pub use self::error::Error;
/// The type of sizes in the configuration.
pub use bytesize::ByteSize;
