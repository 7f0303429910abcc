//! What can be wrong with keys and with key rings.
//!
//! No message and no `Debug` text has any byte of a key in it, nor of the text that a key was read from.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use super::aead::Refused;
use super::key::KeyId;

/// There is no master key where one was looked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The environment variable is not there.
    #[error(
        "environment variable `{name}` is not set: give it the master key as 64 hexadecimal digits or as 32 bytes in base64"
    )]
    Unset {
        /// The variable.
        name: String,
    },
    /// What was read is no key.
    #[error("{origin} does not hold a master key: {problem}")]
    Text {
        /// Where it was read.
        origin: String,
        /// What is wrong with it.
        problem: KeyTextError,
    },
    /// The key's file could not be read.
    #[error("cannot read the master key in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key's file belongs to this user, and others may use it as well; `ssh` refuses such keys by the same rule.
    #[error("key file `{}` is open to others (mode {mode:04o}): `chmod 600` it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random(#[source] io::Error),
    /// A [`KeyProvider`](super::KeyProvider) failed.
    #[error("the provider of master keys failed")]
    Provider(#[source] Box<dyn Error + Send + Sync>),
    /// The cryptographic library refused to work, for want of memory for example.
    #[error("the cryptographic library refused to derive a key")]
    Library,
}

impl From<Refused> for KeyError {
    fn from(_: Refused) -> Self {
        Self::Library
    }
}

/// Why a text is no master key. Positions count characters from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyTextError {
    /// Nothing is there, or only white space.
    #[error("it is empty")]
    Empty,
    /// It has the length of no form of a key.
    #[error(
        "it has {found} characters, and a key of 32 bytes has 64 in hexadecimal and 43 or 44 in base64 (`openssl rand -hex 32` makes one)"
    )]
    Length {
        /// How many characters there are, white space around them left out.
        found: usize,
    },
    /// It is longer than any form of a key.
    #[error(
        "it is longer than {limit} bytes, and a key of 32 bytes has 64 characters in hexadecimal"
    )]
    TooLong {
        /// How much is read at most.
        limit: usize,
    },
    /// A hexadecimal key has a character that is no hexadecimal digit.
    #[error("character {position} of 64 is no hexadecimal digit")]
    Digit {
        /// Which one.
        position: usize,
    },
    /// A base64 key has a character that does not belong there, or bits that stand for nothing.
    #[error("character {position} does not belong in 32 bytes of base64")]
    Base64 {
        /// Which one.
        position: usize,
    },
}

/// A key ring was not opened or not changed. Nothing on disk was touched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The bytes are no key ring, or a damaged one.
    #[error("the key ring cannot be read: {0}")]
    Format(#[from] KeyRingFormatError),
    /// The store's keys are wrapped by a master key that is not at hand.
    #[error(
        "the store wants master key {wanted}, and the one given is {given}: nothing was changed"
    )]
    WrongKey {
        /// The key that the store's keys are wrapped by.
        wanted: KeyId,
        /// The key that was given.
        given: KeyId,
    },
    /// The right master key does not open a data key: somebody or something changed the ring.
    #[error(
        "data key {generation} does not open with master key {master}: the key ring was tampered with or damaged"
    )]
    Tampered {
        /// The generation of the data key.
        generation: u32,
        /// The master key.
        master: KeyId,
    },
    /// A segment is sealed under a data key that the ring does not have (any more).
    #[error("there is no data key {generation}: the newest is {newest}")]
    UnknownGeneration {
        /// The generation that was asked for.
        generation: u32,
        /// The ring's newest one.
        newest: u32,
    },
    /// New segments are sealed under this data key, so it cannot be forgotten.
    #[error(
        "data key {generation} is in use for new segments: make a new one before forgetting it"
    )]
    InUse {
        /// The generation.
        generation: u32,
    },
    /// There are as many data keys as a ring holds.
    #[error(
        "the key ring holds {limit} data keys and takes no more: forget those that no segment uses"
    )]
    Full {
        /// How many that is.
        limit: usize,
    },
    /// No master key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<Refused> for KeyRingError {
    fn from(_: Refused) -> Self {
        Self::Key(KeyError::Library)
    }
}

/// Why bytes are no key ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRingFormatError {
    /// They begin with something else.
    #[error("these bytes are no key ring")]
    Foreign,
    /// They are not what was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// A newer version of this library wrote them.
    #[error("its format is version {found}, and this build reads version {known}: update it")]
    Newer {
        /// The version of the bytes.
        found: u16,
        /// The version that this build reads and writes.
        known: u16,
    },
    /// Their length is not the one that they announce.
    #[error("it has {found} bytes instead of {expected}")]
    Length {
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A count, a generation or a reserved field has a value that is never written.
    #[error("byte {offset} begins an impossible value")]
    Value {
        /// Where the value begins.
        offset: usize,
    },
}
