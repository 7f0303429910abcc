//! What the order of the next run hangs on, by binary, in the form in which the archive holds it.

use serde::{Deserialize, Serialize};

use crate::model::{TestName, UnixMillis};

/// A version of [`PlanPart`]'s form.
pub(super) const VERSION: u8 = 1;

/// Some tests of one binary.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PlanPart {
    /// When it was written: one that nothing has changed in must be written again before it is over.
    pub(crate) written: UnixMillis,
    pub(crate) tests: Vec<PastRow>,
}

/// A test: its name, how long it took in microseconds, and bits for the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PastRow(pub(crate) TestName, pub(crate) u64, pub(crate) u8);
