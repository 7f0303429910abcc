//! aqe's codec and its peers behind one trait.

use std::ffi::{c_char, c_int, c_void};
use std::num::NonZeroU32;
use std::sync::OnceLock;

use aqe_memory::codec::{self, Decoder, Dictionary, Encoder, Form, Method};
// Its functions are declared below: the crate's own list lacks those for dictionaries.
use lz4_sys as _;
use xtask::{Failure, Result};
use zstd::bulk::{Compressor, Decompressor};

/// Somebody who makes values small and brings them back.
pub(super) trait Contender {
    /// Encodes a value and says how long it became.
    fn encode(&mut self, value: &[u8], output: &mut [u8]) -> Result<usize>;

    /// Decodes into a buffer of the value's length.
    fn decode(&mut self, block: &[u8], output: &mut [u8]) -> Result<()>;
}

/// The dictionaries of one kind of value, trained when first asked for.
pub(super) struct Dictionaries {
    samples: Vec<Vec<u8>>,
    ours: OnceLock<Vec<u8>>,
}

impl Dictionaries {
    pub(super) fn new(samples: Vec<Vec<u8>>) -> Self {
        Self {
            samples,
            ours: OnceLock::new(),
        }
    }

    /// What aqe's trainer makes of the samples.
    fn ours(&self) -> Vec<u8> {
        let ours = self
            .ours
            .get_or_init(|| codec::train(&self.samples, Dictionary::MAX_BYTES));
        ours.clone()
    }

    /// What zstd's trainer makes of them.
    fn of_zstd(&self) -> Result<Vec<u8>> {
        zstd::dict::from_samples(&self.samples, Dictionary::MAX_BYTES).map_err(failed)
    }
}

/// The contender of a name; what `aqe` is depends on the mode.
pub(super) fn make(
    mode: &str,
    name: &str,
    dictionaries: &Dictionaries,
) -> Result<Box<dyn Contender>> {
    let with = || dictionaries.ours();
    let name = match (mode, name) {
        ("high", "aqe") => "aqe-high",
        ("alone", "aqe") => "aqe-alone",
        _ => name,
    };
    Ok(match name {
        "aqe" => Box::new(Aqe::new(Method::Lz4Fast, Some(with()))?),
        "aqe-high" => Box::new(Aqe::new(Method::Lz4High, Some(with()))?),
        "aqe-alone" => Box::new(Aqe::new(Method::Lz4Fast, None)?),
        "aqe-high-alone" => Box::new(Aqe::new(Method::Lz4High, None)?),
        "lz4-flex" => Box::new(Flex(Vec::new())),
        "lz4-flex-dict" => Box::new(Flex(with())),
        "c-lz4" => Box::new(CLz4::fast(Vec::new())?),
        "c-lz4-dict" => Box::new(CLz4::fast(with())?),
        "c-lz4hc-9" => Box::new(CLz4::high(9, Vec::new())?),
        "c-lz4hc-9-dict" => Box::new(CLz4::high(9, with())?),
        "c-lz4hc-12-dict" => Box::new(CLz4::high(12, with())?),
        "zstd-3" => Box::new(Zstd::new(3, &[])?),
        "zstd-3-dict" => Box::new(Zstd::new(3, &dictionaries.of_zstd()?)?),
        "zstd-9-dict" => Box::new(Zstd::new(9, &dictionaries.of_zstd()?)?),
        _ => return Err(Failure::new(format!("there is no codec `{name}`"))),
    })
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}

struct Aqe {
    method: Method,
    dictionary: Option<Dictionary>,
    encoder: Encoder,
    decoder: Decoder,
}

impl Aqe {
    fn new(method: Method, bytes: Option<Vec<u8>>) -> Result<Self> {
        let dictionary = bytes.map(|bytes| Dictionary::new(NonZeroU32::MIN, bytes));
        Ok(Self {
            method,
            dictionary: dictionary.transpose().map_err(failed)?,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
        })
    }
}

