//! The ratios that aqe sets itself, each to a named peer in the same run.
//!
//! They are kept here as numbers, so that one command tells how far each is: `compare queue --bars`. Missing one is no
//! failure of the command, which measures and does not judge; a changed number here is a changed promise.

use std::fmt::Write as _;

use crate::report::{AQE, Row};

/// What aqe's median is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Against {
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
    workload: &'static str,
    metric: &'static str,
    against: Against,
    at_most: f64,
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

/// Every bar, workload by workload.
pub const BARS: &[Bar] = &[
    wall("noop-1M-submit-all", Against::Peer("kanal-pool"), 0.60),
    wall(
        "noop-1M-submit-all",
        Against::Peer("async-priority-channel-pool"),
        0.35,
    ),
    wall(
        "noop-1M-submit-all",
        Against::Peer("async-priority-limiter"),
        0.12,
    ),
    wall(
        "noop-1M-submit-all",
        Against::Peer("bare-buffer-unordered"),
        2.6,
    ),
    wall("noop-1M-window-1024", Against::BestPeer, 0.70),
    wall("stream-1M", Against::Peer("bare-buffer-unordered"), 1.0),
    wall("stream-1M", Against::Peer("bare-futures-buffered"), 2.0),
    wall(
        "stream-ordered-1M",
        Against::Peer("bare-buffer-unordered"),
        1.0,
    ),
    wall(
        "stream-ordered-1M",
        Against::Peer("bare-futures-buffered"),
        2.0,
    ),
    wall("yield2-100k", Against::Peer("flume-pool"), 0.75),
    wall("yield2-100k", Against::Peer("kanal-pool"), 0.75),
    wall("yield2-100k", Against::Peer("bare-buffer-unordered"), 1.0),
    wall(
        "five-priorities-200k",
        Against::Peer("async-priority-channel-pool"),
        0.40,
    ),
    wall("five-priorities-200k", Against::Peer("kanal-pool"), 0.9),
    limit("five-priorities-200k", "rank-top", 0.101),
    // Counted from the end, a mean rank of the bottom level of 0.90. Perfect order gives 0.1000, not quite the tenth
    // itself because levels differ by a few operations in size, so there is as much room as at the top.
    limit("five-priorities-200k", "rank-bottom-from-end", 0.101),
    wall(
        "retry1pct-200k",
        Against::Peer("mpsc-to-buffer-unordered"),
        0.45,
    ),
    wall(
        "retry1pct-yield1-200k",
        Against::Peer("mpsc-to-buffer-unordered"),
        0.45,
    ),
    limit("own-cost-200k", "added-wall", 30.0),
    limit("own-cost-yield1-200k", "added-wall", 30.0),
    wall("eight-producers-1M", Against::Peer("kanal-pool"), 0.60),
    wall(
        "eight-producers-1M",
        Against::Peer("tower-buffer-limit"),
        0.15,
    ),
    wall("cpu-4us-100k", Against::Peer("2-bare-threads"), 1.04),
    wall("sleep1ms-10k-c100", Against::Peer("100-bare-loops"), 1.01),
    Bar {
        workload: "sleep1ms-10k-c100",
        metric: "cpu",
        against: Against::Peer("bare-buffer-unordered"),
        at_most: 1.3,
    },
    Bar {
        workload: "memory-1M-pending",
        metric: "pending-memory",
        against: Against::BestPeer,
        at_most: 0.95,
    },
];

const fn wall(workload: &'static str, against: Against, at_most: f64) -> Bar {
    Bar {
        workload,
        metric: "wall",
        against,
        at_most,
    }
}

const fn limit(workload: &'static str, metric: &'static str, at_most: f64) -> Bar {
    Bar {
        workload,
        metric,
        against: Against::Limit,
        at_most,
    }
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

fn ratio(aqe: f64, peer: f64) -> Option<f64> {
    (peer > 0.0).then(|| aqe / peer)
}

/// One line for every bar, those that the run did not measure included.
#[must_use]
pub fn to_text(rows: &[Row]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:22} {:21} {:28} {:>9} {:>7}",
        "workload", "metric", "aqe ÷", "measured", "bar"
    );
    for bar in BARS {
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
            "{:22} {:21} {:28} {:>9} {:>7} {verdict}",
            bar.workload, bar.metric, against, measured, bar.at_most
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Request;
    use crate::queue;
    use crate::report::Score;

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

    #[test]
    fn every_bar_names_a_pairing_that_is_taken() {
        let request = Request::parse(&["queue".to_owned()]).unwrap();
        let pairings = queue::pairings(&request);
        for bar in BARS {
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
        let rows = [row("noop-1M-submit-all", "wall", &[(AQE, 60.0)])];
        assert!(BARS.iter().all(|bar| bar.outcome(&rows).is_none()));
        let text = to_text(&rows);
        assert_eq!(text.lines().count(), BARS.len() + 1);
        assert_eq!(text.matches("not measured").count(), BARS.len());
    }
}
