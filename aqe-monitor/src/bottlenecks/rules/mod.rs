//! The rules, and which of their findings comes first.

mod memory;
mod pool;
mod queue;
mod station;
mod store;

use super::draft::quantity;
use super::facts::{Facts, InvalidFact, QueueFacts};
use super::finding::{Analysis, Finding, Healthy, Insufficient, Resource, Severity};
use super::thresholds::Thresholds;
use station::Station;

/// Says what limits the program, with the usual thresholds.
///
/// # Errors
///
/// [`InvalidFact`] if a fact cannot have been measured: negative, infinite, or no number.
pub fn analyze(facts: &Facts) -> Result<Analysis, InvalidFact> {
    analyze_with(facts, Thresholds::default())
}

/// Says what limits the program, with thresholds of one's own. Shares outside of 0–1 are taken for the nearest in it.
///
/// # Errors
///
/// [`InvalidFact`] if a fact cannot have been measured: negative, infinite, or no number.
pub fn analyze_with(facts: &Facts, thresholds: Thresholds) -> Result<Analysis, InvalidFact> {
    facts.validate()?;
    let window = Window {
        facts,
        limits: thresholds.clamped(),
    };
    let mut analysis = Analysis::default();
    if facts.seconds < window.limits.seconds {
        window.too_short(&mut analysis);
        return Ok(analysis);
    }
    let stations = [Station::cpu(&window), Station::disk(&window)];
    for station in stations.iter().flatten() {
        station.judge(&window).file(&mut analysis);
    }
    pool::judge(&window, &mut analysis);
    // By now everything that operations can wait for inside their slots has been judged.
    let full = fullest(&analysis.findings);
    queue::judge(&window, &stations, full, &mut analysis);
    if let Some(memory) = &facts.memory {
        memory::judge(memory, facts.store.as_ref(), &window).file(&mut analysis);
    }
    if let Some(store) = &facts.store {
        store::judge(store, facts.memory.as_ref(), &window).file(&mut analysis);
    }
    analysis.findings.sort_by(|a, b| {
        (b.severity.cmp(&a.severity))
            .then(rank(a).cmp(&rank(b)))
            .then(b.current.value.total_cmp(&a.current.value))
    });
    Ok(analysis)
}

/// Causes before what follows from them. Within a rank the fullest is first: what all work goes through, and what has
/// least left, sets the pace (operational analysis calls it the bottleneck).
fn rank(finding: &Finding) -> u8 {
    match (finding.resource, finding.severity) {
        (Resource::Memory, Severity::Critical) => 0,
        (Resource::Cpu | Resource::Disk | Resource::Network, _)
            if finding.current.unit == SHARE =>
        {
            1
        }
        (Resource::Contention, _) => 2,
        (Resource::Queue, _) if finding.current.unit != FAILED => 3,
        (Resource::Memory, _) => 4,
        (Resource::Store, _) => 5,
        _ => 6,
    }
}

fn fullest(findings: &[Finding]) -> Option<Resource> {
    (findings.iter())
        .filter(|finding| finding.current.unit == SHARE)
        .max_by(|a, b| a.current.value.total_cmp(&b.current.value))
        .map(|finding| finding.resource)
}

/// Unit of a share, 0–1, of a resource that is in use.
const SHARE: &str = "ratio";
/// Unit of a share, 0–1, of requests that failed.
const FAILED: &str = "failed ratio";

/// What one rule says.
enum Outcome {
    Found(Box<Finding>),
    Well(Healthy),
    Unknown(Insufficient),
}

impl Outcome {
    fn well(resource: Resource, current: f64, threshold: f64, unit: &str) -> Self {
        let (current, threshold) = (quantity(current, unit), quantity(threshold, unit));
        Self::Well(Healthy {
            resource,
            current,
            threshold,
        })
    }

    fn unknown(resource: Resource, reason: String) -> Self {
        Self::Unknown(Insufficient { resource, reason })
    }

    fn file(self, analysis: &mut Analysis) {
        match self {
            Self::Found(finding) => analysis.findings.push(*finding),
            Self::Well(healthy) => analysis.healthy.push(healthy),
            Self::Unknown(insufficient) => analysis.insufficient.push(insufficient),
        }
    }
}

/// The facts and what they are held against.
struct Window<'a> {
    facts: &'a Facts,
    limits: Thresholds,
}

impl Window<'_> {
    /// The queue, if enough operations ended for its means to mean something.
    fn queue(&self) -> Option<&QueueFacts> {
        let queue = self.facts.queue.as_ref()?;
        (queue.completions >= self.limits.operations).then_some(queue)
    }

    /// Little's law: with more than this many waiting, operations wait longer than they may.
    fn allowed_pending(&self, queue: &QueueFacts) -> f64 {
        queue.arrivals as f64 / self.facts.seconds * queue.allowed_wait_seconds
    }

    fn backlogged(&self) -> bool {
        (self.queue()).is_some_and(|queue| queue.pending > self.allowed_pending(queue))
    }

    /// Whether more arrived than ended, by more than arrivals vary by chance: three deviations of a Poisson count.
    fn falls_behind(&self) -> bool {
        self.queue().is_some_and(|queue| {
            let arrivals = queue.arrivals as f64;
            arrivals - queue.completions as f64 > 3.0 * arrivals.sqrt()
        })
    }

    fn too_short(&self, analysis: &mut Analysis) {
        let facts = self.facts;
        let there = [
            (Resource::Cpu, facts.cpu.is_some()),
            (Resource::Memory, facts.memory.is_some()),
            (Resource::Queue, facts.queue.is_some()),
            (Resource::Disk, facts.disk.is_some()),
            (Resource::Network, facts.network.is_some()),
            (Resource::Store, facts.store.is_some()),
        ];
        for (resource, _) in there.into_iter().filter(|&(_, there)| there) {
            let reason = format!(
                "the window has {} s; {} s are needed",
                facts.seconds, self.limits.seconds
            );
            analysis
                .insufficient
                .push(Insufficient { resource, reason });
        }
    }
}

/// Numbers in sentences are for reading: three digits that count. The inputs have them all.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let text = format!("{value:.*}", digits.clamp(0, 9) as usize);
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
