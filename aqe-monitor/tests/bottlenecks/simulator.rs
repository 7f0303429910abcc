//! A queue whose bottleneck is known because it was built: slots, and inside them processors, a disk, a pool of
//! connections and a lock that nobody measures, each with so many servers and one line.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use aqe_monitor::bottlenecks::{CpuFacts, DiskFacts, Facts, LoadPoint, NetworkFacts, QueueFacts};

pub(crate) const CPU: usize = 0;
pub(crate) const DISK: usize = 1;
pub(crate) const POOL: usize = 2;
pub(crate) const LOCK: usize = 3;

/// How much times differ from their mean.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chance {
    Fixed,
    /// The sum of four exponential times: deviation half of the mean.
    Erlang,
    Exponential,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) chance: Chance,
    /// Operations per second that arrive, by chance.
    pub(crate) arrivals: f64,
    pub(crate) slots: u32,
    /// Seconds of an operation that hold nothing but its slot, mean.
    pub(crate) sleep: f64,
    pub(crate) servers: [u32; 4],
    /// Seconds of an operation at each of them, mean.
    pub(crate) demands: [f64; 4],
}

/// What was measured after the world has warmed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    seconds: f64,
    arrivals: u64,
    pub(crate) completions: u64,
    service: f64,
    alone: f64,
    waited: f64,
    pub(crate) running: f64,
    pending: f64,
    busy: [f64; 4],
    waiting: [f64; 4],
}

impl World {
    pub(crate) fn alone(&self) -> f64 {
        self.sleep + self.demands.iter().sum::<f64>()
    }

    /// Operations per second that a station allows.
    pub(crate) fn capacity(&self, station: usize) -> f64 {
        f64::from(self.servers[station]) / self.demands[station]
    }

    /// Lets the world run until about so many operations have arrived, and as many again that are measured.
    pub(crate) fn run(&self, operations: u32) -> Measured {
        Simulation::new(self).run(f64::from(operations) / self.arrivals)
    }

    pub(crate) fn throughput(&self, operations: u32) -> f64 {
        let measured = self.run(operations);
        measured.completions as f64 / measured.seconds
    }

    pub(crate) fn facts(&self, operations: u32) -> Facts {
        let seen = self.run(operations);
        let per_operation = |station: usize| self.demands[station];
        let mut facts = Facts::over(seen.seconds);
        facts.cpu = Some(CpuFacts {
            cores: f64::from(self.servers[CPU]),
            busy: seen.busy[CPU],
            waiting: seen.waiting[CPU],
            operation_seconds: per_operation(CPU),
        });
        facts.disk = Some(DiskFacts {
            channels: f64::from(self.servers[DISK]),
            busy: seen.busy[DISK],
            waiting: seen.waiting[DISK],
            operation_seconds: per_operation(DISK),
            errors: 0,
        });
        facts.network = Some(NetworkFacts {
            connections: f64::from(self.servers[POOL]),
            busy: seen.busy[POOL],
            waiting: seen.waiting[POOL],
            operation_seconds: per_operation(POOL),
            requests: seen.completions,
            errors: 0,
        });
        let ended = seen.completions.max(1) as f64;
        let mut queue = QueueFacts::new(self.slots);
        (queue.arrivals, queue.completions) = (seen.arrivals, seen.completions);
        (queue.service_seconds, queue.alone_seconds) = (seen.service / ended, seen.alone / ended);
        (queue.running, queue.pending, queue.wait_seconds) =
            (seen.running, seen.pending, seen.waited / ended);
        facts.queue = Some(queue);
        facts
    }
}

pub(crate) fn sample(rng: &mut fastrand::Rng, chance: Chance, mean: f64) -> f64 {
    let exponential = |rng: &mut fastrand::Rng| -(1.0 - rng.f64()).ln();
    mean * match chance {
        Chance::Fixed => 1.0,
        Chance::Erlang => (0..4).map(|_| exponential(rng)).sum::<f64>() / 4.0,
        Chance::Exponential => exponential(rng),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    /// Operation, and the stage that is over: 0 is sleep, then the stations.
    Over(usize, usize),
}

struct Operation {
    times: [f64; 5],
    arrived: f64,
    started: f64,
}

struct Simulation<'a> {
    world: &'a World,
    rng: fastrand::Rng,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    operations: Vec<Operation>,
    line: VecDeque<usize>,
    running: u32,
    busy: [u32; 4],
    lines: [VecDeque<usize>; 4],
    now: f64,
    /// Nothing counts before.
    from: f64,
    seen: Measured,
}

impl<'a> Simulation<'a> {
    fn new(world: &'a World) -> Self {
        Self {
            world,
            rng: fastrand::Rng::with_seed(world.seed),
            events: BinaryHeap::new(),
            operations: Vec::new(),
            line: VecDeque::new(),
            running: 0,
            busy: [0; 4],
            lines: Default::default(),
            now: 0.0,
            from: 0.0,
            seen: Measured::default(),
        }
    }

    fn run(mut self, seconds: f64) -> Measured {
        self.from = seconds;
        self.after(0.0, Event::Arrive);
        while let Some(Reverse((time, event))) = self.events.pop() {
            let time = f64::from_bits(time);
            self.pass(time.min(2.0 * seconds));
            if time > 2.0 * seconds {
                break;
            }
            match event {
                Event::Arrive => self.arrive(),
                Event::Over(operation, stage) => self.over(operation, stage),
            }
        }
        self.seen.seconds = seconds;
        let means = [&mut self.seen.running, &mut self.seen.pending].into_iter();
        means
            .chain(&mut self.seen.busy)
            .chain(&mut self.seen.waiting)
            .for_each(|integral| *integral /= seconds);
        self.seen
    }

