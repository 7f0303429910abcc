//! The rules by which a store is said to have something wrong with it.

use super::diagnosis::{Finding, Problem, Severity};
use super::trends::Rates;
use crate::clock::Millis;
use crate::stats::StoreStats;
use crate::store::Core;

/// More of the folder's bytes than this are dead: those in segments that are mostly dead are moved away by themselves, so that
/// it takes something else to come here.
const MOST_DEAD: f64 = 0.5;
/// Nearly full, of a folder.
const FULL: f64 = 0.9;
/// So full that puts are about to be refused.
const BRIM: f64 = 0.98;
/// More entries evicted for each that is put: what is put pushes out what was put just before.
const MOST_EVICTED: f64 = 0.5;
/// What is over and not cleared away takes more of memory than a segment or two.
const MOST_EXPIRED: f64 = 0.1;
/// Values that are still read hold more of memory than this.
const MOST_HELD: f64 = 0.1;
/// Fewer reads than this find something.
const FEWEST_HITS: f64 = 0.1;
/// Of fewer reads or loads nothing is said.
const ENOUGH: u64 = 1_000;
/// More loaders fail.
const MOST_FAILED: f64 = 0.1;

impl Core {
    pub(super) fn findings(&self, stats: &StoreStats, expired: u64, now: Millis) -> Vec<Finding> {
        let rates = self.history.lock().trends(now, stats).rates;
        let mut findings = self.damage_found();
        findings.extend(self.disk_found(stats));
        findings.extend(self.memory_found(stats, rates.as_ref(), expired));
        findings.extend(self.ratios_found());
        findings.extend(use_found(stats));
        findings
    }

    fn damage_found(&self) -> Vec<Finding> {
        let Some(folder) = &self.folder else {
            return Vec::new();
        };
        let damage = folder.damage().iter().map(|damage| Finding {
            place: Some(damage.path.display().to_string()),
            cause: format!(
                "bytes {} to {} are {}",
                damage.bytes.start, damage.bytes.end, damage.what
            ),
            ..finding(
                Problem::Damage,
                Severity::Critical,
                ((damage.bytes.end - damage.bytes.start) as f64, 0.0, "bytes"),
                "what was written there is lost; check the disk, and put it again",
            )
        });
        let mut findings: Vec<_> = damage.collect();
        if let Some(error) = folder.sync_failure() {
            findings.push(Finding {
                place: Some(folder.path().display().to_string()),
                cause: error.to_string(),
                ..finding(
                    Problem::SyncFailed,
                    Severity::Critical,
                    (1.0, 0.0, "failures"),
                    "check the disk, then open the store again",
                )
            });
        }
        findings
    }

    fn disk_found(&self, stats: &StoreStats) -> Vec<Finding> {
        let mut findings = Vec::new();
        if stats.unreadable > 0 {
            findings.push(Finding {
                cause: "reads of the store's files failed or found damage".to_owned(),
                ..finding(
                    Problem::Unreadable,
                    Severity::Critical,
                    (stats.unreadable as f64, 0.0, "reads"),
                    "check the disk; opening the store again says which files are damaged",
                )
            });
        }
        let Some((used, dead)) = self.tiers.lock().on_disk(&self.shared) else {
            return findings;
        };
        let full = share(stats.disk_bytes, self.config.max_disk_size);
        if full > FULL {
            let severity = match full > BRIM {
                true => Severity::Critical,
                false => Severity::Warning,
            };
            findings.push(Finding {
                cause: format!(
                    "the files have {} of the {} bytes that they may",
                    stats.disk_bytes, self.config.max_disk_size
                ),
                setting: Some("max_disk_size"),
                ..finding(
                    Problem::DiskNearlyFull,
                    severity,
                    (full, FULL, "share"),
                    "allow more, or give entries shorter times to live",
                )
            });
        }
        let dead_share = share(dead, used);
        if dead_share > MOST_DEAD {
            findings.push(Finding {
                cause: format!("{dead} of {used} bytes are of entries that are gone"),
                ..finding(
                    Problem::DeadOnDisk,
                    Severity::Warning,
                    (dead_share, MOST_DEAD, "share"),
                    "`Cleanup::Aggressive` gives them back; what is damaged stays until all of its file is over",
                )
            });
        }
        findings
    }

