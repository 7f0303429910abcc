//! A simulation of queues of all kinds under everything that can happen to them.
//!
//! Each *episode* makes a queue of some kind and uses it at random: operations that succeed, fail, panic at any moment,
//! wait, never end; cancelled by handle, by number and by drop; retried, timed out, overdue; of all levels and
//! of shared keys; while the queue is paused, resized, cleared and re-ordered, and at last drained, shut down, let go
//! or abandoned. Nothing may be lost, doubled or over the limit: bodies check the limits when they begin, each handle
//! must say once what the body has done, and the counters must add up to it.
//!
//! With one thread and paused time an episode is a function of its seed. With several threads it is not, and the
//! checks are the same as far as they can be. `AQE_SIMULATE_OPERATIONS` and `AQE_SIMULATE_SEED` change how much is
//! simulated and from where; `cargo xtask ci simulate` plays ten million operations.

mod audit;
mod body;
mod client;
mod plan;
mod verdict;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aqe_queue::dead_letters::DeadLetterBox;
use aqe_queue::{
    AsyncOperationQueue, DrainReport, MemoryThreshold, Priority, QueueBuilder, QueueObserver,
    QueueStatus, Scheduling,
};
use fastrand::Rng;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use self::audit::Auditor;
use self::client::Client;
use self::plan::{Finish, Plan};
use self::verdict::Ends;
use self::world::{Did, LEVELS, World};

/// How many operations are simulated unless the environment says otherwise: a share that takes about a second.
const OPERATIONS: u64 = 200_000;

fn from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => otherwise,
        Ok(text) => match text.parse() {
            Ok(number) => number,
            Err(_) => panic!("{name} is `{text}`; it must be a number"),
        },
    }
}

/// Keeps the panics that are part of the game out of the output.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let message = info.payload_as_str().unwrap_or_default();
            if !message.starts_with(body::ON_PURPOSE) {
                others(info);
            }
        }));
    });
}

/// Plays episodes until so many operations have been accepted.
fn simulate(kind: &str, operations: u64, episode: impl Fn(u64) -> Result<Played, String>) {
    hush();
    let seed = from_environment("AQE_SIMULATE_SEED", 1);
    let (mut played, mut ends, mut episodes) = (0, Ends::default(), 0);
    while played < operations {
        let number = seed.wrapping_add(episodes);
        match episode(number) {
            Ok(one) => {
                played += one.operations;
                ends.add(&one.ends);
            }
            Err(why) => panic!(
                "seed {number}, {kind}; repeat with AQE_SIMULATE_SEED={number} AQE_SIMULATE_OPERATIONS=1\n  {why}"
            ),
        }
        episodes += 1;
    }
    println!("{kind}: {played} operations in {episodes} queues, from seed {seed}: {ends:?}");
    // A simulation in which nothing goes wrong shows nothing.
    if operations >= OPERATIONS {
        assert!(ends.as_array().iter().all(|count| *count > 0), "{ends:?}");
    }
}

#[derive(Debug, PartialEq)]
struct Played {
    operations: u64,
    ends: Ends,
    trace: u64,
}

#[test]
fn nothing_is_lost_doubled_or_over_the_limit() {
    let operations = from_environment("AQE_SIMULATE_OPERATIONS", OPERATIONS);
    simulate("one thread", operations, exact);
}

#[test]
fn nothing_is_lost_doubled_or_over_the_limit_on_many_threads() {
    let operations = from_environment("AQE_SIMULATE_OPERATIONS", OPERATIONS) / 5;
    simulate("many threads", operations.max(1), concurrent);
}

#[test]
fn an_episode_is_a_function_of_its_seed() {
    hush();
    for seed in 1..=5 {
        assert_eq!(exact(seed), exact(seed), "seed {seed}");
    }
}

/// One thread, paused time.
fn exact(seed: u64) -> Result<Played, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime can be built");
    let mut chance = Rng::with_seed(seed);
    let operations = chance.usize(1_000..10_000);
    let plan = Plan::new(&mut chance, true, operations);
    runtime.block_on(episode(plan, chance, 1, 1))
}

/// Some threads, and time that passes.
fn concurrent(seed: u64) -> Result<Played, String> {
    let mut chance = Rng::with_seed(seed);
    let (workers, clients) = (chance.usize(1..4), chance.usize(1..5));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(chance.usize(2..5))
        .enable_time()
        .build()
        .expect("a runtime can be built");
    let plan = Plan::new(&mut chance, false, 500);
    runtime.block_on(episode(plan, chance, workers, clients))
}

