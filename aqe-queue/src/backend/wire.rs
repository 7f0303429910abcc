//! Between processes without leaving this one.

use super::{
    Backend, Credits, Guarantees, Job, JobId, LeaseError, LeaseId, Leased, Outcome, OutcomeError,
    Receipt, Refused, RefusedBecause, Settle, SettleError,
};
use crate::named::{BoxFuture, HandlerError, Output};

/// Turns every payload and every output into bytes on its way through another backend, so that a test with
/// `Wire<InProcess>` finds what would not survive the journey.
///
/// An output that cannot be encoded ends its job as dead, with the reason: the next attempt would give the same.
#[derive(Clone, Debug, Default)]
pub struct Wire<B> {
    inner: B,
}

impl<B: Backend> Wire<B> {
    /// Wraps a backend.
    #[must_use]
    pub const fn new(inner: B) -> Self {
        Self { inner }
    }
}

impl<B: Backend> Backend for Wire<B> {
    fn submit(&self, jobs: Vec<Job>) -> BoxFuture<'_, Vec<Result<Receipt, Refused>>> {
        Box::pin(async move {
            let mut answers: Vec<Option<Result<Receipt, Refused>>> = Vec::with_capacity(jobs.len());
            let mut encoded = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job.payload.to_bytes() {
                    Ok(payload) => {
                        encoded.push(Job { payload, ..job });
                        answers.push(None);
                    }
                    Err(error) => {
                        answers.push(Some(Err(Refused::new(job, RefusedBecause::Codec(error)))))
                    }
                }
            }
            fill(answers, self.inner.submit(encoded).await)
        })
    }

    fn lease(&self, want: Credits) -> BoxFuture<'_, Result<Vec<Leased>, LeaseError>> {
        self.inner.lease(want)
    }

    fn settle(
        &self,
        verdicts: Vec<(LeaseId, Settle)>,
    ) -> BoxFuture<'_, Vec<Result<(), SettleError>>> {
        Box::pin(async move {
            let mut failures = Vec::with_capacity(verdicts.len());
            let mut encoded = Vec::with_capacity(verdicts.len());
            for (lease, verdict) in verdicts {
                let (verdict, failure) = match verdict {
                    Settle::Done(output) => match output.into_bytes() {
                        Ok(bytes) => (Settle::Done(Output::Bytes(bytes)), None),
                        Err(error) => {
                            let reason = HandlerError::permanent(error.to_string());
                            (
                                Settle::Dead { error: reason },
                                Some(SettleError::Codec(error)),
                            )
                        }
                    },
                    verdict => (verdict, None),
                };
                encoded.push((lease, verdict));
                failures.push(failure);
            }
            let answers = self.inner.settle(encoded).await;
            answers
                .into_iter()
                .zip(failures)
                .map(|(answer, failure)| answer.and_then(|()| failure.map_or(Ok(()), Err)))
                .collect()
        })
    }

    fn outcome(&self, id: JobId) -> BoxFuture<'_, Result<Outcome, OutcomeError>> {
        self.inner.outcome(id)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            encodes: true,
            ..self.inner.guarantees()
        }
    }
}

/// Puts the answers for what was passed on into the gaps.
fn fill(
    answers: Vec<Option<Result<Receipt, Refused>>>,
    passed_on: Vec<Result<Receipt, Refused>>,
) -> Vec<Result<Receipt, Refused>> {
    let mut passed_on = passed_on.into_iter();
    answers
        .into_iter()
        .filter_map(|answer| answer.or_else(|| passed_on.next()))
        .collect()
}