    /// Times are not negative, so their bits have their order.
    fn after(&mut self, seconds: f64, event: Event) {
        self.events
            .push(Reverse(((self.now + seconds).to_bits(), event)));
    }

    fn pass(&mut self, time: f64) {
        let step = time - self.now.max(self.from);
        if step > 0.0 {
            self.seen.running += step * f64::from(self.running);
            self.seen.pending += step * self.line.len() as f64;
            for station in 0..4 {
                self.seen.busy[station] += step * f64::from(self.busy[station]);
                self.seen.waiting[station] += step * self.lines[station].len() as f64;
            }
        }
        self.now = time;
    }

    fn arrive(&mut self) {
        let world = self.world;
        // Each operation's times depend on its number alone: worlds that differ in one number see the same operations.
        let number = (self.operations.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut own = fastrand::Rng::with_seed(world.seed.wrapping_add(number));
        let [cpu, disk, pool, lock] = world.demands;
        let times =
            [world.sleep, cpu, disk, pool, lock].map(|mean| sample(&mut own, world.chance, mean));
        self.line.push_back(self.operations.len());
        self.operations.push(Operation {
            times,
            arrived: self.now,
            started: 0.0,
        });
        self.seen.arrivals += u64::from(self.now >= self.from);
        let next = sample(&mut self.rng, Chance::Exponential, 1.0 / world.arrivals);
        self.after(next, Event::Arrive);
        self.start();
    }

    fn start(&mut self) {
        while self.running < self.world.slots {
            let Some(operation) = self.line.pop_front() else {
                return;
            };
            self.running += 1;
            self.operations[operation].started = self.now;
            self.after(
                self.operations[operation].times[0],
                Event::Over(operation, 0),
            );
        }
    }

    fn over(&mut self, operation: usize, stage: usize) {
        if let Some(station) = stage.checked_sub(1) {
            self.busy[station] -= 1;
            if let Some(next) = self.lines[station].pop_front() {
                self.serve(next, station);
            }
        }
        match (stage..4).find(|&station| self.world.demands[station] > 0.0) {
            Some(station) if self.busy[station] < self.world.servers[station] => {
                self.serve(operation, station)
            }
            Some(station) => self.lines[station].push_back(operation),
            None => self.end(operation),
        }
    }

    fn serve(&mut self, operation: usize, station: usize) {
        self.busy[station] += 1;
        self.after(
            self.operations[operation].times[station + 1],
            Event::Over(operation, station + 1),
        );
    }

    fn end(&mut self, operation: usize) {
        self.running -= 1;
        if self.now >= self.from {
            let ended = &self.operations[operation];
            self.seen.completions += 1;
            self.seen.service += self.now - ended.started;
            self.seen.waited += ended.started - ended.arrived;
            self.seen.alone += ended.times.iter().sum::<f64>();
        }
        self.start();
    }
}

/// Operations that slow one another down: with `n` at once each runs at `1 ÷ (1 + serial (n − 1) + crosstalk n (n − 1))`
/// of its speed. All share the slowdown, so virtual time, which runs at that speed, says who ends next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hindered {
    pub(crate) seed: u64,
    pub(crate) chance: Chance,
    pub(crate) serial: f64,
    pub(crate) crosstalk: f64,
    /// Seconds of an operation alone, mean.
    pub(crate) alone: f64,
}

impl Hindered {
    fn slowdown(&self, n: f64) -> f64 {
        1.0 + self.serial * (n - 1.0) + self.crosstalk * n * (n - 1.0)
    }

    /// The number of operations at once with the most throughput, by trying them all on the law of this world.
    pub(crate) fn optimum(&self) -> u32 {
        let throughput = |n: u32| f64::from(n) / self.slowdown(f64::from(n));
        (1..1000)
            .max_by(|&a, &b| throughput(a).total_cmp(&throughput(b)))
            .expect("not empty")
    }

    /// With an endless line before so many slots: operations per second and seconds in the slot.
    pub(crate) fn run(&self, slots: u32, operations: u32) -> (f64, f64) {
        let mut rng = fastrand::Rng::with_seed(self.seed ^ u64::from(slots) << 32);
        let rate = 1.0 / self.slowdown(f64::from(slots));
        let mut ends = BinaryHeap::new();
        let (mut virtual_now, mut ended) = (0.0, 0);
        for _ in 0..slots {
            ends.push(Reverse(sample(&mut rng, self.chance, self.alone).to_bits()));
        }
        while ended < operations {
            let Some(Reverse(end)) = ends.pop() else {
                break;
            };
            virtual_now = f64::from_bits(end);
            ended += 1;
            ends.push(Reverse(
                (virtual_now + sample(&mut rng, self.chance, self.alone)).to_bits(),
            ));
        }
        let seconds = virtual_now / rate;
        let throughput = f64::from(ended) / seconds;
        (throughput, f64::from(slots) / throughput)
    }

    pub(crate) fn facts(&self, slots: u32, tried: &[u32], operations: u32) -> Facts {
        let (throughput, service) = self.run(slots, operations);
        let seconds = f64::from(operations) / throughput;
        let mut queue = QueueFacts::new(slots);
        (queue.completions, queue.arrivals) = (u64::from(operations), u64::from(operations * 2));
        (queue.service_seconds, queue.alone_seconds) = (service, self.alone);
        (queue.running, queue.pending) = (f64::from(slots), f64::from(operations) / 2.0);
        queue.wait_seconds = seconds / 4.0;
        queue.points = (tried.iter())
            .map(|&n| LoadPoint {
                concurrency: f64::from(n),
                throughput: self.run(n, operations).0,
            })
            .collect();
        Facts {
            queue: Some(queue),
            ..Facts::over(seconds)
        }
    }
}
