//! A key ring as bytes.
//!
//! | offset | bytes | what |
//! | ---: | ---: | --- |
//! | 0 | 8 | `AQEKEYS` and a zero |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | reserved, zero |
//! | 12 | 4 | how many data keys |
//! | 16 | 16 | store id |
//! | 32 | 8 | id of the master key |
//! | 40 | 32 | salt of this wrapping |
//! | 72 | 52 each | generation (4), sealed data key (32), tag (16); generations ascend |
//! | end | 4 | CRC-32 of all before |
//!
//! Numbers are little-endian. First the magic is looked at, then the checksum, then the version: in every version the
//! checksum closes the file, so that a damaged ring is not taken for a newer one.

use super::aead::{KEY_LEN, TAG_LEN, Tag};
use super::error::KeyRingFormatError;
use super::key::KeyId;
use super::ring::{Generation, StoreId};

const MAGIC: [u8; 8] = *b"AQEKEYS\0";

/// The version that is written, and the only one that is read.
pub(super) const VERSION: u16 = 1;

/// How many data keys a ring holds at most. A new one each day, and none forgotten for the year in which the oldest
/// entry expires, fits; the file has 53 KB then.
pub(super) const MAX_KEYS: usize = 1024;

pub(super) const SALT_LEN: usize = 32;

const HEADER_LEN: usize = 72;
const ENTRY_LEN: usize = 4 + KEY_LEN + TAG_LEN;
const CHECKSUM_LEN: usize = 4;

/// What of a key ring may be seen by everybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrapped {
    pub(super) store: StoreId,
    pub(super) master: KeyId,
    pub(super) salt: [u8; SALT_LEN],
    /// One to [`MAX_KEYS`], generations ascending.
    pub(super) keys: Vec<WrappedKey>,
}

/// A data key that only the master key opens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct WrappedKey {
    pub(super) generation: Generation,
    pub(super) sealed: [u8; KEY_LEN],
    pub(super) tag: Tag,
}

impl Wrapped {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(encoded_len(self.keys.len()));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&(self.keys.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.store.to_bytes());
        bytes.extend_from_slice(&self.master.to_bytes());
        bytes.extend_from_slice(&self.salt);
        for key in &self.keys {
            bytes.extend_from_slice(&key.generation.get().to_le_bytes());
            bytes.extend_from_slice(&key.sealed);
            bytes.extend_from_slice(&key.tag);
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, KeyRingFormatError> {
        let mut fields = Fields {
            rest: checked(bytes)?,
            offset: MAGIC.len(),
        };
        let version = u16::from_le_bytes(fields.take()?);
        if version == 0 {
            return Err(KeyRingFormatError::Value { offset: 8 });
        }
        if version != VERSION {
            return Err(KeyRingFormatError::Newer {
                found: version,
                known: VERSION,
            });
        }
        if fields.take::<2>()? != [0; 2] {
            return Err(KeyRingFormatError::Value { offset: 10 });
        }
        let count = u32::from_le_bytes(fields.take()?) as usize;
        if !(1..=MAX_KEYS).contains(&count) {
            return Err(KeyRingFormatError::Value { offset: 12 });
        }
        // From here on everything is there, and what is allocated is bounded.
        if bytes.len() != encoded_len(count) {
            return Err(KeyRingFormatError::Length {
                found: bytes.len(),
                expected: encoded_len(count),
            });
        }
        let store = StoreId::from_bytes(fields.take()?);
        let master = KeyId::from_bytes(fields.take()?);
        let salt = fields.take()?;
        let mut keys = Vec::<WrappedKey>::with_capacity(count);
        for _ in 0..count {
            let offset = fields.offset;
            let number = u32::from_le_bytes(fields.take()?);
            let ascends = keys.last().is_none_or(|key| key.generation.get() < number);
            let (Some(generation), true) = (Generation::new(number), ascends) else {
                return Err(KeyRingFormatError::Value { offset });
            };
            keys.push(WrappedKey {
                generation,
                sealed: fields.take()?,
                tag: fields.take()?,
            });
        }
        Ok(Self {
            store,
            master,
            salt,
            keys,
        })
    }
}

const fn encoded_len(keys: usize) -> usize {
    HEADER_LEN + keys * ENTRY_LEN + CHECKSUM_LEN
}

/// What lies between magic and checksum, if both are right.
fn checked(bytes: &[u8]) -> Result<&[u8], KeyRingFormatError> {
    let Some(body) = bytes.strip_prefix(&MAGIC) else {
        return Err(KeyRingFormatError::Foreign);
    };
    let Some((body, checksum)) = body.split_last_chunk::<CHECKSUM_LEN>() else {
        return Err(KeyRingFormatError::Length {
            found: bytes.len(),
            expected: encoded_len(1),
        });
    };
    let covered = &bytes[..bytes.len() - CHECKSUM_LEN];
    if crc32fast::hash(covered) == u32::from_le_bytes(*checksum) {
        Ok(body)
    } else {
        Err(KeyRingFormatError::Checksum)
    }
}

struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], KeyRingFormatError> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            let found = self.offset + self.rest.len() + CHECKSUM_LEN;
            return Err(KeyRingFormatError::Length {
                found,
                expected: encoded_len(1),
            });
        };
        self.rest = rest;
        self.offset += N;
        Ok(*field)
    }
}

