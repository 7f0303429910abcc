//! Hexadecimal digits and base64, into a buffer that the caller wipes.
//!
//! Written out here because a general decoder hands back a `Vec`, and a `Vec` that grows leaves pieces of a key behind.
//! Errors say where, never what.

use super::aead::KEY_LEN;
use super::error::KeyTextError;

/// Decodes a key of 64 hexadecimal digits, or 43 characters of base64 (either alphabet) with or without their `=`.
pub(super) fn decode_key(text: &[u8], into: &mut [u8; KEY_LEN]) -> Result<(), KeyTextError> {
    match text.len() {
        0 => Err(KeyTextError::Empty),
        64 => unhex(text, into).map_err(|index| KeyTextError::Digit {
            position: index + 1,
        }),
        43 => unbase64(text, into),
        44 if text[43] == b'=' => unbase64(&text[..43], into),
        44 => Err(KeyTextError::Base64 { position: 44 }),
        _ => Err(KeyTextError::Length {
            found: characters(text),
        }),
    }
}

/// Whether somebody may have typed this. Of 32 bytes of chance one in 3 × 10¹³ looks like that.
pub(super) fn is_typed(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// Fills `into`, or says which character is no digit, or how many there are if that is wrong.
pub(super) fn unhex(text: &[u8], into: &mut [u8]) -> Result<(), usize> {
    if text.len() != 2 * into.len() {
        return Err(text.len());
    }
    for (index, (pair, byte)) in text.chunks_exact(2).zip(into).enumerate() {
        let high = hex_digit(pair[0]).ok_or(2 * index)?;
        let low = hex_digit(pair[1]).ok_or(2 * index + 1)?;
        *byte = high << 4 | low;
    }
    Ok(())
}

/// 43 characters hold 258 bits: the last two stand for nothing and must be zero, or one key would have four spellings.
fn unbase64(text: &[u8], into: &mut [u8; KEY_LEN]) -> Result<(), KeyTextError> {
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = into.iter_mut();
    for (index, &character) in text.iter().enumerate() {
        let Some(value) = base64_digit(character) else {
            return Err(KeyTextError::Base64 {
                position: index + 1,
            });
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            if let Some(byte) = bytes.next() {
                *byte = (bits >> held) as u8;
            }
            bits &= (1 << held) - 1;
        }
    }
    if bits == 0 {
        Ok(())
    } else {
        Err(KeyTextError::Base64 {
            position: text.len(),
        })
    }
}

fn hex_digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

fn base64_digit(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// What a person counts: characters if it is UTF-8, bytes otherwise.
fn characters(text: &[u8]) -> usize {
    std::str::from_utf8(text).map_or(text.len(), |text| text.chars().count())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodes bit by bit, so that it shares nothing with the decoder.
    fn base64(key: &[u8; KEY_LEN], alphabet: &[u8; 64]) -> String {
        let bit = |at: usize| key.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
        let digit = |from: usize| (from..from + 6).fold(0, |value, at| value << 1 | bit(at));
        (0..43)
            .map(|index| char::from(alphabet[usize::from(digit(6 * index))]))
            .collect()
    }

    const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    fn decoded(text: &str) -> Result<[u8; KEY_LEN], KeyTextError> {
        let mut key = [0; KEY_LEN];
        decode_key(text.as_bytes(), &mut key).map(|()| key)
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_key_is_read(key: [u8; KEY_LEN]) {
            let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(decoded(&hex), Ok(key));
            prop_assert_eq!(decoded(&hex.to_uppercase()), Ok(key));
            prop_assert_eq!(decoded(&base64(&key, STANDARD)), Ok(key));
            prop_assert_eq!(decoded(&format!("{}=", base64(&key, STANDARD))), Ok(key));
            prop_assert_eq!(decoded(&base64(&key, URL)), Ok(key));
        }

        #[test]
        fn a_wrong_character_is_found_where_it_is(key: [u8; KEY_LEN], at in 0_usize..43, wrong in "[^0-9A-Za-z+/=_-]") {
            prop_assume!(wrong.len() == 1);
            let mut hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            hex.replace_range(at..=at, &wrong);
            prop_assert_eq!(decoded(&hex), Err(KeyTextError::Digit { position: at + 1 }));
            let mut text = base64(&key, STANDARD);
            text.replace_range(at..=at, &wrong);
            prop_assert_eq!(decoded(&text), Err(KeyTextError::Base64 { position: at + 1 }));
        }

        #[test]
        fn no_text_panics(text: Vec<u8>) {
            let _ = decode_key(&text, &mut [0; KEY_LEN]);
        }
    }

    #[test]
    fn a_key_in_base64_has_one_spelling() {
        let zeros = "A".repeat(43);
        assert_eq!(decoded(&zeros), Ok([0; KEY_LEN]));
        let spare_bits = format!("{}B", "A".repeat(42));
        assert_eq!(
            decoded(&spare_bits),
            Err(KeyTextError::Base64 { position: 43 })
        );
        let no_padding = "A".repeat(44);
        assert_eq!(
            decoded(&no_padding),
            Err(KeyTextError::Base64 { position: 44 })
        );
    }

    #[test]
    fn wrong_lengths_are_told() {
        assert_eq!(decoded(""), Err(KeyTextError::Empty));
        for found in [1, 32, 42, 45, 63, 65, 128] {
            assert_eq!(
                decoded(&"a".repeat(found)),
                Err(KeyTextError::Length { found })
            );
        }
        assert_eq!(decoded("äöü"), Err(KeyTextError::Length { found: 3 }));
    }
}
