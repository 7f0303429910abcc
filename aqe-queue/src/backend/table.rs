//! The rules of the in-process backend: no input, no output, the time comes in.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::in_process::InProcessConfig;
use super::{
    Credits, Job, JobId, LeaseId, Leased, Outcome, OutcomeError, Refused, RefusedBecause, Settle,
};

/// Jobs from their acceptance until their outcome has been taken or is not kept any more.
pub(super) struct Table {
    config: InProcessConfig,
    levels: Vec<VecDeque<u64>>,
    jobs: HashMap<u64, Entry>,
    /// What happens later, by time: ends of leases, of delays and of keeping.
    later: BTreeSet<(Instant, u64)>,
    next: u64,
    /// Jobs that have not ended.
    open: usize,
    closed: bool,
    /// Those who wait for jobs that have ended or been leased since the last look.
    moved: Vec<Arc<Notify>>,
}

struct Entry {
    job: Option<Job>,
    level: u8,
    attempts: u32,
    stage: Stage,
    /// Wakes those who wait for the outcome, and nobody else.
    waiters: Option<Arc<Notify>>,
}

enum Stage {
    Queued,
    Delayed {
        until: Instant,
    },
    Leased {
        until: Instant,
    },
    Ended {
        until: Instant,
        outcome: Option<Outcome>,
    },
}

impl Table {
    pub(super) fn new(config: InProcessConfig) -> Self {
        let levels = (0..config.levels).map(|_| VecDeque::new()).collect();
        Self {
            config,
            levels,
            jobs: HashMap::new(),
            later: BTreeSet::new(),
            next: 1,
            open: 0,
            closed: false,
            moved: Vec::new(),
        }
    }

    pub(super) fn submit(&mut self, job: Job) -> Result<JobId, Refused> {
        if self.closed {
            return Err(Refused::new(job, RefusedBecause::Closed));
        }
        let levels = self.config.levels;
        let Some(level) = job.options.priority.level(levels) else {
            let level = match job.options.priority {
                crate::Priority::Level(level) => level,
                _ => 0,
            };
            return Err(Refused::new(
                job,
                RefusedBecause::NoSuchLevel { level, levels },
            ));
        };
        if self.open >= self.config.capacity {
            return Err(Refused::new(job, RefusedBecause::Full));
        }
        let number = self.next;
        self.next += 1;
        self.open += 1;
        self.jobs.insert(
            number,
            Entry {
                job: Some(job),
                level,
                attempts: 0,
                stage: Stage::Queued,
                waiters: None,
            },
        );
        self.levels[usize::from(level)].push_back(number);
        Ok(job_id(number))
    }

    pub(super) fn lease(&mut self, credits: &mut Credits, now: Instant) -> Vec<Leased> {
        let mut leased = Vec::new();
        for level in 0..self.config.levels {
            while credits.of_level(level) > 0 {
                let Some(number) = self.levels[usize::from(level)].pop_front() else {
                    break;
                };
                if let Some(lease) = self.lease_one(number, now) {
                    credits.spend(level);
                    leased.push(lease);
                }
            }
        }
        leased
    }

    fn lease_one(&mut self, number: u64, now: Instant) -> Option<Leased> {
        let entry = self.jobs.get_mut(&number)?;
        let job = entry.job.clone()?;
        let until = now + self.config.lease;
        entry.attempts += 1;
        // Those who wait have something new to wait for: the end of the lease.
        self.moved.extend(entry.waiters.clone());
        entry.stage = Stage::Leased { until };
        self.later.insert((until, number));
        let lease = lease_id(number, entry.attempts);
        Some(Leased::new(
            lease,
            job_id(number),
            job,
            entry.level,
            entry.attempts,
        ))
    }

    /// Returns whether the lease was valid.
    pub(super) fn settle(&mut self, lease: &LeaseId, verdict: Settle, now: Instant) -> bool {
        let Some((number, attempt)) = parse_lease(lease) else {
            return false;
        };
        let Some(entry) = self.jobs.get_mut(&number) else {
            return false;
        };
        let Stage::Leased { until } = entry.stage else {
            return false;
        };
        if entry.attempts != attempt {
            return false;
        }
        self.later.remove(&(until, number));
        let attempts = entry.attempts;
        match verdict {
            Settle::Done(output) => self.end(number, Outcome::Done { output, attempts }, now),
            Settle::Dead { error } => self.end(number, Outcome::Dead { error, attempts }, now),
            Settle::Retry { after } => {
                // A delay beyond the clock's end is longer than anybody waits; a year stands for it.
                let until = now.checked_add(after).unwrap_or(now + LONG);
                entry.stage = Stage::Delayed { until };
                self.later.insert((until, number));
            }
            Settle::Extend => {
                let until = now + self.config.lease;
                entry.stage = Stage::Leased { until };
                self.later.insert((until, number));
            }
        }
        true
    }

