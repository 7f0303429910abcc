//! Checks that any [`Backend`] must pass (feature `conformance`).
//!
//! Each function takes a backend that nobody has used yet and panics, saying what was expected, if the contract of the
//! trait does not hold. [`all`] runs every one of them. Two of them wait for leases to run out: run them with a short
//! lease, or on a runtime whose time is paused if the backend's time is tokio's.
//!
//! # Cancel safety
//!
//! Dropping the future of a check ends the check. What it has done to its backend stays done, so the backend is of no
//! use for another one.
//!
//! ```
//! use aqe_queue::backend::{InProcess, InProcessConfig};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let config = InProcessConfig::default().lease(std::time::Duration::from_millis(20));
//! aqe_queue::conformance::all(|| InProcess::new(config).unwrap()).await;
//! # }
//! ```

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::backend::{
    Backend, Credits, Job, JobId, JobOptions, LeaseError, Leased, Outcome, OutcomeError,
    RefusedBecause, Settle, SettleError,
};
use crate::named::{HandlerError, Operation, Output};
use crate::priority::Priority;
use crate::retry::RetryPolicy;

/// The operation of the checks.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Probe {
    number: u64,
}

impl Operation for Probe {
    const NAME: &'static str = "aqe.conformance.probe/1";
    type Output = u64;
}

/// How long something that must not happen is waited for.
const PATIENCE: Duration = Duration::from_millis(5);

/// Runs every check, each on a new backend.
///
/// # Panics
///
/// If the backend breaks the contract.
pub async fn all<B: Backend>(mut make: impl FnMut() -> B) {
    batches_are_answered_in_order(&make()).await;
    urgent_jobs_come_first_and_equal_ones_in_order(&make()).await;
    credits_are_kept_to(&make()).await;
    a_lease_excludes_others(&make()).await;
    a_lease_waits_for_a_job(&make()).await;
    a_dropped_lease_call_leases_nothing(&make()).await;
    the_first_outcome_is_the_one_that_counts(&make()).await;
    an_outcome_can_be_waited_for(&make()).await;
    a_retried_job_comes_back_after_its_delay(&make()).await;
    a_dead_job_says_why(&make()).await;
    an_expired_lease_is_void_and_its_job_comes_back(&make()).await;
    an_extended_lease_lasts(&make()).await;
    a_job_whose_last_worker_vanishes_is_lost(&make()).await;
    an_unknown_job_has_no_outcome(&make()).await;
    a_closed_backend_gives_what_it_has(&make()).await;
}

/// A batch is answered entry by entry, and a refused job is handed back.
///
/// # Panics
///
/// If not.
pub async fn batches_are_answered_in_order(backend: &dyn Backend) {
    assert!(
        backend.submit(Vec::new()).await.is_empty(),
        "an empty batch has an empty answer"
    );
    assert!(
        backend.settle(Vec::new()).await.is_empty(),
        "an empty batch has an empty answer"
    );
    let levels = backend.guarantees().levels;
    let jobs = vec![
        probe(1, JobOptions::default()),
        probe(2, JobOptions::default().priority(Priority::Level(levels))),
        probe(3, JobOptions::default()),
    ];
    let mut answers = backend.submit(jobs).await;
    assert_eq!(answers.len(), 3, "one answer for each job");
    let (last, refused, first) = (answers.pop(), answers.pop(), answers.pop());
    let (Some(Ok(first)), Some(Ok(last))) = (first, last) else {
        panic!("good jobs are accepted beside a bad one")
    };
    assert_ne!(first.id, last.id, "every job has its own id");
    assert!(
        first.durability >= backend.guarantees().durability,
        "as durable as guaranteed"
    );
    let Some(Err(refused)) = refused else {
        panic!("a level that does not exist is refused")
    };
    assert!(
        matches!(refused.reason, RefusedBecause::NoSuchLevel { .. }),
        "{:?}",
        refused.reason
    );
    assert_eq!(
        refused.job.payload.name(),
        Probe::NAME,
        "the refused job is handed back"
    );

    let leased = lease(backend, 10).await;
    assert_eq!(numbers(&leased), [1, 3], "only what was accepted is leased");
    let settled = leased
        .into_iter()
        .map(|leased| (leased.lease, done(0)))
        .collect();
    assert!(
        backend.settle(settled).await.iter().all(Result::is_ok),
        "one answer for each verdict"
    );
}

