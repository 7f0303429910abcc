//! Any header with any bytes as a stored value, with and without a dictionary.
//!
//! What the header asks for is bounded by what lies there; the decoder ends, and fills the buffer or says why not.

#![no_main]

use std::num::NonZeroU32;

use aqe_memory::codec::{Codec, DecodeError, Decoder, Dictionary, Form, MAX_VALUE_BYTES};
use libfuzzer_sys::fuzz_target;

/// More than a block of so few bytes can stand for.
const MOST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let [codec, numbers, low, middle, high, rest @ ..] = data else {
        return;
    };
    let raw_len = u32::from_le_bytes([*low, *middle, *high, 0]);
    // The bytes are dictionary and block at once: the more of them are the one, the fewer are the other.
    let (text, block) = rest.split_at(rest.len() * usize::from(numbers >> 1) / 256);
    let Ok(dictionary) = Dictionary::new(NonZeroU32::MIN, text.to_vec()) else {
        return;
    };
    let form = match Form::parse(*codec, u32::from(numbers & 1), raw_len, block.len()) {
        Ok(form) => form,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(form.raw_len() <= MAX_VALUE_BYTES);
    if form.raw_len() > MOST {
        assert!(form.codec() != Codec::Lz4 || block.len() >= MOST / 255);
        return;
    }
    let mut output = vec![0; form.raw_len()];
    let result = Decoder::new().decode(form, block, Some(&dictionary), &mut output);
    if form.codec() == Codec::Stored && form.dictionary() == 0 {
        assert!(result.is_ok() && output == block);
    }
    let expects = matches!(result, Err(DecodeError::WrongDictionary { .. }));
    assert!(!expects, "the dictionary was given");
});
