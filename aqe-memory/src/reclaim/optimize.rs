//! Making smaller what is compressed already.

use std::time::Instant;

use super::Footprint;
use super::rewriting::{Rewritten, Stuck};
use crate::store::{Core, Store};
use crate::tiers::{Goal, Recompressor};

/// How hard [`Store::optimize`] tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Optimize {
    /// Segments that are full and would become a tenth smaller.
    #[default]
    Normal,
    /// All, with dictionaries that are made anew of the values that there are.
    Aggressive,
}

/// What was made smaller. The footprints are measured, and so what others put and removed meanwhile is in them too.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OptimizeReport {
    /// What was asked for.
    pub optimize: Optimize,
    /// What the store took before.
    pub before: Footprint,
    /// What it takes now.
    pub after: Footprint,
    /// Segments that were looked at.
    pub segments_judged: u64,
    /// Of these, segments that were written anew.
    pub segments_rewritten: u64,
    /// Values that are smaller now, or need a newer dictionary.
    pub values_recompressed: u64,
    /// Bytes of the records that were written anew, as they were.
    pub record_bytes_before: u64,
    /// The same as they are now.
    pub record_bytes_after: u64,
    /// Dictionaries that were made.
    pub dictionaries_made: u64,
    /// Why it was not brought to its end. `None` if it was.
    pub stopped: Option<String>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: u64,
}

impl Store {
    /// Makes smaller what is compressed, in memory and in files: with the newest dictionary of its namespace, and more searching
    /// than there is time for when something is put. What is uncompressed stays so.
    ///
    /// Values, versions and times to live stay as they are. Others go on meanwhile: who puts something waits for a slice of 64 KiB
    /// of records to be moved at most, who reads does not wait. In a folder, what was there goes when its copies are synced.
    /// It compresses some tens of megabytes a second, and does nothing where the store
    /// [does not compress](crate::Compression::None).
    ///
    /// The background does the same as `Normal` when nothing is put; see [`MemoryConfig::recompress`](crate::MemoryConfig::recompress).
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Optimize, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// let report = store.optimize(Optimize::Normal);
    /// assert_eq!(report.stopped, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn optimize(&self, optimize: Optimize) -> OptimizeReport {
        self.core().optimize(optimize)
    }
}

impl Core {
    fn optimize(&self, optimize: Optimize) -> OptimizeReport {
        let (start, before) = (Instant::now(), self.stats());
        let mut report = OptimizeReport {
            optimize,
            before: Footprint::of(&before),
            after: Footprint::default(),
            segments_judged: 0,
            segments_rewritten: 0,
            values_recompressed: 0,
            record_bytes_before: 0,
            record_bytes_after: 0,
            dictionaries_made: 0,
            stopped: None,
            elapsed_ms: 0,
        };
        if let Some(method) = self.config.compression.high() {
            if optimize == Optimize::Aggressive {
                report.dictionaries_made = self.retrain();
            }
            let is_aggressive = optimize == Optimize::Aggressive;
            let mut recompressor = Recompressor::new(method, is_aggressive);
            let stopped = self.recompress_all(&mut recompressor, &mut report);
            report.stopped = stopped.err().map(|stuck| stuck.to_string());
            report.values_recompressed = recompressor.values;
            report.record_bytes_before = recompressor.before;
            report.record_bytes_after = recompressor.after;
            self.shared.dictionaries.release_indexes();
        }
        report.after = Footprint::of(&self.stats());
        report.elapsed_ms = start.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        report
    }

    fn recompress_all(
        &self,
        recompressor: &mut Recompressor,
        report: &mut OptimizeReport,
    ) -> Result<(), Stuck> {
        let mark = {
            let mut tiers = self.tiers.lock();
            if report.optimize == Optimize::Aggressive {
                tiers.close_packed();
            }
            tiers.mark(&self.shared)
        };
        let goal = match report.optimize {
            Optimize::Normal => Goal::Unjudged(mark, u32::MAX),
            Optimize::Aggressive => Goal::All(mark),
        };
        loop {
            // The upkeep is let go between two segments, so that what is over goes as quickly as ever.
            let upkeep = self.upkeep.lock();
            let now = self.clock.now();
            let rewritten = self.rewrite(&upkeep, goal, Some(recompressor), now)?;
            let Some(rewritten) = rewritten else {
                return Ok(());
            };
            report.segments_judged += 1;
            report.segments_rewritten += u64::from(rewritten == Rewritten::Moved);
        }
    }
}