/// More urgent levels first, and within a level first in, first out.
///
/// # Panics
///
/// If not.
pub async fn urgent_jobs_come_first_and_equal_ones_in_order(backend: &dyn Backend) {
    let levels = backend.guarantees().levels;
    for number in 0..u64::from(levels) * 3 {
        // The least urgent level comes first, so that the order of arrival is the wrong one.
        let level = levels - 1 - u8::try_from(number % u64::from(levels)).unwrap_or(0);
        submit(
            backend,
            number,
            JobOptions::default().priority(Priority::Level(level)),
        )
        .await;
    }
    let mut leased = Vec::new();
    while leased.len() < usize::from(levels) * 3 {
        leased.extend(lease(backend, 2).await);
    }
    let order: Vec<_> = leased
        .iter()
        .map(|leased| (leased.level, number(leased)))
        .collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(order, sorted, "(level, number) in the order of leasing");
}

/// Never more than asked for, in all and of each level; nothing for nothing.
///
/// # Panics
///
/// If not.
pub async fn credits_are_kept_to(backend: &dyn Backend) {
    assert!(
        lease(backend, 0).await.is_empty(),
        "no credits, no jobs, and no waiting"
    );
    for number in 0..4 {
        submit(
            backend,
            number,
            JobOptions::default().priority(Priority::Level(0)),
        )
        .await;
    }
    assert_eq!(
        numbers(&lease(backend, 3).await),
        [0, 1, 2],
        "three of four"
    );
    if backend.guarantees().levels > 1 {
        submit(
            backend,
            4,
            JobOptions::default().priority(Priority::Level(1)),
        )
        .await;
        let only_second = Credits::total(5).levels([0]);
        let leased = backend.lease(only_second).await.unwrap_or_default();
        assert_eq!(numbers(&leased), [4], "no credit for the first level");
    }
}

/// A leased job is nobody else's.
///
/// # Panics
///
/// If it is.
pub async fn a_lease_excludes_others(backend: &dyn Backend) {
    submit(backend, 1, JobOptions::default()).await;
    let leased = lease(backend, 1).await;
    assert_eq!((numbers(&leased), leased[0].attempt), (vec![1], 1));
    let second = timeout(PATIENCE, backend.lease(Credits::total(1))).await;
    assert!(second.is_err(), "a leased job was leased again: {second:?}");
}

/// With nothing to lease, the call waits.
///
/// # Panics
///
/// If it does not, or misses the job.
pub async fn a_lease_waits_for_a_job(backend: &dyn Backend) {
    let late = async {
        sleep(PATIENCE).await;
        submit(backend, 1, JobOptions::default()).await;
    };
    let (leased, ()) = tokio::join!(lease(backend, 1), late);
    assert_eq!(numbers(&leased), [1]);
}

/// A call that is given up takes no job with it.
///
/// # Panics
///
/// If it does.
pub async fn a_dropped_lease_call_leases_nothing(backend: &dyn Backend) {
    for _ in 0..3 {
        let given_up = timeout(PATIENCE, backend.lease(Credits::total(1))).await;
        assert!(
            given_up.is_err(),
            "there was nothing to lease: {given_up:?}"
        );
    }
    submit(backend, 1, JobOptions::default()).await;
    assert_eq!(numbers(&lease(backend, 1).await), [1]);
}

/// A lease can be settled once.
///
/// # Panics
///
/// If a second verdict is taken.
pub async fn the_first_outcome_is_the_one_that_counts(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    let leased = lease(backend, 1).await.remove(0);
    let verdicts = vec![
        (leased.lease.clone(), done(10)),
        (leased.lease.clone(), done(20)),
    ];
    let answers = backend.settle(verdicts).await;
    assert!(answers[0].is_ok(), "{answers:?}");
    assert!(
        matches!(answers[1], Err(SettleError::Void(ref lease)) if *lease == leased.lease),
        "{answers:?}"
    );
    assert_eq!(output(backend, id).await, (10, 1));
}

