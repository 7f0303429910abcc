//! Sealing and opening the records of one segment.
//!
//! Each segment has a key of its own: HKDF-SHA256 of the data key, with 32 random bytes of the segment's header as
//! salt, and purpose, store and segment number as info. A record's nonce is its offset. A nonce repeats under a key
//! only if an offset repeats within a segment, and that the sealer refuses; a copy of a store that is written on makes
//! new segments, and with them new salts and keys, whatever their numbers are.

use std::fmt;
use std::sync::Arc;

use super::aead::{GcmKey, KEY_LEN, Refused, Tag, derive};
use super::format::SALT_LEN;
use super::ring::{Generation, StoreId};

/// What a sealed file is. Files of different purposes may have the same number and never share a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Purpose {
    /// Records of entries.
    Segment,
    /// A dictionary that values were compressed with: pieces of values.
    Dictionary,
}

impl Purpose {
    /// None is the beginning of another one together with what follows it: the rest of the info has a fixed length.
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Segment => b"aqe-memory segment",
            Self::Dictionary => b"aqe-memory dictionary",
        }
    }
}

/// Which key a file is sealed with: to be written, in the open, into its header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KeyRef {
    pub(crate) generation: Generation,
    pub(crate) salt: [u8; SALT_LEN],
}

impl KeyRef {
    pub(crate) const LEN: usize = 4 + SALT_LEN;

    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..4].copy_from_slice(&self.generation.get().to_le_bytes());
        bytes[4..].copy_from_slice(&self.salt);
        bytes
    }

    /// `None` if the generation is 0, which no data key has.
    pub(crate) fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let (generation, salt) = bytes.split_first_chunk::<4>()?;
        Some(Self {
            generation: Generation::new(u32::from_le_bytes(*generation))?,
            salt: *salt.first_chunk()?,
        })
    }
}

/// A record is not what was sealed: damaged, moved from elsewhere, or sealed under another header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the record at byte {offset} of file {number} is not what was sealed there")]
pub(crate) struct Damaged {
    /// The segment's number.
    pub(crate) number: u64,
    /// The record's offset.
    pub(crate) offset: u64,
}

/// The key of one file. Opens records, in as many threads as there are.
///
/// 72 bytes here, and some 600 that the library allocates for the round keys of AES and a table of powers for the tag:
/// 712 bytes of resident memory, measured. Deriving it takes less than a microsecond.
pub(crate) struct SegmentKey {
    key: GcmKey,
    purpose: Purpose,
    number: u64,
    key_ref: KeyRef,
}

impl SegmentKey {
    pub(super) fn derive(
        data_key: &[u8; KEY_LEN],
        store: StoreId,
        purpose: Purpose,
        number: u64,
        key_ref: KeyRef,
    ) -> Result<Self, Refused> {
        let info: [&[u8]; 3] = [purpose.label(), &store.to_bytes(), &number.to_be_bytes()];
        let key = GcmKey::new(&derive(data_key, &key_ref.salt, &info)?)?;
        Ok(Self {
            key,
            purpose,
            number,
            key_ref,
        })
    }

    /// Decrypts the record at `offset` where it lies, and hands it back. No allocation.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if store, file, offset, `aad`, `data` or `tag` are not those of sealing. `data` is all zeros then.
    #[inline]
    pub(crate) fn open_in_place<'data>(
        &self,
        offset: u64,
        aad: &[u8],
        data: &'data mut [u8],
        tag: &Tag,
    ) -> Result<&'data mut [u8], Damaged> {
        match self.key.open(nonce(offset), aad, data, tag) {
            Ok(()) => Ok(data),
            Err(Refused) => Err(Damaged {
                number: self.number,
                offset,
            }),
        }
    }

    pub(crate) fn key_ref(&self) -> KeyRef {
        self.key_ref
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentKey")
            .field("purpose", &self.purpose)
            .field("number", &self.number)
            .field("generation", &self.key_ref.generation.get())
            .finish_non_exhaustive()
    }
}

/// Why a record was not sealed. Its bytes are not to be written then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SealError {
    /// Sealing at this offset could use a nonce twice, which would give away both texts and the key of the tags.
    #[error(
        "the record at byte {offset} of file {number} would be sealed out of order: the last one is at {last}"
    )]
    OutOfOrder {
        /// The file's number.
        number: u64,
        /// Where the record should have gone.
        offset: u64,
        /// Where the last one went.
        last: u64,
    },
    /// The record has more than the 64 GiB that one nonce covers, or there is no memory.
    #[error("a record of {length} bytes at byte {offset} of file {number} cannot be sealed")]
    Refused {
        /// The file's number.
        number: u64,
        /// Where the record should have gone.
        offset: u64,
        /// How long it is.
        length: usize,
    },
}

/// Seals the records of one new file, in the order of their offsets.
///
/// There is one for each file, and it cannot be made again: [`KeyRing::sealer`](super::KeyRing::sealer) draws a fresh
/// salt each time, and opening a store never leads back to one.
pub(crate) struct SegmentSealer {
    key: Arc<SegmentKey>,
    /// The offset of the last record, whose nonce and all below are used up.
    last: Option<u64>,
}

impl SegmentSealer {
    pub(super) fn new(key: Arc<SegmentKey>) -> Self {
        Self { key, last: None }
    }

    /// Encrypts the record at `offset` where it lies. The tag belongs beside it; `aad` is bound to it and not kept.
    /// No allocation.
    ///
    /// # Errors
    ///
    /// [`SealError::OutOfOrder`] unless `offset` is above all earlier ones; `data` is unchanged then.
    /// [`SealError::Refused`] leaves `data` in no particular state, and the offset counts as used.
    #[inline]
    pub(crate) fn seal_in_place(
        &mut self,
        offset: u64,
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<Tag, SealError> {
        let number = self.key.number;
        if let Some(last) = self.last.filter(|&last| offset <= last) {
            return Err(SealError::OutOfOrder {
                number,
                offset,
                last,
            });
        }
        // Before sealing: a failure half-way has used the nonce as well.
        self.last = Some(offset);
        let sealed = self.key.key.seal(nonce(offset), aad, data);
        sealed.map_err(|Refused| SealError::Refused {
            number,
            offset,
            length: data.len(),
        })
    }

    /// What the file's header must say of its key.
    pub(crate) fn key_ref(&self) -> KeyRef {
        self.key.key_ref
    }

    /// What opens the records again, for readers of a segment that is still being written.
    pub(crate) fn key(&self) -> &Arc<SegmentKey> {
        &self.key
    }
}

impl fmt::Debug for SegmentSealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentSealer")
            .field("key", &self.key)
            .field("last", &self.last)
            .finish()
    }
}

/// Distinct offsets make distinct nonces. The first four bytes are zero.
#[inline]
fn nonce(offset: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&offset.to_be_bytes());
    nonce
}

#[cfg(test)]
pub(super) fn nonce_for_tests(offset: u64) -> [u8; 12] {
    nonce(offset)
}
