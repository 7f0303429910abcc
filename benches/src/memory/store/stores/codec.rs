//! What people put between their values and a cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use xtask::{Failure, Result};

/// How a value is held.
pub(in super::super) trait Codec: Sync + Sized + 'static {
    /// What a read gives.
    type Bytes: AsRef<[u8]>;

    fn new() -> Result<Self>;

    fn encode(&self, key: &[u8], value: &[u8]) -> Option<Arc<[u8]>>;

    fn decode(&self, key: &[u8], held: Arc<[u8]>) -> Option<Self::Bytes>;
}

/// As it is, shared with those who read it.
pub(in super::super) struct Raw;

impl Codec for Raw {
    type Bytes = Arc<[u8]>;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn encode(&self, _: &[u8], value: &[u8]) -> Option<Arc<[u8]>> {
        Some(value.into())
    }

    fn decode(&self, _: &[u8], held: Arc<[u8]>) -> Option<Arc<[u8]>> {
        Some(held)
    }
}

/// As a block of LZ4 with its length in front, as `lz4_flex` offers it.
pub(in super::super) struct Lz4;

impl Codec for Lz4 {
    type Bytes = Vec<u8>;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    fn encode(&self, _: &[u8], value: &[u8]) -> Option<Arc<[u8]>> {
        Some(lz4_flex::block::compress_prepend_size(value).into())
    }

    fn decode(&self, _: &[u8], held: Arc<[u8]>) -> Option<Vec<u8>> {
        lz4_flex::block::decompress_size_prepended(&held).ok()
    }
}

/// The same, sealed with AES-256-GCM by the library that aqe uses too: the nonce is a counter and stands in front, the key of the entry is
/// what is bound to it.
pub(in super::super) struct Lz4Sealed {
    key: LessSafeKey,
    nonces: AtomicU64,
}

impl Codec for Lz4Sealed {
    type Bytes = Vec<u8>;

    fn new() -> Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32])
            .map_err(|_| Failure::new("the library does not take the key"))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonces: AtomicU64::new(0),
        })
    }

    fn encode(&self, key: &[u8], value: &[u8]) -> Option<Arc<[u8]>> {
        let mut nonce = [0; NONCE_LEN];
        let count = self.nonces.fetch_add(1, Ordering::Relaxed);
        nonce[..8].copy_from_slice(&count.to_le_bytes());
        let mut sealed = lz4_flex::block::compress_prepend_size(value);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(key),
                &mut sealed,
            )
            .ok()?;
        sealed.extend_from_slice(&nonce);
        Some(sealed.into())
    }

    fn decode(&self, key: &[u8], held: Arc<[u8]>) -> Option<Vec<u8>> {
        let (sealed, nonce) = held.split_last_chunk::<NONCE_LEN>()?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let block = self
            .key
            .open_in_place(nonce, Aad::from(key), &mut opened)
            .ok()?;
        lz4_flex::block::decompress_size_prepended(block).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_not_for_another_key() {
        let value = b"passed passed passed passed".repeat(20);
        let codec = Lz4Sealed::new().unwrap();
        let held = codec.encode(b"a", &value).unwrap();
        assert!(held.len() < value.len() / 2);
        assert_eq!(codec.decode(b"a", Arc::clone(&held)), Some(value));
        assert_eq!(codec.decode(b"b", held), None);
    }
}