/// Whoever asks before the end is told at the end.
///
/// # Panics
///
/// If not.
pub async fn an_outcome_can_be_waited_for(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    let given_up = timeout(PATIENCE, backend.outcome(id.clone())).await;
    assert!(given_up.is_err(), "an outcome before the end: {given_up:?}");
    let work = async {
        let leased = lease(backend, 1).await.remove(0);
        sleep(PATIENCE).await;
        settle(backend, &leased, done(7)).await;
    };
    let (found, ()) = tokio::join!(output(backend, id), work);
    assert_eq!(found, (7, 1));
}

/// A retried job is leased again as the next attempt, not before its delay.
///
/// # Panics
///
/// If not.
pub async fn a_retried_job_comes_back_after_its_delay(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    let first = lease(backend, 1).await.remove(0);
    settle(
        backend,
        &first,
        Settle::Retry {
            after: PATIENCE * 4,
        },
    )
    .await;
    let early = timeout(PATIENCE, backend.lease(Credits::total(1))).await;
    assert!(
        early.is_err(),
        "leased before its delay was over: {early:?}"
    );
    let second = lease(backend, 1).await.remove(0);
    assert_eq!((second.attempt, number(&second)), (2, 1));
    assert_ne!(second.lease, first.lease, "every lease has its own id");
    settle(backend, &second, done(5)).await;
    assert_eq!(output(backend, id).await, (5, 2));
}

/// The reason of a failure arrives.
///
/// # Panics
///
/// If not.
pub async fn a_dead_job_says_why(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    let leased = lease(backend, 1).await.remove(0);
    let error = HandlerError::permanent("no such suite: äöü");
    settle(
        backend,
        &leased,
        Settle::Dead {
            error: error.clone(),
        },
    )
    .await;
    match backend.outcome(id).await {
        Ok(Outcome::Dead {
            error: found,
            attempts: 1,
        }) => assert_eq!(found, error),
        other => panic!("expected a dead job, found {other:?}"),
    }
}

/// After its time a lease is void and the job is leased again as the next attempt.
///
/// # Panics
///
/// If not.
pub async fn an_expired_lease_is_void_and_its_job_comes_back(backend: &dyn Backend) {
    let id = submit(
        backend,
        1,
        JobOptions::default().retry(RetryPolicy::fixed(1, Duration::ZERO)),
    )
    .await;
    let first = lease(backend, 1).await.remove(0);
    sleep(backend.guarantees().lease + PATIENCE).await;
    let second = lease(backend, 1).await.remove(0);
    assert_eq!(
        (number(&second), second.attempt, second.is_last_attempt()),
        (1, 2, true)
    );
    let zombie = backend.settle(vec![(first.lease.clone(), done(1))]).await;
    assert!(
        matches!(zombie[0], Err(SettleError::Void(_))),
        "a zombie was heard: {zombie:?}"
    );
    settle(backend, &second, done(2)).await;
    assert_eq!(output(backend, id).await, (2, 2));
}

/// A lease that is extended in time does not run out.
///
/// # Panics
///
/// If it does.
pub async fn an_extended_lease_lasts(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    let leased = lease(backend, 1).await.remove(0);
    for _ in 0..4 {
        sleep(backend.guarantees().lease / 2).await;
        settle(backend, &leased, Settle::Extend).await;
    }
    settle(backend, &leased, done(1)).await;
    assert_eq!(output(backend, id).await, (1, 1));
}

/// A job without attempts left whose lease runs out is lost, and says so without anybody's help.
///
/// # Panics
///
/// If not.
pub async fn a_job_whose_last_worker_vanishes_is_lost(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default().retry(RetryPolicy::none())).await;
    let (outcome, leased) = tokio::join!(backend.outcome(id), lease(backend, 1));
    assert!(leased[0].is_last_attempt());
    assert!(
        matches!(outcome, Ok(Outcome::Lost { attempts: 1 })),
        "{outcome:?}"
    );
}

