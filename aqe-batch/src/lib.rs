//! Batch.
mod adaptive;
mod cancel;
mod checkpoint;
pub mod codec;
mod config;
mod error;
pub mod files;
pub mod log;
mod memory;
mod meter;
mod policy;
mod processor;
mod progress;
mod report;
mod switch;
mod tasks;
mod threads;
mod ticker;

pub use crate::cancel::CancelToken;
pub use crate::checkpoint::Checkpoint;
pub use crate::codec::Codec;
pub use crate::config::{BatchConfig, ConfigError, Sizing};
pub use crate::error::{BatchError, ItemError, Stopped};
pub use crate::files::{
    FileOperation, FileOperations, FileOptions, FileOutcome, FilesReport, find_files,
};
pub use crate::log::CheckpointError;
pub use crate::policy::{ByConfig, Decision, Jitter, OnError, Policy, RetryPolicy};
pub use crate::processor::{BatchProcessor, Job};
pub use crate::progress::{Progress, ProgressStream};
pub use crate::report::{BatchReport, FailedItem, Results};
pub use crate::tasks::{
    BatchStream, FromStream, IntoItems, ItemContext, Items, Iterated, Outcome, from_stream,
};
pub use crate::ticker::ByteCounter;
