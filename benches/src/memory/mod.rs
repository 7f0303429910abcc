//! Questions about caches and stores.
//!
//! - [`hits`]: how many reads find their entry, by policy, load and capacity; no speed.
//! - [`loads`]: what is read.

mod caches;
pub mod hits;
pub mod loads;
