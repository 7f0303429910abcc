//! The queue: too few slots, slots that hinder one another, or a backlog that has another cause.

use super::super::draft::{Draft, Expected};
use super::super::facts::QueueFacts;
use super::super::finding::{Analysis, Finding, Resource, Severity};
use super::super::usl::{FitError, Usl};
use super::station::Station;
use super::{FAILED, Outcome, SHARE, Window, short};

/// `full` is the fullest of what operations use inside their slots, if any is.
pub(super) fn judge(
    window: &Window<'_>,
    stations: &[Option<Station>],
    full: Option<Resource>,
    analysis: &mut Analysis,
) {
    let Some(facts) = &window.facts.queue else {
        return;
    };
    let Some(queue) = window.queue() else {
        let reason = format!(
            "{} operations ended in the window; {} are needed",
            facts.completions, window.limits.operations
        );
        return Outcome::unknown(Resource::Queue, reason).file(analysis);
    };
    failures(queue, window, analysis);
    let backlog = Backlog { queue, window };
    if !window.backlogged() && !backlog.hinders_itself(full) {
        let allowed = window.allowed_pending(queue);
        return Outcome::well(Resource::Queue, queue.pending, allowed, OPERATIONS).file(analysis);
    }
    Outcome::Found(Box::new(backlog.finding(stations, full))).file(analysis);
}

struct Backlog<'a> {
    queue: &'a QueueFacts,
    window: &'a Window<'a>,
}

impl Backlog<'_> {
    fn finding(&self, stations: &[Option<Station>], full: Option<Resource>) -> Finding {
        let queue = self.queue;
        if let Some(full) = full {
            let mut draft = self.draft(Resource::Queue);
            draft.because(&format!(
                "the {full} is full: more slots would only move the line there"
            ));
            return draft.done();
        }
        if queue.running < f64::from(queue.concurrency) * IDLE {
            let mut draft = self.draft(Resource::Queue);
            draft.because(&format!(
                "{} of {} slots are in use: something else holds operations back, such as a limit per key or a pause",
                short(queue.running),
                queue.concurrency,
            ));
            return draft.done();
        }
        match Usl::fit(&queue.points) {
            Ok(law) => self.by_law(&law, stations),
            Err(problem) => self.without_law(&problem, stations),
        }
    }

    /// Running more than the peak of the law makes less of them, whether operations wait or not.
    fn hinders_itself(&self, full: Option<Resource>) -> bool {
        let law = Usl::fit(&self.queue.points).ok();
        let peak = law.and_then(|law| law.peak());
        full.is_none() && peak.is_some_and(|peak| self.queue.running > peak.round() + 1.0)
    }

    fn by_law(&self, law: &Usl, stations: &[Option<Station>]) -> Finding {
        let queue = self.queue;
        let concurrency = f64::from(queue.concurrency);
        // A law says little about twice what was tried.
        let trusted = law.peak().filter(|&peak| peak <= law.largest * BEYOND);
        if let Some(peak) = trusted.filter(|peak| peak.round() < concurrency) {
            return self.fewer(law, peak);
        }
        let most = trusted.map_or(law.rate / law.serial, |peak| law.throughput(peak));
        if most < law.throughput(concurrency) * WORTHWHILE {
            return self.levelled_off(law, trusted.is_some());
        }
        let mut draft = self.draft(Resource::Queue);
        let mut caps = self.caps(stations, &mut draft);
        if trusted.is_some() {
            add_law(law, &mut draft);
            caps.push(Cap {
                formula: PEAK.to_owned(),
                throughput: LAW.to_owned(),
            });
        }
        self.more(draft, &caps)
    }

    fn without_law(&self, problem: &FitError, stations: &[Option<Station>]) -> Finding {
        let queue = self.queue;
        let known = queue.alone_seconds > 0.0;
        if known && queue.service_seconds > queue.alone_seconds * HINDERED {
            let times = queue.service_seconds / queue.alone_seconds;
            let mut draft =
                self.draft(Resource::Contention)
                    .measured(times, HINDERED, "times alone");
            draft.add("alone_seconds", queue.alone_seconds, "s");
            draft.needs("service_seconds / alone_seconds");
            draft.because(&format!(
                "an operation takes {} times as long as alone while nothing that was measured is full: operations hinder one another, and whether fewer or more at once are better is not known, because {problem}",
                short(times),
            ));
            return draft.done();
        }
        let mut draft = self.draft(Resource::Queue);
        let caps = self.caps(stations, &mut draft);
        self.more(draft, &caps)
    }

    /// The retrograde part of the law: each further operation takes more from the others than it adds.
    fn fewer(&self, law: &Usl, peak: f64) -> Finding {
        let running = self.queue.running;
        let mut draft =
            self.draft(Resource::Contention)
                .measured(running, peak.round(), OPERATIONS);
        add_law(law, &mut draft);
        draft.because(&format!(
            "more than {} operations at once do less: throughput fits the scalability law with {} % serial work and {} % crosstalk, {} % off",
            short(peak.round()),
            short(law.serial * 100.0),
            short(law.crosstalk * 100.0),
            short(law.error * 100.0),
        ));
        let from = self.queue.concurrency.to_string();
        draft.set("queue.maxConcurrent", &from, PEAK, "");
        draft.predict(Expected {
            metric: "operations per second",
            unit: "1/s",
            formula: &format!("min(arrivals / window_seconds, {LAW})"),
            tolerance: 0.15,
            less_is_better: false,
        });
        draft.done()
    }

    fn levelled_off(&self, law: &Usl, peaks: bool) -> Finding {
        let mut draft = self.draft(Resource::Contention);
        add_law(law, &mut draft);
        draft.add("advised", f64::from(self.queue.concurrency), "slots");
        let most = draft.needs(if peaks {
            LAW
        } else {
            "rate_alone / serial_share"
        });
        draft.because(&format!(
            "throughput has levelled off: {} % of the work is done by one operation at a time, and whatever the number of slots no more than about {} operations per second end",
            short(law.serial * 100.0),
            short(most.unwrap_or_default()),
        ));
        draft.done()
    }

    /// More slots, but no more than what they would fill next can serve.
    fn more(&self, mut draft: Draft, caps: &[Cap]) -> Finding {
        let queue = self.queue;
        let mut formula = WANTED.to_owned();
        let mut least = draft.value(WANTED).unwrap_or(f64::INFINITY);
        let mut by = None;
        for cap in caps {
            let Some(most) = draft.value(&cap.formula) else {
                continue;
            };
            if most < least {
                (least, by) = (most, Some(cap));
                formula = format!("min({WANTED}, {})", cap.formula);
            }
        }
        if least <= f64::from(queue.concurrency) {
            draft.because(
                "the slots are as many as the load needs by its means: it comes in bursts",
            );
            return draft.done();
        }
        draft.because(&format!(
            "{} of {} slots are in use and nothing that was measured behind them is full",
            short(queue.running),
            queue.concurrency,
        ));
        let from = queue.concurrency.to_string();
        draft.set("queue.maxConcurrent", &from, &formula, "");
        match by {
            None => draft.predict(Expected {
                metric: "share of the slots in use",
                unit: SHARE,
                formula: "arrivals / window_seconds * service_seconds / advised",
                tolerance: 0.1,
                less_is_better: true,
            }),
            Some(cap) => draft.predict(Expected {
                metric: "operations per second",
                unit: "1/s",
                formula: &format!("min(arrivals / window_seconds, {})", cap.throughput),
                tolerance: 0.2,
                less_is_better: false,
            }),
        }
        draft.done()
    }

    fn caps(&self, stations: &[Option<Station>], draft: &mut Draft) -> Vec<Cap> {
        let known = stations
            .iter()
            .flatten()
            .filter(|station| station.knee(self.queue).is_some());
        let mut caps = Vec::new();
        for station in known {
            station.add_to(draft);
            draft.add("alone_seconds", self.queue.alone_seconds, "s");
            let throughput = format!("{} / {}", station.capacity.name, station.demand.name);
            caps.push(Cap {
                formula: station.knee_formula(),
                throughput,
            });
        }
        caps
    }

    /// What every finding about the queue begins with.
    fn draft(&self, resource: Resource) -> Draft {
        let (queue, window) = (self.queue, self.window);
        let severity = if window.falls_behind() {
            Severity::Critical
        } else {
            Severity::Warning
        };
        let allowed = window.allowed_pending(queue);
        let mut draft = Draft::new(resource, severity)
            .measured(queue.pending, allowed, OPERATIONS)
            .input("arrivals", queue.arrivals as f64, OPERATIONS)
            .input("completions", queue.completions as f64, OPERATIONS)
            .input("window_seconds", window.facts.seconds, "s")
            .input("service_seconds", queue.service_seconds, "s")
            .input("running", queue.running, OPERATIONS)
            .input("pending", queue.pending, OPERATIONS)
            .input("wait_seconds", queue.wait_seconds, "s")
            .input("allowed_wait_seconds", queue.allowed_wait_seconds, "s")
            .input("target_utilisation", window.limits.target, SHARE);
        draft.because(&format!(
            "{} operations wait, {} s on average, and {} may (arrivals / window_seconds * allowed_wait_seconds)",
            short(queue.pending),
            short(queue.wait_seconds),
            short(allowed),
        ));
        draft
    }
}

