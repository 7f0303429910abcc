//! How values become small.
//!
//! An [`Encoder`] makes a value small with a [`Method`], usually with a [`Dictionary`] that was [trained](train()) on
//! other values of the same namespace; a [`Decoder`] makes it a value again. Between the two stand the bytes and a
//! [`Form`], which a record's header keeps.
//!
//! What always holds:
//!
//! - A value that does not shrink by a tenth is stored as it is.
//! - What is decoded is as long as the header says, or it is an error; garbage neither panics nor
//!   allocates.
//! - Neither direction allocates for values of usual size.
//! - Every LZ4 block is one that any LZ4 decoder reads, given the dictionary.

mod decoder;
mod dictionary;
mod encoder;
mod form;
mod lz4;
#[cfg(test)]
mod tests;
mod train;
#[cfg(feature = "zstd")]
mod zstd;

pub use decoder::Decoder;
pub use dictionary::Dictionary;
#[cfg(feature = "internals")]
pub use dictionary::DictionaryTooLong;
#[cfg(feature = "internals")]
pub use encoder::Encoded;
pub use encoder::Encoder;
pub use form::{Codec, Form, Method};
#[cfg(any(test, feature = "internals"))]
pub use form::{DecodeError, MAX_VALUE_BYTES, ValueTooLong};
#[cfg(feature = "internals")]
pub use train::MAX_SAMPLE_BYTES;
pub use train::train;
