//! The store in memory, by its settings.

use std::time::Duration;

use aqe_memory::crypt::{MasterKey, MasterKeys};
use aqe_memory::{Compression, MemoryConfig, Value};
use xtask::Result;

use super::{A_DAY, Store};
use crate::workloads::failed;

/// How much is not compressed.
#[derive(Clone, Copy)]
enum Hot {
    All,
    /// An eighth, which is the least that there is.
    Least,
}

macro_rules! stores {
    ($($(#[$doc:meta])* $name:ident: $compression:expr, $hot:expr, $is_sealed:expr;)*) => {$(
        $(#[$doc])*
        pub(in super::super) struct $name(aqe_memory::Store);

        impl Store for $name {
            type Bytes = Value;

            const COMPRESSES_FOR_ITSELF: bool = true;

            fn within(bytes: u64) -> Result<Self> {
                build(bytes, $compression, $hot, $is_sealed).map(Self)
            }

            #[inline]
            fn put(&self, key: &[u8], value: &[u8], time_to_live: Option<Duration>) -> bool {
                self.0.put_for(key, value, time_to_live.unwrap_or(A_DAY)).is_ok()
            }

            #[inline]
            fn get(&self, key: &[u8]) -> Option<Value> {
                self.0.get(key)
            }

            fn has(&self, key: &[u8]) -> bool {
                self.0.contains(key)
            }

            fn remove(&self, key: &[u8]) {
                // In memory nothing can be in the way of a removal.
                let _ = self.0.remove(key);
            }

            fn settle(&self) {
                self.0.cleanup();
            }

            fn optimize(&self) {
                let _ = self.0.optimize(aqe_memory::Optimize::Aggressive);
            }
        }
    )*};
}

stores! {
    /// As it is by default, with the smallest hot tier.
    Aqe: Compression::Lz4, Hot::Least, false;
    /// Nothing is compressed.
    AqeHotOnly: Compression::None, Hot::All, false;
    /// Searching longer.
    AqeHigh: Compression::Lz4High, Hot::Least, false;
    /// Zstandard instead of LZ4.
    AqeZstd: Compression::Zstd, Hot::Least, false;
    /// What is compressed is sealed.
    AqeSealed: Compression::Lz4, Hot::Least, true;
    /// The same, searching longer.
    AqeSealedHigh: Compression::Lz4High, Hot::Least, true;
    /// The same, with Zstandard.
    AqeSealedZstd: Compression::Zstd, Hot::Least, true;
}

fn build(
    bytes: u64,
    compression: Compression,
    hot: Hot,
    is_sealed: bool,
) -> Result<aqe_memory::Store> {
    let cache_size = match hot {
        Hot::All => bytes,
        Hot::Least => 0,
    };
    let mut config = MemoryConfig::default()
        .max_size(bytes)
        .cache_size(cache_size)
        .compression(compression);
    if is_sealed {
        config = config.keys(keys()?);
    }
    aqe_memory::Store::new(config).map_err(failed)
}

/// A key of its own for every sample.
pub(in super::super) fn keys() -> Result<MasterKeys> {
    MasterKey::generate().map(MasterKeys::new).map_err(failed)
}
