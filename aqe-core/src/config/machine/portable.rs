//! Systems other than Linux: the cores that the standard library reports, and no memory.

use std::path::Path;

use super::{Machine, available_cores};

/// Asks the standard library; there is no root folder to read.
pub(super) fn detect(_root: &Path) -> Machine {
    Machine::new(available_cores(), None)
}
