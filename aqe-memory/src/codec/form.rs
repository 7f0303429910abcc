//! What the header of a stored value says about its bytes.

use thiserror::Error;

/// The longest value, in bytes, before and after decoding: a bound for what a damaged header can make us allocate.
pub const MAX_VALUE_BYTES: usize = 256 << 20;

/// How the bytes of a value are to be read. The numbers are part of the format on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Codec {
    /// As they are.
    Stored = 0,
    /// An LZ4 block.
    Lz4 = 1,
    /// A zstd frame. Known without the feature `zstd`, and then refused by name.
    Zstd = 2,
}

impl Codec {
    /// The number in a header.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The codec of a number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Stored),
            1 => Some(Self::Lz4),
            2 => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// How hard to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Method {
    /// Not at all: for values that are known to be compressed, encrypted or random.
    Store,
    /// LZ4, greedily: for values on their way in, some hundred megabytes a second.
    #[default]
    Lz4Fast,
    /// LZ4 again, the shortest block that the longest matches allow: for passes in the background, some tens of
    /// megabytes a second. What it writes is read as fast as that of the fast method.
    Lz4High,
    /// zstd at level 3: a fifth smaller than the best LZ4, and read at half the speed.
    #[cfg(feature = "zstd")]
    ZstdFast,
    /// zstd at level 9.
    #[cfg(feature = "zstd")]
    ZstdHigh,
}

/// What must be known to decode a value, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    pub(super) codec: Codec,
    pub(super) dictionary: u32,
    pub(super) raw_len: u32,
}

impl Form {
    /// Reads a header's fields: the codec's number, the dictionary's (0 for none), and how many bytes the value has
    /// decoded and as it lies there.
    ///
    /// # Errors
    ///
    /// When there is no such codec, when the value is longer than [`MAX_VALUE_BYTES`], or when no block of so few bytes
    /// can become so many: whoever allocates `raw_len` bytes afterwards allocates what may be needed.
    pub fn parse(
        codec: u8,
        dictionary: u32,
        raw_len: u32,
        stored_len: usize,
    ) -> Result<Self, DecodeError> {
        let Some(codec) = Codec::from_number(codec) else {
            return Err(DecodeError::UnknownCodec { number: codec });
        };
        let raw = raw_len as usize;
        if raw > MAX_VALUE_BYTES {
            return Err(DecodeError::TooLong { raw_len: raw });
        }
        let possible = match codec {
            Codec::Stored => raw == stored_len,
            // No byte of a block stands for more than 255 of the value.
            Codec::Lz4 => raw / 255 <= stored_len,
            // Blocks of one repeated byte have no such limit.
            Codec::Zstd => true,
        };
        if !possible {
            return Err(DecodeError::WrongLength {
                raw_len: raw,
                found: stored_len,
            });
        }
        Ok(Self {
            codec,
            dictionary,
            raw_len,
        })
    }

    /// How the bytes are to be read.
    #[must_use]
    pub fn codec(self) -> Codec {
        self.codec
    }

    /// The number of the dictionary they need; 0 for none.
    #[must_use]
    pub fn dictionary(self) -> u32 {
        self.dictionary
    }

    /// How many bytes the value has once decoded.
    #[must_use]
    pub fn raw_len(self) -> usize {
        self.raw_len as usize
    }
}

/// A value is longer than [`MAX_VALUE_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a value of {length} bytes is longer than {MAX_VALUE_BYTES} bytes; split it")]
pub struct ValueTooLong {
    /// How long it is.
    pub length: usize,
}

/// Why bytes cannot be made a value again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The number stands for no codec that this version knows.
    #[error("codec {number} is unknown; a newer version may know it")]
    UnknownCodec {
        /// The number.
        number: u8,
    },
    /// The codec was left out when this program was built.
    #[cfg(not(feature = "zstd"))]
    #[error("the value is compressed with zstd, which needs the feature `zstd`")]
    WithoutZstd,
    /// The header asks for more than any value may have.
    #[error("a value of {raw_len} bytes is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong {
        /// What it asks for.
        raw_len: usize,
    },
    /// The value needs a dictionary that was not given.
    #[error("dictionary {wanted} is needed, not {given}")]
    WrongDictionary {
        /// The number of the one that is needed; 0 for none.
        wanted: u32,
        /// The number of the one that was given; 0 for none.
        given: u32,
    },
    /// What was decoded, or what there was room for, is not as long as the header says.
    #[error("{found} bytes where the header says {raw_len}")]
    WrongLength {
        /// What the header says.
        raw_len: usize,
        /// What was found.
        found: usize,
    },
    /// The bytes are nothing that the codec writes.
    #[error("the compressed bytes are damaged")]
    Damaged,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_were_written() {
        for codec in [Codec::Stored, Codec::Lz4, Codec::Zstd] {
            assert_eq!(Codec::from_number(codec.number()), Some(codec));
            let form = Form::parse(codec.number(), 9, 100, 100).unwrap();
            assert_eq!(
                (form.codec(), form.dictionary(), form.raw_len()),
                (codec, 9, 100)
            );
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        #[cfg(not(feature = "zstd"))]
        assert!(
            DecodeError::WithoutZstd
                .to_string()
                .contains("feature `zstd`")
        );
        assert!(ValueTooLong { length: 1 }.to_string().contains("split it"));
    }

    #[test]
    fn headers_that_cannot_be_are_refused_before_anything_is_allocated() {
        let most = MAX_VALUE_BYTES as u32;
        for (codec, raw_len, stored_len) in [
            (0, 5, 4),
            (0, 4, 5),
            (1, 255 * 11, 10),
            (1, most, 1_000),
            (3, 5, 5),
            (255, 0, 0),
        ] {
            assert!(
                Form::parse(codec, 0, raw_len, stored_len).is_err(),
                "{codec} {raw_len} {stored_len}"
            );
        }
        assert!(Form::parse(1, 0, 255 * 10, 10).is_ok());
        assert!(Form::parse(2, 0, most, 10).is_ok());
        assert_eq!(
            Form::parse(2, 0, most + 1, 10),
            Err(DecodeError::TooLong {
                raw_len: MAX_VALUE_BYTES + 1
            })
        );
    }
}
