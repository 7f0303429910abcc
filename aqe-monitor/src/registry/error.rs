//! What can be wrong with a metric or with labels.

use super::metric::Kind;

/// Why a metric was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name cannot stand in an exposition.
    #[error(
        "metric name {0:?} is not valid: use 1 to 200 ASCII letters, digits, `_` and `:`, and begin with no digit"
    )]
    Name(String),
    /// The name lacks its unit, which OpenMetrics wants at its end.
    #[error("metric name `{name}` does not end with its unit: call it `{name}_{unit}`")]
    Unit {
        /// The name, without `_total`.
        name: String,
        /// The unit.
        unit: &'static str,
    },
    /// Another metric has the name, or one of its series would have the same name as one of this.
    #[error(
        "metric `{name}` clashes with the {kind} `{other}`, which is registered: give it another name, or the same kind and unit", kind = other_kind.as_str()
    )]
    Clash {
        /// The name that was to be registered.
        name: String,
        /// The name of the metric that is there.
        other: String,
        /// The kind of the metric that is there.
        other_kind: Kind,
    },
    /// The registry is full.
    #[error("metric `{name}` is one too many for the registry: its limit is {limit} metrics")]
    Full {
        /// The name that was to be registered.
        name: String,
        /// How many metrics the registry can have.
        limit: usize,
    },
}

/// Why there is no series with some labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A name that cannot stand in an exposition, or is reserved there.
    #[error(
        "label name {0:?} is not valid: use ASCII letters, digits and `_`, begin with no digit and not with `__`; `le` \
         and `quantile` are reserved"
    )]
    Name(String),
    /// A value that is too long.
    #[error("the value of label `{0}` has {1} bytes: at most 1,024 are taken")]
    Value(String, usize),
    /// A name that is there twice.
    #[error("label `{0}` is there twice")]
    Twice(String),
    /// Too many labels.
    #[error("more than 16 labels")]
    TooMany,
    /// The metric has as many series as it may.
    #[error("the metric has {0} series, which is its limit")]
    Full(usize),
}

/// The beginning of a text that may be of any length, for a message.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
