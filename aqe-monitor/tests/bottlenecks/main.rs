//! Known answers: worlds whose bottleneck and best setting are found by changing them, not by the rules under test.

mod simulator;

use aqe_monitor::bottlenecks::{Facts, Finding, Resource, Verdict, analyze, check};
use fastrand::Rng;

use simulator::{CPU, Chance, DISK, Hindered, LOCK, POOL, World};

/// Operations in a window: enough for means to a few per cent, as in some minutes of a busy queue.
const OPERATIONS: u32 = 1500;

fn chance(rng: &mut Rng) -> Chance {
    *rng.choice(&[Chance::Fixed, Chance::Erlang, Chance::Exponential])
        .expect("not empty")
}

fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    low + rng.f64() * (high - low)
}

/// A world in which nothing is short: stations are busy for at most seven tenths of the time.
fn roomy(rng: &mut Rng) -> World {
    let mut world = World {
        seed: rng.u64(..),
        chance: chance(rng),
        arrivals: between(rng, 5.0, 50.0),
        slots: 0,
        sleep: 0.0,
        servers: [rng.u32(1..=8), rng.u32(1..=4), rng.u32(4..=16), 1],
        demands: [0.0; 4],
    };
    for station in [CPU, DISK, POOL] {
        let busy = between(rng, 0.05, 0.7);
        world.demands[station] = busy * f64::from(world.servers[station]) / world.arrivals;
    }
    world.sleep = world.demands.iter().sum::<f64>() * between(rng, 0.1, 2.0);
    world.slots = (world.arrivals * world.alone() / 0.5).ceil() as u32 + 2;
    world
}

/// A world short of one thing by a factor, and so busy that the others follow its pace.
fn short_of(resource: Resource, rng: &mut Rng) -> World {
    let mut world = roomy(rng);
    let load = between(rng, 1.1, 2.0);
    let mut enough = between(rng, 1.3, 4.0);
    let station = match resource {
        Resource::Cpu => CPU,
        Resource::Disk => DISK,
        Resource::Network => POOL,
        Resource::Contention => LOCK,
        _ => {
            world.slots = ((world.arrivals * world.alone() / load) as u32).max(1);
            return world;
        }
    };
    if resource == Resource::Contention {
        enough += 0.7;
    }
    world.demands[station] = load * f64::from(world.servers[station]) / world.arrivals;
    world.slots = (world.capacity(station) * world.alone() * enough).ceil() as u32;
    world
}

/// What is short, by experiment: twice as much of it, and of nothing else, lets more operations end. `None` if the
/// answer is not clear.
fn short_by_experiment(world: &World) -> Option<Resource> {
    let base = world.throughput(OPERATIONS);
    let station = |index: usize| {
        let mut changed = *world;
        changed.servers[index] *= 2;
        changed
    };
    let trials = [
        (
            Resource::Queue,
            World {
                slots: world.slots * 2,
                ..*world
            },
        ),
        (Resource::Cpu, station(CPU)),
        (Resource::Disk, station(DISK)),
        (Resource::Network, station(POOL)),
        (Resource::Contention, station(LOCK)),
    ];
    let mut gains: Vec<(f64, Resource)> = trials
        .iter()
        .map(|(resource, world)| (world.throughput(OPERATIONS) / base, *resource))
        .collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0));
    (gains[0].0 > 1.1 && gains[1].0 < 1.03).then_some(gains[0].1)
}

fn first(facts: &Facts) -> Option<Finding> {
    analyze(facts)
        .expect("valid facts")
        .findings
        .into_iter()
        .next()
}

#[test]
fn the_resource_that_is_short_is_named() {
    let mut rng = Rng::with_seed(1);
    let kinds = [
        Resource::Cpu,
        Resource::Disk,
        Resource::Network,
        Resource::Queue,
        Resource::Contention,
    ];
    let mut wrong = Vec::new();
    let mut clear = 0;
    for resource in kinds.into_iter().cycle().take(100) {
        let world = short_of(resource, &mut rng);
        let Some(answer) = short_by_experiment(&world) else {
            continue;
        };
        clear += 1;
        let named = first(&world.facts(OPERATIONS)).map(|finding| finding.resource);
        if named != Some(answer) {
            wrong.push((answer, named, world));
        }
    }
    assert!(clear >= 80, "{clear}");
    assert!(
        wrong.len() * 20 <= clear,
        "{} of {clear} wrong: {wrong:#?}",
        wrong.len()
    );
}

/// Most slots that are tried for the best of them.
const MOST: u32 = 30;