/// Any bytes with the magic in front and the right checksum behind: what a damaged disk does not make, and somebody
/// who writes to the file does.
#[cfg(any(test, fuzzing))]
pub(super) fn dress(body: &[u8]) -> Vec<u8> {
    let mut bytes = [&MAGIC[..], body].concat();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rings() -> impl Strategy<Value = Wrapped> {
        let key = (1_u32..100, any::<[u8; KEY_LEN]>(), any::<Tag>());
        let keys = prop::collection::vec(key, 1..6);
        (
            any::<[u8; 16]>(),
            any::<[u8; 8]>(),
            any::<[u8; SALT_LEN]>(),
            keys,
        )
            .prop_map(|(store, master, salt, keys)| {
                let mut number = 0;
                let keys = keys.into_iter().map(|(step, sealed, tag)| {
                    number += step;
                    WrappedKey {
                        generation: Generation::new(number).unwrap(),
                        sealed,
                        tag,
                    }
                });
                Wrapped {
                    store: StoreId::from_bytes(store),
                    master: KeyId::from_bytes(master),
                    salt,
                    keys: keys.collect(),
                }
            })
    }

    fn smallest() -> Wrapped {
        Wrapped {
            store: StoreId::from_bytes([1; 16]),
            master: KeyId::from_bytes([2; 8]),
            salt: [3; SALT_LEN],
            keys: vec![WrappedKey {
                generation: Generation::FIRST,
                sealed: [4; KEY_LEN],
                tag: [5; TAG_LEN],
            }],
        }
    }

    /// The bytes between magic and checksum, for tests that change them and dress them again.
    fn body(ring: &Wrapped) -> Vec<u8> {
        let bytes = ring.to_bytes();
        bytes[MAGIC.len()..bytes.len() - CHECKSUM_LEN].to_vec()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ring in rings()) {
            let bytes = ring.to_bytes();
            prop_assert_eq!(bytes.len(), encoded_len(ring.keys.len()));
            prop_assert_eq!(Wrapped::from_bytes(&bytes), Ok(ring));
        }

        #[test]
        fn any_bytes_are_an_error_or_the_one_spelling_of_a_ring(bytes: Vec<u8>, dressed: bool) {
            let bytes = if dressed { dress(&bytes) } else { bytes };
            if let Ok(ring) = Wrapped::from_bytes(&bytes) {
                prop_assert_eq!(ring.to_bytes(), bytes);
            }
        }

        #[test]
        fn a_changed_ring_is_an_error_or_another_ring(ring in rings(), at: prop::sample::Index, value: u8) {
            let mut changed = body(&ring);
            let at = at.index(changed.len());
            changed[at] = value;
            let bytes = dress(&changed);
            if let Ok(read) = Wrapped::from_bytes(&bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }
    }

    #[test]
    fn each_flipped_bit_and_each_cut_is_noticed() {
        let bytes = smallest().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 {
                KeyRingFormatError::Foreign
            } else {
                KeyRingFormatError::Checksum
            };
            assert_eq!(Wrapped::from_bytes(&flipped), Err(expected), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                Wrapped::from_bytes(&bytes[..length]).is_err(),
                "{length} bytes"
            );
        }
        let longer = [&bytes[..], b"\0"].concat();
        assert_eq!(
            Wrapped::from_bytes(&longer),
            Err(KeyRingFormatError::Checksum)
        );
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut newer = body(&smallest());
        newer[0..2].copy_from_slice(&2_u16.to_le_bytes());
        newer.extend_from_slice(b"and more that this build knows nothing of");
        let expected = KeyRingFormatError::Newer { found: 2, known: 1 };
        assert_eq!(Wrapped::from_bytes(&dress(&newer)), Err(expected));
    }

    #[test]
    fn impossible_values_are_found_where_they_are() {
        let change = |offset: usize, value: &[u8]| {
            let mut changed = body(&smallest());
            changed[offset - MAGIC.len()..][..value.len()].copy_from_slice(value);
            Wrapped::from_bytes(&dress(&changed))
        };
        let value = |offset| Err(KeyRingFormatError::Value { offset });
        assert_eq!(change(8, &[0, 0]), value(8));
        assert_eq!(change(10, &[1]), value(10));
        assert_eq!(change(12, &[0]), value(12));
        assert_eq!(change(12, &u32::MAX.to_le_bytes()), value(12));
        assert_eq!(change(12, &1025_u32.to_le_bytes()), value(12));
        let length = KeyRingFormatError::Length {
            found: 128,
            expected: 180,
        };
        assert_eq!(change(12, &[2]), Err(length));
        assert_eq!(change(72, &[0]), value(72));
    }

    #[test]
    fn generations_ascend() {
        let mut ring = smallest();
        ring.keys.push(ring.keys[0]);
        let expected = KeyRingFormatError::Value { offset: 72 + 52 };
        assert_eq!(Wrapped::from_bytes(&ring.to_bytes()), Err(expected));
    }
}
