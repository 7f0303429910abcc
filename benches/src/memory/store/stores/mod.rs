//! Stores of values of any size, bounded in bytes, under one trait.

mod aqe;
mod codec;
mod peers;

use std::time::Duration;

use xtask::Result;

pub(super) use self::aqe::{
    Aqe, AqeHigh, AqeHotOnly, AqeSealed, AqeSealedHigh, AqeSealedZstd, AqeZstd, keys,
};
pub(super) use self::codec::{Lz4, Lz4Sealed, Raw};
pub(super) use self::peers::{Foyer, Moka, Quick};

/// A store that was given so much memory.
pub(super) trait Store: Sync + Sized {
    /// What a read gives, to be kept as long as one likes.
    type Bytes: AsRef<[u8]>;

    /// Whether it makes values smaller by itself, and so can be given less memory than they have bytes.
    const COMPRESSES_FOR_ITSELF: bool = false;

    /// An empty one within so many bytes, as it counts them.
    fn within(bytes: u64) -> Result<Self>;

    /// Puts a value, for a day if nothing else is said. Says whether it was taken.
    fn put(&self, key: &[u8], value: &[u8], time_to_live: Option<Duration>) -> bool;

    /// The value of a key.
    fn get(&self, key: &[u8]) -> Option<Self::Bytes>;

    /// Whether there is one; that is no read of it.
    fn has(&self, key: &[u8]) -> bool;

    /// Removes a key's value.
    fn remove(&self, key: &[u8]);

    /// Does what it has put off, as far as there is a call for that.
    fn settle(&self) {}

    /// Takes as little memory as it can, as far as there is a call for that.
    fn optimize(&self) {
        self.settle();
    }
}

/// For how long something lives that says nothing else.
const A_DAY: Duration = Duration::from_secs(24 * 3_600);
