//! Entries made small: the compressed tier, and what is on disk.
//!
//! A record is, in this order and without gaps: a word with its length (28 bits) and its form (4), a checksum of all the
//! rest and of the segment's seed, the version (6 bytes), the lifetime (4), the namespace, the length of the key and, if the value was compressed, its
//! length (LEB128) and, if with a dictionary, the number of that, what it says [besides](Extras), the key, and what is stored. Numbers are little-endian. The bytes are the same in memory and in a
//! file.
//!
//! Of a sealed record, everything behind the lifetime is encrypted, and a tag follows that fits this, the word, the version
//! and the lifetime.

use std::slice;

use super::extras::{self, Extras, MOST_TAGS, Sliding};
use super::{Lifetime, Segment};
use crate::codec::{self, Codec};
use crate::index::UNIT;
use crate::seal::{Opener, Sealer, TAG};

/// What a record says, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed<'a> {
    pub(crate) namespace: u16,
    pub(crate) key: &'a [u8],
    pub(crate) lifetime: Lifetime,
    pub(crate) version: u64,
    pub(crate) form: Form,
    pub(crate) extras: Extras<'a>,
    pub(crate) stored: &'a [u8],
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Encoded, with a dictionary or without.
    Encoded(codec::Form),
    /// There is none: the record says that the key's entry was removed.
    Gone,
    /// There is none: the key is the hash of a tag, and older entries of the namespace that have it are void.
    Mark,
}

/// Added to the namespace of a record of a sliding entry, of one with tags, and of a mark.
const SLIDING: u32 = 1 << 16;
const TAGGED: u32 = 1 << 17;
const MARK: u32 = 1 << 18;

const PLAIN: u8 = 0;
const GONE: u8 = 1;
/// Added to the form of a value that was encoded with a dictionary, whose number follows its length.
const WITH_DICTIONARY: u8 = 4;
const LZ4: u8 = 2;
const ZSTD: u8 = 3;
/// Added to the form of a record that is sealed.
const SEALED: u32 = 8 << LENGTH_BITS;

/// The word, the checksum, the version and the lifetime.
const FIXED: usize = 18;
const CHECKSUM: std::ops::Range<usize> = 4..8;
const VERSION: std::ops::Range<usize> = 8..14;
const LIFETIME: std::ops::Range<usize> = 14..FIXED;
/// What the other numbers take at most.
const LENGTHS: usize = 4 * 5;

/// Records are shorter than this.
pub(crate) const MOST_BYTES: usize = 1 << LENGTH_BITS;
const LENGTH_BITS: u32 = 28;

/// What it says besides takes at most this.
const EXTRAS: usize = Sliding::BYTES + 1 + MOST_TAGS * extras::TAG;

/// The most bytes that a record of a key takes beside what is stored.
pub(crate) const fn overhead(key: usize) -> usize {
    FIXED + LENGTHS + EXTRAS + key + TAG
}