/// Whether an advised number of slots is within one of the best, by kind of world.
#[derive(Default)]
struct Score {
    hits: u32,
    all: u32,
    misses: Vec<String>,
}

impl Score {
    fn add(&mut self, finding: Option<&Finding>, best: u32, world: &dyn std::fmt::Debug) {
        let advised = finding.and_then(slots);
        let hit = advised.is_some_and(|advised| advised.abs_diff(best) <= 1);
        self.all += 1;
        self.hits += u32::from(hit);
        if !hit {
            self.misses
                .push(format!("advised {advised:?}, best {best}: {world:?}"));
        }
    }

    fn assert(&self) {
        assert!(
            self.hits * 10 >= self.all * 9,
            "{} of {}: {:#?}",
            self.hits,
            self.all,
            self.misses
        );
    }
}

/// The advised number of slots.
fn slots(finding: &Finding) -> Option<u32> {
    let change = finding
        .change
        .as_ref()
        .filter(|change| change.setting == "queue.maxConcurrent")?;
    change.to.parse().ok()
}

/// The least number of slots that are in use for at most four fifths of the time, by trying.
fn least_slots(world: &World) -> u32 {
    let enough = |&slots: &u32| {
        World { slots, ..*world }.run(4 * OPERATIONS).running <= 0.8 * f64::from(slots)
    };
    (1..200).find(enough).expect("some number is enough")
}

/// The number of slots with the most throughput for the time in the slot, by trying, before an endless line.
fn most_power(world: &World) -> u32 {
    let power = |slots: u32| {
        let throughput = World {
            slots,
            arrivals: world.arrivals * 2.0,
            ..*world
        }
        .throughput(2 * OPERATIONS);
        throughput * throughput / f64::from(slots)
    };
    let tried = (1..=MOST).map(|slots| (power(slots), slots));
    tried
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("not empty")
        .1
}

/// Whether a station is not by far the tightest, so that no single one is the limit.
fn crowded(world: &World, station: usize) -> bool {
    [CPU, DISK, POOL]
        .iter()
        .any(|&other| other != station && world.capacity(other) < 2.0 * world.capacity(station))
}

#[test]
fn too_few_slots_become_as_many_as_the_load_needs() {
    let (mut rng, mut score) = (Rng::with_seed(2), Score::default());
    for _ in 0..40 {
        let world = short_of(Resource::Queue, &mut rng);
        let finding = first(&world.facts(2 * OPERATIONS));
        score.add(finding.as_ref(), least_slots(&world), &world);
    }
    score.assert();
}

#[test]
fn too_many_slots_become_as_many_as_fill_the_processors() {
    let (mut rng, mut score) = (Rng::with_seed(3), Score::default());
    while score.all < 20 {
        let mut world = short_of(Resource::Cpu, &mut rng);
        world.slots = MOST;
        // One limit, and few operations at once: the best of a hundred is as good as its neighbours.
        if world.capacity(CPU) * world.alone() > 20.0 || crowded(&world, CPU) {
            continue;
        }
        score.add(
            first(&world.facts(OPERATIONS)).as_ref(),
            most_power(&world),
            &world,
        );
    }
    score.assert();
}

#[test]
fn too_few_slots_become_no_more_than_what_is_short_next_can_serve() {
    let (mut rng, mut score) = (Rng::with_seed(5), Score::default());
    while score.all < 20 {
        let mut world = short_of(Resource::Cpu, &mut rng);
        let knee = world.capacity(CPU) * world.alone();
        if !(4.0..20.0).contains(&knee) || crowded(&world, CPU) {
            continue;
        }
        // The load is more than the processors can do, but as yet the slots keep it from them.
        world.slots = (knee * between(&mut rng, 0.3, 0.6)) as u32;
        let finding = first(&world.facts(OPERATIONS));
        assert_eq!(
            finding.as_ref().map(|finding| finding.resource),
            Some(Resource::Queue),
            "{world:?}"
        );
        score.add(finding.as_ref(), most_power(&world), &world);
    }
    score.assert();
}

#[test]
fn operations_that_hinder_one_another_become_as_many_as_do_the_most() {
    let (mut rng, mut score) = (Rng::with_seed(4), Score::default());
    while score.all < 60 {
        let world = Hindered {
            seed: rng.u64(..),
            chance: chance(&mut rng),
            serial: between(&mut rng, 0.0, 0.1),
            crosstalk: between(&mut rng, 0.002, 0.05),
            alone: between(&mut rng, 0.1, 1.0),
        };
        let best = world.optimum();
        let facts = world.facts(
            best * 2 + 1,
            &[1, 2, best.max(3), best + 3, best * 2 + 1, best * 3 + 2],
            OPERATIONS,
        );
        let finding = first(&facts);
        assert_eq!(
            finding.as_ref().map(|finding| finding.resource),
            Some(Resource::Contention)
        );
        score.add(finding.as_ref(), best, &world);
    }
    score.assert();
}

