//! Caches under one trait, each used as its documentation shows it.
//!
//! What can expire does so after an hour. Peers hold their keys as boxed bytes, which are looked up by borrowed ones, and values
//! behind an [`Arc`], which is how they are shared out without a copy.

mod aqe;
mod foyer;
mod moka;
mod quick;

use std::sync::Arc;
use std::time::Duration;

use xtask::Result;

pub(super) use self::aqe::{Aqe, AqeCompressing};
pub(super) use self::foyer::Foyer;
pub(super) use self::moka::{MokaDefault, MokaFoldhash, MokaOneTtl};
pub(super) use self::quick::{Quick, QuickTtl};

/// For how long everything lives.
const TIME_TO_LIVE: Duration = Duration::from_secs(3_600);

type Key = Box<[u8]>;
type Shared = Arc<[u8]>;

/// A cache of small values.
pub(super) trait Cache: Sync + Sized {
    /// An empty one, with room for so many entries of 28 + 100 bytes.
    fn with_room(entries: usize) -> Result<Self>;

    /// Puts a value.
    fn put(&self, key: &[u8], value: &[u8]);

    /// The last byte of a value, if there is one: whoever asks looks at it, as a user would.
    fn get(&self, key: &[u8]) -> Option<u8>;

    /// Does what it has put off.
    fn settle(&self) {}
}