impl<'a> Packed<'a> {
    /// Writes the record in place of what is in `out`. With its overhead it is shorter than [`MOST_BYTES`]. It is not whole
    /// before [`finish`].
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (code, encoded) = match self.form {
            Form::Plain => (PLAIN, None),
            Form::Gone | Form::Mark => (GONE, None),
            Form::Encoded(form) => {
                let code = match form.codec() {
                    Codec::Zstd => ZSTD,
                    _ => LZ4,
                };
                let dictionary = if form.dictionary() > 0 {
                    WITH_DICTIONARY
                } else {
                    0
                };
                (code | dictionary, Some(form))
            }
        };
        out.clear();
        out.resize(FIXED, 0);
        let sliding = self.extras.sliding.map_or(0, |_| SLIDING);
        let tagged = if self.extras.tags.is_empty() {
            0
        } else {
            TAGGED
        };
        let mark = if self.form == Form::Mark { MARK } else { 0 };
        write_number(out, u32::from(self.namespace) | sliding | tagged | mark);
        write_number(out, self.key.len() as u32);
        if let Some(form) = encoded {
            write_number(out, form.raw_len() as u32);
            if form.dictionary() > 0 {
                write_number(out, form.dictionary());
            }
        }
        if let Some(sliding) = self.extras.sliding {
            out.extend_from_slice(&sliding.to_bytes());
        }
        if tagged > 0 {
            out.push(self.extras.count() as u8);
            out.extend_from_slice(self.extras.tags);
        }
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.stored);
        debug_assert!(out.len() < MOST_BYTES);
        let word = out.len() as u32 | u32::from(code) << LENGTH_BITS;
        out[..4].copy_from_slice(&word.to_le_bytes());
        out[VERSION].copy_from_slice(&self.version.to_le_bytes()[..6]);
        out[LIFETIME].copy_from_slice(&self.lifetime.bits().to_le_bytes());
    }

    /// Reads the record that `bytes` are, or nothing if they are none. Does not look at the checksum.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_at_checked(FIXED)?;
        let word = u32::from_le_bytes(fixed[..4].try_into().ok()?);
        if length(word) as usize != bytes.len() {
            return None;
        }
        let mut version = [0; 8];
        version[..6].copy_from_slice(&fixed[VERSION]);
        let lifetime = u32::from_le_bytes(fixed[LIFETIME].try_into().ok()?);
        let namespace = read_number(&mut rest)?;
        let flags = namespace & (SLIDING | TAGGED | MARK);
        let namespace = u16::try_from(namespace & !flags).ok()?;
        let key_len = read_number(&mut rest)?;
        let code = (word >> LENGTH_BITS) as u8;
        let codec = match code & !WITH_DICTIONARY {
            LZ4 => Some(Codec::Lz4),
            ZSTD => Some(Codec::Zstd),
            PLAIN | GONE if code & WITH_DICTIONARY == 0 => None,
            _ => return None,
        };
        let raw_len = codec.map(|_| read_number(&mut rest));
        let dictionary = match code & WITH_DICTIONARY {
            0 => 0,
            _ => read_number(&mut rest)?,
        };
        let mut extras = Extras::default();
        if flags & SLIDING != 0 {
            let (sliding, behind) = rest.split_first_chunk()?;
            (extras.sliding, rest) = (Some(Sliding::from_bytes(*sliding)), behind);
        }
        if flags & TAGGED != 0 {
            let (&count, behind) = rest.split_first()?;
            let is_possible = (1..=MOST_TAGS).contains(&usize::from(count));
            let len = is_possible.then(|| usize::from(count) * extras::TAG)?;
            (extras.tags, rest) = behind.split_at_checked(len)?;
        }
        let (key, stored) = rest.split_at_checked(key_len as usize)?;
        let form = match (codec, raw_len) {
            (Some(codec), Some(raw_len)) if flags & MARK == 0 => {
                let form = codec::Form::parse(codec.number(), dictionary, raw_len?, stored.len());
                Form::Encoded(form.ok()?)
            }
            _ if code == GONE && flags & MARK != 0 => Form::Mark,
            _ if flags & MARK != 0 => return None,
            _ if code == GONE => Form::Gone,
            _ => Form::Plain,
        };
        Some(Self {
            namespace,
            key,
            lifetime: Lifetime::from_bits(lifetime),
            version: u64::from_le_bytes(version),
            form,
            extras,
            stored,
        })
    }
}

/// Whether a record that is not sealed has tags.
pub(crate) fn has_tags(record: &[u8]) -> bool {
    let namespace = record
        .get(FIXED..)
        .and_then(|mut rest| read_number(&mut rest));
    namespace.is_some_and(|namespace| namespace & TAGGED != 0)
}

