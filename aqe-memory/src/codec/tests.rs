//! Values through every method and back, damaged or whole.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

const METHODS: &[Method] = &[
    Method::Store,
    Method::Lz4Fast,
    Method::Lz4High,
    #[cfg(feature = "zstd")]
    Method::ZstdFast,
    #[cfg(feature = "zstd")]
    Method::ZstdHigh,
];

fn dictionary(bytes: Vec<u8>) -> Dictionary {
    Dictionary::new(NonZeroU32::new(7).unwrap(), bytes).unwrap()
}

/// Text of fields and numbers, as a reporter writes it.
fn json(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let names = [
        "name",
        "status",
        "duration_ms",
        "started_at",
        "file",
        "line",
        "message",
    ];
    let mut text = Vec::new();
    while text.len() < length {
        let name = names[rng.usize(..names.len())];
        let value = match rng.u8(..3) {
            0 => rng.u32(..).to_string(),
            1 => "\"passed\"".to_owned(),
            _ => format!(
                "\"services/{}/tests/{}.rs\"",
                names[rng.usize(..names.len())],
                rng.u8(..)
            ),
        };
        text.extend_from_slice(format!("\"{name}\":{value},").as_bytes());
    }
    text.truncate(length);
    text
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| rng.u8(..)).collect()
}

fn round_trip(
    encoder: &mut Encoder,
    value: &[u8],
    method: Method,
    dictionary: Option<&Dictionary>,
) -> (Form, Vec<u8>) {
    let encoded = encoder.encode(value, method, dictionary).unwrap();
    let form = encoded.form;
    let bytes = encoded.bytes.to_vec();
    let parsed = Form::parse(
        form.codec().number(),
        form.dictionary(),
        value.len() as u32,
        bytes.len(),
    );
    assert_eq!(parsed, Ok(form));
    let mut output = vec![0xAA; value.len()];
    let result = Decoder::new().decode(form, &bytes, dictionary, &mut output);
    assert_eq!(result, Ok(()), "{method:?} {form:?}");
    assert!(output == value, "{method:?} {form:?}");
    if form.codec() == Codec::Stored {
        assert_eq!((form.dictionary(), bytes.as_slice()), (0, value));
    } else {
        assert!(
            bytes.len() * 10 <= value.len() * 9,
            "{} of {}",
            bytes.len(),
            value.len()
        );
    }
    if form.codec() == Codec::Lz4 {
        keeps_the_rules_of_the_format(
            &bytes,
            value.len(),
            dictionary.map_or(0, |it| it.bytes().len()),
        );
    }
    (form, bytes)
}

/// Reads a block as the format's description has it, with every rule that encoders must keep.
fn keeps_the_rules_of_the_format(block: &[u8], raw_len: usize, dictionary_len: usize) {
    let mut bytes = block.iter().copied();
    let length = |bytes: &mut dyn Iterator<Item = u8>, nibble: u8| {
        let mut length = usize::from(nibble);
        let mut more = if nibble == 15 { 255 } else { 0 };
        while more == 255 {
            more = bytes.next().unwrap();
            length += usize::from(more);
        }
        length
    };
    let mut made = 0;
    loop {
        let token = bytes.next().unwrap();
        let literals = length(&mut bytes, token >> 4);
        made += literals;
        assert_eq!(bytes.by_ref().take(literals).count(), literals);
        let Some(low) = bytes.next() else {
            assert_eq!(made, raw_len);
            assert!(literals >= 5, "only {literals} literals at the end");
            return;
        };
        let distance = usize::from(u16::from_le_bytes([low, bytes.next().unwrap()]));
        assert!(distance > 0 && distance <= made + dictionary_len);
        assert!(
            made + 12 <= raw_len,
            "a match begins {} bytes before the end",
            raw_len - made
        );
        made += 4 + length(&mut bytes, token & 15);
    }
}