impl Contender for Aqe {
    fn encode(&mut self, value: &[u8], output: &mut [u8]) -> Result<usize> {
        let encoded = self
            .encoder
            .encode(value, self.method, self.dictionary.as_ref());
        let encoded = encoded.map_err(failed)?;
        // The header's fields, as a record has them; peers copy nothing, as they write where they are told to.
        let (form, length) = (encoded.form, encoded.bytes.len());
        output[0] = form.codec().number();
        output[1..5].copy_from_slice(&form.dictionary().to_le_bytes());
        output[5..5 + length].copy_from_slice(encoded.bytes);
        Ok(5 + length)
    }

    fn decode(&mut self, block: &[u8], output: &mut [u8]) -> Result<()> {
        let dictionary = u32::from_le_bytes([block[1], block[2], block[3], block[4]]);
        let form = Form::parse(block[0], dictionary, output.len() as u32, block.len() - 5)
            .map_err(failed)?;
        self.decoder
            .decode(form, &block[5..], self.dictionary.as_ref(), output)
            .map_err(failed)
    }
}

/// lz4_flex's blocks, with a dictionary unless it is empty.
struct Flex(Vec<u8>);

impl Contender for Flex {
    fn encode(&mut self, value: &[u8], output: &mut [u8]) -> Result<usize> {
        let result = if self.0.is_empty() {
            lz4_flex::block::compress_into(value, output)
        } else {
            lz4_flex::block::compress_into_with_dict(value, output, &self.0)
        };
        result.map_err(failed)
    }

    fn decode(&mut self, block: &[u8], output: &mut [u8]) -> Result<()> {
        let result = if self.0.is_empty() {
            lz4_flex::block::decompress_into(block, output)
        } else {
            lz4_flex::block::decompress_into_with_dict(block, output, &self.0)
        };
        result.map(|_| ()).map_err(failed)
    }
}

struct Zstd {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl Zstd {
    fn new(level: i32, dictionary: &[u8]) -> Result<Self> {
        Ok(Self {
            compressor: Compressor::with_dictionary(level, dictionary).map_err(failed)?,
            decompressor: Decompressor::with_dictionary(dictionary).map_err(failed)?,
        })
    }
}

impl Contender for Zstd {
    fn encode(&mut self, value: &[u8], output: &mut [u8]) -> Result<usize> {
        self.compressor
            .compress_to_buffer(value, output)
            .map_err(failed)
    }

    fn decode(&mut self, block: &[u8], output: &mut [u8]) -> Result<()> {
        let result = self.decompressor.decompress_to_buffer(block, output);
        result.map(|_| ()).map_err(failed)
    }
}

unsafe extern "C" {
    fn LZ4_createStream() -> *mut c_void;
    fn LZ4_freeStream(stream: *mut c_void) -> c_int;
    fn LZ4_resetStream_fast(stream: *mut c_void);
    fn LZ4_loadDictSlow(stream: *mut c_void, dictionary: *const c_char, length: c_int) -> c_int;
    fn LZ4_attach_dictionary(stream: *mut c_void, dictionary: *const c_void);
    fn LZ4_compress_fast_continue(
        stream: *mut c_void,
        from: *const c_char,
        to: *mut c_char,
        length: c_int,
        room: c_int,
        acceleration: c_int,
    ) -> c_int;
    fn LZ4_createStreamHC() -> *mut c_void;
    fn LZ4_freeStreamHC(stream: *mut c_void) -> c_int;
    fn LZ4_resetStreamHC_fast(stream: *mut c_void, level: c_int);
    fn LZ4_loadDictHC(stream: *mut c_void, dictionary: *const c_char, length: c_int) -> c_int;
    fn LZ4_attach_HC_dictionary(stream: *mut c_void, dictionary: *const c_void);
    fn LZ4_compress_HC_continue(
        stream: *mut c_void,
        from: *const c_char,
        to: *mut c_char,
        length: c_int,
        room: c_int,
    ) -> c_int;
    fn LZ4_decompress_safe_usingDict(
        from: *const c_char,
        to: *mut c_char,
        length: c_int,
        room: c_int,
        dictionary: *const c_char,
        dictionary_length: c_int,
    ) -> c_int;
}

/// The library in C, with a prepared dictionary attached to its stream.
struct CLz4 {
    /// `None` for the fast encoder.
    level: Option<c_int>,
    /// Both streams are of the kind that `level` says, live as long as this, and belong to nobody else.
    stream: *mut c_void,
    prepared: *mut c_void,
    /// What `prepared` refers to: never changed, and freed after it.
    dictionary: Vec<u8>,
}

impl CLz4 {
    fn fast(dictionary: Vec<u8>) -> Result<Self> {
        // SAFETY: these ask for nothing; what they return is checked below.
        let (stream, prepared) = unsafe { (LZ4_createStream(), LZ4_createStream()) };
        Self {
            level: None,
            stream,
            prepared,
            dictionary,
        }
        .checked()
    }

