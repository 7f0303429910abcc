//! The command line of `compare`.

use std::path::PathBuf;

use xtask::{Failure, Result};

use crate::memory::{hits, store};
use crate::queue;
use crate::rounds::{Plan, Scale};

/// How to call the program.
pub const USAGE: &str = "\
usage: compare AREA [--json | --bars] [--rounds N] [--only PATTERN]... [--quick] [--minutes N] [--traces FOLDER]

areas:
  queue            operations through queues and worker pools
  batch            many items in chunks, and durable checkpoints
  memory           entries in caches and stores: speed, memory, expiry, durability
  codec            values made small and brought back
  monitor          counting, recording, finding a series, writing them all, a look at the system
  monitor-history  two hundred series on disk: size, commits, and 500 points of them
  runner           test suites through test runners, and what one process costs
  launcher         of these only what one process costs, which needs no suite
  verdicts         whether every runner comes to the same verdict on every test
  hits             which reads find their entry in a cache: counted, so one round is all

options:
  --bars           areas queue and memory: print for each ratio that aqe sets itself whether it was met
  --json           print a list of {\"workload\",\"metric\",\"unit\",\"aqe\",\"peers\"}; lower is better
  --rounds N       rounds over everything, interleaved (default 5)
  --only PATTERN   only pairings whose WORKLOAD/CONTENDER contains PATTERN; any of several
  --quick          one round of small workloads: shows that it works, measures nothing
  --minutes N      area memory: how long the churn of `bound` goes on (default 20 seconds)
  --traces FOLDER  area hits: read the traces in it too (.lirs and .trc, .arc)
";

/// What the person asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to compare.
    pub area: String,
    /// How to show the result.
    pub view: View,
    /// How often and how large.
    pub plan: Plan,
    /// Which pairings: all when empty.
    pub only: Vec<String>,
    /// Where traces of reads lie, for the area `hits`.
    pub traces: Option<PathBuf>,
}

/// How the result is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Aligned tables, for people.
    Tables,
    /// One list, for programs.
    Json,
    /// The bars of the area, one a line.
    Bars,
}

impl Request {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// With the usage, when an argument is unknown, has no value, or is no number.
    pub fn parse(args: &[String]) -> Result<Self> {
        let mut areas = Vec::new();
        let mut views = Vec::new();
        let mut quick = false;
        let mut rounds = None;
        let mut only = Vec::new();
        let mut minutes = None;
        let mut traces = None;
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--bars" => views.push(View::Bars),
                "--json" => views.push(View::Json),
                "--quick" => quick = true,
                "--only" => only.push(value(arg, args.next())?.clone()),
                "--rounds" => rounds = Some(count(arg, value(arg, args.next())?)?),
                "--minutes" => minutes = Some(count(arg, value(arg, args.next())?)?),
                "--traces" => traces = Some(PathBuf::from(value(arg, args.next())?)),
                flag if flag.starts_with('-') => {
                    return Err(wrong(&format!("unknown option `{flag}`")));
                }
                area => areas.push(area.to_owned()),
            }
        }
        let [area] = areas.as_slice() else {
            return Err(wrong("name one area"));
        };
        if area == hits::AREA && rounds.is_some() {
            return Err(wrong("the area `hits` counts, and so it has no rounds"));
        }
        if area != hits::AREA && traces.is_some() {
            return Err(wrong(&format!("the area `{area}` reads no traces")));
        }
        if area != store::AREA && minutes.is_some() {
            return Err(wrong(&format!(
                "no part of the area `{area}` lasts minutes"
            )));
        }
        let view = match views.as_slice() {
            [] => View::Tables,
            [View::Bars] if ![queue::AREA, store::AREA].contains(&area.as_str()) => {
                return Err(wrong(&format!("the area `{area}` has no bars")));
            }
            [view] => *view,
            _ => return Err(wrong("give `--bars` or `--json`, once")),
        };
        let (usual, scale) = if quick {
            (1, Scale::Quick)
        } else {
            (5, Scale::Full)
        };
        Ok(Self {
            area: area.clone(),
            view,
            plan: Plan {
                rounds: rounds.unwrap_or(usual),
                scale,
                minutes,
            },
            only,
            traces,
        })
    }

    /// Whether a pairing was asked for.
    #[must_use]
    pub fn wants(&self, workload: &str, contender: &str) -> bool {
        let name = format!("{workload}/{contender}");
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|pattern| name.contains(pattern.as_str()))
    }
}

fn value<'a>(flag: &str, value: Option<&'a String>) -> Result<&'a String> {
    value.ok_or_else(|| wrong(&format!("`{flag}` needs a value")))
}

fn count(flag: &str, text: &str) -> Result<usize> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(wrong(&format!(
            "`{flag} {text}`: expected a number above 0"
        ))),
    }
}

/// A failure that ends with the usage.
#[must_use]
pub fn wrong(what: &str) -> Failure {
    Failure::new(format!("{what}\n\n{USAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Request> {
        let args: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        Request::parse(&args)
    }

    #[test]
    fn options_may_stand_anywhere() {
        let request = parse("--rounds 7 queue --only noop --json --only kanal").unwrap();
        assert_eq!(
            (request.area.as_str(), request.plan.rounds, request.view),
            ("queue", 7, View::Json)
        );
        assert!(request.wants("noop-1M", "tower") && request.wants("sleep", "kanal-pool"));
        assert!(!request.wants("sleep", "tower"));
    }

    #[test]
    fn quick_is_one_small_round() {
        let plan = parse("queue --quick").unwrap().plan;
        assert_eq!((plan.rounds, plan.scale.of(1000)), (1, 50));
    }

    #[test]
    fn mistakes_are_answered_with_the_usage() {
        for line in [
            "",
            "queue runner",
            "queue --rounds",
            "queue --rounds 0",
            "queue --fast",
            "queue --json --bars",
            "runner --bars",
            "hits --rounds 3",
            "hits --traces",
            "queue --traces folder",
            "queue --minutes 1",
        ] {
            let failure = parse(line).unwrap_err().to_string();
            assert!(failure.contains("usage: compare"), "{line}: {failure}");
        }
    }
}
