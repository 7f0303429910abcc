//! Whatever is registered, labelled and measured: the text can be read back, strictly, and says what was measured.

use std::collections::HashSet;

use aqe_monitor::registry::{Limits, Metric, Registry, Unit};
use proptest::prelude::*;

/// A line of a value, as it was read.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// Reads an exposition by the grammar of OpenMetrics 1.0.0, and checks what the grammar cannot say: families are not
/// interleaved, names fit their family's type, no series is there twice, buckets rise.
fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let body = text.strip_suffix("# EOF\n").ok_or("no EOF")?;
    let mut samples: Vec<Sample> = Vec::new();
    let mut seen = HashSet::new();
    let mut families = HashSet::new();
    let mut family: Option<(String, String)> = None;
    // Split by line feeds alone: a carriage return within a label is part of it.
    for line in body.split_terminator('\n') {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut parts = comment.splitn(3, ' ');
            let (keyword, name) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
            let rest = parts
                .next()
                .ok_or_else(|| format!("short comment: {line:?}"))?;
            match keyword {
                "TYPE" => {
                    if !families.insert(name.to_owned()) {
                        return Err(format!("family {name} is there twice"));
                    }
                    if !["counter", "gauge", "histogram"].contains(&rest) {
                        return Err(format!("type {rest:?}"));
                    }
                    family = Some((name.to_owned(), rest.to_owned()));
                }
                "UNIT" | "HELP" if family.as_ref().is_none_or(|(known, _)| known != name) => {
                    return Err(format!("not of the family before: {line:?}"));
                }
                "UNIT" if !name.ends_with(&format!("_{rest}")) => {
                    return Err(format!("a name without its unit: {line:?}"));
                }
                "UNIT" => {}
                "HELP" => _ = unescape(rest)?,
                _ => return Err(format!("unknown comment: {line:?}")),
            }
            continue;
        }
        let sample = sample(line).map_err(|error| format!("{error} in {line:?}"))?;
        let (name, kind) = family.as_ref().ok_or("a value before any family")?;
        let suffix = sample
            .name
            .strip_prefix(name.as_str())
            .ok_or("a value of another family")?;
        let fits = match kind.as_str() {
            "counter" => suffix == "_total",
            "gauge" => suffix.is_empty(),
            _ => ["_bucket", "_sum", "_count"].contains(&suffix),
        };
        if !fits {
            return Err(format!("{} is no value of a {kind}", sample.name));
        }
        if !seen.insert((sample.name.clone(), format!("{:?}", sample.labels))) {
            return Err(format!("twice: {line:?}"));
        }
        if let (Some(before), Some((_, bound))) = (
            samples.last(),
            sample.labels.iter().find(|(name, _)| name == "le"),
        ) && before.name == sample.name
            && before.labels.len() == sample.labels.len()
            && before.labels[..before.labels.len() - 1] == sample.labels[..sample.labels.len() - 1]
        {
            let bound_before = number(&before.labels[before.labels.len() - 1].1)?;
            if number(bound)? <= bound_before || sample.value < before.value {
                return Err(format!("buckets do not rise at {line:?}"));
            }
        }
        samples.push(sample);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    let mut chars = name.chars();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    if !chars.next().is_some_and(first) || !chars.all(|c| first(c) || c.is_ascii_digit()) {
        return Err("bad name".to_owned());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            let mut chars = label.chars();
            let first = |c: char| c.is_ascii_alphabetic() || c == '_';
            if !chars.next().is_some_and(first) || !chars.all(|c| first(c) || c.is_ascii_digit()) {
                return Err(format!("bad label {label:?}"));
            }
            if labels.iter().any(|(known, _)| known == label) {
                return Err(format!("label {label} is there twice"));
            }
            let end = closing_quote(after).ok_or("no end of a label")?;
            labels.push((label.to_owned(), unescape(&after[..end])?));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').ok_or("no end of labels")?;
    }
    let value = rest.strip_prefix(' ').ok_or("no blank before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: number(value)?,
    })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => return Err(format!("escape {other:?}")),
            },
            '"' => return Err("a bare quote".to_owned()),
            c => c,
        });
    }
    Ok(plain)
}

fn number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => return Ok(f64::INFINITY),
        "-Inf" => return Ok(f64::NEG_INFINITY),
        "NaN" => return Ok(f64::NAN),
        _ => {}
    }
    let allowed = |c: char| c.is_ascii_digit() || ['+', '-', '.', 'e'].contains(&c);
    if !text.chars().all(allowed) {
        return Err(format!("number {text:?}"));
    }
    text.parse().map_err(|_| format!("number {text:?}"))
}

/// A name: mostly one that clashes with others or means something, sometimes anything at all.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[ab](_total|_bucket|_sum|_count|_created|_seconds|_bytes|_info)?(_total)?",
        2 => ".{0,12}",
        1 => "[a-z:_]{1,6}[ \n\"{}=,#]?",
    ]
}

