//! How the result of an item is kept in a checkpoint.
//!
//! [`Json`] keeps every type that serde knows and is the default. [`Raw`] keeps bytes and text as they are. Whoever has
//! a denser form implements [`Codec`].

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a codec says when it cannot encode or decode a value.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// Turns results into bytes and back.
///
/// `decode` must give the value that `encode` was given, or an error. The same bytes may be decoded by a later version
/// of the program, so give another [`NAME`](Self::NAME) to another form: a log is only resumed with the codec by which it
/// was written.
pub trait Codec<T> {
    /// What distinguishes this form from others.
    const NAME: &'static str;

    /// Appends the bytes of a value to `out`.
    ///
    /// # Errors
    ///
    /// Whatever makes the value impossible to keep. It ends the run.
    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Makes a value of its bytes.
    ///
    /// # Errors
    ///
    /// Whatever makes the bytes no value. The run is not resumed then.
    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError>;
}

/// Keeps what serde can serialise, as JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Codec<T> for Json {
    const NAME: &'static str = "json";

    fn encode(&self, value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(serde_json::to_writer(out, value)?)
    }

    fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        Ok(serde_json::from_slice(bytes)?)
    }
}

/// Keeps bytes and text as they are, and whole numbers as eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec<Vec<u8>> for Raw {
    const NAME: &'static str = "bytes";

    fn encode(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(bytes.to_vec())
    }
}

impl Codec<String> for Raw {
    const NAME: &'static str = "text";

    fn encode(&self, value: &String, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<String, CodecError> {
        Ok(std::str::from_utf8(bytes)?.to_owned())
    }
}

impl Codec<u64> for Raw {
    const NAME: &'static str = "u64";

    fn encode(&self, value: &u64, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }
}

/// Keeps nothing: the codec of a run without a checkpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct NotKept;

impl<T> Codec<T> for NotKept {
    const NAME: &'static str = "none";

    fn encode(&self, _: &T, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Err("results are not kept".into())
    }

    fn decode(&self, _: &[u8]) -> Result<T, CodecError> {
        Err("results are not kept".into())
    }
}