/// Nobody's job has no outcome.
///
/// # Panics
///
/// If it has, or the question is never answered.
pub async fn an_unknown_job_has_no_outcome(backend: &dyn Backend) {
    let id = JobId::new("no such job");
    let answer = backend.outcome(id.clone()).await;
    assert!(
        matches!(answer, Err(OutcomeError::Unknown(ref unknown)) if *unknown == id),
        "{answer:?}"
    );
}

/// Closing refuses new jobs and keeps the old ones; in the end there is nothing to lease.
///
/// # Panics
///
/// If not.
pub async fn a_closed_backend_gives_what_it_has(backend: &dyn Backend) {
    let id = submit(backend, 1, JobOptions::default()).await;
    backend.close().await;
    let refused = backend
        .submit(vec![probe(2, JobOptions::default())])
        .await
        .remove(0);
    let Err(refused) = refused else {
        panic!("accepted after it was closed")
    };
    assert!(
        matches!(refused.reason, RefusedBecause::Closed),
        "{:?}",
        refused.reason
    );
    let leased = lease(backend, 1).await.remove(0);
    let (next, ()) = tokio::join!(backend.lease(Credits::total(1)), async {
        sleep(PATIENCE).await;
        settle(backend, &leased, done(3)).await;
    });
    assert!(matches!(next, Err(LeaseError::Closed)), "{next:?}");
    assert_eq!(output(backend, id).await, (3, 1));
}

fn probe(number: u64, options: JobOptions) -> Job {
    Job::new(Probe { number }, options)
}

async fn submit(backend: &dyn Backend, number: u64, options: JobOptions) -> JobId {
    match backend.submit(vec![probe(number, options)]).await.pop() {
        Some(Ok(receipt)) => receipt.id,
        other => panic!("job {number} was not accepted: {other:?}"),
    }
}

async fn lease(backend: &dyn Backend, total: usize) -> Vec<Leased> {
    match backend.lease(Credits::total(total)).await {
        Ok(leased) => leased,
        Err(error) => panic!("nothing leased: {error}"),
    }
}

async fn settle(backend: &dyn Backend, leased: &Leased, verdict: Settle) {
    let answers = backend.settle(vec![(leased.lease.clone(), verdict)]).await;
    assert!(
        matches!(answers[..], [Ok(())]),
        "a valid lease was not settled: {answers:?}"
    );
}

async fn output(backend: &dyn Backend, id: JobId) -> (u64, u32) {
    match backend.outcome(id).await {
        Ok(Outcome::Done { output, attempts }) => match output.into_output::<Probe>() {
            Ok(output) => (output, attempts),
            Err(error) => panic!("the output cannot be read: {error}"),
        },
        other => panic!("expected an output, found {other:?}"),
    }
}

fn done(output: u64) -> Settle {
    Settle::Done(Output::new::<Probe>(output))
}

fn numbers(leased: &[Leased]) -> Vec<u64> {
    leased.iter().map(number).collect()
}

fn number(leased: &Leased) -> u64 {
    match leased.payload.decode::<Probe>() {
        Ok(probe) => probe.number,
        Err(error) => panic!("the payload cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{InProcess, InProcessConfig, Wire};

    #[tokio::test(start_paused = true)]
    async fn in_process_backend_conforms() {
        all(InProcess::default).await;
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_through_backend_conforms() {
        all(|| Wire::new(InProcess::default())).await;
    }

    #[tokio::test(start_paused = true)]
    async fn pointers_to_backends_conform() {
        all(|| Arc::new(InProcess::default()) as Arc<dyn Backend>).await;
        all(|| Box::new(Wire::new(InProcess::default())) as Box<dyn Backend>).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_level_is_enough_to_conform() {
        all(|| InProcess::new(InProcessConfig::default().levels(1)).unwrap()).await;
    }
}
