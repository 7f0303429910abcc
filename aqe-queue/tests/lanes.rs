//! Several queues behind one door: where operations go, where they wait, and what is done to all of them together.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aqe_queue::config::Overflow;
use aqe_queue::lanes::PlaceError;
use aqe_queue::{
    AsyncOperationQueue, Lane, Lanes, OnDrop, Placement, QueueConfig, RetryPolicy, SubmitError,
};
use futures_util::FutureExt;
use tokio::time::Instant;

const ALL: [Placement; 3] = [
    Placement::RoundRobin,
    Placement::LeastLoaded,
    Placement::Random,
];

fn queue(config: QueueConfig) -> AsyncOperationQueue {
    AsyncOperationQueue::new(config.timeout(None)).unwrap()
}

/// Lanes named `0`, `1` and so on, with these settings.
fn lanes(placement: Placement, configs: impl IntoIterator<Item = QueueConfig>) -> Lanes {
    let lanes = Lanes::seeded(placement, 11);
    for (number, config) in configs.into_iter().enumerate() {
        lanes.add(number.to_string(), queue(config)).unwrap();
    }
    lanes
}

fn wide(slots: usize) -> QueueConfig {
    QueueConfig::default().max_concurrent(slots)
}

/// Submits an operation that stays where it is. Returns the name of its lane.
async fn stay(lanes: &Lanes) -> String {
    let mut name = String::new();
    let submitted = lanes.submit(|lane| {
        lane.name().clone_into(&mut name);
        let stays = lane.queue().future(pending::<Result<(), Infallible>>());
        stays.on_drop(OnDrop::Detach)
    });
    submitted.unwrap().await.unwrap().detach();
    name
}

fn depths(lanes: &Lanes) -> Vec<usize> {
    let status = lanes.status();
    let depth = |it: &aqe_queue::lanes::LaneStatus| it.queue.pending + it.queue.running;
    status.lanes.iter().map(depth).collect()
}

