//! The words every part of the runner shares: which test, what one attempt did, what the test came to.
//!
//! An [`Attempt`] is one process (or one slot of a batch) that ran one test; a [`Verdict`] is what a person is told
//! about the test once its attempts are over. The two are kept apart because a retry changes the verdict and never an
//! attempt: [`Verdict::of`] is the only place where the first becomes the second.
//!
//! All of them serialise with serde to flat JSON objects tagged by `status` and `reason`, which is the form that the
//! journal and the event stream carry.

mod attempt;
mod exit;
mod id;
pub(crate) mod micros;
mod output;
mod verdict;

pub use attempt::{Attempt, AttemptResult, Failure, UnixMillis};
pub use exit::Exit;
pub use id::{BinaryId, TestId, TestName};
pub use output::{Excerpt, ExcerptLimit, OutputExcerpt};
pub use verdict::Verdict;
