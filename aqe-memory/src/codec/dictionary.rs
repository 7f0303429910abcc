//! Bytes that the values of a namespace have in common, with the tables that encoders need.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use thiserror::Error;

use super::lz4::fast::DictionaryTable;
use super::lz4::suffixes::SuffixIndex;
#[cfg(feature = "zstd")]
use super::zstd::Prepared;

/// A dictionary: made once, then shared by all threads that encode and decode with it.
///
/// Decoding needs only the bytes. The tables for encoding are built when they are first needed: those of the fast
/// encoder take less than a millisecond, and the index of the high one some ten.
pub struct Dictionary {
    id: NonZeroU32,
    bytes: Box<[u8]>,
    fast: OnceLock<DictionaryTable>,
    /// Needed only while a pass in the background goes on, so it can be given back.
    suffixes: Mutex<Option<Arc<SuffixIndex>>>,
    #[cfg(feature = "zstd")]
    zstd: Prepared,
}

impl Dictionary {
    /// The most bytes: as far as a match of LZ4 can reach.
    pub const MAX_BYTES: usize = 64 << 10;

    /// A dictionary with the number by which values will name it.
    ///
    /// # Errors
    ///
    /// With the bytes, when there are more than [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(id: NonZeroU32, bytes: Vec<u8>) -> Result<Self, DictionaryTooLong> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(DictionaryTooLong(bytes));
        }
        Ok(Self {
            id,
            bytes: bytes.into_boxed_slice(),
            fast: OnceLock::new(),
            suffixes: Mutex::new(None),
            #[cfg(feature = "zstd")]
            zstd: Prepared::default(),
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> NonZeroU32 {
        self.id
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it holds in memory now, in bytes: itself, its text and such tables as were built.
    #[must_use]
    pub fn memory(&self) -> usize {
        let fast = self.fast.get().map_or(0, |_| DictionaryTable::MEMORY);
        let suffixes = self
            .suffixes
            .lock()
            .as_ref()
            .map_or(0, |_| SuffixIndex::memory(self.bytes.len()));
        let memory = size_of::<Self>() + self.bytes.len() + fast + suffixes;
        #[cfg(feature = "zstd")]
        let memory = memory + self.zstd.memory();
        memory
    }

    /// Gives back the index of the high encoder, the largest of the tables; it is built again when it is needed again.
    pub fn release_index(&self) {
        self.suffixes.lock().take();
    }

    pub(super) fn fast(&self) -> &DictionaryTable {
        self.fast.get_or_init(|| DictionaryTable::new(&self.bytes))
    }

    pub(super) fn suffixes(&self) -> Arc<SuffixIndex> {
        // Whoever comes second waits for the first one's index instead of building another.
        let mut suffixes = self.suffixes.lock();
        Arc::clone(suffixes.get_or_insert_with(|| Arc::new(SuffixIndex::new(&self.bytes))))
    }

    #[cfg(feature = "zstd")]
    pub(super) fn zstd(&self) -> &Prepared {
        &self.zstd
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &self.id)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A dictionary has more bytes than a match can reach; with the bytes.
#[derive(Error)]
#[error("a dictionary of {} bytes is longer than {} bytes", .0.len(), Dictionary::MAX_BYTES)]
pub struct DictionaryTooLong(pub Vec<u8>);

impl fmt::Debug for DictionaryTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DictionaryTooLong({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NonZeroU32 = NonZeroU32::MIN;

    #[test]
    fn too_long_a_dictionary_is_handed_back() {
        assert!(Dictionary::new(ONE, vec![1; Dictionary::MAX_BYTES]).is_ok());
        let DictionaryTooLong(bytes) =
            Dictionary::new(ONE, vec![1; Dictionary::MAX_BYTES + 1]).unwrap_err();
        assert_eq!(bytes.len(), Dictionary::MAX_BYTES + 1);
    }

    #[test]
    fn memory_counts_the_tables_that_are_there() {
        let dictionary = Dictionary::new(ONE, vec![1; 5_000]).unwrap();
        let bare = dictionary.memory();
        assert!((5_000..6_000).contains(&bare), "{bare}");
        dictionary.fast();
        let fast = dictionary.memory();
        assert_eq!(fast, bare + DictionaryTable::MEMORY);
        drop(dictionary.suffixes());
        assert_eq!(dictionary.memory(), fast + SuffixIndex::memory(5_000));
        dictionary.release_index();
        assert_eq!(dictionary.memory(), fast);
    }
}
