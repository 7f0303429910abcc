//! Which tests a binary has.
//!
//! A harness that speaks libtest's listing protocol is asked twice, once for all tests and once for the ignored ones.
//! Who starts the processes is the caller's business: [`ListJob`] says which [`ListCall`]s to make, takes their
//! [`ListOutput`]s in any order and ends with a [`Listing`]; [`list_with`] drives it with a closure, one call after
//! the other.
//!
//! The calls carry `--test-threads=1` as a probe. A harness that accepts it for listing accepts it for running, and a
//! libtest process that runs one test with it makes about 40 system calls less, since it does not ask how many
//! processors there are. A harness that refuses it is asked again without.
//!
//! [`ListCache`] remembers listings between runs, for binaries whose tests cannot change while the file does not.

mod cache;
mod error;
mod job;
mod parse;

pub use cache::{CacheError, FileIdentity, ListCache, is_libtest_binary};
pub use error::{ListError, ListFault};
pub use job::{ListCall, ListJob, ListOutput, ListStep, list_calls, list_with};
pub use parse::{
    CaseKind, ListedTest, Listing, MAX_LIST_BYTES, MAX_NAME_BYTES, MAX_TESTS, merge, parse_list,
};
