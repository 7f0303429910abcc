//! Processors and the disk: so many at once, and a queue before them.

use super::super::draft::{Draft, Expected};
use super::super::facts::QueueFacts;
use super::super::finding::{Resource, Severity};
use super::{Outcome, SHARE, Window, short};

/// What operations are served by, and how much of it there is.
pub(super) struct Station {
    resource: Resource,
    /// What it is made of, as people call it.
    parts: &'static str,
    pub(super) capacity: Named,
    busy: Named,
    waiting: Named,
    /// Seconds of it that one operation takes; 0 if unknown.
    pub(super) demand: Named,
    threshold: f64,
}

/// A number and its name in formulas.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
}

fn named(name: &'static str, value: f64, unit: &'static str) -> Named {
    Named { name, value, unit }
}

impl Station {
    pub(super) fn cpu(window: &Window<'_>) -> Option<Self> {
        let cpu = window.facts.cpu.as_ref()?;
        Some(Self {
            resource: Resource::Cpu,
            parts: "processors",
            capacity: named("cores", cpu.cores, "processors"),
            busy: named("cores_busy", cpu.busy, "processors"),
            waiting: named("threads_waiting", cpu.waiting, "threads"),
            demand: named("cpu_seconds", cpu.operation_seconds, "s"),
            threshold: window.limits.cpu,
        })
    }

    pub(super) fn disk(window: &Window<'_>) -> Option<Self> {
        let disk = window.facts.disk.as_ref()?;
        Some(Self {
            resource: Resource::Disk,
            parts: "disk channels",
            capacity: named("channels", disk.channels, "channels"),
            busy: named("channels_busy", disk.busy, "channels"),
            waiting: named("requests_waiting", disk.waiting, "requests"),
            demand: named("disk_seconds", disk.operation_seconds, "s"),
            threshold: window.limits.disk,
        })
    }

    /// Operations at once with which the station is just busy all the time: `capacity × alone ÷ demand`, where the two
    /// bounds of throughput, slots ÷ time alone and capacity ÷ demand, meet.
    pub(super) fn knee(&self, queue: &QueueFacts) -> Option<f64> {
        let known = self.demand.value > 0.0 && queue.alone_seconds >= self.demand.value;
        known.then(|| self.capacity.value * queue.alone_seconds / self.demand.value)
    }

    /// The advised number of slots when this station is the limit. One operation more than fill it: with work that
    /// varies by chance the ratio of throughput to time in the slot (Kleinrock's "power", ICC 1979) is largest there,
    /// and with work that does not it costs one operation's share of waiting.
    pub(super) fn knee_formula(&self) -> String {
        let (capacity, demand) = (self.capacity.name, self.demand.name);
        format!("floor({capacity} * alone_seconds / {demand}) + 1")
    }

    pub(super) fn add_to(&self, draft: &mut Draft) {
        for Named { name, value, unit } in [self.capacity, self.demand] {
            draft.add(name, value, unit);
        }
    }

    pub(super) fn judge(&self, window: &Window<'_>) -> Outcome {
        if self.is_full(window) {
            return Outcome::Found(Box::new(self.finding(window).done()));
        }
        Outcome::well(self.resource, self.share(), self.threshold, SHARE)
    }

    fn share(&self) -> f64 {
        self.busy.value / self.capacity.value
    }

    fn is_full(&self, window: &Window<'_>) -> bool {
        if self.share() >= self.threshold {
            return true;
        }
        // Work that varies by chance leaves a station idle now and then even if it alone sets the pace: when operations
        // wait for slots and the slots are enough to fill it, it is the limit somewhat below its threshold, too.
        let enough = (window.queue())
            .and_then(|queue| Some(self.knee(queue)? <= f64::from(queue.concurrency)))
            .unwrap_or_default();
        window.backlogged() && enough && self.share() >= self.threshold - CHANCE
    }

    fn finding(&self, window: &Window<'_>) -> Draft {
        let swamped = self.waiting.value >= self.capacity.value;
        let severity = if swamped || window.falls_behind() {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let threshold = self.threshold.min(self.share());
        let mut draft =
            Draft::new(self.resource, severity).measured(self.share(), threshold, SHARE);
        for Named { name, value, unit } in [self.capacity, self.busy, self.waiting] {
            draft.add(name, value, unit);
        }
        draft.because(&format!(
            "{} of {} {} are busy and {} {} wait for them",
            short(self.busy.value),
            short(self.capacity.value),
            self.parts,
            short(self.waiting.value),
            self.waiting.unit,
        ));
        match window.queue() {
            Some(queue) if self.demand.value > 0.0 => self.advise(queue, window, &mut draft),
            _ => draft.because(&format!(
                "how much of them an operation needs was not measured, so there is no advice; fewer demands or more {} help",
                self.parts
            )),
        }
        draft
    }

    fn advise(&self, queue: &QueueFacts, window: &Window<'_>, draft: &mut Draft) {
        let seconds = window.facts.seconds;
        draft.add("window_seconds", seconds, "s");
        draft.add("completions", queue.completions as f64, "operations");
        self.add_to(draft);
        let own = queue.completions as f64 / seconds * self.demand.value;
        if own < self.busy.value * OWN {
            return draft.because(&format!(
                "operations keep {} of them busy (completions / window_seconds * {}), the rest is other work, which no setting of the queue changes",
                short(own),
                self.demand.name,
            ));
        }
        draft.add("arrivals", queue.arrivals as f64, "operations");
        draft.add("target_utilisation", window.limits.target, SHARE);
        let advised = (self.knee(queue)).map(|knee| knee.floor() + 1.0);
        match advised {
            // Only operations that do run at once can be too many.
            Some(advised) if queue.running > advised && f64::from(queue.concurrency) > advised => {
                self.fewer(queue, draft)
            }
            _ => self.more_capacity(draft),
        }
    }

    /// More operations than fill the station only wait for it inside their slots.
    fn fewer(&self, queue: &QueueFacts, draft: &mut Draft) {
        draft.add("alone_seconds", queue.alone_seconds, "s");
        draft.add("running", queue.running, "operations");
        let concurrency = queue.concurrency.to_string();
        let Some(advised) = draft.set(
            "queue.maxConcurrent",
            &concurrency,
            &self.knee_formula(),
            "",
        ) else {
            return;
        };
        draft.because(&format!(
            "{} operations run at once and {advised} keep them as busy: the others hold slots and memory while they wait",
            short(queue.running),
        ));
        // Little's law with the throughput that the station allows.
        let formula = format!("advised * {} / {}", self.demand.name, self.capacity.name);
        draft.predict(Expected {
            metric: "seconds that an operation holds its slot",
            unit: "s",
            formula: &formula,
            tolerance: 0.2,
            less_is_better: true,
        });
    }

    /// The slots are not too many: what is left is more of the station, or operations that need less of it.
    fn more_capacity(&self, draft: &mut Draft) {
        let demand = self.demand.name;
        let formula = format!("ceil(arrivals / window_seconds * {demand} / target_utilisation)");
        if let Some(needed) = draft.needs(&formula) {
            draft.because(&format!(
                "no setting makes more of them: the load needs {needed}, or operations that take less than {} s of them",
                short(self.demand.value),
            ));
        }
    }
}

/// How far below its threshold a station that sets the pace may be.
const CHANCE: f64 = 0.15;
/// Below this share of what is busy, operations are not what keeps it busy.
const OWN: f64 = 0.5;
