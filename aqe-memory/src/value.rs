//! What a read gives.

use std::fmt;
use std::ops::Deref;

use crate::segment::raw::Pinned;

/// A value that was read: bytes that stay as they are whatever happens to their entry.
///
/// From the uncompressed tier it is the entry's own memory, and the whole segment around it, up to a mebibyte, is kept for as
/// long as the value is: hold on to it while you use it, and copy what you keep for long ([`to_vec`](slice::to_vec)).
pub struct Value(Repr);

enum Repr {
    Pinned(Pinned),
    Owned(Box<[u8]>),
}

impl Value {
    pub(crate) fn pinned(pinned: Pinned) -> Self {
        Self(Repr::Pinned(pinned))
    }

    pub(crate) fn owned(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Repr::Owned(bytes.into()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::owned(bytes)
    }
}

impl From<Box<[u8]>> for Value {
    fn from(bytes: Box<[u8]>) -> Self {
        Self::owned(bytes)
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Pinned(pinned) => pinned.bytes(),
            Repr::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        match &self.0 {
            Repr::Pinned(pinned) => match pinned.again() {
                Some(pinned) => Self::pinned(pinned),
                None => Self::owned(pinned.bytes()),
            },
            Repr::Owned(bytes) => Self::owned(bytes.clone()),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
