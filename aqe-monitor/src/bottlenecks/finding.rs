//! What the analysis says.

use std::fmt::{self, Display, Formatter};

use super::formula::{FormulaError, evaluate};

/// What can limit a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Resource {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Slots of the queue: too few operations may run at once.
    Queue,
    /// Operations that hinder one another while no resource is full: locks and shared state.
    Contention,
    /// The disk.
    Disk,
    /// The network or its pool of connections.
    Network,
    /// Room in the memory store.
    Store,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "lowercase")
)]
pub enum Severity {
    /// Over its threshold.
    Warning,
    /// Work is lost, or waits grow without bound for as long as the load lasts.
    Critical,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quantity {
    /// The number.
    pub value: f64,
    /// Its unit; `ratio` for a share of 0–1.
    pub unit: String,
}

/// A measured number that a formula names.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Input {
    /// The name in the formula.
    pub name: String,
    /// The number.
    pub value: f64,
    /// Its unit.
    pub unit: String,
}

/// A key of `qe.config.yaml`, what it is and what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Change {
    /// The key, with its section: `queue.maxConcurrent`.
    pub setting: String,
    /// The value now.
    pub from: String,
    /// The value advised, as the file takes it.
    pub to: String,
}

/// What a window after the change will show if the finding is right.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Prediction {
    /// What to measure.
    pub metric: String,
    /// The value expected, in `unit`.
    pub value: f64,
    /// The unit.
    pub unit: String,
    /// How `value` follows from the inputs.
    pub formula: String,
    /// How far, as a share of `value`, the measured one may lie away.
    pub tolerance: f64,
    /// Whether a smaller value than expected is good news rather than a wrong prediction.
    pub less_is_better: bool,
}

/// One thing that limits the program.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Finding {
    /// What is short.
    pub resource: Resource,
    /// How bad it is.
    pub severity: Severity,
    /// The value measured.
    pub current: Quantity,
    /// The value from which on it is a finding.
    pub threshold: Quantity,
    /// Why, in a sentence made of what was measured.
    pub cause: String,
    /// Every number that the formulas name.
    pub inputs: Vec<Input>,
    /// How the advised value follows from the inputs; empty if nothing is to be calculated.
    pub formula: String,
    /// The setting to change; `None` if no setting helps, and the cause then says what would.
    pub change: Option<Change>,
    /// What to expect of the change; `None` without one.
    pub predicted: Option<Prediction>,
}

impl Finding {
    /// Calculates the advised number again from the inputs.
    ///
    /// # Errors
    ///
    /// [`FormulaError`] if the finding has no formula, or was altered so that it has no value.
    pub fn recompute(&self) -> Result<f64, FormulaError> {
        evaluate(&self.formula, &self.inputs)
    }

    /// Calculates the predicted number again from the inputs.
    ///
    /// # Errors
    ///
    /// [`FormulaError`] if the finding predicts nothing, or was altered so that its formula has no value.
    pub fn recompute_prediction(&self) -> Result<f64, FormulaError> {
        evaluate(
            self.predicted
                .as_ref()
                .map_or("", |prediction| &prediction.formula),
            &self.inputs,
        )
    }
}

/// A resource that was measured and is not short.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Healthy {
    /// The resource.
    pub resource: Resource,
    /// The value measured.
    pub current: Quantity,
    /// The value from which on it would be a finding.
    pub threshold: Quantity,
}

/// A resource about which nothing can be said yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Insufficient {
    /// The resource.
    pub resource: Resource,
    /// What is there and what is needed.
    pub reason: String,
}

/// The result: findings, worst first, and what is well or not known.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Analysis {
    /// What limits the program; the first is *the* bottleneck.
    pub findings: Vec<Finding>,
    /// What was measured and is well.
    pub healthy: Vec<Healthy>,
    /// What has too little data.
    pub insufficient: Vec<Insufficient>,
}

impl Display for Resource {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Queue => "queue",
            Self::Contention => "contention",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Store => "store",
        })
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl Display for Quantity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit)
    }
}

/// Everything on a few lines, each number with where it comes from.
impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}: {}", self.severity, self.resource, self.cause)?;
        writeln!(
            f,
            "  current {}, threshold {}",
            self.current, self.threshold
        )?;
        if let Some(change) = &self.change {
            writeln!(
                f,
                "  set {} from {} to {}",
                change.setting, change.from, change.to
            )?;
        }
        if !self.formula.is_empty() {
            writeln!(f, "  because {}", self.formula)?;
        }
        if let Some(predicted) = &self.predicted {
            writeln!(
                f,
                "  expect {} = {} {} ({})",
                predicted.metric, predicted.value, predicted.unit, predicted.formula
            )?;
        }
        for input in &self.inputs {
            writeln!(f, "  {} = {} {}", input.name, input.value, input.unit)?;
        }
        Ok(())
    }
}
