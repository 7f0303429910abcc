//! A finding while it is written: numbers only enter it with their names, and only leave formulas by calculation.

use super::finding::{Change, Finding, Input, Prediction, Quantity, Resource, Severity};
use super::formula::evaluate;

/// A finding that grows by what its rule finds out.
pub(super) struct Draft {
    finding: Finding,
}

impl Draft {
    pub(super) fn new(resource: Resource, severity: Severity) -> Self {
        let nothing = || Quantity {
            value: 0.0,
            unit: String::new(),
        };
        Self {
            finding: Finding {
                resource,
                severity,
                current: nothing(),
                threshold: nothing(),
                cause: String::new(),
                inputs: Vec::new(),
                formula: String::new(),
                change: None,
                predicted: None,
            },
        }
    }

    pub(super) fn measured(mut self, current: f64, threshold: f64, unit: &str) -> Self {
        self.finding.current = quantity(current, unit);
        self.finding.threshold = quantity(threshold, unit);
        self
    }

    pub(super) fn input(mut self, name: &str, value: f64, unit: &str) -> Self {
        self.add(name, value, unit);
        self
    }

    /// A name that is there already keeps its value: rules share inputs.
    pub(super) fn add(&mut self, name: &str, value: f64, unit: &str) {
        if self.finding.inputs.iter().all(|input| input.name != name) {
            self.finding.inputs.push(Input {
                name: name.to_owned(),
                value,
                unit: unit.to_owned(),
            });
        }
    }

    /// What a formula gives over the inputs so far; `None` if it has no finite value.
    pub(super) fn value(&self, formula: &str) -> Option<f64> {
        evaluate(formula, &self.finding.inputs).ok()
    }

    pub(super) fn because(&mut self, sentence: &str) {
        if !self.finding.cause.is_empty() {
            self.finding.cause.push_str("; ");
        }
        self.finding.cause.push_str(sentence);
    }

    /// The number that follows from the inputs, for which there is no setting.
    pub(super) fn needs(&mut self, formula: &str) -> Option<f64> {
        let value = self.value(formula)?;
        formula.clone_into(&mut self.finding.formula);
        Some(value)
    }

    /// A setting whose new value is that of `formula`.
    pub(super) fn set(
        &mut self,
        setting: &str,
        from: &str,
        formula: &str,
        unit: &str,
    ) -> Option<f64> {
        let value = self.needs(formula)?;
        self.finding.change = Some(change(setting, from, &format!("{value}{unit}")));
        // The prediction's formula names it.
        self.add(ADVISED, value, if unit.is_empty() { "slots" } else { unit });
        Some(value)
    }

    /// A setting whose new value is no number.
    pub(super) fn switch(&mut self, setting: &str, from: &str, to: &str) {
        self.finding.change = Some(change(setting, from, to));
    }

    /// What to expect; nothing is predicted if the formula has no value.
    pub(super) fn predict(&mut self, expected: Expected<'_>) {
        let Some(value) = self.value(expected.formula) else {
            return;
        };
        self.finding.predicted = Some(Prediction {
            metric: expected.metric.to_owned(),
            value,
            unit: expected.unit.to_owned(),
            formula: expected.formula.to_owned(),
            tolerance: expected.tolerance,
            less_is_better: expected.less_is_better,
        });
    }

    pub(super) fn done(self) -> Finding {
        self.finding
    }
}

/// A prediction but for its value, which the formula gives.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) metric: &'a str,
    pub(super) unit: &'a str,
    pub(super) formula: &'a str,
    pub(super) tolerance: f64,
    pub(super) less_is_better: bool,
}

/// The name of the advised number in a prediction's formula.
pub(super) const ADVISED: &str = "advised";

fn change(setting: &str, from: &str, to: &str) -> Change {
    Change {
        setting: setting.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
    }
}

pub(super) fn quantity(value: f64, unit: &str) -> Quantity {
    Quantity {
        value,
        unit: unit.to_owned(),
    }
}
