//! Rings, sealers and openers together: what an attacker or a bad disk may do to a folder, and what comes of it.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::aead::{GcmKey, KEY_LEN, Tag};
use super::format::{MAX_KEYS, Wrapped, dress};
use super::secret::Secret;
use super::segment::{Damaged, SealError, nonce_for_tests};
use super::*;

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; text.len() / 2];
    text::unhex(text.as_bytes(), &mut bytes).unwrap();
    bytes
}

pub(super) fn secret(bytes: &[u8]) -> Secret<KEY_LEN> {
    let mut secret = Secret::zeroed();
    secret.expose_mut().copy_from_slice(bytes);
    secret
}

/// An identity that no other store of this process has.
fn any_store() -> StoreId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    StoreId::from_bytes((u128::from(number) << 64 | 0x5eed).to_le_bytes())
}

fn master(byte: u8) -> MasterKey {
    MasterKey::from_bytes(&[byte; 32]).unwrap()
}

fn keys(byte: u8) -> MasterKeys {
    MasterKeys::new(master(byte))
}

pub(super) fn ring() -> (KeyRing, MasterKeys) {
    let keys = keys(1);
    (KeyRing::create(any_store(), &keys).unwrap(), keys)
}

/// A record, sealed: offset, associated data, bytes, tag.
#[derive(Clone, Debug, PartialEq)]
struct Record {
    offset: u64,
    aad: Vec<u8>,
    data: Vec<u8>,
    tag: Tag,
}

fn seal(sealer: &mut SegmentSealer, offset: u64, aad: &[u8], text: &[u8]) -> Record {
    let mut data = text.to_vec();
    let tag = sealer.seal_in_place(offset, aad, &mut data).unwrap();
    Record {
        offset,
        aad: aad.to_vec(),
        data,
        tag,
    }
}

fn open(key: &SegmentKey, record: &Record) -> Result<Vec<u8>, Damaged> {
    let mut data = record.data.clone();
    key.open_in_place(record.offset, &record.aad, &mut data, &record.tag)
        .map(|text| text.to_vec())
}

/// Reads the record in a store that is opened anew, as another process would.
fn reopen(
    ring: &KeyRing,
    keys: &MasterKeys,
    number: u64,
    key_ref: KeyRef,
    record: &Record,
) -> Result<Vec<u8>, Damaged> {
    let ring = KeyRing::open(&ring.to_bytes(), keys).unwrap();
    open(
        &ring.opener(Purpose::Segment, number, key_ref).unwrap(),
        record,
    )
}

#[test]
fn what_is_sealed_is_read_by_whoever_has_the_master_key() {
    let (ring, keys) = ring();
    let mut sealer = ring.sealer(Purpose::Segment, 7).unwrap();
    for (offset, text) in [
        (0, &b""[..]),
        (64, b"a"),
        (4096, &[9; 70_000]),
        (u64::MAX, b"last"),
    ] {
        let record = seal(&mut sealer, offset, b"header", text);
        assert!(text.len() < 16 || record.data != text);
        assert_eq!(open(sealer.key(), &record).unwrap(), text);
        assert_eq!(
            reopen(&ring, &keys, 7, sealer.key_ref(), &record).unwrap(),
            text
        );
    }
}

#[test]
fn a_wrong_master_key_is_named_and_destroys_nothing() {
    let (ring, right) = ring();
    let bytes = ring.to_bytes();
    let before = bytes.clone();
    let error = KeyRing::open(&bytes, &keys(2)).unwrap_err();
    assert!(matches!(
        error,
        KeyRingError::WrongKey { wanted, given } if wanted == master(1).id() && given == master(2).id()
    ));
    let told = error.to_string();
    assert!(
        told.contains(&master(1).id().to_string()) && told.contains(&master(2).id().to_string()),
        "{told}"
    );
    assert_eq!(bytes, before);
    KeyRing::open(&bytes, &right).unwrap();
}