#[test]
fn predictions_come_true_and_only_for_the_change_that_was_advised() {
    let (mut rng, mut came_true, mut missed, mut all) = (Rng::with_seed(6), 0, 0, 0);
    for resource in [Resource::Cpu, Resource::Queue, Resource::Network]
        .into_iter()
        .cycle()
        .take(60)
    {
        let world = short_of(resource, &mut rng);
        let Some(finding) = first(&world.facts(2 * OPERATIONS)) else {
            panic!("{world:?}")
        };
        let Some(change) = &finding.change else {
            continue;
        };
        let mut changed = world;
        let to = change.to.parse().expect("a number");
        match change.setting.as_str() {
            "queue.maxConcurrent" => changed.slots = to,
            "execution.connectionPool" => changed.servers[POOL] = to,
            other => panic!("{other}"),
        }
        all += 1;
        let metric = finding
            .predicted
            .as_ref()
            .expect("a prediction")
            .metric
            .clone();
        let verdict = |world: World| check(&finding, measured(&world, &metric));
        came_true += u32::from(matches!(
            verdict(changed),
            Verdict::CameTrue | Verdict::Better { .. }
        ));
        missed += u32::from(matches!(
            verdict(World {
                seed: !world.seed,
                ..world
            }),
            Verdict::Missed { .. }
        ));
    }
    assert!(all >= 50, "{all}");
    assert!(came_true * 10 >= all * 9, "{came_true} of {all}");
    assert!(missed * 10 >= all * 9, "{missed} of {all}");
}

fn measured(world: &World, metric: &str) -> f64 {
    let facts = world.facts(2 * OPERATIONS);
    let (queue, network) = (
        facts.queue.expect("measured"),
        facts.network.expect("measured"),
    );
    match metric {
        "seconds that an operation holds its slot" => queue.service_seconds,
        "share of the slots in use" => queue.running / f64::from(queue.concurrency),
        "share of the connections in use" => network.busy / network.connections,
        "operations per second" => queue.completions as f64 / facts.seconds,
        other => panic!("{other}"),
    }
}

#[test]
fn every_number_follows_from_the_inputs() {
    let mut rng = Rng::with_seed(7);
    let mut advised = 0;
    for resource in [
        Resource::Cpu,
        Resource::Disk,
        Resource::Network,
        Resource::Queue,
    ]
    .into_iter()
    .cycle()
    .take(40)
    {
        let world = short_of(resource, &mut rng);
        for finding in analyze(&world.facts(OPERATIONS))
            .expect("valid facts")
            .findings
        {
            if let Some(change) = &finding.change {
                assert_eq!(
                    finding.recompute().map(|value| value.to_string()),
                    Ok(change.to.clone()),
                    "{finding}"
                );
                advised += 1;
            }
            if let Some(predicted) = &finding.predicted {
                assert_eq!(
                    finding.recompute_prediction(),
                    Ok(predicted.value),
                    "{finding}"
                );
            }
        }
    }
    assert!(advised >= 20, "{advised}");
}

#[test]
fn a_window_that_says_too_little_gives_no_advice() {
    let mut rng = Rng::with_seed(8);
    for _ in 0..10 {
        let world = short_of(Resource::Queue, &mut rng);
        let analysis = analyze(&world.facts(60)).expect("valid facts");
        assert!(analysis.findings.is_empty(), "{:?}", analysis.findings);
        let queue = analysis
            .insufficient
            .iter()
            .find(|entry| entry.resource == Resource::Queue);
        assert!(
            queue.is_some_and(|entry| entry.reason.contains("needed")),
            "{analysis:?}"
        );
    }
}

#[test]
fn worlds_in_which_nothing_is_short_are_well() {
    let mut rng = Rng::with_seed(9);
    for _ in 0..20 {
        let world = roomy(&mut rng);
        let analysis = analyze(&world.facts(OPERATIONS)).expect("valid facts");
        assert!(
            analysis.findings.is_empty(),
            "{world:?} {:?}",
            analysis.findings
        );
        assert!(analysis.healthy.len() >= 4, "{analysis:?}");
    }
}
