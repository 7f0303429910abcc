//! The backends of this crate, and jobs that go all the way round.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::backend::{
    Backend, BackendExt, Credits, InProcess, InProcessConfig, Job, JobError, JobOptions, Outcome,
    OutcomeError, RefusedBecause, Settle, Wire, serve,
};
use aqe_queue::{
    AsyncOperationQueue, HandlerError, Operation, OperationError, Priority, QueueConfig, Registry,
    RetryPolicy, SubmitError,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Add(u64, u64);

impl Operation for Add {
    const NAME: &'static str = "add/1";
    type Output = u64;
}

/// Must never be turned into bytes.
struct Local(u64);

impl Serialize for Local {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("a local operation was serialized");
    }
}

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("a local operation was deserialized");
    }
}

impl Operation for Local {
    const NAME: &'static str = "local/1";
    type Output = Self;
}

/// Can be sent, but its output cannot.
#[derive(Serialize, Deserialize)]
struct Stuck;

impl Operation for Stuck {
    const NAME: &'static str = "stuck/1";
    type Output = NoBytes;
}

#[derive(Deserialize)]
struct NoBytes;

impl Serialize for NoBytes {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("it stays here"))
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry
        .register(|add: Arc<Add>, _| async move { Ok(add.0 + add.1) })
        .unwrap();
    registry
        .register(|local: Arc<Local>, _| async move { Ok(Local(local.0 + 1)) })
        .unwrap();
    registry
        .register(|_: Arc<Stuck>, _| async { Ok(NoBytes) })
        .unwrap();
    registry
}

