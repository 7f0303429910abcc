//! All entries of a namespace, one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

use crate::namespace::Namespace;
use crate::reading::Look;
use crate::value::Value;

/// The first page of keys has this many: often nobody asks for more.
pub(crate) const FEWEST: usize = 256;
/// Each page is this much larger than the one before, since each is a look at the whole store.
pub(crate) const GROWTH: usize = 4;
/// The largest page.
pub(crate) const MOST: usize = 1 << 16;
/// Values that are read together.
const VALUES: usize = 32;

/// Gives keys and values in the order of keys: see [`Namespace::entries`].
pub struct Entries {
    namespace: Namespace,
    prefix: Box<[u8]>,
    /// Keys whose values were not read yet, in order.
    keys: VecDeque<Box<[u8]>>,
    /// Entries that are to be given, in order.
    ready: VecDeque<(Box<[u8]>, Value)>,
    /// The greatest key that was found so far.
    last: Option<Box<[u8]>>,
    page: usize,
    /// Whether there are keys beyond `last`, as far as is known.
    more: bool,
}

impl Namespace {
    /// The entries whose keys begin with `prefix`, in the order of keys.
    ///
    /// An entry that is there from the first call of `next` to the last is given, once, with the value that it has when the
    /// iterator comes near it. One that is put, or is gone, meanwhile may be given or not; one that is over, or was removed
    /// before the last few calls, is not. Nothing is locked between calls, and entries are not kept longer for having been
    /// looked at; each value that was given keeps the memory that it lies in, as [`get`](Self::get)'s does.
    ///
    /// The iterator asks for [`keys`](Self::keys) in pages, the first of 256 and the largest of 65,536, and each page looks at
    /// every key of the store.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.put_many([("run/2", "failed"), ("run/1", "passed"), ("suite/1", "slow")])?;
    /// let runs: Vec<_> = store.entries(b"run/").collect();
    /// assert_eq!((&*runs[0].0, &*runs[0].1), (&b"run/1"[..], &b"passed"[..]));
    /// assert_eq!((&*runs[1].0, &*runs[1].1), (&b"run/2"[..], &b"failed"[..]));
    /// assert_eq!(runs.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use = "nothing is read before the iterator is used"]
    pub fn entries(&self, prefix: &[u8]) -> Entries {
        Entries {
            namespace: self.clone(),
            prefix: prefix.into(),
            keys: VecDeque::new(),
            ready: VecDeque::new(),
            last: None,
            page: FEWEST,
            more: true,
        }
    }
}

impl Entries {
    /// Finds the next keys.
    fn turn_page(&mut self) {
        let last = self.last.as_deref();
        let keys = self.namespace.keys(&self.prefix, last, self.page);
        self.more = keys.len() == self.page;
        self.page = (self.page * GROWTH).min(MOST);
        if let Some(last) = keys.last() {
            self.last = Some(last.clone());
        }
        self.keys = keys.into();
    }

    /// Reads the values of some of the keys that are there.
    fn read_values(&mut self) {
        let some = self.keys.len().min(VALUES);
        let keys: Vec<_> = self.keys.drain(..some).collect();
        let Namespace { core, number, .. } = &self.namespace;
        let values = core.find_many(*number, &keys, Look::Peek);
        let entries = keys.into_iter().zip(values);
        let there = entries.filter_map(|(key, value)| Some((key, value?)));
        self.ready.extend(there);
    }
}

impl Iterator for Entries {
    type Item = (Box<[u8]>, Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            if !self.keys.is_empty() {
                self.read_values();
            } else if self.more {
                self.turn_page();
            } else {
                return None;
            }
        }
    }
}

impl FusedIterator for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("namespace", &self.namespace)
            .field("prefix", &self.prefix.escape_ascii().to_string())
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