    fn memory_found(
        &self,
        stats: &StoreStats,
        rates: Option<&Rates>,
        expired: u64,
    ) -> Vec<Finding> {
        let most = self.config.max_size;
        let mut findings = Vec::new();
        let full = share(stats.resident_bytes, most);
        let threshold = f64::from(self.config.gc_threshold) / 100.0;
        if full > threshold {
            findings.push(Finding {
                cause: format!("the store takes {} of {most} bytes", stats.resident_bytes),
                setting: Some("max_size"),
                ..finding(
                    Problem::NearlyFull,
                    Severity::Info,
                    (full, threshold, "share"),
                    "nothing, if it is a cache; else allow more",
                )
            });
        }
        let churn = rates.filter(|rates| rates.puts_per_hour > 0.0);
        let churn = churn.map_or(0.0, |rates| rates.evicted_per_hour / rates.puts_per_hour);
        if churn > MOST_EVICTED && stats.evicted >= ENOUGH {
            findings.push(Finding {
                cause: "there is not enough room for what is put".to_owned(),
                setting: Some("max_size"),
                ..finding(
                    Problem::EvictionChurn,
                    Severity::Warning,
                    (churn, MOST_EVICTED, "evictions for each put"),
                    "allow more, or put less that is not read again",
                )
            });
        }
        let expired_share = share(expired, stats.resident_bytes);
        if expired_share > MOST_EXPIRED {
            findings.push(Finding {
                cause: format!("{expired} bytes are of entries that are over"),
                setting: Some("cleanup_interval"),
                ..finding(
                    Problem::ExpiredHeld,
                    Severity::Warning,
                    (expired_share, MOST_EXPIRED, "share"),
                    "clean up more often, or with `Cleanup::Aggressive`",
                )
            });
        }
        let held = self.tiers.lock().held_elsewhere(&self.shared);
        let held_share = share(held, most);
        if held_share > MOST_HELD {
            findings.push(Finding {
                cause: format!(
                    "{held} bytes are of segments that are gone but for values that were read"
                ),
                ..finding(
                    Problem::HeldByReaders,
                    Severity::Warning,
                    (held_share, MOST_HELD, "share"),
                    "drop values soon, or copy what of them is kept",
                )
            });
        }
        findings
    }

    fn ratios_found(&self) -> Vec<Finding> {
        let fallen = self.shared.dictionaries.fallen().into_iter();
        let fallen = fallen.map(|(namespace, first, recent)| Finding {
            place: Some(self.names.name(namespace).to_string()),
            cause: "values do not resemble those any more that the dictionary was made of".to_owned(),
            setting: Some("max_size"),
            ..finding(
                Problem::RatioFallen,
                Severity::Warning,
                (recent, first / 0.9, "stored bytes for each byte of values"),
                "`Optimize::Aggressive` makes another one now; a store with more memory has room for more dictionaries",
            )
        });
        fallen.collect()
    }
}

fn use_found(stats: &StoreStats) -> Vec<Finding> {
    let mut findings = Vec::new();
    let hits = stats.hit_ratio().unwrap_or(1.0);
    if stats.hits + stats.misses >= ENOUGH && hits < FEWEST_HITS {
        findings.push(Finding {
            cause: format!("{} of {} reads found nothing", stats.misses, stats.hits + stats.misses),
            setting: Some("max_size"),
            ..finding(
                Problem::FewHits,
                Severity::Info,
                (1.0 - hits, 1.0 - FEWEST_HITS, "share"),
                "if entries were evicted or expired before they were read: more memory, or longer times to live",
            )
        });
    }
    let failed = share(stats.failed_loads, stats.loads);
    if stats.loads >= ENOUGH && failed > MOST_FAILED {
        findings.push(Finding {
            cause: format!("{} of {} loaders failed", stats.failed_loads, stats.loads),
            ..finding(
                Problem::LoadsFail,
                Severity::Warning,
                (failed, MOST_FAILED, "share"),
                "see what the loaders say",
            )
        });
    }
    let untold = stats.removals_missed + stats.listener_panics;
    if untold > 0 {
        findings.push(Finding {
            cause: format!(
                "the listener was too slow for {} removals, and panicked {} times",
                stats.removals_missed, stats.listener_panics
            ),
            ..finding(
                Problem::ListenerBehind,
                Severity::Warning,
                (untold as f64, 0.0, "removals"),
                "hand removals on to another thread in the listener",
            )
        });
    }
    findings
}

fn finding(
    problem: Problem,
    severity: Severity,
    (value, threshold, unit): (f64, f64, &'static str),
    advice: &'static str,
) -> Finding {
    Finding {
        problem,
        severity,
        value,
        threshold,
        unit,
        place: None,
        cause: String::new(),
        advice,
        setting: None,
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
