//! Any bytes as a value and any others as a dictionary: what was encoded comes back, by any method.

#![no_main]

use std::num::NonZeroU32;

use aqe_memory::codec::{Decoder, Dictionary, Encoder, Form, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [share, repeats, rest @ ..] = data else {
        return;
    };
    let (text, value) = rest.split_at(rest.len() * usize::from(*share) / 256);
    // Repeated, a small input reaches the lengths at which encoders change their ways.
    let value = value.repeat(usize::from(repeats & 15) + 1);
    let mut text = text.repeat(usize::from(repeats >> 4) + 1);
    text.truncate(Dictionary::MAX_BYTES);
    let Ok(dictionary) = Dictionary::new(NonZeroU32::MIN, text) else {
        panic!("it is short enough");
    };
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
    for method in [Method::Lz4Fast, Method::Lz4High] {
        for dictionary in [None, Some(&dictionary)] {
            let Ok(encoded) = encoder.encode(&value, method, dictionary) else {
                panic!("it is short enough");
            };
            let (form, bytes) = (encoded.form, encoded.bytes);
            assert!(bytes.len() <= value.len());
            let raw_len = value.len() as u32;
            let parsed = Form::parse(
                form.codec().number(),
                form.dictionary(),
                raw_len,
                bytes.len(),
            );
            assert_eq!(parsed, Ok(form));
            let mut output = vec![0; value.len()];
            let result = decoder.decode(form, bytes, dictionary, &mut output);
            assert_eq!(result, Ok(()), "{method:?}");
            assert!(output == value, "{method:?}");
        }
    }
});
