//! What is wrong with a store, and what to do about it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::analysis::{BARS, EntryTier, bar};
use super::process::ProcessMemory;
use crate::store::{Core, Store};

/// What is wrong with a store, as [`Store::diagnose`] finds it.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Diagnosis {
    /// When it was begun: milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What is wrong, the worst first. Empty if nothing is.
    pub findings: Vec<Finding>,
    /// Which entries take the memory and the disk, the most first; at most 1,000.
    pub sites: Vec<AllocationSite>,
    /// Sites that were left out of the list.
    pub sites_left_out: u64,
    /// What the process takes beside the store. `None` where the system does not tell.
    pub process: Option<ProcessMemory>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Finding {
    /// What it is.
    pub problem: Problem,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in `unit`s.
    pub value: f64,
    /// What it would have to be at most for nothing to be said.
    pub threshold: f64,
    /// What the two numbers count.
    pub unit: &'static str,
    /// Where: a file, or the name of a namespace. `None` if it is the whole store.
    pub place: Option<String>,
    /// Why that is.
    pub cause: String,
    /// What can be done.
    pub advice: &'static str,
    /// The setting to change, if that helps.
    pub setting: Option<&'static str>,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Problem {
    /// Bytes of the folder are not what was written there.
    Damage,
    /// Reads of the folder failed.
    Unreadable,
    /// The system could not sync: nothing can be promised any more of what is on disk.
    SyncFailed,
    /// The folder has nearly as many bytes as it may.
    DiskNearlyFull,
    /// Much of the folder's bytes is of entries that are gone.
    DeadOnDisk,
    /// The store takes nearly as much memory as it may.
    NearlyFull,
    /// Entries are evicted nearly as fast as they are put.
    EvictionChurn,
    /// Values became larger, compressed, than those that the dictionary was made for.
    RatioFallen,
    /// Entries that are over take memory.
    ExpiredHeld,
    /// Memory is held by values that were read and not dropped.
    HeldByReaders,
    /// Few reads find an entry.
    FewHits,
    /// Loaders fail.
    LoadsFail,
    /// The removal listener is too slow, or panics.
    ListenerBehind,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// The store does less than it could.
    Warning,
    /// Entries were lost, or will be.
    Critical,
}

/// Entries of one namespace that were put at about the same time and lie in the same tier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AllocationSite {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The longest time since they were put, in milliseconds, as in [`Analysis::ages`](crate::Analysis::ages). `None`: longer.
    pub age_up_to_ms: Option<u64>,
    /// Where they lie.
    pub tier: EntryTier,
    /// How many there are.
    pub entries: u64,
    /// Bytes that they take there.
    pub bytes: u64,
}

/// Sites that are listed.
const MOST_SITES: usize = 1_000;

impl Store {
    /// Finds out what is wrong with the store, and which entries take its memory.
    ///
    /// It looks at every entry once, as [`analyze`](Self::analyze) does and at the same cost.
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// store.put(b"run/1", b"passed")?;
    /// let diagnosis = store.diagnose();
    /// assert!(diagnosis.findings.is_empty());
    /// assert_eq!(diagnosis.sites[0].entries, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn diagnose(&self) -> Diagnosis {
        self.core().diagnose()
    }
}

impl Core {
    fn diagnose(&self) -> Diagnosis {
        let now = self.clock.now();
        let mut sites: HashMap<_, (u64, u64)> = HashMap::new();
        let mut expired = 0;
        self.scan(|seen| {
            let tier = EntryTier::from(seen.kind);
            let site = (seen.namespace, bar(self.age(seen, now)), tier);
            let (entries, bytes) = sites.entry(site).or_default();
            *entries += 1;
            *bytes += seen.size;
            if seen.is_over(now) && tier != EntryTier::Disk {
                expired += seen.size;
            }
        });
        let mut sites: Vec<_> = sites.into_iter().collect();
        sites.sort_unstable_by_key(|(site, (_, bytes))| (Reverse(*bytes), *site));
        let sites_left_out = sites.len().saturating_sub(MOST_SITES) as u64;
        sites.truncate(MOST_SITES);
        let site =
            |((namespace, bar, tier), (entries, bytes)): ((u16, usize, _), _)| AllocationSite {
                namespace: self.names.name(namespace),
                age_up_to_ms: BARS.get(bar).copied(),
                tier,
                entries,
                bytes,
            };
        let stats = self.stats();
        let mut findings = self.findings(&stats, expired, now);
        findings.sort_by_key(|finding| (Reverse(finding.severity), finding.problem));
        Diagnosis {
            at_ms: now,
            findings,
            sites: sites.into_iter().map(site).collect(),
            sites_left_out,
            process: ProcessMemory::beside(stats.resident_bytes),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}
