//! The store: what users hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use crate::builder::StoreBuilder;
use crate::clock::{Clock, ManualClock, to_millis};
use crate::config::{ConfigError, MemoryConfig};
use crate::dictionaries::Dictionaries;
use crate::disk::superblock::{MOST_NAME, random};
use crate::error::NamespaceError;
use crate::folder::Folder;
use crate::index::Index;
use crate::insight::History;
use crate::load::Loads;
use crate::marks::Marks;
use crate::names::Names;
use crate::namespace::Namespace;
use crate::policy::Samples;
use crate::pressure::Gauge;
use crate::reclaim::Background;
use crate::removal::{Hooks, Listener, Removals};
use crate::seal::Vault;
use crate::segment::packed;
use crate::segment::{Directory, Resident};
use crate::shared::Shared;
use crate::snapshot::Snapshots;
use crate::stats::{Counts, StoreStats};
use crate::sweeper::{Alarm, Sweeper};
use crate::tiers::Tiers;
use crate::upkeep::Upkeep;
use crate::value::Value;
use crate::writing::MOST_KEY;

/// A store of entries that expire. Clones share it; it ends with the last one.
///
/// All calls are quick and none waits for anything but short locks, so that they may be made from async code. What is put
/// here goes into the namespace without a name; [`namespace`](Self::namespace) gives others.
#[derive(Clone)]
pub struct Store {
    default: Namespace,
}

/// What every value that is put gets anew, and what tells it from others of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub(crate) u64);

impl Version {
    /// The version of this number, for those who implement a [store](crate::backend) themselves.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its number. A later one is not necessarily greater.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What all handles share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: MemoryConfig,
    pub(crate) most_value: usize,
    pub(crate) clock: Clock,
    pub(crate) versions: AtomicU64,
    pub(crate) tiers: Mutex<Tiers>,
    pub(crate) shared: Shared,
    pub(crate) names: Arc<Names>,
    pub(crate) loads: Loads<Value>,
    /// Where everything is kept besides.
    pub(crate) folder: Option<Folder>,
    pub(crate) alarm: Arc<Alarm>,
    /// Held by whoever removes segments of files, or wants none to be removed. Before the lock of the tiers.
    pub(crate) upkeep: Mutex<Upkeep>,
    /// What the thread is about. Before the upkeep.
    pub(crate) background: Mutex<Background>,
    /// Where it is read how much memory there is for all.
    pub(crate) gauge: Gauge,
    /// How it came to be what it is.
    pub(crate) history: Mutex<History>,
    /// Ends with the store, after it has told what is gone.
    _listener: Option<Listener>,
}

/// Removals on their way to the listener take no more than this, and in a small store a sixteenth of its size.
const MOST_WAITING: usize = 4 << 20;

impl Store {
    /// A store in memory.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] says which setting cannot be.
    pub fn new(config: MemoryConfig) -> Result<Self, ConfigError> {
        Self::build_in_memory(config, Clock::system(), Hooks::default())
    }

    /// A store with more than settings.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let config = MemoryConfig::default().max_size(64 << 20).cache_size(16 << 20);
    /// let store = Store::builder()
    ///     .config(config)
    ///     .listener(|removal| println!("{removal}"))
    ///     .build()?;
    /// store.put(b"run/1", b"passed")?;
    /// store.remove(b"run/1")?; // Prints "`run/1` removed".
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> StoreBuilder {
        StoreBuilder::default()
    }