#[test]
fn a_provider_that_lies_about_an_id_gives_a_wrong_key() {
    struct Liar;
    impl KeyProvider for Liar {
        fn current(&self) -> Result<Arc<MasterKey>, KeyError> {
            Err(KeyError::Provider("no connection".into()))
        }
        fn by_id(&self, _: KeyId) -> Result<Option<Arc<MasterKey>>, KeyError> {
            Ok(Some(Arc::new(master(3))))
        }
    }
    let (ring, _) = ring();
    let error = KeyRing::open(&ring.to_bytes(), &Liar).unwrap_err();
    assert!(matches!(error, KeyRingError::WrongKey { given, .. } if given == master(3).id()));
    // And its failures come through.
    assert!(matches!(
        ring.rotate_data(&Liar),
        Err(KeyRingError::Key(KeyError::Provider(_)))
    ));
}

#[test]
fn each_changed_bit_of_a_ring_is_noticed_even_with_the_checksum_put_right() {
    let (ring, keys) = ring();
    let ring = ring.rotate_data(&keys).unwrap();
    let bytes = ring.to_bytes();
    let body = &bytes[8..bytes.len() - 4];
    assert!(KeyRing::open(&dress(body), &keys).is_ok());
    for bit in 0..body.len() * 8 {
        let mut flipped = body.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(KeyRing::open(&dress(&flipped), &keys).is_err(), "bit {bit}");
    }
}

#[test]
fn data_keys_cannot_be_left_out_added_or_mixed() {
    let (first, keys) = ring();
    let second = first.rotate_data(&keys).unwrap();
    let third = second.rotate_data(&keys).unwrap();
    let parse = |ring: &KeyRing| Wrapped::from_bytes(&ring.to_bytes()).unwrap();
    let tampered = |change: &dyn Fn(&mut Wrapped)| {
        let mut wrapped = parse(&third);
        change(&mut wrapped);
        KeyRing::open(&wrapped.to_bytes(), &keys)
    };
    let refused = |result: Result<KeyRing, KeyRingError>| {
        matches!(result, Err(KeyRingError::Tampered { .. }))
    };

    assert!(tampered(&|_| {}).is_ok());
    assert!(refused(tampered(&|ring| ring.keys.truncate(2))));
    assert!(refused(tampered(&|ring| ring
        .keys
        .retain(|key| key.generation.get() > 1))));
    assert!(refused(tampered(&|ring| {
        let mut more = ring.keys[2];
        more.generation = Generation::new(4).unwrap();
        ring.keys.push(more);
    })));
    // The same data key, from an earlier version of the same ring.
    assert!(refused(tampered(
        &|ring| ring.keys[0] = parse(&second).keys[0]
    )));
    // Two keys that change places.
    assert!(refused(tampered(&|ring| {
        let (one, two) = (ring.keys[0], ring.keys[1]);
        (ring.keys[0].sealed, ring.keys[0].tag) = (two.sealed, two.tag);
        (ring.keys[1].sealed, ring.keys[1].tag) = (one.sealed, one.tag);
    })));
    assert!(refused(tampered(
        &|ring| ring.store = StoreId::from_bytes([0; 16])
    )));
}

#[test]
fn a_new_master_key_opens_what_the_old_one_sealed() {
    let (before, old) = ring();
    let mut sealer = before.sealer(Purpose::Segment, 1).unwrap();
    let record = seal(&mut sealer, 0, b"", b"text");

    let both = keys(2).with_older(master(1));
    let after = before.rotate_master(&both).unwrap();
    assert_eq!(
        (before.master(), after.master()),
        (master(1).id(), master(2).id())
    );
    assert_eq!(
        (before.store(), before.current()),
        (after.store(), after.current())
    );
    assert_eq!(
        reopen(&after, &keys(2), 1, sealer.key_ref(), &record).unwrap(),
        b"text"
    );
    assert!(matches!(
        KeyRing::open(&after.to_bytes(), &old),
        Err(KeyRingError::WrongKey { .. })
    ));
    // A crash before the new ring was written: the old bytes, opened by a provider that has both keys.
    assert_eq!(
        reopen(&before, &both, 1, sealer.key_ref(), &record).unwrap(),
        b"text"
    );
}