/// What more slots would fill next: the most of them that helps, and the throughput there.
struct Cap {
    formula: String,
    throughput: String,
}

fn add_law(law: &Usl, draft: &mut Draft) {
    draft.add("rate_alone", law.rate, "1/s");
    draft.add("serial_share", law.serial, SHARE);
    draft.add("crosstalk", law.crosstalk, SHARE);
}

fn failures(queue: &QueueFacts, window: &Window<'_>, analysis: &mut Analysis) {
    let share = queue.failures as f64 / queue.completions as f64;
    let limit = window.limits.errors;
    if share < limit {
        return;
    }
    let severity = if share >= 4.0 * limit {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let mut draft = Draft::new(Resource::Queue, severity)
        .measured(share, limit, FAILED)
        .input("failures", queue.failures as f64, OPERATIONS)
        .input("completions", queue.completions as f64, OPERATIONS);
    draft.needs("failures / completions");
    draft.because(&format!(
        "{} of {} operations failed; attempts that fail take slots and time from those that do not",
        queue.failures, queue.completions,
    ));
    Outcome::Found(Box::new(draft.done())).file(analysis);
}

const OPERATIONS: &str = "operations";
/// Little's law: operations in their slots are rate times time, and slots are to be busy for a share of the time.
const WANTED: &str = "ceil(arrivals / window_seconds * service_seconds / target_utilisation)";
/// Where the law's derivative is zero.
const PEAK: &str = "max(round(sqrt((1 - serial_share) / crosstalk)), 1)";
/// The law at the advised number.
const LAW: &str = "rate_alone * advised / (1 + serial_share * (advised - 1) + crosstalk * advised * (advised - 1))";
/// Below this share of the slots in use it is not for want of them that operations wait.
const IDLE: f64 = 0.75;
/// How many times as long as alone an operation takes before others must be the reason; waits for a station that is
/// busy for half of the time double the time spent there.
const HINDERED: f64 = 2.0;
/// How far beyond the most operations tried the law is believed.
const BEYOND: f64 = 1.5;
/// A gain of throughput below this is within what windows differ by chance.
const WORTHWHILE: f64 = 1.1;
