//! OpenMetrics text (version 1.0.0), which Prometheus and everything that speaks with it reads.
//!
//! Labels are rendered when a series first appears, so that writing it is two copies and a number.

use std::fmt::Write as _;

use super::buckets::HistogramSnapshot;
use super::counter::Totals;
use super::family::{Core, Series};
use super::histogram::Histogram;
use super::labels;
use super::metric::Metric;
use super::set::{AnyFamily, OVERFLOWS, Registry};
use super::snapshot::{OVERFLOWS_HELP, overflowing};

/// The content type to serve [`Registry::to_openmetrics`] with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

impl Registry {
    /// All values as OpenMetrics text.
    #[must_use]
    pub fn to_openmetrics(&self) -> String {
        let mut text = String::new();
        self.encode(&mut text);
        text
    }

    /// Appends all values to `text` as OpenMetrics text, with its `# EOF`.
    ///
    /// Nobody who counts waits for this. A `text` that is cleared and used again costs no allocation after the first time.
    pub fn encode(&self, text: &mut String) {
        let families = self.families();
        let mut writer = Writer {
            text,
            totals: Totals::default(),
            digits: itoa::Buffer::new(),
        };
        for family in &families {
            writer.family(family);
        }
        let mut overflows = overflowing(&families).peekable();
        if overflows.peek().is_some() {
            let metric = Metric::new(OVERFLOWS).help(OVERFLOWS_HELP);
            writer.header(&metric, "counter");
            for (name, turned_away) in overflows {
                // A name of a metric has nothing to escape.
                let _ = writeln!(
                    writer.text,
                    "{OVERFLOWS}_total{{metric=\"{name}\"}} {turned_away}"
                );
            }
        }
        text.push_str("# EOF\n");
    }
}

struct Writer<'t> {
    text: &'t mut String,
    totals: Totals,
    digits: itoa::Buffer,
}

impl Writer<'_> {
    fn family(&mut self, family: &AnyFamily) {
        self.header(family.metric(), family.kind().as_str());
        match family {
            AnyFamily::Counter(core) => {
                let name = Name::of(core, "_total");
                for series in core.series() {
                    let total = self.totals.of(&series.instrument.0);
                    name.write(series, self.text);
                    self.text.push_str(self.digits.format(total));
                    self.text.push('\n');
                }
            }
            AnyFamily::Gauge(core) => {
                let name = Name::of(core, "");
                for series in core.series() {
                    let value = series.instrument.read(&mut self.totals);
                    name.write(series, self.text);
                    number(value, self.text);
                    self.text.push('\n');
                }
            }
            AnyFamily::Histogram(core) => self.histograms(core),
        }
    }

    fn header(&mut self, metric: &Metric, kind: &str) {
        let Metric {
            name, help, unit, ..
        } = metric;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        if !unit.as_str().is_empty() {
            let _ = writeln!(self.text, "# UNIT {name} {}", unit.as_str());
        }
        if !help.is_empty() {
            let _ = write!(self.text, "# HELP {name} ");
            labels::escape(help, self.text);
            self.text.push('\n');
        }
    }

    fn histograms(&mut self, core: &Core<Histogram>) {
        let bounds = core.metric.shown_bounds();
        let steps = core.metric.steps();
        for series in core.series() {
            let snapshot = series.instrument.snapshot();
            self.buckets(core, series, &snapshot, &bounds);
            Name::of(core, "_sum").write(series, self.text);
            scaled(snapshot.sum(), steps, self.text);
            self.text.push('\n');
            Name::of(core, "_count").write(series, self.text);
            self.text.push_str(self.digits.format(snapshot.count()));
            self.text.push('\n');
        }
    }

    fn buckets(
        &mut self,
        core: &Core<Histogram>,
        series: &Series<Histogram>,
        snapshot: &HistogramSnapshot,
        bounds: &[u64],
    ) {
        let (name, steps) = (&core.metric.name, core.metric.steps());
        let labels = &series.labels.text;
        let comma = if labels.is_empty() { "" } else { "," };
        // What is beyond the last bound is in the bucket without one.
        let mut buckets = snapshot.buckets().peekable();
        let mut seen = 0_u64;
        for &bound in bounds {
            while let Some(bucket) = buckets.next_if(|bucket| bucket.upper <= bound) {
                seen = seen.saturating_add(bucket.count);
            }
            let _ = write!(self.text, "{name}_bucket{{{labels}{comma}le=\"");
            scaled(bound, steps, self.text);
            self.text.push_str("\"} ");
            self.text.push_str(self.digits.format(seen));
            self.text.push('\n');
        }
        let _ = writeln!(
            self.text,
            "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}",
            snapshot.count()
        );
    }
}

/// The name of a metric's series, with what stands before and after labels.
struct Name {
    bare: String,
    labelled: String,
}

impl Name {
    fn of<I>(core: &Core<I>, suffix: &str) -> Self {
        let name = &core.metric.name;
        Self {
            bare: format!("{name}{suffix} "),
            labelled: format!("{name}{suffix}{{"),
        }
    }

    fn write<I>(&self, series: &Series<I>, text: &mut String) {
        let labels = &series.labels.text;
        if labels.is_empty() {
            text.push_str(&self.bare);
        } else {
            text.push_str(&self.labelled);
            text.push_str(labels);
            text.push_str("} ");
        }
    }
}

/// Writes a number as OpenMetrics wants it.
fn number(value: f64, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = if value.is_nan() {
        text.write_str("NaN")
    } else if value == f64::INFINITY {
        text.write_str("+Inf")
    } else if value == f64::NEG_INFINITY {
        text.write_str("-Inf")
    } else {
        // With a point or an exponent, which tells it from a whole number.
        write!(text, "{value:?}")
    };
}

fn scaled(value: u64, steps: u64, text: &mut String) {
    number(value as f64 / steps as f64, text);
}