#[test]
fn a_new_data_key_is_for_new_segments_until_the_old_one_is_forgotten() {
    let (one, keys) = ring();
    let mut old = one.sealer(Purpose::Segment, 1).unwrap();
    let old_record = seal(&mut old, 0, b"", b"old");
    let two = one.rotate_data(&keys).unwrap();
    let mut new = two.sealer(Purpose::Segment, 2).unwrap();
    let new_record = seal(&mut new, 0, b"", b"new");
    assert_eq!(old.key_ref().generation.get(), 1);
    assert_eq!(new.key_ref().generation.get(), 2);
    assert_eq!(
        reopen(&two, &keys, 1, old.key_ref(), &old_record).unwrap(),
        b"old"
    );
    assert_eq!(
        reopen(&two, &keys, 2, new.key_ref(), &new_record).unwrap(),
        b"new"
    );

    let generation = |number| Generation::new(number).unwrap();
    assert!(matches!(
        two.forget(generation(2), &keys),
        Err(KeyRingError::InUse { generation: 2 })
    ));
    assert!(matches!(
        two.forget(generation(3), &keys),
        Err(KeyRingError::UnknownGeneration {
            generation: 3,
            newest: 2
        })
    ));
    let three = two.forget(generation(1), &keys).unwrap();
    assert!(three.generations().eq([generation(2)]));
    assert_eq!(
        reopen(&three, &keys, 2, new.key_ref(), &new_record).unwrap(),
        b"new"
    );
    assert!(matches!(
        three.opener(Purpose::Segment, 1, old.key_ref()),
        Err(KeyRingError::UnknownGeneration {
            generation: 1,
            newest: 2
        })
    ));
    // A number is not used again, so that an old segment can never meet another key under its generation.
    assert_eq!(three.rotate_data(&keys).unwrap().current(), generation(3));
}

#[test]
fn a_ring_has_an_end_and_forgetting_makes_room() {
    let (mut ring, keys) = ring();
    while ring.generations().count() < MAX_KEYS {
        ring = ring.rotate_data(&keys).unwrap();
    }
    assert!(matches!(
        ring.rotate_data(&keys),
        Err(KeyRingError::Full { limit: MAX_KEYS })
    ));
    assert!(KeyRing::open(&ring.to_bytes(), &keys).is_ok());
    let ring = ring.forget(Generation::FIRST, &keys).unwrap();
    assert!(ring.rotate_data(&keys).is_ok());
}

#[test]
fn wrapping_again_gives_other_bytes() {
    let (ring, keys) = ring();
    let again = ring.rotate_master(&keys).unwrap();
    let (one, two) = (ring.to_bytes(), again.to_bytes());
    let (one, two) = (
        Wrapped::from_bytes(&one).unwrap(),
        Wrapped::from_bytes(&two).unwrap(),
    );
    assert_ne!(one.salt, two.salt);
    assert_ne!(one.keys[0].sealed, two.keys[0].sealed);
}

#[test]
fn records_that_change_places_are_damaged() {
    let (ring, keys) = ring();
    let mut here = ring.sealer(Purpose::Segment, 1).unwrap();
    let one = seal(&mut here, 0, b"aad", b"the first record");
    let two = seal(&mut here, 64, b"aad", b"the other record");
    let swapped = Record {
        offset: one.offset,
        ..two.clone()
    };
    assert_eq!(
        open(here.key(), &swapped),
        Err(Damaged {
            number: 1,
            offset: 0
        })
    );

    // The same offset of another segment, of another kind of file, of a copy of the segment under its own salt.
    let mut others = [
        ring.sealer(Purpose::Segment, 2).unwrap(),
        ring.sealer(Purpose::Dictionary, 1).unwrap(),
        ring.sealer(Purpose::Dictionary, 1).unwrap(),
        ring.sealer(Purpose::Segment, 1).unwrap(),
        ring.rotate_data(&keys)
            .unwrap()
            .sealer(Purpose::Segment, 1)
            .unwrap(),
    ];
    for other in &mut others {
        let there = seal(other, 0, b"aad", b"the first record");
        assert_eq!(open(other.key(), &there).unwrap(), b"the first record");
        assert!(
            open(here.key(), &there).is_err() && open(other.key(), &one).is_err(),
            "{other:?}"
        );
    }

    // The whole header is copied too: number and purpose are still part of the key.
    for (purpose, number) in [(Purpose::Segment, 2), (Purpose::Dictionary, 1)] {
        let key = ring.opener(purpose, number, here.key_ref()).unwrap();
        assert_eq!(open(&key, &one), Err(Damaged { number, offset: 0 }));
    }
}

