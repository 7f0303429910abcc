//! What a metric is called, what it says and in which unit.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use super::error::{RegisterError, shortened};

/// The most bytes of a name.
pub(crate) const MAX_NAME_BYTES: usize = 200;

/// The most bytes of a help text; more are cut off.
const MAX_HELP_BYTES: usize = 2_000;

/// The most bounds that a histogram is shown with.
const MAX_BOUNDS: usize = 200;

/// The unit of a metric, always a base unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unit {
    /// A count of something.
    #[default]
    None,
    /// Seconds. Histograms record nanoseconds, which are shown as seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 0–1.
    Ratio,
}

impl Unit {
    /// How the unit is called in names of metrics; empty for [`Unit::None`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }

    /// Steps that histograms record for each unit.
    fn steps(self) -> u64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::None | Self::Bytes | Self::Ratio => 1,
        }
    }
}

/// What a metric is called, what it says and in which unit.
///
/// Names are as Prometheus wants them: `aqe_queue_operations_total`, `aqe_queue_wait_seconds`. A counter may be given
/// with `_total` or without; it is always shown with it. A metric with a unit is called after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub(crate) name: Cow<'static, str>,
    pub(crate) help: Cow<'static, str>,
    pub(crate) unit: Unit,
    pub(crate) max_series: Option<NonZeroUsize>,
    pub(crate) bounds: Option<Vec<u64>>,
    pub(crate) steps: Option<u64>,
}

impl Metric {
    /// A metric of this name, without help text and unit.
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            help: Cow::Borrowed(""),
            unit: Unit::None,
            max_series: None,
            bounds: None,
            steps: None,
        }
    }

    /// Says what is measured, in a sentence. Beyond 2,000 bytes it is cut off.
    #[must_use]
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.help = help.into();
        self
    }

    /// Says in which unit; by default it is a count.
    #[must_use]
    pub fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Bounds the series of this metric, instead of the [registry's limit](super::Limits::max_series).
    #[must_use]
    pub fn max_series(mut self, series: NonZeroUsize) -> Self {
        self.max_series = Some(series);
        self
    }

    /// The bounds that a histogram is shown with in text, in the steps that it records (nanoseconds for seconds).
    ///
    /// Each is moved up to the next one that can be counted exactly, by less than 0.8 %. By default there are powers of
    /// two, four times apart for seconds (from 1 µs to 18 minutes), 16 times apart otherwise. Only the first 200 are taken.
    #[must_use]
    pub fn bounds(mut self, bounds: impl IntoIterator<Item = u64>) -> Self {
        self.bounds = Some(bounds.into_iter().take(MAX_BOUNDS).collect());
        self
    }

    /// How many steps that a histogram records make up one unit that is shown: 10⁹ for seconds, else 1.
    #[must_use]
    pub fn steps_per_unit(mut self, steps: NonZeroUsize) -> Self {
        self.steps = Some(steps.get() as u64);
        self
    }

    /// Checks all that can be checked without a registry, and cuts `_total` off.
    pub(crate) fn validated(mut self, kind: Kind) -> Result<Self, RegisterError> {
        let bare = match kind {
            Kind::Counter => self.name.strip_suffix("_total").unwrap_or(&self.name),
            Kind::Gauge | Kind::Histogram => &*self.name,
        };
        if !is_metric_name(bare) {
            return Err(RegisterError::Name(shortened(&self.name)));
        }
        let unit = self.unit.as_str();
        if !unit.is_empty()
            && bare
                .strip_suffix(unit)
                .is_none_or(|rest| !rest.ends_with('_'))
        {
            let name = bare.to_owned();
            return Err(RegisterError::Unit { name, unit });
        }
        if bare.len() < self.name.len() {
            self.name = Cow::Owned(bare.to_owned());
        }
        if self.help.len() > MAX_HELP_BYTES {
            let end = self.help.floor_char_boundary(MAX_HELP_BYTES);
            self.help = Cow::Owned(self.help[..end].to_owned());
        }
        Ok(self)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.unwrap_or_else(|| self.unit.steps())
    }

    /// The bounds to show, rising and each exact.
    pub(crate) fn shown_bounds(&self) -> Vec<u64> {
        let default = || match self.unit {
            Unit::Seconds => (10..=40).step_by(2).map(|power| (1 << power) - 1).collect(),
            _ => (0..=40).step_by(4).map(|power| (1 << power) - 1).collect(),
        };
        let bounds: Vec<u64> = self.bounds.clone().unwrap_or_else(default);
        let mut bounds: Vec<u64> = bounds
            .into_iter()
            .map(super::HistogramSnapshot::bound)
            .collect();
        bounds.sort_unstable();
        bounds.dedup();
        bounds
    }
}

impl From<&'static str> for Metric {
    fn from(name: &'static str) -> Self {
        Self::new(name)
    }
}

fn is_metric_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b':';
    name.len() <= MAX_NAME_BYTES
        && bytes.next().is_some_and(first)
        && bytes.all(|byte| byte.is_ascii_digit() || first(byte))
}

/// What kind of thing a metric measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// How values are distributed.
    Histogram,
}

impl Kind {
    /// The name of the kind in OpenMetrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// What the names of its series end with, after the name of the metric.
    pub(crate) fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total", "_created"],
            Self::Gauge => &[""],
            Self::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
        }
    }
}
