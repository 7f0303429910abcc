//! What needs two parts of aqe at once, and nothing else.
//!
//! Components do not know one another, nor the configuration file. Whoever joins two of them writes a file here, so
//! that this folder is the whole list of what is joined to what.

#[cfg(feature = "alerts")]
pub(crate) mod alerts;
#[cfg(feature = "batch")]
mod batch_config;
#[cfg(feature = "memory")]
mod memory_config;
#[cfg(feature = "monitor")]
pub(crate) mod monitor;
#[cfg(feature = "queue")]
mod queue_config;
#[cfg(all(feature = "batch", feature = "queue"))]
pub(crate) mod through_queue;
