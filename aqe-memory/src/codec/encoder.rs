//! Values become small.

use super::dictionary::Dictionary;
use super::form::{Codec, Form, MAX_VALUE_BYTES, Method, ValueTooLong};
use super::lz4::fast::LocalTable;
use super::lz4::{fast, high};
#[cfg(feature = "zstd")]
use super::zstd;

/// What a codec must save at least: a tenth. A value that shrinks by less is read faster as it is.
const SAVED_SHARE: usize = 10;

/// A buffer that grew beyond this for one large value is given back before the next one.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Encodes values one after another and keeps what can be used again: nothing is allocated for values that are not
/// longer than those before them.
///
/// One for each thread. What it writes depends on the value, the method and the dictionary only, never on
/// the values before.
#[derive(Debug, Default)]
pub struct Encoder {
    fast: Option<LocalTable>,
    high: Option<high::Workspace>,
    buffer: Vec<u8>,
    #[cfg(feature = "zstd")]
    zstd: zstd::Encoder,
}

/// A value as it is to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoded<'a> {
    /// What its header must say.
    pub form: Form,
    /// The bytes: the encoder's, or those of the value itself.
    pub bytes: &'a [u8],
}

impl Encoder {
    /// An encoder that holds nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds in memory, in bytes.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn memory(&self) -> usize {
        let fast = self.fast.as_ref().map_or(0, |_| LocalTable::MEMORY);
        let high = self.high.as_ref().map_or(0, |_| high::Workspace::MEMORY);
        let memory = size_of::<Self>() + self.buffer.capacity() + fast + high;
        #[cfg(feature = "zstd")]
        let memory = memory + self.zstd.memory();
        memory
    }

    /// Encodes a value; one that does not shrink by a tenth stays as it is, without a dictionary.
    ///
    /// # Errors
    ///
    /// When the value is longer than [`MAX_VALUE_BYTES`].
    pub fn encode<'a>(
        &'a mut self,
        value: &'a [u8],
        method: Method,
        dictionary: Option<&Dictionary>,
    ) -> Result<Encoded<'a>, ValueTooLong> {
        if value.len() > MAX_VALUE_BYTES {
            return Err(ValueTooLong {
                length: value.len(),
            });
        }
        let form = |codec, dictionary| Form {
            codec,
            dictionary,
            // The longest value fits.
            raw_len: value.len() as u32,
        };
        match self.compress(value, method, dictionary) {
            Some((codec, length)) => Ok(Encoded {
                form: form(
                    codec,
                    dictionary.map_or(0, |dictionary| dictionary.id().get()),
                ),
                bytes: &self.buffer[..length],
            }),
            None => Ok(Encoded {
                form: form(Codec::Stored, 0),
                bytes: value,
            }),
        }
    }

    /// Compresses into the buffer; `None` when that is not worth it.
    fn compress(
        &mut self,
        value: &[u8],
        method: Method,
        dictionary: Option<&Dictionary>,
    ) -> Option<(Codec, usize)> {
        let room = value.len() - value.len().div_ceil(SAVED_SHARE);
        if method == Method::Store || room == 0 {
            return None;
        }
        if self.buffer.len() > KEPT_BUFFER_BYTES && room <= KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        if self.buffer.len() < room {
            self.buffer.resize(room, 0);
        }
        let output = &mut self.buffer[..room];
        match method {
            Method::Store => None,
            Method::Lz4Fast => {
                let table = self.fast.get_or_insert_with(LocalTable::new);
                Some((Codec::Lz4, fast::encode(value, dictionary, table, output)?))
            }
            Method::Lz4High => {
                let workspace = self.high.get_or_insert_with(high::Workspace::new);
                Some((
                    Codec::Lz4,
                    high::encode(value, dictionary, workspace, output)?,
                ))
            }
            #[cfg(feature = "zstd")]
            Method::ZstdFast => Some((
                Codec::Zstd,
                self.zstd
                    .encode(value, zstd::Level::Fast, dictionary, output)?,
            )),
            #[cfg(feature = "zstd")]
            Method::ZstdHigh => Some((
                Codec::Zstd,
                self.zstd
                    .encode(value, zstd::Level::High, dictionary, output)?,
            )),
        }
    }
}