async fn episode(
    plan: Plan,
    mut chance: Rng,
    workers: usize,
    clients: usize,
) -> Result<Played, String> {
    let plan = Arc::new(plan);
    let world = World::new(
        workers == 1
            && clients == 1
            && tokio::runtime::Handle::current().metrics().num_workers() == 1,
        plan.config.max_concurrent,
        reserved(&plan),
        plan.config.keys,
    );
    let auditor = plan.is_observed.then(|| Arc::new(Auditor::default()));
    let builder = build(&plan, auditor.as_ref(), &mut chance).workers(workers);
    let (queue, tasks) = builder.pair().map_err(|error| error.to_string())?;
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    *world.queue.lock() = Some(queue.clone());

    let mut users = Vec::new();
    for _ in 0..clients {
        let (world, queue, plan) = (Arc::clone(&world), queue.clone(), Arc::clone(&plan));
        let seed = chance.u64(..);
        users.push(tokio::spawn(async move {
            let mut client = Client::new(&world, &queue, &plan, seed);
            client.run(plan.operations).await;
            client
        }));
    }
    let mut clients = Vec::new();
    for user in users {
        clients.push(user.await.map_err(|error| error.to_string())?);
    }
    let status = finish(&plan, &world, queue, &mut clients, tasks).await;
    verify(&plan, &world, &clients, &status, auditor.as_deref());
    let faults = [world.faults(), auditor.as_ref().and_then(|it| it.faults())];
    if let [None, None] = faults {
        let trace = clients
            .iter()
            .fold(0, |trace: u64, it| trace.wrapping_mul(31) ^ it.trace);
        return Ok(Played {
            operations: status.submitted,
            ends: Ends::of(&status),
            trace,
        });
    }
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    Err(format!("{}\n  {status:?}\n  {plan:?}", faults.join("\n  ")))
}

/// How many slots are kept for each level and more urgent ones; of a simulation that knows each operation's level.
fn reserved(plan: &Plan) -> Option<[usize; LEVELS]> {
    let mut slots = [0; LEVELS];
    for (priority, count) in &plan.config.reserved {
        if let Priority::Level(level) = priority {
            slots[usize::from(*level)] += count;
        }
    }
    (slots != [0; LEVELS]).then_some(slots)
}

fn build(plan: &Plan, auditor: Option<&Arc<Auditor>>, chance: &mut Rng) -> QueueBuilder {
    let mut builder = AsyncOperationQueue::builder(plan.config.clone());
    if let Some(auditor) = auditor {
        builder = builder.observer(Arc::clone(auditor) as Arc<dyn QueueObserver>);
    }
    if plan.keeps_dead_letters {
        builder = builder.dead_letters(Arc::new(DeadLetterBox::new(10)));
    }
    if plan.limits_memory {
        let chance = Mutex::new(Rng::with_seed(chance.u64(..)));
        let threshold = MemoryThreshold::new(90).every(Duration::from_millis(3));
        builder = builder.memory_threshold(threshold, move || Some(chance.lock().u64(0..100)));
    }
    builder
}

/// Brings a queue to its end, hears every handle, and returns its last status.
async fn finish(
    plan: &Plan,
    world: &World,
    queue: AsyncOperationQueue,
    clients: &mut [Client],
    tasks: Vec<JoinHandle<()>>,
) -> QueueStatus {
    let mut watch = queue.watch(Duration::from_millis(1));
    *world.queue.lock() = None;
    let cuts = !matches!(plan.finish, Finish::Drain);
    world.is_closing.store(cuts, Ordering::SeqCst);
    for client in clients.iter_mut() {
        client.wait_for_all();
    }
    let end = async {
        let report = match plan.finish {
            Finish::Drain => queue.drain().await,
            Finish::DrainWithin(grace) => queue.drain_within(grace).await,
            Finish::Shutdown(grace) => queue.shutdown(grace).await,
            Finish::LetGo => {
                drop(queue);
                DrainReport::default()
            }
            Finish::Abandon => {
                for task in tasks {
                    task.abort();
                    // An error only says that it was aborted.
                    let _ = task.await;
                }
                queue.drain().await
            }
        };
        let mut last = None;
        while let Some(status) = watch.next().await {
            last = Some(status);
        }
        (report, last)
    };
    if matches!(plan.finish, Finish::LetGo) {
        clients.iter_mut().for_each(Client::release);
    }
    let mut end = std::pin::pin!(end);
    let (mut ended, mut rounds) = (None, 0u32);
    loop {
        for client in clients.iter_mut() {
            // An operation may have paused the queue after it began to drain.
            if let Some(queue) = &client.queue {
                queue.resume();
            }
            client.harvest();
            // What was accepted just before the end, and is held.
            client.wait_for_all();
        }
        world.wake_all();
        let outstanding: usize = clients.iter().map(Client::outstanding).sum();
        if ended.is_some() && outstanding == 0 {
            break;
        }
        rounds += 1;
        // A minute of simulated time; or else so many turns that only a queue that hangs needs them.
        let (most, pause) = if world.is_exact {
            (
                60_000,
                tokio::time::sleep(Duration::from_millis(1)).left_future(),
            )
        } else {
            (50_000_000, tokio::task::yield_now().right_future())
        };
        if rounds > most {
            world.fault(format_args!("{outstanding} have never heard of an end"));
            break;
        }
        tokio::select! {
            biased;
            reached = &mut end, if ended.is_none() => ended = Some(reached),
            () = pause => {}
        }
    }
    let Some((report, Some(status))) = ended else {
        world.fault("the queue has not come to its end");
        return clients[0].queue.as_ref().map_or_else(
            || {
                panic!(
                    "a queue that nobody has did not come to its end: {:?}",
                    world.faults()
                )
            },
            AsyncOperationQueue::status,
        );
    };
    check_report(world, &report, &status);
    status
}

