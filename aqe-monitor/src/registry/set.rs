//! The registry: which metrics there are.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use super::counter::{Counter, Tallies};
use super::error::RegisterError;
use super::family::{Core, Family, Instrument};
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::metric::{Kind, Metric};

/// The name of the counter of labels that led to an overflow series, without `_total`.
pub(crate) const OVERFLOWS: &str = "aqe_monitor_overflows";

/// How much a registry takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most metrics. 2,000 by default: ten times what a large service has.
    pub max_metrics: usize,
    /// The most series of a metric that sets no limit of its own, without the one for overflow; at most 2^24. 2,000 by
    /// default: some 300 KB for a counter, and 2 MB and more for a histogram.
    pub max_series: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_metrics: 2_000,
            max_series: 2_000,
        }
    }
}

impl Limits {
    /// Sets the most metrics.
    #[must_use]
    pub fn max_metrics(mut self, metrics: usize) -> Self {
        self.max_metrics = metrics;
        self
    }

    /// Sets the most series of a metric.
    #[must_use]
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }
}

/// Which metrics there are. A clone is the same registry.
///
/// Registering a metric again, of the same kind and unit, finds the one that is there, so parts of a program need not
/// hand handles around. The [default](Self::default) is a registry that [does nothing](Self::noop): a library can ask
/// for a registry and count through it whether or not anybody wants to know.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    inner: Option<Arc<Inner>>,
}

struct Inner {
    limits: Limits,
    tallies: Arc<Tallies>,
    metrics: RwLock<Metrics>,
}

#[derive(Default)]
struct Metrics {
    /// In the order of registration, which is that of the exposition.
    families: Vec<AnyFamily>,
    /// Which family has a name, or a series of that name.
    names: HashMap<String, usize>,
}

/// A family of any kind.
#[derive(Clone)]
pub(crate) enum AnyFamily {
    Counter(Arc<Core<Counter>>),
    Gauge(Arc<Core<Gauge>>),
    Histogram(Arc<Core<Histogram>>),
}