    fn high(level: c_int, dictionary: Vec<u8>) -> Result<Self> {
        // SAFETY: as above.
        let (stream, prepared) = unsafe { (LZ4_createStreamHC(), LZ4_createStreamHC()) };
        Self {
            level: Some(level),
            stream,
            prepared,
            dictionary,
        }
        .checked()
    }

    fn checked(self) -> Result<Self> {
        if self.stream.is_null() || self.prepared.is_null() {
            return Err(Failure::new("no memory for a stream"));
        }
        let (bytes, length) = (
            self.dictionary.as_ptr().cast(),
            length(self.dictionary.len())?,
        );
        // SAFETY: `prepared` is a stream of this kind, and the bytes outlive it.
        unsafe {
            match self.level {
                None => LZ4_loadDictSlow(self.prepared, bytes, length),
                Some(level) => {
                    LZ4_resetStreamHC_fast(self.prepared, level);
                    LZ4_loadDictHC(self.prepared, bytes, length)
                }
            };
        }
        Ok(self)
    }
}

fn length(length: usize) -> Result<c_int> {
    c_int::try_from(length).map_err(failed)
}

impl Contender for CLz4 {
    fn encode(&mut self, value: &[u8], output: &mut [u8]) -> Result<usize> {
        let (from, to) = (value.as_ptr().cast(), output.as_mut_ptr().cast());
        let (given, room) = (length(value.len())?, length(output.len())?);
        // SAFETY: both streams are of the kind that `level` says, and the pointers are those of slices with these
        // lengths, which nobody touches during the call.
        let written = unsafe {
            match self.level {
                None => {
                    LZ4_resetStream_fast(self.stream);
                    if !self.dictionary.is_empty() {
                        LZ4_attach_dictionary(self.stream, self.prepared);
                    }
                    LZ4_compress_fast_continue(self.stream, from, to, given, room, 1)
                }
                Some(level) => {
                    LZ4_resetStreamHC_fast(self.stream, level);
                    if !self.dictionary.is_empty() {
                        LZ4_attach_HC_dictionary(self.stream, self.prepared);
                    }
                    LZ4_compress_HC_continue(self.stream, from, to, given, room)
                }
            }
        };
        usize::try_from(written)
            .ok()
            .filter(|&length| length > 0)
            .ok_or_else(|| Failure::new("LZ4 found no room"))
    }

    fn decode(&mut self, block: &[u8], output: &mut [u8]) -> Result<()> {
        let (given, room) = (length(block.len())?, length(output.len())?);
        let known = length(self.dictionary.len())?;
        // SAFETY: the pointers are those of slices with these lengths, which nobody touches during the call.
        let read = unsafe {
            LZ4_decompress_safe_usingDict(
                block.as_ptr().cast(),
                output.as_mut_ptr().cast(),
                given,
                room,
                self.dictionary.as_ptr().cast(),
                known,
            )
        };
        if read != room {
            return Err(Failure::new(format!(
                "{read} bytes came back instead of {room}"
            )));
        }
        Ok(())
    }
}

impl Drop for CLz4 {
    fn drop(&mut self) {
        // SAFETY: both are streams of this kind or null, which the functions accept, and nobody uses them any more.
        unsafe {
            let free = if self.level.is_none() {
                LZ4_freeStream
            } else {
                LZ4_freeStreamHC
            };
            free(self.stream);
            free(self.prepared);
        }
    }
}
