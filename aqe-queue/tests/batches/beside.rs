//! Calls beside everything else that a queue has: ends, keys, bytes, reserved slots, events, backends, many threads.

use super::*;

#[tokio::test(start_paused = true)]
async fn drain_and_shutdown_see_all_of_a_call() {
    let slow = |it: Vec<u32>, _: BatchContext| async {
        sleep(Duration::from_secs(10)).await;
        echo(it)
    };
    let (drained, _) = queue(one_at_a_time(), of_five(), slow);
    let handles = submit(&drained, 0..7).await;
    let report = drained.drain().await;
    assert_eq!((report.finished, report.cut.len()), (7, 0));
    all(handles).await;

    let (cut, calls) = queue(one_at_a_time(), of_five(), slow);
    cut.pause();
    let handles = submit(&cut, 0..7).await;
    cut.resume();
    settle().await;
    let report = cut.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.finished, report.cut.len()), (0, 7));
    for handle in handles {
        assert!(matches!(
            handle.await,
            Err(OperationError::Cancelled {
                reason: CancelReason::Shutdown,
                ..
            })
        ));
    }
    assert_eq!(calls.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_keep_their_limits_in_a_call() {
    // Of those that start on their own, and of those that are taken along.
    for slots in [10, 1] {
        let settings = config()
            .max_concurrent(slots)
            .keys(KeyLimits::default().max_concurrent(1));
        let (queue, calls) = queue(settings, of_five(), |it, _| async {
            sleep(Duration::from_secs(1)).await;
            echo(it)
        });
        queue.pause();
        let mut handles = Vec::new();
        for number in 0..6 {
            let item = queue.submit(Item(number));
            // Of the even ones one may run at a time.
            let item = if number % 2 == 0 {
                item.key("even")
            } else {
                item
            };
            handles.push(item.submit().await.unwrap());
        }
        queue.resume();
        all(handles).await;
        assert_eq!(calls.take(), [vec![0, 1, 3, 5], vec![2], vec![4]]);
    }
}

/// Cancels one operation when another starts.
#[derive(Default)]
struct Saboteur(Mutex<Option<(OperationId, Canceller)>>);

impl QueueObserver for Saboteur {
    fn on_started(&self, id: OperationId, _: u32) {
        let mut plan = self.0.lock().unwrap();
        if let Some((_, victim)) = plan.take_if(|(at, _)| *at == id) {
            victim.cancel();
        }
    }
}

/// An operation that has been taken along and is cancelled before a worker begins it never comes to its call, which must
/// not wait for it.
#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_one_that_ends_before_it_begins() {
    for victims in [vec![2], vec![3], vec![2, 3]] {
        let (calls, mut registry) = (Calls::default(), Registry::new());
        let noted = calls.clone();
        registry
            .register_batch(of_five(), move |items: Vec<Arc<Item>>, _| {
                let numbers = noted.note(&items);
                async { echo(numbers) }
            })
            .unwrap();
        let saboteurs: Vec<_> = victims.iter().map(|_| Arc::<Saboteur>::default()).collect();
        let mut builder = AsyncOperationQueue::builder(one_at_a_time()).registry(registry);
        for saboteur in &saboteurs {
            builder = builder.observer(Arc::clone(saboteur) as Arc<dyn QueueObserver>);
        }
        let queue = builder.build().unwrap();
        queue.pause();
        let handles = submit(&queue, 0..4).await;
        for (saboteur, victim) in saboteurs.iter().zip(&victims) {
            // The first of those that were taken along.
            let at = handles[1].id();
            *saboteur.0.lock().unwrap() = Some((at, handles[*victim].canceller()));
        }
        queue.resume();
        let mut ended = Vec::new();
        for handle in handles {
            ended.push(handle.await.is_ok());
        }
        let expected: Vec<_> = (0..4).map(|number| !victims.contains(&number)).collect();
        assert_eq!(ended, expected);
        let called: Vec<u32> = (0..4)
            .filter(|number| !victims.contains(&(*number as usize)))
            .collect();
        assert_eq!(calls.take(), [called]);
        assert_eq!(queue.status().running, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_are_given_back_one_by_one() {
    let settings = one_at_a_time().capacity_bytes(100);
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let (queue, _) = queue(settings, of_five(), move |it, _| {
        let gate = Arc::clone(&opened);
        async move {
            gate.notified().await;
            echo(it)
        }
    });
    queue.pause();
    let mut handles = Vec::new();
    for number in 0..3 {
        let item = queue.submit(Item(number)).weight(30);
        handles.push(item.try_submit().unwrap());
    }
    assert!(queue.submit(Item(3)).weight(30).try_submit().is_err());
    queue.resume();
    settle().await;
    assert_eq!(queue.status().bytes, 90);
    handles.pop().unwrap().cancel();
    settle().await;
    assert_eq!(queue.status().bytes, 60);
    gate.notify_one();
    all(handles).await;
    assert_eq!(queue.status().bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn reserved_slots_stay_reserved() {
    // Two slots, one of them for what is urgent.
    let settings = config().max_concurrent(2).reserve(Priority::High, 1);
    let (queue, calls) = queue(settings, of_five(), |it, _| async {
        sleep(Duration::from_secs(1)).await;
        echo(it)
    });
    // Calls of mixed urgency come and go, and whoever pays for the slot leaves first or last.
    for round in 0..6 {
        queue.pause();
        let mut handles = Vec::new();
        for (number, priority) in [
            (0, Priority::Critical),
            (1, Priority::Background),
            (2, Priority::Medium),
        ] {
            let item = queue.submit(Item(number)).priority(priority);
            handles.push(item.submit().await.unwrap());
        }
        queue.resume();
        settle().await;
        for index in [0, 1, 2].into_iter().cycle().skip(round).take(2) {
            handles[index].cancel();
            settle().await;
        }
        settle().await;
        for handle in handles {
            let _ = handle.await;
        }
    }
    calls.take();
    let low = |secs: u64| {
        queue
            .future(async move {
                sleep(Duration::from_secs(secs)).await;
                Ok::<_, ()>(())
            })
            .priority(Priority::Low)
    };
    let (first, second) = (
        low(5).submit().await.unwrap(),
        low(5).submit().await.unwrap(),
    );
    settle().await;
    assert_eq!((queue.status().running, queue.status().pending), (1, 1));
    let urgent = queue.submit(Item(1)).priority(Priority::High);
    assert_eq!(urgent.submit().await.unwrap().await, Ok(1));
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn every_one_has_events_of_its_own() {
    let (queue, _) = queue(one_at_a_time(), of_five(), |it, _| async { echo(it) });
    let mut events = queue.subscribe();
    queue.pause();
    let handles = submit(&queue, 0..3).await;
    let ids: Vec<_> = handles.iter().map(OperationHandle::id).collect();
    queue.resume();
    all(handles).await;
    let (mut started, mut ended) = (Vec::new(), Vec::new());
    while let Some(Observed::Event(event)) = events.try_next() {
        match event {
            Event::Started { id, attempt: 1 } => started.push(id),
            Event::Ended {
                id,
                how: EndedAs::Completed,
                attempts: 1,
            } => ended.push(id),
            _ => {}
        }
    }
    ended.sort_unstable();
    assert_eq!((&started, &ended), (&ids, &ids));
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_backend_come_together_as_values_and_as_bytes() {
    async fn serve_all(backend: Arc<dyn Backend>) {
        let settings = config().retry(RetryPolicy::none());
        let (queue, calls) = queue(settings, of_five(), |it, _| async { echo(it) });
        let mut jobs = Vec::new();
        for number in 0..5 {
            let job = backend.send(Item(number), JobOptions::default());
            jobs.push(job.await.unwrap());
        }
        backend.close().await;
        let report = serve(&queue, Arc::clone(&backend)).await.unwrap();
        assert_eq!(report.done, 5);
        assert_eq!(calls.take(), [vec![0, 1, 2, 3, 4]]);
        for (job, number) in jobs.into_iter().zip(0..) {
            assert_eq!(job.outcome().await.unwrap(), number);
        }
    }
    serve_all(Arc::new(InProcess::default())).await;
    serve_all(Arc::new(Wire::new(InProcess::default()))).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_cannot_be_read_fail_alone() {
    use aqe_queue::named::Payload;
    let (queue, calls) = queue(one_at_a_time(), of_five(), |it, _| async { echo(it) });
    queue.pause();
    let mut handles = Vec::new();
    for bytes in ["1", "\"garbage\"", "3"] {
        let payload = Payload::bytes(Item::NAME, bytes.into());
        handles.push(queue.submit_payload(payload).submit().await.unwrap());
    }
    queue.resume();
    let mut ended = Vec::new();
    for handle in handles {
        ended.push(handle.await.is_ok());
    }
    assert_eq!(ended, [true, false, true]);
    assert_eq!(calls.take(), [vec![1, 3]]);
}

/// Many workers, producers that cancel, calls that panic, fail, wait and run out of time, and a limit that changes: every
/// operation ends exactly once, the accounts agree at every moment, and never do more calls run than there are slots.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_and_no_call_is_over_the_limit() {
    const PRODUCERS: u32 = 4;
    const EACH: u32 = 2_000;
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, peak) = (Arc::clone(&alive), Arc::clone(&most));
    let seed = AtomicUsize::new(0);
    let settings = config()
        .max_concurrent(3)
        .capacity(300)
        .timeout(Duration::from_millis(20))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    let options = BatchOptions::default()
        .max_size(8)
        .linger(Duration::from_micros(50));
    let (queue, calls) = queue(settings, options, move |it, _| {
        peak.fetch_max(count.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let life = Life(Arc::clone(&count));
        let mut chance = fastrand::Rng::with_seed(seed.fetch_add(1, Ordering::Relaxed) as u64);
        let kind = chance.u8(0..40);
        async move {
            let _life = life;
            for _ in 0..kind % 4 {
                tokio::task::yield_now().await;
            }
            match kind {
                0 => panic!("on purpose"),
                1 => return Err(HandlerError::new("all of them")),
                2 => pending().await,
                _ => {}
            }
            Ok(it
                .into_iter()
                .map(|number| {
                    if chance.u8(0..20) == 0 {
                        Err(HandlerError::new("this one"))
                    } else {
                        Ok(number)
                    }
                })
                .collect())
        }
    });
    struct Life(Arc<AtomicUsize>);
    impl Drop for Life {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(u64::from(producer));
                let mut waiting = std::collections::VecDeque::new();
                for number in 0..EACH {
                    let item = queue
                        .submit(Item(producer * EACH + number))
                        .priority(Priority::Level(random.u8(0..5)))
                        .on_drop(OnDrop::Detach);
                    let handle = item.submit().await.unwrap();
                    if random.u8(0..10) == 0 {
                        handle.cancel();
                    }
                    waiting.push_back((producer * EACH + number, handle));
                    if waiting.len() > 40 {
                        let (number, handle) = waiting.pop_front().unwrap();
                        let result = handle.await;
                        assert!(result.is_err() || result == Ok(number), "{result:?}");
                    }
                }
                for (number, handle) in waiting {
                    let result = handle.await;
                    assert!(result.is_err() || result == Ok(number), "{result:?}");
                }
            })
        })
        .collect();
    let watcher = {
        let (queue, alive) = (queue.clone(), Arc::clone(&alive));
        tokio::spawn(async move {
            while !queue.is_closed() {
                let status = queue.status();
                let waiting = status.pending + status.running + status.waiting_for_retry;
                let ended = status.completed + status.failed + status.timed_out;
                assert_eq!(
                    waiting as u64 + ended + status.cancelled + status.panicked,
                    status.submitted,
                    "{status:?}"
                );
                assert!(status.running - status.sharing_a_slot <= 3, "{status:?}");
                assert!(alive.load(Ordering::SeqCst) <= 3);
                tokio::task::yield_now().await;
            }
        })
    };
    for producer in producers {
        producer.await.unwrap();
    }
    let report = queue.drain().await;
    watcher.await.unwrap();
    assert!(report.cut.is_empty());
    let status = queue.status();
    assert_eq!(status.submitted, u64::from(PRODUCERS * EACH));
    assert_eq!(
        (status.running, status.sharing_a_slot, status.bytes),
        (0, 0, 0)
    );
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    // They did come together.
    let (calls, items) = {
        let calls = calls.take();
        (calls.len(), calls.iter().map(Vec::len).sum::<usize>())
    };
    assert!(items > calls, "{items} in {calls}");
}
