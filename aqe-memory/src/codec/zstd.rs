//! zstd as another codec: denser, slower, and C code.
//!
//! Dictionaries are used as they are: plain bytes, or, if they begin with its magic number, in zstd's own format.

use std::fmt;
use std::sync::OnceLock;

use ::zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};

use super::dictionary::Dictionary;
use super::form::DecodeError;

/// How hard zstd tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// zstd's own default.
    Fast,
    /// What still decodes as fast or faster, and takes some forty microseconds for 2 KB.
    High,
}

impl Level {
    fn number(self) -> i32 {
        match self {
            Self::Fast => 3,
            Self::High => 9,
        }
    }
}

/// A dictionary's tables, built when first needed; `None` inside when zstd refused the bytes or had no memory.
#[derive(Default)]
pub(super) struct Prepared {
    fast: OnceLock<Option<CDict<'static>>>,
    high: OnceLock<Option<CDict<'static>>>,
    decode: OnceLock<Option<DDict<'static>>>,
}

impl Prepared {
    fn encode(&self, bytes: &[u8], level: Level) -> Option<&CDict<'static>> {
        let slot = match level {
            Level::Fast => &self.fast,
            Level::High => &self.high,
        };
        slot.get_or_init(|| CDict::try_create(bytes, level.number()))
            .as_ref()
    }

    fn decode(&self, bytes: &[u8]) -> Option<&DDict<'static>> {
        self.decode
            .get_or_init(|| DDict::try_create(bytes))
            .as_ref()
    }

    /// What the tables that were built take, in bytes.
    pub(super) fn memory(&self) -> usize {
        let encode = [&self.fast, &self.high]
            .into_iter()
            .filter_map(OnceLock::get)
            .flatten();
        let decode = self.decode.get().and_then(Option::as_ref);
        encode.map(CDict::sizeof).sum::<usize>() + decode.map_or(0, DDict::sizeof)
    }
}

/// The state of a compressor, made when first needed.
#[derive(Default)]
pub(super) struct Encoder(Option<CCtx<'static>>);

impl Encoder {
    /// Writes a frame into `output` and says how long it became; `None` when it does not fit.
    pub(super) fn encode(
        &mut self,
        value: &[u8],
        level: Level,
        dictionary: Option<&Dictionary>,
        output: &mut [u8],
    ) -> Option<usize> {
        if self.0.is_none() {
            self.0 = CCtx::try_create();
        }
        let context = self.0.as_mut()?;
        let result = match dictionary {
            Some(dictionary) => {
                let prepared = dictionary.zstd().encode(dictionary.bytes(), level)?;
                context.compress_using_cdict(output, value, prepared)
            }
            None => context.compress(output, value, level.number()),
        };
        // It fails only for want of room, in the output or in memory, and then the value is stored as it is.
        result.ok()
    }

    pub(super) fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, CCtx::sizeof)
    }
}

/// The state of a decompressor, made when first needed.
#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl Decoder {
    /// Decodes a frame and says how many bytes there were in it, which is never more than `output` has room for.
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        dictionary: Option<&Dictionary>,
        output: &mut [u8],
    ) -> Result<usize, DecodeError> {
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        let context = self.0.as_mut().ok_or(DecodeError::Damaged)?;
        let result = match dictionary {
            Some(dictionary) => {
                let prepared = dictionary.zstd().decode(dictionary.bytes());
                context.decompress_using_ddict(output, bytes, prepared.ok_or(DecodeError::Damaged)?)
            }
            None => context.decompress(output, bytes),
        };
        result.map_err(|_| DecodeError::Damaged)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("memory", &self.memory())
            .finish()
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("memory", &self.memory())
            .finish()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoder").field(&self.0.is_some()).finish()
    }
}
