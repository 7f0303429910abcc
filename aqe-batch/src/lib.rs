//! Batch.
pub mod codec;
pub mod log;