fn check_report(world: &World, report: &DrainReport, status: &QueueStatus) {
    let mut cut = report.cut.clone();
    cut.sort_unstable();
    cut.dedup();
    if cut.len() != report.cut.len() || cut.len() as u64 > status.cancelled {
        world.fault(format_args!("{report:?} and {status:?}"));
    }
}

/// Compares what everybody knows once all is over.
fn verify(
    plan: &Plan,
    world: &World,
    clients: &[Client],
    status: &QueueStatus,
    auditor: Option<&Auditor>,
) {
    let (mut heard, mut accepted, mut streamed, mut loose, mut succeeded) =
        (Ends::default(), 0, 0, 0, 0);
    for client in clients {
        heard.add(&client.ends);
        accepted += client.accepted as u64;
        streamed += client.streamed as u64;
        loose += client.loose.len();
        let done = |did| move |record: &&Arc<world::Record>| record.did() == did;
        succeeded += client.loose.iter().filter(done(Did::Succeeded)).count() as u64;
    }
    let ends = Ends::of(status);
    let in_queue = status.pending + status.running + status.waiting_for_retry;
    let each = ends.as_array().into_iter().zip(heard.as_array());
    let checks = [
        (
            "something is left in it",
            in_queue == 0 && status.bytes == 0,
        ),
        ("the counters do not add up", ends.sum() == status.submitted),
        (
            "it counts other operations than were accepted",
            (accepted..=accepted + streamed).contains(&status.submitted),
        ),
        (
            "not everything that succeeded is counted",
            status.completed == heard.completed + succeeded,
        ),
        (
            "handles heard of ends that are not counted",
            each.clone().all(|(counted, heard)| counted >= heard),
        ),
        (
            "ends are counted that nobody heard of",
            loose > 0 || each.clone().all(|(counted, heard)| counted == heard),
        ),
        ("bodies are left", world.bodies() == 0 && world.alive() == 0),
        (
            "more was shed than asked for",
            status.shed == 0 || plan.config.scheduling != Scheduling::Fifo,
        ),
    ];
    for (why, holds) in checks {
        if !holds {
            world.fault(format_args!(
                "{why}: accepted {accepted}, streamed {streamed}, heard {heard:?}, loose {loose} ({succeeded}), \
                 bodies {}, alive {}",
                world.bodies(),
                world.alive()
            ));
        }
    }
    if let Some(auditor) = auditor {
        compare_with_the_observer(world, clients, status, auditor);
    }
}

fn compare_with_the_observer(
    world: &World,
    clients: &[Client],
    status: &QueueStatus,
    auditor: &Auditor,
) {
    let (mut told, announced) = auditor.ends();
    if told.sum() != announced || auditor.drained() != 1 {
        world.fault(format_args!(
            "{announced} were announced, {} ended, {} times drained",
            told.sum(),
            auditor.drained()
        ));
    }
    // One that was announced and then refused has its end told as well, as cancelled.
    told.cancelled -= announced - status.submitted;
    if told != Ends::of(status) {
        world.fault(format_args!("the observer was told of {told:?}"));
    }
    for (id, how) in clients.iter().flat_map(|client| &client.heard) {
        if auditor.end_of(*id) != Some(*how) {
            world.fault(format_args!(
                "operation {id} ended as {how:?}, and the observer was told {:?}",
                auditor.end_of(*id)
            ));
        }
    }
}