impl Registry {
    /// A registry with the usual [`Limits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A registry with limits of one's own.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            inner: Some(Arc::new(Inner {
                limits,
                tallies: Arc::new(Tallies::default()),
                metrics: RwLock::new(Metrics::default()),
            })),
        }
    }

    /// A registry that does nothing: it takes any metric, and its handles count nothing at the cost of a comparison.
    #[must_use]
    pub fn noop() -> Self {
        Self { inner: None }
    }

    /// Whether this registry does nothing.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.inner.is_none()
    }

    /// A counter without labels.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Name`] and [`RegisterError::Unit`] when the name cannot be used; [`RegisterError::Clash`] when
    /// something else has it; [`RegisterError::Full`] at the limit of metrics.
    pub fn counter(&self, metric: impl Into<Metric>) -> Result<Counter, RegisterError> {
        Ok(self.counters(metric)?.with(&()).clone())
    }

    /// A gauge without labels.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, metric: impl Into<Metric>) -> Result<Gauge, RegisterError> {
        Ok(self.gauges(metric)?.with(&()).clone())
    }

    /// A histogram without labels.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn histogram(&self, metric: impl Into<Metric>) -> Result<Histogram, RegisterError> {
        Ok(self.histograms(metric)?.with(&()).clone())
    }

    /// A counter with labels.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn counters(&self, metric: impl Into<Metric>) -> Result<Family<Counter>, RegisterError> {
        self.register(metric.into(), AnyFamily::Counter, |family| match family {
            AnyFamily::Counter(core) => Some(Arc::clone(core)),
            _ => None,
        })
    }

    /// A gauge with labels.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn gauges(&self, metric: impl Into<Metric>) -> Result<Family<Gauge>, RegisterError> {
        self.register(metric.into(), AnyFamily::Gauge, |family| match family {
            AnyFamily::Gauge(core) => Some(Arc::clone(core)),
            _ => None,
        })
    }

    /// A histogram with labels.
    ///
    /// # Errors
    ///
    /// As [`counter`](Self::counter).
    pub fn histograms(
        &self,
        metric: impl Into<Metric>,
    ) -> Result<Family<Histogram>, RegisterError> {
        self.register(metric.into(), AnyFamily::Histogram, |family| match family {
            AnyFamily::Histogram(core) => Some(Arc::clone(core)),
            _ => None,
        })
    }

    fn register<I: Instrument>(
        &self,
        metric: Metric,
        wrap: fn(Arc<Core<I>>) -> AnyFamily,
        unwrap: fn(&AnyFamily) -> Option<Arc<Core<I>>>,
    ) -> Result<Family<I>, RegisterError> {
        let metric = metric.validated(I::KIND)?;
        let Some(inner) = &self.inner else {
            return Ok(Family::default());
        };
        let mut metrics = inner.metrics.write();
        if let Some(family) = metrics.of_name(&metric.name) {
            let same = |core: &Arc<Core<I>>| core.metric.unit == metric.unit;
            let found = unwrap(family).filter(same);
            return found.map(Family::new).ok_or_else(|| clash(&metric, family));
        }
        let taken = I::KIND.suffixes().iter();
        let taken: Vec<_> = taken
            .map(|suffix| format!("{}{suffix}", metric.name))
            .collect();
        if metric.name == OVERFLOWS || taken.iter().any(|name| name.starts_with(OVERFLOWS)) {
            return Err(RegisterError::Clash {
                name: metric.name.into_owned(),
                other: OVERFLOWS.to_owned(),
                other_kind: Kind::Counter,
            });
        }
        if let Some(&other) = taken.iter().find_map(|name| metrics.names.get(name)) {
            return Err(clash(&metric, &metrics.families[other]));
        }
        let limit = inner.limits.max_metrics;
        if metrics.families.len() >= limit {
            let name = metric.name.into_owned();
            return Err(RegisterError::Full { name, limit });
        }
        let number = metrics.families.len();
        metrics
            .names
            .extend(taken.into_iter().map(|name| (name, number)));
        let turned_away = Counter(inner.tallies.take());
        let tallies = Arc::clone(&inner.tallies);
        let core = Arc::new(Core::new(
            metric,
            inner.limits.max_series,
            tallies,
            turned_away,
        ));
        metrics.families.push(wrap(Arc::clone(&core)));
        Ok(Family::new(core))
    }

    /// The families so far. Whoever reads them holds no lock.
    pub(crate) fn families(&self) -> Vec<AnyFamily> {
        let families = self
            .inner
            .as_ref()
            .map(|inner| inner.metrics.read().families.clone());
        families.unwrap_or_default()
    }
}

fn clash(metric: &Metric, other: &AnyFamily) -> RegisterError {
    RegisterError::Clash {
        name: metric.name.clone().into_owned(),
        other: other.metric().name.clone().into_owned(),
        other_kind: other.kind(),
    }
}

impl Metrics {
    /// The family of exactly this name.
    fn of_name(&self, name: &str) -> Option<&AnyFamily> {
        let family = &self.families[*self.names.get(name)?];
        (family.metric().name == name).then_some(family)
    }
}

impl AnyFamily {
    pub(crate) fn metric(&self) -> &Metric {
        match self {
            Self::Counter(core) => &core.metric,
            Self::Gauge(core) => &core.metric,
            Self::Histogram(core) => &core.metric,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }

    /// How often labels led to the overflow series.
    pub(crate) fn turned_away(&self) -> u64 {
        match self {
            Self::Counter(core) => core.turned_away().total(),
            Self::Gauge(core) => core.turned_away().total(),
            Self::Histogram(core) => core.turned_away().total(),
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("limits", &self.limits)
            .field("metrics", &self.metrics.read().families.len())
            .finish_non_exhaustive()
    }
}