fn label() -> impl Strategy<Value = (String, String)> {
    let name = prop_oneof![
        5 => "[ab_][a-z]?",
        2 => Just("le".to_owned()),
        1 => Just("overflow".to_owned()),
        1 => Just("quantile".to_owned()),
        2 => ".{0,6}",
    ];
    let value = prop_oneof![
        2 => "[\\\\\"\n\r,={} #]{0,6}",
        2 => Just("true".to_owned()),
        2 => "[xy]",
        1 => ".{0,12}",
    ];
    (name, value)
}

#[derive(Debug, Clone)]
struct Step {
    kind: u8,
    name: String,
    help: String,
    unit: Unit,
    labels: Vec<(String, String)>,
    number: f64,
    count: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let unit = prop_oneof![
        Just(Unit::None),
        Just(Unit::Seconds),
        Just(Unit::Bytes),
        Just(Unit::Ratio)
    ];
    let labels = proptest::collection::vec(label(), 0..4);
    (
        0_u8..3,
        name(),
        ".{0,20}|[\\\\\"\n]{0,5}",
        unit,
        labels,
        any::<f64>(),
        any::<u64>(),
    )
        .prop_map(|(kind, name, help, unit, labels, number, count)| Step {
            kind,
            name,
            help,
            unit,
            labels,
            number,
            count,
        })
}

proptest! {
    #[test]
    fn any_exposition_can_be_read_back(steps in proptest::collection::vec(step(), 0..40)) {
        let registry = Registry::with_limits(Limits::default().max_metrics(12).max_series(5));
        for step in &steps {
            let metric = Metric::new(step.name.clone()).help(step.help.clone()).unit(step.unit);
            match step.kind {
                0 => if let Ok(family) = registry.counters(metric) {
                    family.with(&step.labels).add(step.count);
                },
                1 => if let Ok(family) = registry.gauges(metric) {
                    family.with(&step.labels).set(step.number);
                },
                _ => if let Ok(family) = registry.histograms(metric) {
                    family.with(&step.labels).record(step.count);
                },
            }
        }
        let text = registry.to_openmetrics();
        let samples = parse(&text);
        prop_assert!(samples.is_ok(), "{samples:?} of\n{text}");
    }

    #[test]
    fn what_was_measured_is_what_is_read(value in ".*", total in 0_u64..1 << 53, level in any::<f64>()) {
        let registry = Registry::new();
        registry.counters("read_total").unwrap().with(&[("l", &value)]).add(total);
        registry.gauges("level").unwrap().with(&[("l", &value)]).set(level);
        let samples = parse(&registry.to_openmetrics()).unwrap();
        // Longer values are in the overflow series, which is not asked for here.
        prop_assume!(value.len() <= 1_024);
        prop_assert_eq!(&samples[0].labels, &[("l".to_owned(), value)]);
        prop_assert_eq!(samples[0].value, total as f64);
        prop_assert!(samples[1].value == level || level.is_nan());
    }

    #[test]
    fn buckets_say_how_many_were_not_larger(values in proptest::collection::vec(0_u64..1 << 45, 0..200)) {
        let registry = Registry::new();
        let sizes = registry.histogram("sizes").unwrap();
        values.iter().for_each(|&value| sizes.record(value));
        for sample in parse(&registry.to_openmetrics()).unwrap() {
            let exact = match sample.labels.first() {
                Some((_, bound)) => {
                    let bound = number(bound).unwrap();
                    values.iter().filter(|&&value| value as f64 <= bound).count() as f64
                }
                None if sample.name == "sizes_sum" => values.iter().sum::<u64>() as f64,
                None => values.len() as f64,
            };
            prop_assert_eq!(sample.value, exact, "{}", sample.name);
        }
    }
}

#[test]
fn the_strict_parser_is_strict() {
    for broken in [
        "",
        "# TYPE a counter\na_total 1\n",
        "a_total 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a gauge\na{l=\"x\"y\"} 1\n# EOF\n",
        "# TYPE a gauge\na{l=\"x\",l=\"y\"} 1\n# EOF\n",
        "# TYPE a gauge\na 1\na 1\n# EOF\n",
        "# TYPE a gauge\na inf\n# EOF\n",
        "# TYPE a gauge\n# TYPE a gauge\n# EOF\n",
        "# TYPE a gauge\n# UNIT a seconds\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"2.0\"} 1\nh_bucket{le=\"1.0\"} 1\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"2.0\"} 1\n# EOF\n",
    ] {
        assert!(parse(broken).is_err(), "{broken:?}");
    }
    assert!(parse("# TYPE a gauge\na{l=\"\\\\\\\"\\n\"} +Inf\n# EOF\n").is_ok());
}

#[test]
fn a_buffer_that_is_used_again_is_not_made_larger() {
    let registry = Registry::new();
    let family = registry.counters("reused_total").unwrap();
    for n in 0..1_000 {
        family.with(&[("n", n.to_string())]).increment();
    }
    let mut text = String::new();
    registry.encode(&mut text);
    let (capacity, first) = (text.capacity(), text.clone());
    text.clear();
    registry.encode(&mut text);
    assert_eq!((text.capacity(), &text), (capacity, &first));
}