    fn end(&mut self, number: u64, outcome: Outcome, now: Instant) {
        let Some(entry) = self.jobs.get_mut(&number) else {
            return;
        };
        let until = now + self.config.keeps_outcomes;
        entry.job = None;
        self.moved.extend(entry.waiters.take());
        entry.stage = Stage::Ended {
            until,
            outcome: Some(outcome),
        };
        self.later.insert((until, number));
        self.open -= 1;
    }

    /// Takes the outcome of a job; `Ok(None)` if it has not ended.
    pub(super) fn outcome(&mut self, id: &JobId) -> Result<Option<Outcome>, OutcomeError> {
        let unknown = || OutcomeError::Unknown(id.clone());
        let number = id.as_str().parse().map_err(|_| unknown())?;
        let entry = self.jobs.get_mut(&number).ok_or_else(unknown)?;
        let Stage::Ended { until, outcome } = &mut entry.stage else {
            return Ok(None);
        };
        let (until, outcome) = (*until, outcome.take());
        self.later.remove(&(until, number));
        self.jobs.remove(&number);
        outcome.map(Some).ok_or_else(unknown)
    }

    /// Returns what is notified when the job ends, and when the job's stage will change by itself.
    pub(super) fn watch(
        &mut self,
        id: &JobId,
    ) -> Result<(Arc<Notify>, Option<Instant>), OutcomeError> {
        let unknown = || OutcomeError::Unknown(id.clone());
        let number: u64 = id.as_str().parse().map_err(|_| unknown())?;
        let entry = self.jobs.get_mut(&number).ok_or_else(unknown)?;
        let due = match entry.stage {
            Stage::Queued => None,
            Stage::Delayed { until } | Stage::Leased { until } | Stage::Ended { until, .. } => {
                Some(until)
            }
        };
        Ok((Arc::clone(entry.waiters.get_or_insert_default()), due))
    }

    /// Returns whom to notify, once nothing is locked.
    pub(super) fn take_moved(&mut self) -> Vec<Arc<Notify>> {
        std::mem::take(&mut self.moved)
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        while let Some(&(due, number)) = self.later.first()
            && due <= now
        {
            self.later.pop_first();
            let Some(entry) = self.jobs.get_mut(&number) else {
                continue;
            };
            match entry.stage {
                Stage::Leased { .. }
                    if entry
                        .job
                        .as_ref()
                        .is_some_and(|job| entry.attempts > job.options.retry.attempts) =>
                {
                    let attempts = entry.attempts;
                    self.end(number, Outcome::Lost { attempts }, now);
                }
                Stage::Leased { .. } | Stage::Delayed { .. } => {
                    entry.stage = Stage::Queued;
                    self.levels[usize::from(entry.level)].push_back(number);
                }
                Stage::Ended { .. } => {
                    self.jobs.remove(&number);
                }
                Stage::Queued => {}
            }
        }
    }

    /// Whether somebody who wants to lease should look.
    pub(super) fn has_news(&self) -> bool {
        self.is_over() || self.levels.iter().any(|level| !level.is_empty())
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    pub(super) const fn close(&mut self) {
        self.closed = true;
    }

    /// Whether no worker will ever be needed again.
    pub(super) const fn is_over(&self) -> bool {
        self.closed && self.open == 0
    }
}

/// Stands for ever.
const LONG: Duration = Duration::from_secs(365 * 24 * 3600);

fn job_id(number: u64) -> JobId {
    JobId::new(number.to_string())
}

fn lease_id(number: u64, attempt: u32) -> LeaseId {
    LeaseId::new(format!("{number}/{attempt}"))
}

fn parse_lease(lease: &LeaseId) -> Option<(u64, u32)> {
    let (number, attempt) = lease.as_str().split_once('/')?;
    Some((number.parse().ok()?, attempt.parse().ok()?))
}
