//! Reading a store's folder while another process writes to it.
//!
//! A [`Reader`] takes no lock and changes nothing, so that there can be any number of them, on a folder that they may only
//! read as well. It sees what was committed after it was opened: every put and every removal that had returned, in whatever
//! process, when a read begins is seen by that read. What makes that cheap is that the writer counts what it does in a
//! few bytes of memory that all processes share: a read for which nothing has happened costs two loads, and another one
//! reads what was written since, from where it has read before.
//!
//! ```
//! use aqe_memory::{MemoryConfig, Reader, Store};
//!
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(folder.path(), MemoryConfig::default())?;
//! let runs = store.namespace("runs")?;
//!
//! // In another process, more often than not.
//! let reader = Reader::open(folder.path())?;
//! let seen = reader.namespace("runs");
//! assert_eq!(seen.get(b"run/1")?, None);
//! runs.put(b"run/1", b"passed")?;
//! assert_eq!(seen.get(b"run/1")?.as_deref(), Some(&b"passed"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it costs
//!
//! A reader keeps no values: each read is one of the file, which the system has in its page cache more often than not, and is
//! decoded. In memory it has an index, about twelve bytes for each entry and each record that says that one is gone; some hundred
//! bytes for each file; and the dictionaries that it has needed. While it reads what is new, it has one file's records, at most 256 MiB
//! where a value is that large and a mebibyte otherwise. Up to 256 files are open; those that the writer has removed
//! since take room on the disk until the next read.
//!
//! Where memory cannot be shared (on Windows, on targets of 32 bits, and on file systems that write elsewhere what is changed
//! or that are somewhere else, like btrfs, ZFS and NFS), the writer tells nothing, and each read looks at the header and
//! the length of every file: a few system calls for each.
//!
//! # What it does not do
//!
//! Its reads prolong no entry's life, and it knows of the writer's reads what is written of them: an entry that lives
//! [while it is read](crate::EntryOptions::time_to_idle) may end for a reader an eighth of its time sooner.
//!
//! It reads the clock by itself, when it is opened and as a store does. Between two processes that were started before and
//! after somebody set the machine's clock, entries end at different moments.

mod catalog;
mod entries;
mod namespace;
mod news;
#[cfg(feature = "typed")]
mod typed;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::catalog::{Catalog, Extent, Miss};
pub use self::entries::ReaderEntries;
pub use self::namespace::ReaderNamespace;
#[cfg(feature = "typed")]
pub use self::typed::{ReaderTyped, ReaderTypedEntries};
use crate::clock::{Clock, ManualClock};
use crate::dictionaries::Dictionaries;
use crate::disk::error::{DiskError, OpenError};
use crate::disk::recovery::Damage;

/// Reads a store's folder, whoever writes to it: see the [module](self). Clones share it.
///
/// What it is itself is the namespace without a name; [`namespace`](Self::namespace) gives others.
#[derive(Clone)]
pub struct Reader {
    default: ReaderNamespace,
}

/// Puts a reader together: see [`Reader::builder`].
#[derive(Default)]
#[must_use = "a builder does nothing before it opens"]
pub struct ReaderBuilder {
    clock: Option<Clock>,
    keys: Keys,
}

/// Whose keys open what is sealed.
#[cfg(feature = "encryption")]
type Keys = Option<crate::config::Keys>;
#[cfg(not(feature = "encryption"))]
type Keys = ();

/// What a reader knows and has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderStats {
    /// Entries, those included that are over and not cleared away by the writer yet.
    pub entries: u64,
    /// Files of the folder with entries.
    pub files: u64,
    /// Bytes of memory that the index and the dictionaries take.
    pub resident_bytes: u64,
    /// How often it has looked at the folder because there was something new, or might have been.
    pub refreshes: u64,
    /// Records that it has read in doing so.
    pub records: u64,
    /// Reads that found damage. Such an entry is as if it were not there.
    pub unreadable: u64,
}

/// What all handles share.
#[derive(Debug)]
struct Core {
    folder: PathBuf,
    clock: Clock,
    catalog: RwLock<Catalog>,
    dictionaries: Dictionaries,
    unreadable: AtomicU64,
}

/// So often a call looks again because the writer has removed what it was about to read. Each time the writer must have been
/// quicker.
const MOST_TRIES: u32 = 100;

