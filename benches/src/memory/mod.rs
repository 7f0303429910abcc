//! Questions about caches and stores.
//!
//! - [`artefacts`]: the values that everything here is measured with.
//! - [`codec`]: how small they become, and how fast.
//! - [`hits`]: how many reads find their entry, by policy, load and capacity; no speed.
//! - [`loads`]: what is read.
//! - [`store`]: speed, memory, expiry and durability of whole caches and stores.

pub mod artefacts;
mod caches;
pub mod codec;
pub mod hits;
pub mod loads;
pub mod store;
