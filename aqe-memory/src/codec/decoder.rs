//! Bytes become values again.

use super::dictionary::Dictionary;
use super::form::{Codec, DecodeError, Form};
#[cfg(feature = "zstd")]
use super::zstd;

/// Decodes values; what it keeps, it keeps for zstd only. One for each thread.
#[derive(Debug, Default)]
pub struct Decoder {
    #[cfg(feature = "zstd")]
    zstd: zstd::Decoder,
}

impl Decoder {
    /// A decoder that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decodes `bytes` into a buffer of exactly [`raw_len`](Form::raw_len) bytes, with the dictionary that the form
    /// names. Nothing is allocated.
    ///
    /// That the result is the value which was once encoded is not checked here but by whoever keeps the bytes: damage
    /// that happens to decode looks like a value.
    ///
    /// # Errors
    ///
    /// When the buffer has another length, when it is another dictionary, when the bytes are not what the codec
    /// writes, or when they make more or less than `raw_len` bytes. What the buffer then holds is of no use.
    pub fn decode(
        &mut self,
        form: Form,
        bytes: &[u8],
        dictionary: Option<&Dictionary>,
        output: &mut [u8],
    ) -> Result<(), DecodeError> {
        let wrong_length = |found| {
            Err(DecodeError::WrongLength {
                raw_len: form.raw_len(),
                found,
            })
        };
        if output.len() != form.raw_len() {
            return wrong_length(output.len());
        }
        // A value that needs no dictionary is decoded without, whichever its namespace has now.
        let dictionary = dictionary.filter(|_| form.dictionary != 0);
        let given = dictionary.map_or(0, |dictionary| dictionary.id().get());
        if given != form.dictionary {
            return Err(DecodeError::WrongDictionary {
                wanted: form.dictionary,
                given,
            });
        }
        let found = match form.codec {
            Codec::Stored if bytes.len() == output.len() => {
                output.copy_from_slice(bytes);
                bytes.len()
            }
            Codec::Stored => bytes.len(),
            Codec::Lz4 => decode_lz4(bytes, dictionary, output)?,
            #[cfg(feature = "zstd")]
            Codec::Zstd => self.zstd.decode(bytes, dictionary, output)?,
            #[cfg(not(feature = "zstd"))]
            Codec::Zstd => return Err(DecodeError::WithoutZstd),
        };
        if found != output.len() {
            return wrong_length(found);
        }
        Ok(())
    }
}

fn decode_lz4(
    bytes: &[u8],
    dictionary: Option<&Dictionary>,
    output: &mut [u8],
) -> Result<usize, DecodeError> {
    let decoded = match dictionary {
        Some(dictionary) => {
            lz4_flex::block::decompress_into_with_dict(bytes, output, dictionary.bytes())
        }
        None => lz4_flex::block::decompress_into(bytes, output),
    };
    // It fails only for blocks that end too early, reach too far back or make too much: all of them damage to us.
    decoded.map_err(|_| DecodeError::Damaged)
}
