//! All entries of a namespace, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use super::ReaderNamespace;
use crate::disk::DiskError;
use crate::value::Value;

type Entry = (Box<[u8]>, Value);

/// The first page of keys has this many: often nobody asks for more.
const FEWEST: usize = 256;
/// Each page is this much larger than the one before, since each is a look at the whole folder.
const GROWTH: usize = 4;
/// The largest page.
const MOST: usize = 1 << 16;

/// Gives keys and values in the order of keys: see [`ReaderNamespace::entries`].
pub struct ReaderEntries {
    namespace: ReaderNamespace,
    prefix: Box<[u8]>,
    /// Keys whose values were not read yet, in order.
    keys: VecDeque<Box<[u8]>>,
    /// The greatest key that was found so far.
    last: Option<Box<[u8]>>,
    page: usize,
    /// Whether there are keys beyond `last`, as far as is known.
    more: bool,
}

impl ReaderEntries {
    pub(super) fn new(namespace: &ReaderNamespace, prefix: &[u8]) -> Self {
        Self {
            namespace: namespace.clone(),
            prefix: prefix.into(),
            keys: VecDeque::new(),
            last: None,
            page: FEWEST,
            more: true,
        }
    }

    fn turn_page(&mut self) -> Result<(), DiskError> {
        let last = self.last.as_deref();
        let keys = self.namespace.keys(&self.prefix, last, self.page)?;
        self.more = keys.len() == self.page;
        self.page = (self.page * GROWTH).min(MOST);
        if let Some(last) = keys.last() {
            self.last = Some(last.clone());
        }
        self.keys = keys.into();
        Ok(())
    }

    fn step(&mut self) -> Result<Option<Entry>, DiskError> {
        loop {
            if let Some(key) = self.keys.pop_front() {
                // It may be gone since.
                if let Some(value) = self.namespace.get(&key)? {
                    return Ok(Some((key, value)));
                }
            } else if self.more {
                self.turn_page()?;
            } else {
                return Ok(None);
            }
        }
    }
}

impl Iterator for ReaderEntries {
    type Item = Result<Entry, DiskError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.step();
        if entry.is_err() {
            self.keys.clear();
            self.more = false;
        }
        entry.transpose()
    }
}

impl FusedIterator for ReaderEntries {}

impl fmt::Debug for ReaderEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderEntries")
            .field("namespace", &self.namespace)
            .field("prefix", &self.prefix.escape_ascii().to_string())
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
