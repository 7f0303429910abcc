//! Area `codec`: how small values become, what it costs, and what it costs to have them back.
//!
//! Each workload is a kind of value. `-fast` is for values on their way in, `-high` for a pass in the background;
//! both with a dictionary of 64 KiB that was trained on other values of the kind. `-alone` is without one. The
//! dictionary of LZ4 contenders is aqe's own, so that encoders are compared and not trainers; zstd has one from its
//! own trainer, which suits it better.

mod contenders;

use std::hint::black_box;
use std::time::Duration;

use xtask::{Failure, Result};

use self::contenders::{Contender, Dictionaries, make};
use super::artefacts::{Kind, values};
use crate::cli::Request;
use crate::measure::{Reading, Stretch};
use crate::rounds::{Pairing, Scale};

/// The name of this area.
pub const AREA: &str = "codec";

/// Training takes a second, and the slowest contender a few.
const LIMIT: Duration = Duration::from_secs(120);

/// Values from which dictionaries are trained, of 2 KB.
const SAMPLES: u64 = 4_000;

/// Bytes of values that a sample encodes, in one pass.
const MEASURED_BYTES: u64 = 8 << 20;

/// Both directions are measured in so many passes over the same values.
const PASSES: u64 = 3;

/// A way to be used: who takes part in it.
struct Mode {
    name: &'static str,
    contenders: &'static [&'static str],
}

const MODES: &[Mode] = &[
    Mode {
        name: "fast",
        contenders: &["aqe", "lz4-flex-dict", "c-lz4-dict", "zstd-3-dict"],
    },
    Mode {
        name: "high",
        contenders: &["aqe", "c-lz4hc-9-dict", "c-lz4hc-12-dict", "zstd-9-dict"],
    },
    Mode {
        name: "alone",
        contenders: &[
            "aqe",
            "lz4-flex",
            "c-lz4",
            "aqe-high-alone",
            "c-lz4hc-9",
            "zstd-3",
        ],
    },
];

/// The pairings that were asked for, workload by workload.
#[must_use]
pub fn pairings(request: &Request) -> Vec<Pairing> {
    let mut pairings = Vec::new();
    for (kind, mode) in workloads() {
        let workload = workload_name(kind, mode);
        for contender in mode.contenders {
            if request.wants(&workload, contender) {
                pairings.push(Pairing {
                    workload: workload.clone(),
                    contender: (*contender).to_owned(),
                    limit: LIMIT,
                });
            }
        }
    }
    pairings
}

/// Takes one sample in this process.
///
/// # Errors
///
/// When a name is unknown, or when a value does not come back as it was.
pub fn sample(workload: &str, contender: &str, scale: Scale) -> Result<Vec<Reading>> {
    let known = workloads().find(|(kind, mode)| workload_name(*kind, mode) == workload);
    let (kind, mode) = known
        .filter(|(_, mode)| mode.contenders.contains(&contender))
        .ok_or_else(|| {
            Failure::new(format!(
                "there is no codec workload `{workload}` with `{contender}`"
            ))
        })?;
    let data = Data::new(kind, scale);
    let dictionaries = Dictionaries::new(data.samples);
    let mut contender = make(mode.name, contender, &dictionaries)?;
    measure(&mut *contender, &data.values)
}

fn workloads() -> impl Iterator<Item = (Kind, &'static Mode)> {
    Kind::ALL
        .into_iter()
        .flat_map(|kind| MODES.iter().map(move |mode| (kind, mode)))
}

fn workload_name(kind: Kind, mode: &Mode) -> String {
    format!("{}-{}", kind.name(), mode.name)
}

/// Values to train with, and others to measure with.
struct Data {
    samples: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
}

impl Data {
    fn new(kind: Kind, scale: Scale) -> Self {
        let bytes = scale.of(MEASURED_BYTES) as usize;
        let samples = scale.of(SAMPLES) as usize;
        match kind {
            Kind::Json | Kind::Junit => Self {
                samples: values(kind, 1, samples).collect(),
                values: values(kind, 2, bytes >> 11).collect(),
            },
            Kind::Log => Self {
                samples: values(kind, 1, (samples >> 5).max(20)).collect(),
                values: values(kind, 2, (bytes >> 16).max(2)).collect(),
            },
            Kind::Source => {
                // There is so much source text and no more: what is trained with is not measured.
                let mut pieces: Vec<Vec<u8>> = values(kind, 1, samples).collect();
                pieces.sort();
                pieces.dedup();
                let mut shuffled = fastrand::Rng::with_seed(1);
                shuffled.shuffle(&mut pieces);
                let values = pieces.split_off(pieces.len() * 3 / 4);
                Self {
                    samples: pieces,
                    values,
                }
            }
        }
    }
}

fn measure(contender: &mut dyn Contender, values: &[Vec<u8>]) -> Result<Vec<Reading>> {
    let longest = values.iter().map(Vec::len).max().unwrap_or(0);
    // Room for what grows, as peers may ask for.
    let mut output = vec![0; longest + longest / 8 + 1_024];
    let mut blocks = Vec::with_capacity(values.len());
    for value in values {
        let length = contender.encode(value, &mut output)?;
        blocks.push(output[..length].to_vec());
        contender.decode(&blocks[blocks.len() - 1], &mut output[..value.len()])?;
        if output[..value.len()] != value[..] {
            return Err(Failure::new("a value did not come back as it was"));
        }
    }
    let bytes = |list: &[Vec<u8>]| list.iter().map(Vec::len).sum::<usize>() as f64;
    let mut readings = vec![Reading::new(
        "size",
        "of the value",
        bytes(&blocks) / bytes(values),
    )];
    let count = PASSES * values.len() as u64;
    let stretch = Stretch::start();
    for _ in 0..PASSES {
        for value in values {
            black_box(contender.encode(black_box(value), &mut output)?);
        }
    }
    readings.extend(named("encode", stretch.per_operation(count)));
    let stretch = Stretch::start();
    for _ in 0..PASSES {
        for (block, value) in blocks.iter().zip(values) {
            contender.decode(black_box(block), &mut output[..value.len()])?;
        }
    }
    readings.extend(named("decode", stretch.per_operation(count)));
    Ok(readings)
}

/// Processor time alone, where the system tells it: nothing here waits, and other processes do not count.
fn named(direction: &str, readings: Vec<Reading>) -> Option<Reading> {
    let reading = readings.into_iter().next_back()?;
    Some(Reading::new(direction, "ns/value", reading.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_brings_every_value_back() {
        for (kind, mode) in workloads() {
            let data = Data::new(kind, Scale::Quick);
            let dictionaries = Dictionaries::new(data.samples);
            let few = &data.values[..data.values.len().min(20)];
            for name in mode.contenders {
                let readings = make(mode.name, name, &dictionaries)
                    .and_then(|mut contender| measure(&mut *contender, few));
                let readings =
                    readings.unwrap_or_else(|failure| panic!("{kind:?} {name}: {failure}"));
                let metrics: Vec<&str> = readings
                    .iter()
                    .map(|reading| reading.metric.as_str())
                    .collect();
                assert_eq!(metrics, ["size", "encode", "decode"]);
                assert!(readings[0].value < 0.95, "{kind:?} {name}: {readings:?}");
            }
        }
    }
}