impl Reader {
    /// Opens a store's folder for reading.
    ///
    /// # Errors
    ///
    /// An [`OpenError`]: there is no store, or it cannot be read, or it is sealed.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(folder)
    }

    /// A reader with keys, or with time that is moved by hand.
    pub fn builder() -> ReaderBuilder {
        ReaderBuilder::default()
    }

    /// The namespace of this name. One that is not there yet is empty, until the writer asks for it.
    #[must_use]
    pub fn namespace(&self, name: &str) -> ReaderNamespace {
        ReaderNamespace::new(&self.default.core, name)
    }

    /// The names of all namespaces that the writer ever asked for, in order. The first is the empty one.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the folder cannot be read.
    pub fn namespaces(&self) -> Result<Vec<Arc<str>>, DiskError> {
        let catalog = self.default.core.current()?;
        let mut names = vec![Arc::from("")];
        names.extend(catalog.names().map(Arc::from));
        Ok(names)
    }

    /// Looks at the whole folder, whether or not the writer has told of anything new. Reads do this by themselves as far as
    /// there is need of it; this is for when somebody has put other files in the place of the store's.
    ///
    /// # Errors
    ///
    /// [`DiskError`] when the folder cannot be read, is gone, or has another store.
    pub fn refresh(&self) -> Result<(), DiskError> {
        self.default
            .core
            .catalog
            .write()
            .refresh(Extent::Everything)
    }

    /// What it knows and has done. Looks at the whole index.
    #[must_use]
    pub fn stats(&self) -> ReaderStats {
        let core = &self.default.core;
        let mut stats = ReaderStats::default();
        core.catalog.read().fill(&mut stats);
        core.dictionaries.weigh();
        stats.resident_bytes += core.dictionaries.memory();
        stats.unreadable = core.unreadable.load(Ordering::Relaxed);
        stats
    }

    /// What of the folder's files cannot be used, of the first thousand places. A record that the writer is just writing is not
    /// damage.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.default.core.catalog.read().damage().to_vec()
    }
}

impl std::ops::Deref for Reader {
    type Target = ReaderNamespace;

    fn deref(&self) -> &ReaderNamespace {
        &self.default
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("folder", &self.default.core.folder)
            .field("stats", &self.stats())
            .finish()
    }
}

impl ReaderBuilder {
    /// Lets time pass when the clock is moved.
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Some(clock.clock());
        self
    }

    /// Opens what is sealed with keys of a provider, which is asked again when the writer has other keys.
    #[cfg(feature = "encryption")]
    pub fn keys(mut self, keys: impl crate::crypt::KeyProvider) -> Self {
        self.keys = Some(crate::config::Keys(Arc::new(keys)));
        self
    }

    /// Opens a store's folder for reading.
    ///
    /// # Errors
    ///
    /// As [`Reader::open`].
    pub fn open(self, folder: impl AsRef<Path>) -> Result<Reader, OpenError> {
        let folder = folder.as_ref();
        let clock = self.clock.unwrap_or_else(Clock::system);
        let core = Arc::new(Core {
            folder: folder.to_owned(),
            clock,
            catalog: RwLock::new(Catalog::open(folder, self.keys)?),
            dictionaries: Dictionaries::new(0),
            unreadable: AtomicU64::new(0),
        });
        Ok(Reader {
            default: ReaderNamespace::new(&core, ""),
        })
    }
}

impl fmt::Debug for ReaderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderBuilder")
            .field("clock", &self.clock)
            .field("keys", &self.keys)
            .finish()
    }
}

impl Core {
    /// The catalog, with everything in it that had happened before this call.
    fn current(&self) -> Result<RwLockReadGuard<'_, Catalog>, DiskError> {
        let catalog = self.catalog.read();
        if catalog.is_current() {
            return Ok(catalog);
        }
        drop(catalog);
        let mut catalog = self.catalog.write();
        // Another thread may have looked meanwhile.
        if !catalog.is_current() {
            catalog.refresh(Extent::Told)?;
        }
        Ok(RwLockWriteGuard::downgrade(catalog))
    }

    /// Looks something up, again and again for as long as what it needs is removed before it is read.
    fn look_up<R>(
        &self,
        mut look: impl FnMut(&Catalog, u32) -> Result<R, Miss>,
    ) -> Result<R, DiskError> {
        for tries in 0..MOST_TRIES {
            let catalog = self.current()?;
            match look(&catalog, tries) {
                Ok(found) => return Ok(found),
                Err(Miss::Failed(error)) => return Err(error),
                Err(Miss::Vanished) => {}
            }
            drop(catalog);
            self.catalog.write().refresh(Extent::Removed)?;
        }
        Err(catalog::too_quick(&self.folder))
    }
}
