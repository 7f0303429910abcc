//! What coverage is, whatever file it came in.

mod branches;
mod coverage;
mod file;
mod functions;
mod lines;
mod overlay;
mod range;
mod tally;

pub use self::branches::{BranchLine, Branches};
pub use self::coverage::Coverage;
pub use self::file::FileCoverage;
pub use self::functions::{Function, Functions};
pub use self::lines::{LineHits, LineRun};
pub use self::range::LineRange;
pub use self::tally::{Tally, Totals};

pub(crate) use self::branches::{Arm, Outcome};
pub(crate) use self::coverage::package;
pub(crate) use self::lines::LineHitsBuilder;
pub(crate) use self::overlay::Overlay;
pub(crate) use self::range::RangeBuilder;
