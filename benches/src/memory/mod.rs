//! Questions about caches and stores.
//!
//! - [`artefacts`]: the values that everything here is measured with.
//! - [`codec`]: how small they become, and how fast.
//! - [`hits`]: how many reads find their entry, by policy, load and capacity; no speed.
//! - [`loads`]: what is read.

pub mod artefacts;
mod caches;
pub mod codec;
pub mod hits;
pub mod loads;
