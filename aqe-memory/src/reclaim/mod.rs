//! Giving back what is not needed, and making smaller what is: when somebody asks for it, and in the background.
//!
//! All of it is done in bounded slices: whoever puts something waits for one slice at most, and whoever reads does not
//! wait at all.

mod background;
mod cleanup;
mod expired;
mod optimize;
mod retrain;
mod rewriting;

pub(crate) use self::background::Background;
pub use self::cleanup::{Cleanup, CleanupReport};
pub use self::optimize::{Optimize, OptimizeReport};
use crate::stats::StoreStats;

/// What a store takes at some moment, measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Footprint {
    /// Entries.
    pub entries: u64,
    /// Bytes of memory: [`StoreStats::resident_bytes`].
    pub resident_bytes: u64,
    /// Bytes of files: [`StoreStats::disk_bytes`].
    pub disk_bytes: u64,
}

impl Footprint {
    fn of(stats: &StoreStats) -> Self {
        Self {
            entries: stats.entries,
            resident_bytes: stats.resident_bytes,
            disk_bytes: stats.disk_bytes,
        }
    }
}
