//! What limits a program now, computed from what was measured, with the setting to change and what to expect of it.
//!
//! A fixed text ("CPU is high: reduce concurrency") is right by luck. [`analyze`] takes the facts of one window of time and
//! looks at each resource by utilisation, saturation and errors (Gregg, "Thinking Methodically about Performance", ACM
//! Queue 2012). Advice comes from three laws: Little's law (Operations Research 1961) for backlog and slots, the
//! asymptotic bounds of operational analysis (Denning and Buzen, ACM Computing Surveys 1978) for a resource that is
//! full, and the Universal Scalability Law (Gunther, "Guerrilla Capacity Planning") for work that hinders itself.
//!
//! Invariants:
//! - each advised and each predicted number is the value of the formula printed beside it, over the inputs printed
//!   beside it: [`Finding::recompute`] is the calculation, not a copy of it;
//! - too little data gives an entry in [`Analysis::insufficient`], never advice;
//! - a prediction is a number that a later window has or has not: [`check`] says which.
//!
//! ```
//! use aqe_monitor::bottlenecks::{Facts, QueueFacts, Verdict, analyze, check};
//!
//! let mut queue = QueueFacts::new(10);
//! (queue.arrivals, queue.completions) = (240, 222);
//! (queue.service_seconds, queue.running) = (2.4, 9.9);
//! (queue.pending, queue.wait_seconds, queue.allowed_wait_seconds) = (23.0, 5.1, 3.75);
//!
//! let analysis = analyze(&Facts { queue: Some(queue), ..Facts::over(60.0) })?;
//! let finding = &analysis.findings[0];
//! let change = finding.change.as_ref().expect("a setting helps");
//! assert_eq!((change.setting.as_str(), change.from.as_str(), change.to.as_str()), ("queue.maxConcurrent", "10", "12"));
//! assert_eq!(finding.formula, "ceil(arrivals / window_seconds * service_seconds / target_utilisation)");
//! assert_eq!(finding.recompute()?, 12.0);
//!
//! // Later, with twelve slots: slots were expected to be busy 80 % of the time.
//! assert_eq!(check(finding, 0.79), Verdict::CameTrue);
//! assert!(matches!(check(finding, 0.99), Verdict::Missed { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The laws speak of means over a window in which the load is steady: a window that mixes an idle night with a busy
//! morning has means that describe neither. Windows of one to fifteen minutes are usual.

mod check;
mod draft;
mod facts;
mod finding;
mod formula;
mod rules;
mod thresholds;
mod usl;

pub use self::{
    check::{Verdict, check},
    facts::{
        CpuFacts, DiskFacts, Facts, InvalidFact, LoadPoint, MemoryFacts, NetworkFacts, QueueFacts,
        StoreFacts,
    },
    finding::{
        Analysis, Change, Finding, Healthy, Input, Insufficient, Prediction, Quantity, Resource,
        Severity,
    },
    formula::{FormulaError, evaluate},
    rules::{analyze, analyze_with},
    thresholds::Thresholds,
    usl::{FitError, Usl},
};
