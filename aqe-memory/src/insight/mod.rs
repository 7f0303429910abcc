//! What a store is made of, how that changes, and what is wrong with it.
//!
//! Everything here is read, not estimated, by looking at every entry in bounded slices: the lock of a shard is held for
//! [`SLICE`](scan::SLICE) entries at a time, and for reading only.

pub(crate) mod analysis;
pub(crate) mod diagnosis;
mod findings;
pub(crate) mod process;
mod scan;
pub(crate) mod trends;

pub(crate) use self::trends::History;
