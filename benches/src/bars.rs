//! The ratios that aqe sets itself, each to a named peer in the same run.
//!
//! An area keeps them as numbers, so that one command tells how far each is: `compare AREA --bars`. Missing one is no
//! failure of the command, which measures and does not judge; a changed number is a changed promise.

use std::fmt::Write as _;

use crate::report::{AQE, Row};

/// What aqe's median is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// The median of this contender.
    Peer(&'static str),
    /// The lowest median of all others.
    BestPeer,
    /// Nothing: the number itself has a limit.
    Limit,
}

/// One bar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    pub(crate) workload: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) against: Against,
    pub(crate) at_most: f64,
}

/// How a bar was met.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Aqe's number, as a ratio when the bar is one.
    pub measured: f64,
    /// Whom it was measured against.
    pub against: String,
    /// Whether it is not above the bar.
    pub met: bool,
}

/// A bar for aqe's time on the wall.
pub(crate) const fn wall(workload: &'static str, against: Against, at_most: f64) -> Bar {
    bar(workload, "wall", against, at_most)
}

/// A bar for a ratio.
pub(crate) const fn bar(
    workload: &'static str,
    metric: &'static str,
    against: Against,
    at_most: f64,
) -> Bar {
    Bar {
        workload,
        metric,
        against,
        at_most,
    }
}

/// A bar for the number itself.
pub(crate) const fn limit(workload: &'static str, metric: &'static str, at_most: f64) -> Bar {
    bar(workload, metric, Against::Limit, at_most)
}

impl Bar {
    /// How it was met in a run, or `None` when the run did not measure both sides of it.
    #[must_use]
    pub fn outcome(&self, rows: &[Row]) -> Option<Outcome> {
        let row = rows
            .iter()
            .find(|row| row.workload == self.workload && row.metric == self.metric)?;
        let aqe = row.aqe()?;
        let (measured, against) = match self.against {
            Against::Limit => (aqe, self.opponent().to_owned()),
            Against::Peer(name) => (ratio(aqe, row.median_of(name)?)?, name.to_owned()),
            Against::BestPeer => {
                let peers = row.scores.iter().filter(|score| score.contender != AQE);
                let best = peers.min_by(|a, b| a.median.total_cmp(&b.median))?;
                (ratio(aqe, best.median)?, best.contender.clone())
            }
        };
        Some(Outcome {
            measured,
            against,
            met: measured <= self.at_most,
        })
    }

    /// What it is held against, where a run did not tell.
    fn opponent(&self) -> &'static str {
        match self.against {
            Against::Peer(name) => name,
            Against::BestPeer => "the best peer",
            Against::Limit => "(a limit, in its unit)",
        }
    }
}

/// Without the digits that a fraction like 1 ÷ 3.9 has no end of.
fn shown(at_most: f64) -> f64 {
    (at_most * 1e3).round() / 1e3
}

fn ratio(aqe: f64, peer: f64) -> Option<f64> {
    (peer > 0.0).then(|| aqe / peer)
}

/// One line for every bar, those that the run did not measure included.
#[must_use]
pub fn to_text(bars: &[Bar], rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:26} {:21} {:28} {:>9} {:>7}",
        "workload", "metric", "aqe ÷", "measured", "bar"
    );
    for bar in bars {
        let outcome = bar.outcome(rows);
        let (measured, against, verdict) = match &outcome {
            Some(outcome) => (
                format!("{:.3}", outcome.measured),
                outcome.against.as_str(),
                if outcome.met { "met" } else { "missed" },
            ),
            None => ("-".to_owned(), bar.opponent(), "not measured"),
        };
        let _ = writeln!(
            text,
            "{:26} {:21} {:28} {:>9} {:>7} {verdict}",
            bar.workload,
            bar.metric,
            against,
            measured,
            shown(bar.at_most)
        );
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::Score;
    use crate::rounds::Pairing;

    fn row(workload: &str, metric: &str, scores: &[(&str, f64)]) -> Row {
        let score = |&(contender, median): &(&str, f64)| Score {
            contender: contender.to_owned(),
            median,
            min: median,
            max: median,
        };
        Row {
            workload: workload.to_owned(),
            metric: metric.to_owned(),
            unit: "ns/op".to_owned(),
            scores: scores.iter().map(score).collect(),
        }
    }

    /// Fails for a bar that can never be measured.
    pub(crate) fn every_bar_names_a_pairing_that_is_taken(bars: &[Bar], pairings: &[Pairing]) {
        for bar in bars {
            let taken = |contender: &str| {
                pairings
                    .iter()
                    .any(|it| it.workload == bar.workload && it.contender == contender)
            };
            assert!(taken(AQE), "{bar:?}");
            if let Against::Peer(peer) = bar.against {
                assert!(taken(peer), "{bar:?}");
            }
        }
    }

    #[test]
    fn a_ratio_is_to_the_named_peer_or_to_the_best() {
        let rows = [row(
            "w",
            "wall",
            &[("slow", 200.0), (AQE, 60.0), ("fast", 100.0)],
        )];
        for (against, at_most, measured, name, met) in [
            (Against::Peer("slow"), 0.30, 0.30, "slow", true),
            (Against::BestPeer, 0.59, 0.60, "fast", false),
            (Against::Limit, 60.0, 60.0, "(a limit, in its unit)", true),
        ] {
            let bar = wall("w", against, at_most);
            let expected = Outcome {
                measured,
                against: name.to_owned(),
                met,
            };
            assert_eq!(bar.outcome(&rows), Some(expected));
        }
    }

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let rows = [row("w", "wall", &[(AQE, 60.0)])];
        let bars = [
            wall("w", Against::Peer("fast"), 1.0),
            wall("w", Against::BestPeer, 1.0),
            limit("another", "wall", 60.0),
        ];
        assert!(bars.iter().all(|bar| bar.outcome(&rows).is_none()));
        let text = to_text(&bars, &rows);
        assert_eq!(text.lines().count(), bars.len() + 1);
        assert_eq!(text.matches("not measured").count(), bars.len());
    }
}