#[test]
fn a_record_of_another_store_is_damaged_even_if_the_data_key_is_the_same() {
    let (ring, keys) = ring();
    let mut sealer = ring.sealer(Purpose::Segment, 1).unwrap();
    let record = seal(&mut sealer, 0, b"", b"text");
    let data_key = secret(&[5; KEY_LEN]);
    let key_ref = KeyRef {
        generation: Generation::FIRST,
        salt: [6; 32],
    };
    let key_in = |store| {
        SegmentKey::derive(
            data_key.expose(),
            StoreId::from_bytes([store; 16]),
            Purpose::Segment,
            1,
            key_ref,
        )
        .unwrap()
    };
    let mut here = SegmentSealer::new(Arc::new(key_in(1)));
    let sealed = seal(&mut here, 0, b"", b"text");
    assert_eq!(open(&key_in(1), &sealed).unwrap(), b"text");
    assert!(open(&key_in(2), &sealed).is_err());

    let other = KeyRing::create(any_store(), &keys).unwrap();
    assert!(reopen(&other, &keys, 1, sealer.key_ref(), &record).is_err());
}

#[test]
fn each_flipped_bit_of_a_record_is_noticed_and_nothing_is_shown() {
    let (ring, _) = ring();
    let mut sealer = ring.sealer(Purpose::Segment, 1).unwrap();
    let record = seal(&mut sealer, 1 << 20, b"sequence, deadline", &[7; 100]);
    let damaged = |changed: &Record| {
        let mut data = changed.data.clone();
        let result = sealer
            .key()
            .open_in_place(changed.offset, &changed.aad, &mut data, &changed.tag)
            .map(|_| ());
        assert!(data.iter().all(|&byte| byte == 0), "{changed:?}");
        assert_eq!(
            result,
            Err(Damaged {
                number: 1,
                offset: changed.offset
            }),
            "{changed:?}"
        );
    };
    for bit in 0..64 {
        damaged(&Record {
            offset: record.offset ^ 1 << bit,
            ..record.clone()
        });
    }
    let flip = |bytes: &mut [u8], bit: usize| bytes[bit / 8] ^= 1 << (bit % 8);
    let flips = |length: usize, change: &dyn Fn(&mut Record, usize)| {
        for bit in 0..length * 8 {
            let mut changed = record.clone();
            change(&mut changed, bit);
            damaged(&changed);
        }
    };
    flips(record.data.len(), &|changed, bit| {
        flip(&mut changed.data, bit)
    });
    flips(TAG_LEN, &|changed, bit| flip(&mut changed.tag, bit));
    flips(record.aad.len(), &|changed, bit| {
        flip(&mut changed.aad, bit)
    });
    for length in 0..record.data.len() {
        damaged(&Record {
            data: record.data[..length].to_vec(),
            ..record.clone()
        });
    }
    damaged(&Record {
        data: [&record.data[..], b"\0"].concat(),
        ..record.clone()
    });
    for length in 0..record.aad.len() {
        damaged(&Record {
            aad: record.aad[..length].to_vec(),
            ..record.clone()
        });
    }
    assert_eq!(open(sealer.key(), &record).unwrap(), [7; 100]);
}

#[test]
fn bytes_that_move_between_data_and_associated_data_are_noticed() {
    let (ring, _) = ring();
    let mut sealer = ring.sealer(Purpose::Segment, 1).unwrap();
    let record = seal(&mut sealer, 0, b"ab", b"cd");
    let moved = Record {
        aad: [&record.aad[..], &record.data[..1]].concat(),
        data: record.data[1..].to_vec(),
        ..record
    };
    assert!(open(sealer.key(), &moved).is_err());
}