fn queue(registry: Registry) -> AsyncOperationQueue {
    AsyncOperationQueue::builder(QueueConfig::default())
        .registry(registry)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn local_operation_is_never_turned_into_bytes() {
    let queue = queue(registry());
    let handle = queue
        .submit(Local(1))
        .priority(Priority::High)
        .await
        .unwrap();
    assert_eq!(handle.await.unwrap().0, 2);
    // The same through a backend in this process.
    let backend = Arc::new(InProcess::default());
    let job = backend.send(Local(5), JobOptions::default()).await.unwrap();
    let served = Arc::clone(&backend);
    let (output, report) = tokio::join!(job.outcome(), async {
        served.close().await;
        serve(&queue, served).await.unwrap()
    });
    assert_eq!((output.unwrap().0, report.done), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn operation_without_a_handler_is_refused_with_the_known_names() {
    let mut registry = Registry::new();
    registry
        .register(|add: Arc<Add>, _| async move { Ok(add.0 + add.1) })
        .unwrap();
    let queue = queue(registry);
    match queue.submit(Local(9)).try_submit() {
        Err(SubmitError::Unknown {
            operation,
            name,
            known,
        }) => {
            assert_eq!((operation.0, &*name, known), (9, "local/1", vec!["add/1"]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(queue.status().submitted, 0);
}

#[tokio::test(start_paused = true)]
async fn second_handler_for_a_name_is_refused() {
    let mut registry = registry();
    let again = registry.register(|add: Arc<Add>, _| async move { Ok(add.0) });
    assert_eq!(
        again.unwrap_err().to_string(),
        "operation `add/1` has a handler already"
    );
}

#[tokio::test(start_paused = true)]
async fn permanent_failure_is_not_retried() {
    let mut registry = Registry::new();
    registry
        .register(|add: Arc<Add>, cx| async move {
            match add.0 {
                0 => Err(HandlerError::permanent("never")),
                _ if cx.attempt() == 1 => Err(HandlerError::new("not yet")),
                _ => Ok(add.1),
            }
        })
        .unwrap();
    let queue = queue(registry);
    let failed = queue.submit(Add(0, 1)).await.unwrap().await;
    assert!(
        matches!(failed, Err(OperationError::Failed { attempts: 1, .. })),
        "{failed:?}"
    );
    let completion = queue.submit(Add(1, 7)).await.unwrap().completion().await;
    assert_eq!((completion.result, completion.attempts), (Ok(7), 2));
}

#[tokio::test(start_paused = true)]
async fn operations_go_round_as_bytes() {
    let queue = queue(registry());
    let backend = Arc::new(Wire::new(InProcess::default()));
    let mut jobs = Vec::new();
    for number in 0..50 {
        jobs.push(
            backend
                .send(Add(number, 1), JobOptions::default())
                .await
                .unwrap(),
        );
    }
    backend.close().await;
    let report = serve(&queue, Arc::clone(&backend) as _).await.unwrap();
    assert_eq!((report.done, report.dead, report.void), (50, 0, 0));
    for (number, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.outcome().await.unwrap(), number as u64 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_bytes_is_said_at_the_right_place() {
    #[derive(Deserialize)]
    struct Odd;
    impl Serialize for Odd {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("odd"))
        }
    }
    impl Operation for Odd {
        const NAME: &'static str = "odd/1";
        type Output = ();
    }
    let backend = Arc::new(Wire::new(InProcess::default()));
    let refused = backend.send(Odd, JobOptions::default()).await.unwrap_err();
    assert!(
        matches!(refused.reason, RefusedBecause::Codec(_)),
        "{refused:?}"
    );

    let queue = queue(registry());
    let job = backend.send(Stuck, JobOptions::default()).await.unwrap();
    backend.close().await;
    let report = serve(&queue, Arc::clone(&backend) as _).await.unwrap();
    assert_eq!(report.void, 1);
    assert!(matches!(
        job.outcome().await,
        Err(JobError::Failed { attempts: 1, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn unreadable_payload_ends_its_job_and_no_other() {
    use aqe_queue::named::Payload;
    let queue = queue(registry());
    let backend = InProcess::default();
    let mut job = Job::new(Add(1, 2), JobOptions::default());
    job.payload = Payload::bytes("add/1", bytes::Bytes::from_static(b"{\"torn"));
    let mut unknown = Job::new(Add(1, 2), JobOptions::default());
    unknown.payload = Payload::bytes("nobody/1", bytes::Bytes::new());
    let good = Job::new(Add(1, 2), JobOptions::default());
    let ids: Vec<_> = backend
        .submit(vec![job, unknown, good])
        .await
        .into_iter()
        .map(|answer| answer.unwrap().id)
        .collect();
    backend.close().await;
    let report = serve(&queue, Arc::new(backend.clone())).await.unwrap();
    assert_eq!((report.done, report.dead), (1, 2));
    for (id, part) in ids.into_iter().zip([
        "payload of operation `add/1` cannot be decoded",
        "no handler",
        "",
    ]) {
        match backend.outcome(id).await.unwrap() {
            Outcome::Dead { error, attempts: 1 } => {
                assert!(error.message().contains(part), "{error}")
            }
            Outcome::Done { attempts: 1, .. } => assert!(part.is_empty()),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn server_keeps_to_the_queues_limit_and_extends_leases() {
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut registry = Registry::new();
    let (counted, peak) = (Arc::clone(&alive), Arc::clone(&most));
    registry
        .register(move |add: Arc<Add>, _| {
            let (counted, peak) = (Arc::clone(&counted), Arc::clone(&peak));
            async move {
                peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Five times as long as a lease.
                tokio::time::sleep(Duration::from_secs(50)).await;
                counted.fetch_sub(1, Ordering::SeqCst);
                Ok(add.0)
            }
        })
        .unwrap();
    let config = QueueConfig::default().max_concurrent(3);
    let queue = AsyncOperationQueue::builder(config)
        .registry(registry)
        .build()
        .unwrap();
    let backend = Arc::new(
        InProcess::new(InProcessConfig::default().lease(Duration::from_secs(10))).unwrap(),
    );
    let options = JobOptions::default()
        .timeout(None)
        .retry(RetryPolicy::none());
    for number in 0..8 {
        backend.send(Add(number, 0), options).await.unwrap();
    }
    backend.close().await;
    let report = serve(&queue, backend).await.unwrap();
    assert_eq!(
        (report.done, report.void, most.load(Ordering::SeqCst)),
        (8, 0, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn job_of_a_vanished_server_is_done_by_the_next() {
    let queue = queue(registry());
    let backend = Arc::new(InProcess::default());
    let job = backend
        .send(Add(20, 22), JobOptions::default())
        .await
        .unwrap();
    // A worker that takes the job and is never heard of again.
    assert_eq!(backend.lease(Credits::total(1)).await.unwrap().len(), 1);
    backend.close().await;
    let report = serve(&queue, Arc::clone(&backend) as _).await.unwrap();
    assert_eq!((job.outcome().await.unwrap(), report.done), (42, 1));
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_not_kept_for_ever() {
    let config = InProcessConfig::default().keeps_outcomes(Duration::from_secs(5));
    let backend = InProcess::new(config).unwrap();
    let id = backend
        .submit(vec![Job::new(Add(1, 1), JobOptions::default())])
        .await
        .remove(0)
        .unwrap()
        .id;
    let leased = backend.lease(Credits::total(1)).await.unwrap().remove(0);
    let output = aqe_queue::named::Output::new::<Add>(2);
    assert!(
        backend
            .settle(vec![(leased.lease, Settle::Done(output))])
            .await[0]
            .is_ok()
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(
        backend.outcome(id.clone()).await.unwrap_err(),
        OutcomeError::Unknown(id)
    );
}

#[tokio::test(start_paused = true)]
async fn full_backend_hands_the_job_back() {
    let backend = InProcess::new(InProcessConfig::default().capacity(1)).unwrap();
    let answers = backend
        .submit(
            (0..2)
                .map(|n| Job::new(Add(n, 0), JobOptions::default()))
                .collect(),
        )
        .await;
    assert!(answers[0].is_ok());
    let refused = answers.into_iter().nth(1).unwrap().unwrap_err();
    assert!(matches!(refused.reason, RefusedBecause::Full));
    assert_eq!(refused.job.payload.decode::<Add>().unwrap().0, 1);
}

#[test]
fn impossible_backend_settings_are_named() {
    let base = InProcessConfig::default;
    for (config, field) in [
        (base().levels(0), "levels"),
        (base().capacity(0), "capacity"),
        (base().lease(Duration::ZERO), "lease in ms"),
        (base().lease(Duration::MAX), "lease in ms"),
        (base().keeps_outcomes(Duration::MAX), "keeps_outcomes in ms"),
    ] {
        let error = InProcess::new(config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{field}`")), "{error}");
    }
}