/// Pieces of the dictionary, of the value itself, and of neither.
fn mixed() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let piece = (0..4_u8, any::<u64>(), 1..400_usize);
    let bytes = proptest::collection::vec(piece, 0..40);
    (any::<u64>(), 0..3_000_usize, bytes).prop_map(|(seed, length, pieces)| {
        let dictionary = json(seed, length);
        let mut value: Vec<u8> = Vec::new();
        for (kind, seed, length) in pieces {
            let from = |bytes: &[u8]| {
                let begin = seed as usize % (bytes.len() + 1);
                bytes[begin..(begin + length).min(bytes.len())].to_vec()
            };
            let piece = match kind {
                0 => from(&dictionary),
                1 => from(&value),
                2 => noise(seed, length / 4),
                _ => vec![seed as u8; length],
            };
            value.extend_from_slice(&piece);
        }
        (dictionary, value)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn values_of_pieces_come_back((text, value) in mixed()) {
        let dictionary = dictionary(text);
        let mut encoder = Encoder::new();
        for &method in METHODS {
            round_trip(&mut encoder, &value, method, None);
            round_trip(&mut encoder, &value, method, Some(&dictionary));
        }
    }

    #[test]
    fn short_values_of_few_letters_come_back(value in proptest::collection::vec(0..3_u8, 0..80), text in proptest::collection::vec(0..3_u8, 0..80)) {
        let dictionary = dictionary(text);
        let mut encoder = Encoder::new();
        for &method in METHODS {
            round_trip(&mut encoder, &value, method, None);
            round_trip(&mut encoder, &value, method, Some(&dictionary));
        }
    }

    #[test]
    fn garbage_is_an_error_or_a_value_and_never_a_panic(
        codec in 0..4_u8,
        number in 0..2_u32,
        raw_len in 0..5_000_u32,
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let dictionary = dictionary(json(1, 1_000));
        if let Ok(form) = Form::parse(codec, number * 7, raw_len, bytes.len()) {
            let mut output = vec![0; form.raw_len()];
            let _ = Decoder::new().decode(form, &bytes, Some(&dictionary), &mut output);
        }
    }
}

#[test]
fn values_of_all_sizes_come_back() {
    let texts = [
        Vec::new(),
        json(1, 7),
        json(1, 8),
        json(1, 5_000),
        json(1, Dictionary::MAX_BYTES),
        vec![0; Dictionary::MAX_BYTES],
    ];
    let dictionaries: Vec<Dictionary> = texts.into_iter().map(dictionary).collect();
    let mut encoder = Encoder::new();
    let sizes = (0..70).chain([
        255, 270, 1_000, 2_048, 16_383, 16_384, 16_385, 16_400, 65_535, 65_536, 65_537, 100_000,
    ]);
    for size in sizes {
        let few: Vec<&Dictionary> = if size < 1_000 {
            dictionaries.iter().collect()
        } else {
            dictionaries.iter().skip(4).collect()
        };
        for value in [json(2, size), noise(3, size), vec![0; size]] {
            for &method in METHODS {
                round_trip(&mut encoder, &value, method, None);
                for dictionary in &few {
                    round_trip(&mut encoder, &value, method, Some(dictionary));
                }
            }
        }
    }
}

#[test]
fn a_dictionary_that_knows_the_value_makes_it_tiny() {
    let value = noise(1, 2_000);
    let known = dictionary([noise(2, 30_000), value.clone(), noise(3, 30_000)].concat());
    let mut encoder = Encoder::new();
    for &method in &METHODS[1..] {
        let (form, bytes) = round_trip(&mut encoder, &value, method, Some(&known));
        assert_eq!(form.dictionary(), 7);
        assert!(bytes.len() < 50, "{method:?}: {}", bytes.len());
    }
}

#[test]
fn what_is_out_of_reach_is_not_referred_to() {
    // The value's first half is known, but too far back for what follows: only its end is in reach.
    let known = noise(1, Dictionary::MAX_BYTES);
    let mut value = noise(2, 3_000);
    value.extend_from_slice(&known[..1_000]);
    value.extend_from_slice(&vec![1; 2_000]);
    let known = dictionary(known);
    for &method in &METHODS[1..] {
        round_trip(&mut Encoder::new(), &value, method, Some(&known));
    }
}

#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    let mut encoder = Encoder::new();
    for size in [0, 1, 12, 100, 2_000, 70_000] {
        for &method in METHODS {
            let (form, _) = round_trip(
                &mut encoder,
                &noise(4, size),
                method,
                Some(&dictionary(json(1, 9_000))),
            );
            assert_eq!(form.codec(), Codec::Stored, "{method:?} {size}");
        }
    }
    // Nor what shrinks by a twentieth.
    let value = [noise(5, 1_900), vec![0; 100]].concat();
    assert_eq!(
        round_trip(&mut encoder, &value, Method::Lz4High, None)
            .0
            .codec(),
        Codec::Stored
    );
    // But what shrinks by a seventh.
    let value = [noise(5, 1_700), vec![0; 300]].concat();
    assert_eq!(
        round_trip(&mut encoder, &value, Method::Lz4High, None)
            .0
            .codec(),
        Codec::Lz4
    );
}

#[test]
fn blocks_are_those_worked_out_by_hand() {
    let known = dictionary(b"0123456789abcdefghij".to_vec());
    for method in [Method::Lz4Fast, Method::Lz4High] {
        let mut encoder = Encoder::new();
        // One literal, then its run of 94 bytes: 4 in the token's minimum, 15 in the token, 75 in a byte; five
        // literals.
        let run = [&[0x1F, b'a', 1, 0, 75][..], &[0x50], b"aaaaa"].concat();
        assert_eq!(
            round_trip(&mut encoder, &[b'a'; 100], method, None).1,
            run,
            "{method:?}"
        );
        // No literal; all of the dictionary, 20 bytes: one more than fits in the token; then twelve literals.
        let copy = [&[0x0F, 20, 0, 1][..], &[0xC0], b"ABCDEFGHIJKL"].concat();
        let value = b"0123456789abcdefghijABCDEFGHIJKL";
        assert_eq!(
            round_trip(&mut encoder, value, method, Some(&known)).1,
            copy,
            "{method:?}"
        );
    }
}