proptest! {
    /// Whatever is asked for, in whatever order: no nonce is used twice, and what is refused is left alone.
    #[test]
    fn no_offset_is_sealed_twice(offsets in prop::collection::vec(prop_oneof![0_u64..40, any::<u64>()], 0..60)) {
        let (ring, _) = ring();
        let mut sealer = ring.sealer(Purpose::Segment, 1).unwrap();
        let mut nonces = HashSet::new();
        let mut highest = None;
        for offset in offsets {
            let mut data = *b"record";
            match sealer.seal_in_place(offset, b"", &mut data) {
                Ok(_) => {
                    prop_assert!(highest < Some(offset));
                    prop_assert!(nonces.insert(nonce_for_tests(offset)));
                    highest = Some(offset);
                }
                Err(SealError::OutOfOrder { number, offset: at, last }) => {
                    prop_assert_eq!((number, at, Some(last)), (1, offset, highest));
                    prop_assert!(offset <= last);
                    prop_assert_eq!(&data, b"record");
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }
    }

    #[test]
    fn records_come_back_as_they_were(
        records in prop::collection::vec((1_u64..5_000, any::<Vec<u8>>(), any::<Vec<u8>>()), 1..20),
    ) {
        let (ring, keys) = ring();
        let mut sealer = ring.sealer(Purpose::Segment, 9).unwrap();
        let mut offset = 0;
        let mut sealed = Vec::new();
        for (step, aad, text) in records {
            sealed.push((seal(&mut sealer, offset, &aad, &text), text));
            offset += step;
        }
        let key_ref = KeyRef::from_bytes(&sealer.key_ref().to_bytes()).unwrap();
        for (record, text) in &sealed {
            prop_assert_eq!(&reopen(&ring, &keys, 9, key_ref, record).unwrap(), text);
        }
    }
}

#[test]
fn each_sealer_has_a_salt_of_its_own() {
    let (ring, _) = ring();
    let salts: HashSet<_> = (0..1000)
        .map(|_| ring.sealer(Purpose::Segment, 1).unwrap().key_ref().salt)
        .collect();
    assert_eq!(salts.len(), 1000);
}

#[test]
fn a_reference_to_a_key_has_a_generation() {
    assert_eq!(KeyRef::from_bytes(&[0; KeyRef::LEN]), None);
    let key_ref = KeyRef {
        generation: Generation::new(0x0102_0304).unwrap(),
        salt: [7; 32],
    };
    assert_eq!(key_ref.to_bytes()[..5], [4, 3, 2, 1, 7]);
    assert_eq!(KeyRef::from_bytes(&key_ref.to_bytes()), Some(key_ref));
}

/// The derivation as the module's page describes it, done by hand: other versions of this code must find the same keys.
#[test]
fn the_format_of_version_1_stays() {
    let key_ref = KeyRef {
        generation: Generation::FIRST,
        salt: [2; 32],
    };
    let store = StoreId::from_bytes([3; 16]);
    let key = SegmentKey::derive(&[1; 32], store, Purpose::Segment, 0x0405, key_ref).unwrap();
    let mut here = SegmentSealer::new(Arc::new(key));
    let record = seal(&mut here, 0x0607, b"header", b"text");

    let info = [
        &b"aqe-memory segment"[..],
        &[3; 16],
        &[0, 0, 0, 0, 0, 0, 4, 5],
    ]
    .concat();
    let subkey = aead::derive::<32>(&[1; 32], &[2; 32], &[&info]).unwrap();
    let mut text = *b"text";
    let tag = GcmKey::new(&subkey)
        .unwrap()
        .seal([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 7], b"header", &mut text)
        .unwrap();
    assert_eq!((record.data, record.tag), (text.to_vec(), tag));
}

#[test]
fn nothing_prints_a_key() {
    let store = StoreId::from_bytes([0xAB; 16]);
    let (ring, _) = ring();
    let sealer = ring.sealer(Purpose::Segment, 1).unwrap();
    let shown = format!("{ring:?} {sealer:?} {:?} {store}", sealer.key());
    assert!(shown.contains(&"ab".repeat(16)), "{shown}");
    assert!(
        !shown.contains("secret") && !shown.contains("salt") && !shown.contains('['),
        "{shown}"
    );
}

#[test]
fn keys_go_to_other_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<MasterKey>();
    shared::<KeyRing>();
    shared::<SegmentKey>();
    shared::<SegmentSealer>();
}
