//! What was written to a file since it was read last.

use crate::clock::Millis;
use crate::disk::error::DiskError;
use crate::disk::file;
use crate::disk::recovery::{Damage, FoundRecord};
use crate::index::{Index, KeyHash, MOST_BYTES_IN_SEGMENT, Place};
use crate::segment::packed::{Form, Packed};

/// The records behind what is known of a file.
#[derive(Debug)]
pub(super) struct News {
    pub(super) candidates: Vec<Candidate>,
    /// Where the record behind the last one begins.
    pub(super) used: u32,
    /// What lies between the records and is none.
    pub(super) damage: Vec<Damage>,
}

/// What looks for records behind what is known of a file, and gives them one by one; then where they end, and what is damaged.
type Scan<'a> =
    dyn Fn(&mut dyn FnMut(FoundRecord<'_>)) -> Result<(u32, Vec<Damage>), DiskError> + 'a;

/// What makes of a record what it says of a key, if it says anything of one.
type Take<'a> = dyn Fn(&FoundRecord<'_>) -> Option<Candidate> + 'a;

impl News {
    /// Reads them, twice if need be: the pages of a file are not read at one moment. What was being written when the first was
    /// read may have been written, and another record behind it, when the second was, and looks like damage then. Up to the
    /// last record that was found, everything was written before that, so that what is still damaged there is damage.
    pub(super) fn read(scan: &Scan<'_>, candidate: &Take<'_>) -> Result<Self, DiskError> {
        let mut candidates = Vec::new();
        let (used, damage) = scan(&mut |found| {
            candidates.extend(candidate(&found));
        })?;
        if damage.is_empty() {
            return Ok(Self {
                candidates,
                used,
                damage,
            });
        }
        candidates.clear();
        let (_, mut damage) = scan(&mut |found| {
            // What is behind that may be half written now.
            if found.offset < used {
                candidates.extend(candidate(&found));
            }
        })?;
        damage.retain(|damage| damage.bytes.start < file::HEADER + u64::from(used));
        Ok(Self {
            candidates,
            used,
            damage,
        })
    }
}

/// A record that was found, of which the key is known by its hashes.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) hash: KeyHash,
    /// Two hashes of namespace and key under different keys: two that share both are not to be met with.
    pub(super) key: (u64, u64),
    pub(super) version: u64,
    pub(super) place: Place,
    /// See [`prolonged`].
    pub(super) prolonged: Option<Millis>,
    pub(super) is_gone: bool,
}

impl Candidate {
    /// `None` for one that lies where no writer puts any.
    pub(super) fn new(
        index: &Index,
        found: &FoundRecord<'_>,
        epoch: Millis,
        segment: u32,
    ) -> Option<Self> {
        let packed = &found.packed;
        let hash = index.hash(packed.namespace, packed.key);
        (found.offset < MOST_BYTES_IN_SEGMENT).then(|| Self {
            hash,
            key: (hash.whole, index.other_hash(packed.namespace, packed.key)),
            version: packed.version,
            place: Place {
                segment,
                offset: found.offset,
            },
            prolonged: prolonged(packed, epoch),
            is_gone: packed.form == Form::Gone,
        })
    }

    /// Whether it is of the same key as another record.
    pub(super) fn is_of(&self, index: &Index, other: &Packed<'_>) -> bool {
        let hash = index.hash(other.namespace, other.key);
        hash.whole == self.key.0 && index.other_hash(other.namespace, other.key) == self.key.1
    }
}

/// Of a sliding entry, which of several records of one version counts: the one that ends last.
pub(super) fn prolonged(packed: &Packed<'_>, epoch: Millis) -> Option<Millis> {
    let sliding = packed.extras.sliding;
    sliding.map(|_| packed.lifetime.deadline(epoch))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::segment::Lifetime;
    use crate::segment::extras::Extras;

    /// A scan that finds other records, and other damage, at each call.
    fn read(images: &[(&[u32], &[u64], u32)]) -> (Vec<u32>, u32, usize) {
        let (index, calls) = (Index::new(8, 1), Cell::new(0));
        let scan = |each: &mut dyn FnMut(FoundRecord<'_>)| {
            let (found, damaged, used) = images[calls.replace(calls.get() + 1)];
            for &offset in found {
                let packed = Packed {
                    namespace: 0,
                    key: &offset.to_le_bytes(),
                    lifetime: Lifetime::until(5, 0),
                    version: offset.into(),
                    form: Form::Plain,
                    extras: Extras::default(),
                    stored: &[],
                };
                each(FoundRecord {
                    packed,
                    offset,
                    size: 100,
                });
            }
            let damage = damaged.iter().map(|&begin| Damage {
                path: "file".into(),
                bytes: file::HEADER + begin..file::HEADER + begin + 100,
                what: "no record",
            });
            Ok((used, damage.collect()))
        };
        let news = News::read(&scan, &|found| Candidate::new(&index, found, 0, 0)).unwrap();
        assert_eq!(calls.get(), images.len());
        let offsets = news
            .candidates
            .iter()
            .map(|candidate| candidate.place.offset);
        (offsets.collect(), news.used, news.damage.len())
    }

    #[test]
    fn what_was_half_written_is_read_again_and_damage_stays_damage() {
        assert_eq!(read(&[(&[0, 100], &[], 200)]), (vec![0, 100], 200, 0));
        // The first record was being written when its page was read. Meanwhile a third one is, and a fourth is behind it.
        let (torn, whole) = (
            (&[100][..], &[0][..], 200),
            (&[0, 100, 300][..], &[200][..], 400),
        );
        assert_eq!(read(&[torn, whole]), (vec![0, 100], 200, 0));
        assert_eq!(read(&[torn, torn]), (vec![100], 200, 1));
    }
}
