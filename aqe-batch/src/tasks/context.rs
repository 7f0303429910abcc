//! What an operation learns about the run around it.

use std::fmt;
use std::sync::Arc;

use crate::meter::Meter;
use crate::switch::Switch;

/// Handed to the operation with each attempt of an item.
#[derive(Clone)]
pub struct ItemContext {
    pub(super) item: u64,
    pub(super) attempt: u32,
    pub(super) link: Arc<Link>,
}

/// What the contexts of one lane share.
pub(super) struct Link {
    pub(super) switch: Arc<Switch>,
    pub(super) meters: Arc<[Meter]>,
    /// The place of the lane's own meter.
    pub(super) at: usize,
}

impl Link {
    pub(super) fn meter(&self) -> &Meter {
        &self.meters[self.at]
    }
}

impl ItemContext {
    /// The number of the item: the first has 0.
    #[must_use]
    pub fn item(&self) -> u64 {
        self.item
    }

    /// The number of the attempt: the first has 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Tells that so many bytes have been processed, for [`Progress::bytes`](crate::Progress::bytes).
    pub fn add_bytes(&self, bytes: u64) {
        self.link.meter().bytes(bytes);
    }

    /// Whether the run has been stopped; a long operation may look, and end early.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        !self.link.switch.may_start()
    }
}

impl fmt::Debug for ItemContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemContext")
            .field("item", &self.item)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
