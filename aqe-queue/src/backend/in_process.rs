//! A backend in this process's memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::table::Table;
use super::{
    Backend, Credits, Durability, Guarantees, Job, JobId, LeaseError, LeaseId, Leased, Outcome,
    OutcomeError, Receipt, Refused, Settle, SettleError,
};
use crate::config::ConfigError;
use crate::named::BoxFuture;
use crate::shared::clock;

/// Keeps jobs in memory and hands them over as they are, without turning them into bytes.
///
/// Clones share everything. It has no task of its own: leases run out when somebody leases, settles or waits for an
/// outcome. Each outcome is given once.
#[derive(Clone)]
pub struct InProcess {
    inner: Arc<Inner>,
}

struct Inner {
    table: Mutex<Table>,
    /// Notified when jobs can be leased and when the backend is over.
    work: Notify,
    config: InProcessConfig,
}

/// The settings of an [`InProcess`] backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InProcessConfig {
    /// How many priority levels there are; 5 by default, at least 1.
    pub levels: u8,
    /// How many jobs may be open, that is, accepted and not ended; 100,000 by default.
    pub capacity: usize,
    /// How long a lease lasts; 30 s by default.
    pub lease: Duration,
    /// How long an outcome is kept for somebody to ask; 60 s by default.
    pub keeps_outcomes: Duration,
}

impl Default for InProcessConfig {
    fn default() -> Self {
        Self {
            levels: 5,
            capacity: 100_000,
            lease: Duration::from_secs(30),
            keeps_outcomes: Duration::from_secs(60),
        }
    }
}

impl InProcessConfig {
    /// Sets [`levels`](Self::levels).
    #[must_use]
    pub const fn levels(mut self, levels: u8) -> Self {
        self.levels = levels;
        self
    }

    /// Sets [`capacity`](Self::capacity).
    #[must_use]
    pub const fn capacity(mut self, jobs: usize) -> Self {
        self.capacity = jobs;
        self
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets [`keeps_outcomes`](Self::keeps_outcomes).
    #[must_use]
    pub const fn keeps_outcomes(mut self, time: Duration) -> Self {
        self.keeps_outcomes = time;
        self
    }
}

/// The longest lease: beyond it a number is a typing error, and the clock must be able to count it.
const YEAR_MS: usize = 365 * 24 * 3600 * 1000;

impl Default for InProcess {
    fn default() -> Self {
        Self::with(InProcessConfig::default())
    }
}

impl InProcess {
    /// Creates an empty backend.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] names the first setting that cannot work: there must be at least one level, one job
    /// and one millisecond of everything, and no time may be longer than a year.
    pub fn new(config: InProcessConfig) -> Result<Self, ConfigError> {
        let within = |field, value, from, to| {
            if (from..=to).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::OutOfRange {
                    field,
                    value,
                    from,
                    to,
                })
            }
        };
        let ms = |duration: Duration| usize::try_from(duration.as_millis()).unwrap_or(usize::MAX);
        within(
            "levels",
            usize::from(config.levels),
            1,
            usize::from(u8::MAX),
        )?;
        within("capacity", config.capacity, 1, usize::MAX)?;
        within("lease in ms", ms(config.lease), 1, YEAR_MS)?;
        within(
            "keeps_outcomes in ms",
            ms(config.keeps_outcomes),
            1,
            YEAR_MS,
        )?;
        Ok(Self::with(config))
    }

    fn with(config: InProcessConfig) -> Self {
        let table = Mutex::new(Table::new(config));
        Self {
            inner: Arc::new(Inner {
                table,
                work: Notify::new(),
                config,
            }),
        }
    }

    /// Does what is due and then `act`, and notifies whom it concerns.
    fn with_table<R>(&self, act: impl FnOnce(&mut Table, Instant) -> R) -> R {
        let (result, has_work, moved) = {
            let now = clock();
            let mut table = self.inner.table.lock();
            table.tick(now);
            let result = act(&mut table, now);
            (result, table.has_news(), table.take_moved())
        };
        if has_work {
            self.inner.work.notify_waiters();
        }
        moved.iter().for_each(|waiters| waiters.notify_waiters());
        result
    }
}

/// Waits for a notification, but not longer than until `due`.
async fn wait(notified: impl Future<Output = ()> + Send, due: Option<Instant>) {
    match due {
        Some(due) => drop(tokio::time::timeout_at(due.into(), notified).await),
        None => notified.await,
    }
}

impl Backend for InProcess {
    fn submit(&self, jobs: Vec<Job>) -> BoxFuture<'_, Vec<Result<Receipt, Refused>>> {
        Box::pin(async move {
            self.with_table(|table, _| {
                let submit = |job| {
                    table
                        .submit(job)
                        .map(|id| Receipt::new(id, Durability::Memory))
                };
                jobs.into_iter().map(submit).collect()
            })
        })
    }

    fn lease(&self, mut want: Credits) -> BoxFuture<'_, Result<Vec<Leased>, LeaseError>> {
        Box::pin(async move {
            if want.total == 0 {
                return Ok(Vec::new());
            }
            loop {
                // Made before looking: it is woken by every notification from here on.
                let notified = self.inner.work.notified();
                let (leased, is_over, due) = self.with_table(|table, now| {
                    (
                        table.lease(&mut want, now),
                        table.is_over(),
                        table.next_due(),
                    )
                });
                if !leased.is_empty() {
                    return Ok(leased);
                }
                if is_over {
                    return Err(LeaseError::Closed);
                }
                wait(notified, due).await;
            }
        })
    }

    fn settle(
        &self,
        verdicts: Vec<(LeaseId, Settle)>,
    ) -> BoxFuture<'_, Vec<Result<(), SettleError>>> {
        Box::pin(async move {
            self.with_table(|table, now| {
                let settle = |(lease, verdict)| {
                    if table.settle(&lease, verdict, now) {
                        Ok(())
                    } else {
                        Err(SettleError::Void(lease))
                    }
                };
                verdicts.into_iter().map(settle).collect()
            })
        })
    }

    fn outcome(&self, id: JobId) -> BoxFuture<'_, Result<Outcome, OutcomeError>> {
        Box::pin(async move {
            loop {
                let (waiters, due) = self.with_table(|table, _| table.watch(&id))?;
                // Made before looking: it is woken by every notification from here on.
                let notified = waiters.notified();
                if let Some(outcome) = self.with_table(|table, _| table.outcome(&id))? {
                    return Ok(outcome);
                }
                wait(notified, due).await;
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.with_table(|table, _| table.close()) })
    }

    fn guarantees(&self) -> Guarantees {
        let InProcessConfig {
            lease,
            keeps_outcomes,
            levels,
            ..
        } = self.inner.config;
        Guarantees::new(Durability::Memory, lease, keeps_outcomes, levels)
    }
}

impl fmt::Debug for InProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InProcess")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}