#[tokio::test(start_paused = true)]
async fn operations_go_to_each_in_turn_or_where_there_is_least() {
    let limits = [1, 2, 4, 8];
    // No worker gets to run between two submissions, and in the second round one always does.
    for yields in [false, true] {
        for (placement, least, most) in [
            (Placement::RoundRobin, [75; 4], [75; 4]),
            (Placement::LeastLoaded, [15, 35, 75, 155], [25, 45, 85, 165]),
            (Placement::Random, [50; 4], [100; 4]),
        ] {
            let lanes = lanes(placement, limits.map(wide));
            for _ in 0..300 {
                stay(&lanes).await;
                if yields {
                    tokio::task::yield_now().await;
                }
            }
            for (lane, depth) in depths(&lanes).into_iter().enumerate() {
                assert!(
                    (least[lane]..=most[lane]).contains(&depth),
                    "{placement:?}: {:?}",
                    depths(&lanes)
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_choices_keep_the_longest_queue_shorter_than_chance_does() {
    let most = async |placement| {
        let lanes = lanes(placement, (0..50).map(|_| wide(1)));
        for _ in 0..1_000 {
            stay(&lanes).await;
        }
        depths(&lanes).into_iter().max().unwrap()
    };
    let (two, random) = (
        most(Placement::LeastLoaded).await,
        most(Placement::Random).await,
    );
    // Twenty for each.
    assert!(two <= 23, "{two}");
    assert!(random >= 28, "{random}");
}

#[tokio::test(start_paused = true)]
async fn lanes_that_are_closed_shut_or_full_are_passed_over() {
    for placement in ALL {
        let lanes = lanes(placement, [wide(1), wide(1), wide(1).capacity(2), wide(1)]);
        let list = lanes.list();
        list[0].queue().drain().await;
        list[1].queue().pause_admission();
        for _ in 0..40 {
            stay(&lanes).await;
        }
        let depths = depths(&lanes);
        assert_eq!((depths[0], depths[1]), (0, 0), "{placement:?}");
        // Two wait, and one runs if it has begun before the lane was full.
        assert!((2..=3).contains(&depths[2]), "{placement:?}: {depths:?}");
        list[1].queue().resume_admission();
        let names = async || {
            let mut names = Vec::new();
            for _ in 0..20 {
                names.push(stay(&lanes).await);
            }
            names
        };
        assert!(names().await.contains(&"1".to_owned()), "{placement:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_lane_that_takes_anything_the_operation_is_not_made() {
    let make = |_: &Lane| -> aqe_queue::Submission<_> {
        unreachable!("made for no lane");
        #[expect(unreachable_code, reason = "says which type it would have")]
        queue(wide(1)).future(async { Ok::<_, Infallible>(()) })
    };
    let none = Lanes::new(Placement::RoundRobin);
    assert_eq!(none.submit(make).unwrap_err(), PlaceError::Closed);
    assert_eq!(none.try_place().unwrap_err(), PlaceError::Closed);
    assert_eq!(none.place().await.unwrap_err(), PlaceError::Closed);
    let closed = lanes(Placement::LeastLoaded, [wide(1), wide(1)]);
    closed.drain().await;
    assert_eq!(closed.submit(make).unwrap_err(), PlaceError::Closed);
    assert_eq!(closed.try_place().unwrap_err(), PlaceError::Closed);
    assert_eq!(closed.place().await.unwrap_err(), PlaceError::Closed);
}

/// Fills every lane, one waiting and one running.
async fn full(placement: Placement, overflow: Overflow, count: usize) -> Lanes {
    let config = wide(1).capacity(1).overflow(overflow);
    let lanes = lanes(placement, (0..count).map(|_| config.clone()));
    for lane in &*lanes.list() {
        for _ in 0..2 {
            let stays = lane.queue().future(pending::<Result<(), Infallible>>());
            stays.on_drop(OnDrop::Detach).await.unwrap().detach();
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Full);
    lanes
}

#[tokio::test(start_paused = true)]
async fn a_place_is_where_room_comes_first() {
    for placement in ALL {
        for freed in 0..3 {
            let lanes = full(placement, Overflow::Wait, 3).await;
            let list = lanes.list();
            let mut place = pin!(lanes.place());
            assert!(place.as_mut().now_or_never().is_none());
            assert_eq!(list[freed].queue().clear(), 1);
            let place = place.await.unwrap();
            assert_eq!(place.lane().name(), freed.to_string());
            // It has left the other lines: whoever comes there next is not held up by it.
            let other = (freed + 1) % 3;
            list[other].queue().clear();
            assert_eq!(lanes.try_place().unwrap().lane().name(), other.to_string());
            let operation = place
                .lane()
                .queue()
                .future(pending::<Result<(), Infallible>>());
            place.submit(operation).await.unwrap().detach();
            assert_eq!(depths(&lanes)[freed], 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn places_that_are_given_up_are_for_the_next() {
    let lanes = full(Placement::Random, Overflow::Wait, 2).await;
    let list = lanes.list();
    let mut first = Box::pin(lanes.place());
    let mut second = Box::pin(lanes.place());
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    // The first's turn has come, in both lanes, and it does not take it.
    list[0].queue().clear();
    list[1].queue().clear();
    drop(first);
    let place = second.await.unwrap();
    // And the second takes one place, so the other is free.
    let other = lanes.try_place().unwrap();
    assert_ne!(place.lane().name(), other.lane().name());
    assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Full);
    drop((place, other));
    assert!(lanes.try_place().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_submission_to_full_lanes_does_what_its_queue_says() {
    let lanes = full(Placement::RoundRobin, Overflow::Wait, 2).await;
    let mut name = String::new();
    let submitted = lanes.submit(|lane| {
        lane.name().clone_into(&mut name);
        lane.queue().future(async { Ok::<_, Infallible>(1) })
    });
    let mut submitted = pin!(submitted.unwrap());
    assert!(submitted.as_mut().now_or_never().is_none());
    let list = lanes.list();
    // Room in the other lane does not help: the operation is made for this one.
    let (this, other) = if name == "0" { (0, 1) } else { (1, 0) };
    list[other].queue().clear();
    assert!(submitted.as_mut().now_or_never().is_none());
    list[this].queue().clear();
    submitted.await.unwrap().detach();

    let lanes = full(Placement::RoundRobin, Overflow::Reject, 2).await;
    let refused = lanes.submit(|lane| lane.queue().future(async { Ok::<_, Infallible>(1) }));
    assert!(matches!(refused.unwrap().await, Err(SubmitError::Full(_))));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_use_a_place_is_submitted_without() {
    let lanes = lanes(
        Placement::RoundRobin,
        [wide(1).capacity(1), wide(1).capacity(1)],
    );
    let other = queue(wide(1));
    let place = lanes.try_place().unwrap();
    let foreign = other.future(async { Ok::<_, Infallible>(7) });
    assert_eq!(place.submit(foreign).await.unwrap().await, Ok(7));
    let place = lanes.try_place().unwrap();
    let heavy = place
        .lane()
        .queue()
        .future(async { Ok::<_, Infallible>(8) });
    assert_eq!(place.submit(heavy.weight(9)).await.unwrap().await, Ok(8));
    let place = lanes.try_place().unwrap();
    let queue = place.lane().queue().clone();
    let wrong = queue.future(async { Ok::<_, Infallible>(8) });
    let wrong = wrong.priority(aqe_queue::Priority::Level(9));
    assert!(matches!(
        place.submit(wrong).await,
        Err(SubmitError::NoSuchLevel { .. })
    ));
    // All places were given back.
    let places = [lanes.try_place().unwrap(), lanes.try_place().unwrap()];
    assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Full);
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn lanes_come_and_go_while_somebody_waits() {
    let lanes = full(Placement::LeastLoaded, Overflow::Wait, 1).await;
    let wait = || {
        let lanes = lanes.clone();
        tokio::spawn(async move { lanes.place().await })
    };
    let waits = wait();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    lanes.add("new", queue(wide(1))).unwrap();
    let place = waits.await.unwrap().unwrap();
    assert_eq!(place.lane().name(), "new");
    drop(place);
    // A name is taken once, and the queue comes back.
    let refused = lanes.add("new", queue(wide(3))).unwrap_err();
    assert_eq!(refused.to_string(), "there is a lane named `new` already");
    assert_eq!(refused.into_queue().config().max_concurrent, 3);
    assert!(lanes.remove("new").is_some());
    assert!(lanes.remove("new").is_none());
    assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Full);
    let waits = wait();
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    // Whoever stands in line at a lane that is taken away does not get a place there.
    let removed = lanes.remove("0").unwrap();
    assert_eq!(waits.await.unwrap().unwrap_err(), PlaceError::Closed);
    removed.clear();
    // And holds nobody up there.
    let next = removed.future(async { Ok::<_, Infallible>(()) });
    assert!(next.try_submit().is_ok());
}

#[tokio::test(start_paused = true)]
async fn all_lanes_are_paused_cleared_and_counted_together() {
    let lanes = lanes(Placement::RoundRobin, [wide(1), wide(2), wide(3)]);
    lanes.pause();
    let mut handles = Vec::new();
    for _ in 0..9 {
        let submitted = lanes.submit(|lane| lane.queue().future(async { Ok::<_, Infallible>(()) }));
        handles.push(submitted.unwrap().await.unwrap());
    }
    let status = lanes.status();
    assert_eq!(
        (status.total().pending, status.total().max_concurrent),
        (9, 6)
    );
    assert!(status.lanes.iter().all(|lane| lane.queue.pending == 3));
    assert!(status.lanes.iter().all(|lane| lane.queue.is_paused));
    lanes.list()[1].queue().clear();
    lanes.resume();
    lanes.idle().await;
    let total = lanes.status().total();
    assert_eq!((total.completed, total.cancelled), (6, 3));
    lanes.pause();
    for _ in 0..3 {
        stay(&lanes).await;
    }
    assert_eq!(lanes.clear(), 3);
    lanes.pause_admission();
    assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Full);
    lanes.resume_admission();
    assert!(lanes.try_place().is_ok());
}

#[tokio::test(start_paused = true)]
async fn one_grace_is_for_all_lanes() {
    const GRACE: Duration = Duration::from_secs(10);
    for shuts_down in [false, true] {
        let lanes = lanes(Placement::RoundRobin, [wide(1), wide(1), wide(1)]);
        for _ in 0..3 {
            stay(&lanes).await;
        }
        let list = lanes.list();
        let short = list[2].queue().future(async { Ok::<_, Infallible>(()) });
        let short = short.submit().await.unwrap();
        list[2].queue().resize(2).unwrap();
        short.await.unwrap();
        let start = Instant::now();
        let reports = if shuts_down {
            lanes.shutdown(GRACE).await
        } else {
            lanes.drain_within(GRACE).await
        };
        let elapsed = start.elapsed();
        assert!(elapsed >= GRACE && elapsed < GRACE * 2, "{elapsed:?}");
        let names: Vec<_> = reports.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["0", "1", "2"]);
        assert!(reports.iter().all(|(_, report)| report.cut.len() == 1));
        assert_eq!(lanes.try_place().unwrap_err(), PlaceError::Closed);
    }
}

/// Producers on many threads, lanes of different widths with little room: nothing is lost, each lane keeps its own limit,
/// and every lane has work.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn producers_at_once_lose_nothing_and_no_lane_is_over_its_limit() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 500;
    for placement in ALL {
        let widths = [1, 2, 3, 5];
        let configs = widths.map(|slots| {
            let config = wide(slots).capacity(4);
            config.retry(RetryPolicy::none())
        });
        let lanes = lanes(placement, configs);
        let running: Arc<[AtomicUsize; 4]> = Arc::default();
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                let (lanes, running) = (lanes.clone(), Arc::clone(&running));
                tokio::spawn(async move {
                    let mut handles = Vec::new();
                    for number in 0..EACH {
                        let operation = |lane: &Lane| {
                            let index: usize = lane.name().parse().unwrap();
                            let running = Arc::clone(&running);
                            lane.queue().future(async move {
                                let count = running[index].fetch_add(1, Ordering::SeqCst);
                                assert!(count < widths[index]);
                                tokio::task::yield_now().await;
                                running[index].fetch_sub(1, Ordering::SeqCst);
                                Ok::<_, Infallible>(producer * EACH + number)
                            })
                        };
                        let handle = if number % 2 == 0 {
                            let place = lanes.place().await.unwrap();
                            let operation = operation(place.lane());
                            place.submit(operation).await.unwrap()
                        } else {
                            lanes.submit(operation).unwrap().await.unwrap()
                        };
                        handles.push(handle);
                    }
                    for (number, handle) in handles.into_iter().enumerate() {
                        assert_eq!(handle.await, Ok(producer * EACH + number));
                    }
                })
            })
            .collect();
        for producer in producers {
            producer.await.unwrap();
        }
        let status = lanes.status();
        assert_eq!(status.total().completed, (PRODUCERS * EACH) as u64);
        assert!(status.lanes.iter().all(|lane| lane.queue.completed > 100));
        lanes.drain().await;
    }
}