    /// A store in memory for which time passes when the clock is moved. Memory of what is over comes back when
    /// [`cleanup`](Self::cleanup) is called, or when there is need of it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_clock(config: MemoryConfig, clock: &ManualClock) -> Result<Self, ConfigError> {
        Self::build_in_memory(config, clock.clock(), Hooks::default())
    }

    pub(crate) fn build_in_memory(
        config: MemoryConfig,
        clock: Clock,
        hooks: Hooks,
    ) -> Result<Self, ConfigError> {
        #[cfg(feature = "encryption")]
        let vault = {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&random().to_le_bytes());
            let vault = config.keys.as_ref().map(|keys| Vault::create(id, &*keys.0));
            vault.transpose().map_err(|error| ConfigError::Keys {
                reason: error.to_string(),
            })?
        };
        #[cfg(not(feature = "encryption"))]
        let vault = None;
        Self::build(config, clock, hooks, None, vault, |_| Ok(()))
    }

    pub(crate) fn build<E: From<ConfigError>>(
        config: MemoryConfig,
        clock: Clock,
        hooks: Hooks,
        folder: Option<Folder>,
        vault: Option<Vault>,
        prepare: impl FnOnce(&mut Core) -> Result<(), E>,
    ) -> Result<Self, E> {
        let sizes = config.sizes()?;
        // Enough shards for threads to meet seldom; few enough for a small store not to be made of them. In a
        // folder always the same, since snapshots are by shard.
        let shards = match folder {
            Some(_) => 8,
            None => (sizes.total >> 20).next_power_of_two().ilog2().clamp(3, 8),
        };
        let runs = clock.runs();
        let names = folder.as_ref().map(Folder::names).unwrap_or_default();
        let names = Arc::new(Names::new(names));
        // What waits to be told is no part of the store's entries, so it is kept small beside them.
        let waiting = usize::try_from(sizes.total / 16).unwrap_or(usize::MAX);
        let Hooks { listen, gauge } = hooks;
        let removals = listen
            .is_some()
            .then(|| Removals::new(waiting.min(MOST_WAITING)));
        let listener = match (listen, &removals) {
            (Some(listen), Some(removals)) => {
                let started = Listener::start(removals, &names, listen);
                Some(started.map_err(|error| ConfigError::NoThread {
                    reason: error.to_string(),
                })?)
            }
            _ => None,
        };
        let most_value = usize::try_from(sizes.cache / 4).unwrap_or(usize::MAX);
        let seed = folder.as_ref().map_or_else(random, Folder::seed);
        let mut core = Core {
            background: Mutex::new(Background::new(&config, clock.now())),
            gauge: gauge.unwrap_or_default(),
            most_value: most_value.min(packed::MOST_BYTES - packed::overhead(MOST_KEY)),
            clock,
            versions: AtomicU64::new(0),
            tiers: Mutex::new(Tiers::new(sizes, None)),
            shared: Shared {
                index: Index::new(shards, seed),
                directory: Directory::new(),
                resident: Arc::new(Resident::default()),
                counts: Counts::default(),
                samples: Samples::default(),
                dictionaries: Dictionaries::new(sizes.total),
                method: config.compression.method(),
                files: folder.as_ref().map(Folder::files),
                vault,
                removals,
                marks: Marks::new(seed, sizes.total),
                snapshots: Snapshots::default(),
            },
            names,
            loads: Loads::default(),
            folder,
            alarm: Arc::default(),
            upkeep: Mutex::new(Upkeep),
            history: Mutex::new(History::new(to_millis(config.cleanup_interval))),
            _listener: listener,
            config,
        };
        prepare(&mut core)?;
        core.sample();
        let core = Arc::new(core);
        Ok(Self {
            default: Namespace {
                sweeper: runs.then(|| Arc::new(Sweeper::start(&core))),
                core,
                number: 0,
            },
        })
    }

    /// The namespace of this name, which is there from the first time that it is asked for. The empty name is that of the
    /// namespace that the store itself is.
    ///
    /// # Errors
    ///
    /// [`NamespaceError`] when there are 65,536, when the name is longer than 255 bytes, or when a new name cannot be
    /// written to the store's folder.
    pub fn namespace(&self, name: &str) -> Result<Namespace, NamespaceError> {
        if name.len() > MOST_NAME {
            return Err(NamespaceError::TooLong {
                len: name.len(),
                most: MOST_NAME,
            });
        }
        let core = &self.default.core;
        let number = core.names.number(name, |number| match &core.folder {
            Some(folder) => folder.add_name(name, number),
            None => Ok(()),
        })?;
        Ok(self.numbered(number))
    }

    /// The namespace of a number, which it has.
    pub(crate) fn numbered(&self, number: u16) -> Namespace {
        Namespace {
            sweeper: self.default.sweeper.clone(),
            core: Arc::clone(&self.default.core),
            number,
        }
    }

    /// The names of all namespaces that were ever asked for, in order. The first is the empty one.
    #[must_use]
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        self.default.core.names.all()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.default.core
    }

    /// Gives the memory of everything that is over back to the system. A store does this by itself when the time comes;
    /// [`cleanup_with`](Self::cleanup_with) can do more, and reports what it did.
    pub fn cleanup(&self) {
        self.default.core.sweep();
    }

    /// What the store holds and has done.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.default.core.stats()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &MemoryConfig {
        &self.default.core.config
    }
}

impl std::ops::Deref for Store {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.default
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.stats()).finish()
    }
}