impl Packed<'_> {
    /// The hash of a tag, and the number of the first file whose records are all younger than the mark, if it is a mark.
    pub(crate) fn mark(&self) -> Option<(u64, u64)> {
        let tag = self.key.try_into().ok().map(u64::from_le_bytes)?;
        let file = self.stored.try_into().ok().map(u64::from_le_bytes)?;
        (self.form == Form::Mark).then_some((tag, file))
    }
}

/// What a record that was [written](Packed::write) takes when it is [finished](finish).
pub(crate) fn finished_len(record: usize, is_sealed: bool) -> usize {
    record + if is_sealed { TAG } else { 0 }
}

/// Sets what of a record its place decides: version and lifetime, the seal, and the checksum for a segment of this seed.
pub(crate) fn finish(
    record: &mut Vec<u8>,
    version: u64,
    lifetime: Lifetime,
    seed: u32,
    seal: Option<(&Sealer, u32)>,
) {
    record[VERSION].copy_from_slice(&version.to_le_bytes()[..6]);
    record[LIFETIME].copy_from_slice(&lifetime.bits().to_le_bytes());
    if let Some((sealer, offset)) = seal {
        let word = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        let word = (word + TAG as u32) | SEALED;
        record[..4].copy_from_slice(&word.to_le_bytes());
        let header = bound(record);
        let tag = sealer.seal(offset, &header, &mut record[FIXED..]);
        record.extend_from_slice(&tag);
    }
    let checksum = checksum(record, seed);
    record[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

/// Makes a record that is sealed into one that is not. `None` if it is not what was sealed. Its checksum does not fit
/// afterwards.
pub(crate) fn unseal(record: &mut Vec<u8>, opener: Option<&Opener>, offset: u32) -> Option<()> {
    let word = u32::from_le_bytes(*record.first_chunk()?);
    if word & SEALED == 0 {
        return Some(());
    }
    let header = (record.len() >= FIXED + TAG).then(|| bound(record))?;
    let (rest, tag) = record.split_last_chunk_mut()?;
    opener?.open(offset, &header, &mut rest[FIXED..], tag)?;
    record.truncate(record.len() - TAG);
    let word = (word & !SEALED) - TAG as u32;
    record[..4].copy_from_slice(&word.to_le_bytes());
    Some(())
}

/// What of a record is not encrypted and bound to what is: all that stands before the body but the checksum.
fn bound(record: &[u8]) -> [u8; FIXED - 4] {
    let mut bound = [0; FIXED - 4];
    bound[..4].copy_from_slice(&record[..4]);
    bound[4..].copy_from_slice(&record[VERSION.start..FIXED]);
    bound
}

/// The length of the record that `bytes` begin with, if they begin with a whole one and its checksum fits the seed.
pub(crate) fn whole(bytes: &[u8], seed: u32) -> Option<usize> {
    let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    let record = bytes.get(..length(word) as usize)?;
    let said = u32::from_le_bytes(record.get(..FIXED)?[CHECKSUM].try_into().ok()?);
    (said == checksum(record, seed)).then_some(record.len())
}

/// The length of the record that begins with these bytes. Zero where nothing was written.
pub(crate) fn length_of(word: [u8; 4]) -> usize {
    length(u32::from_le_bytes(word)) as usize
}

/// The seed differs from file to file: what looks like a record inside of a value, because somebody stores files of segments,
/// is none.
fn checksum(record: &[u8], seed: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&record[..CHECKSUM.start]);
    hasher.update(&record[CHECKSUM.end..]);
    hasher.finalize()
}

/// The length of the record that begins with this word.
const fn length(word: u32) -> u32 {
    word & ((1 << LENGTH_BITS) - 1)
}

/// The bytes that a record takes in a segment.
pub(crate) fn space(record: usize) -> u64 {
    (record as u64).next_multiple_of(u64::from(UNIT))
}

impl Segment {
    /// Writes a record at a place that was [reserved](Self::reserve) for it.
    ///
    /// # Safety
    ///
    /// The caller has reserved `space(record.len())` bytes at `offset` and nobody knows of the place yet.
    pub(crate) unsafe fn write_packed(&self, offset: u32, record: &[u8]) {
        // SAFETY: the place is ours alone, and within the mapping.
        unsafe {
            let at = self.base().add(offset as usize);
            at.copy_from_nonoverlapping(std::ptr::NonNull::from(record).cast(), record.len());
        }
    }

    /// The bytes of all records.
    ///
    /// # Safety
    ///
    /// The segment is in memory and settled, nobody adds a record, and it is not freed while the result is used.
    pub(crate) unsafe fn all_packed(&self) -> &[u8] {
        // SAFETY: as the caller promises; the mapping began as zeros, so that gaps are written too.
        unsafe { slice::from_raw_parts(self.base().as_ptr(), self.used() as usize) }
    }

    /// The bytes of the record at a place.
    ///
    /// # Safety
    ///
    /// A record was written there, and that happened before this call; the segment is not freed while the result is used.
    pub(crate) unsafe fn packed(&self, offset: u32) -> &[u8] {
        // SAFETY: as the caller promises; the word says how long the record is. Nothing behind it is looked at: another
        // thread may be writing there.
        unsafe {
            let at = self.base().add(offset as usize);
            let word = u32::from_le(at.cast::<u32>().read());
            slice::from_raw_parts(at.as_ptr(), length(word) as usize)
        }
    }
}

fn write_number(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..most)
    }

    proptest! {
        #[test]
        fn a_record_comes_back_and_a_cut_one_is_none(
            key in bytes(300),
            stored in bytes(300),
            (namespace, version, lifetime) in (any::<u16>(), 0u64..1 << 48, any::<u32>()),
            (kind, dictionary) in (0..5u8, 0u32..1 << 30),
            (slides, tags) in (any::<bool>(), proptest::collection::vec(any::<u64>(), 0..=MOST_TAGS)),
            (at, flip) in (any::<proptest::sample::Index>(), 1u8..),
        ) {
            let lifetime = Lifetime::from_bits(lifetime);
            let encoded = |codec: Codec| {
                let form = codec::Form::parse(codec.number(), dictionary, 200, stored.len());
                form.map_or(Form::Plain, Form::Encoded)
            };
            let form = match kind {
                0 => Form::Plain,
                1 => Form::Gone,
                2 => encoded(Codec::Lz4),
                3 => Form::Mark,
                _ => encoded(Codec::Zstd),
            };
            let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
            let sliding = slides.then_some(Sliding { idle: 7, cap: version });
            let extras = Extras { sliding, tags: &tags };
            let record = Packed { namespace, key: &key, lifetime, version, form, extras, stored: &stored };
            let mut out = vec![1, 2, 3];
            record.write(&mut out);
            prop_assert!(out.len() <= overhead(key.len()) + stored.len());
            prop_assert_eq!(Packed::read(&out), Some(record));
            prop_assert_eq!(Packed::read(&out[..out.len() - 1]), None);
            finish(&mut out, version, lifetime, 5, None);
            prop_assert_eq!(Packed::read(&out), Some(record));
            prop_assert_eq!(whole(&out, 5), Some(out.len()));
            prop_assert_eq!(whole(&out, 6), None);
            prop_assert_eq!(whole(&out[..out.len() - 1], 5), None);
            let at = at.index(out.len());
            out[at] ^= flip;
            prop_assert_eq!(whole(&out, 5), None);
        }

        #[test]
        fn garbage_is_no_record_or_one_within_its_bounds(garbage in bytes(60)) {
            prop_assert!(whole(&garbage, 0).is_none_or(|len| len <= garbage.len()));
            if let Some(record) = Packed::read(&garbage) {
                prop_assert!(record.key.len() + record.stored.len() + FIXED <= garbage.len());
            }
        }
    }
}