#[test]
fn blocks_of_others_are_decoded() {
    let value = json(6, 5_000);
    let known = dictionary(json(7, 20_000));
    let mut output = vec![0; value.len()];
    let block = lz4_flex::block::compress_with_dict(&value, known.bytes());
    let form = Form::parse(1, 7, 5_000, block.len()).unwrap();
    assert_eq!(
        Decoder::new().decode(form, &block, Some(&known), &mut output),
        Ok(())
    );
    assert_eq!(output, value);
}

#[test]
fn what_is_written_depends_on_no_value_before() {
    let known = dictionary(json(8, 30_000));
    let mut used = Encoder::new();
    for seed in 0..50 {
        for &method in METHODS {
            let value = json(seed, 500 + 97 * seed as usize);
            let fresh = round_trip(&mut Encoder::new(), &value, method, Some(&known));
            assert_eq!(
                round_trip(&mut used, &value, method, Some(&known)),
                fresh,
                "{method:?}"
            );
        }
    }
}

#[test]
fn damaged_blocks_give_errors_or_values_of_the_right_length() {
    let known = dictionary(json(9, 2_000));
    let value = json(10, 600);
    for &method in &METHODS[1..] {
        let (form, bytes) = round_trip(&mut Encoder::new(), &value, method, Some(&known));
        let mut decoder = Decoder::new();
        let mut output = vec![0; value.len()];
        for cut in 0..bytes.len() {
            let result = decoder.decode(form, &bytes[..cut], Some(&known), &mut output);
            assert!(result.is_err(), "{method:?} cut to {cut}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                // What looks like a value has its length; that it is another one is for checksums to see.
                let _ = decoder.decode(form, &flipped, Some(&known), &mut output);
            }
        }
        let longer = [bytes.as_slice(), b"more"].concat();
        assert!(
            decoder
                .decode(form, &longer, Some(&known), &mut output)
                .is_err()
        );
    }
}

#[test]
fn wrong_buffers_and_dictionaries_are_named() {
    let known = dictionary(json(9, 2_000));
    let other = Dictionary::new(NonZeroU32::new(8).unwrap(), json(9, 2_000)).unwrap();
    let value = json(10, 600);
    let (form, bytes) = round_trip(&mut Encoder::new(), &value, Method::Lz4Fast, Some(&known));
    let mut decoder = Decoder::new();
    let mut decode =
        |dictionary, length| decoder.decode(form, &bytes, dictionary, &mut vec![0; length]);
    assert_eq!(decode(Some(&known), 600), Ok(()));
    assert_eq!(
        decode(None, 600),
        Err(DecodeError::WrongDictionary {
            wanted: 7,
            given: 0
        })
    );
    assert_eq!(
        decode(Some(&other), 600),
        Err(DecodeError::WrongDictionary {
            wanted: 7,
            given: 8
        })
    );
    for length in [0, 599, 601] {
        assert_eq!(
            decode(Some(&known), length),
            Err(DecodeError::WrongLength {
                raw_len: 600,
                found: length
            })
        );
    }
}

#[test]
fn a_value_without_a_dictionary_is_decoded_beside_any() {
    let value = json(10, 600);
    let mut encoder = Encoder::new();
    let encoded = encoder.encode(&value, Method::Lz4Fast, None).unwrap();
    let mut output = vec![0; 600];
    let result = Decoder::new().decode(
        encoded.form,
        encoded.bytes,
        Some(&dictionary(json(1, 100))),
        &mut output,
    );
    assert_eq!((result, output), (Ok(()), value));
}

#[test]
fn high_is_never_longer_than_fast() {
    let known = dictionary(train(
        &(100..300).map(|seed| json(seed, 2_000)).collect::<Vec<_>>(),
        32 << 10,
    ));
    let mut encoder = Encoder::new();
    for seed in 0..50 {
        let value = json(seed, 2_000);
        for dictionary in [None, Some(&known)] {
            let fast = round_trip(&mut encoder, &value, Method::Lz4Fast, dictionary)
                .1
                .len();
            let high = round_trip(&mut encoder, &value, Method::Lz4High, dictionary)
                .1
                .len();
            assert!(high <= fast, "{seed}: {high} > {fast}");
        }
    }
}

#[test]
fn a_large_value_leaves_no_large_buffer_behind() {
    let mut encoder = Encoder::new();
    round_trip(&mut encoder, &vec![0; 4 << 20], Method::Lz4Fast, None);
    assert!(encoder.memory() > 3 << 20);
    round_trip(&mut encoder, &[0; 1_000], Method::Lz4Fast, None);
    assert!(encoder.memory() < 1 << 20);
}

#[test]
fn a_value_that_is_too_long_is_refused() {
    let value = vec![0; MAX_VALUE_BYTES + 1];
    let mut encoder = Encoder::new();
    let result = encoder.encode(&value, Method::Lz4Fast, None);
    assert_eq!(
        result,
        Err(ValueTooLong {
            length: MAX_VALUE_BYTES + 1
        })
    );
}
