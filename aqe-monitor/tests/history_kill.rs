//! A history whose writer is killed at any moment has every tick that was acknowledged, and at most the one after.
//!
//! A helper process appends ticks whose value is their number, in small blocks so that it is sealing and dropping all the time, and says
//! after each that it has returned. Others read meanwhile.

#![cfg(feature = "history")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use aqe_monitor::history::{
    History, HistoryConfig, HistoryError, HistoryReader, Kind, Moment, Opened, Resolution,
    SeriesKey, Tick, Timestamp,
};

/// Tells the helper where the history is, and with which number it begins.
const HELPER: &str = "AQE_MONITOR_KILL_HELPER";
/// How many kills, if more than usual are wanted.
const ROUNDS: &str = "AQE_MONITOR_KILL_ROUNDS";

const EVER: std::ops::Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;

fn open(path: &Path) -> Result<History, HistoryError> {
    History::open(path, HistoryConfig::default().block_ticks(7))
}

/// Not a test by itself: what the helper process does until it is killed.
#[test]
fn helper() {
    let Ok(spec) = env::var(HELPER) else { return };
    let (path, begin) = spec.split_once('|').unwrap();
    let begin: u32 = begin.parse().unwrap();
    let mut history = open(path.as_ref()).unwrap();
    assert!(!matches!(history.opened(), Opened::SetAside(_)));
    let series: Vec<_> = (0..20)
        .map(|number| {
            let key = SeriesKey::new(&format!("m{number}"), &[]).unwrap();
            history.series(&key, Kind::Gauge, "").unwrap()
        })
        .collect();
    let mut tick = Tick::new();
    let mut now = Moment {
        wall: Timestamp::from_millis(1_700_000_000_000 + i64::from(begin) * 5000),
        steady: Instant::now(),
    };
    let mut out = std::io::stdout();
    for number in begin.. {
        tick.clear();
        for &series in &series {
            tick.set(series, f64::from(number));
        }
        history.append(now, &mut tick).unwrap();
        now = now.after(Duration::from_secs(5));
        writeln!(out, "done {number}").unwrap();
        out.flush().unwrap();
    }
}

fn start_helper(path: &Path, begin: u32) -> (Child, BufReader<ChildStdout>) {
    let mut helper = Command::new(env::current_exe().unwrap())
        .args(["--exact", "helper", "--nocapture"])
        .env(HELPER, format!("{}|{begin}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(helper.stdout.take().unwrap());
    (helper, out)
}

/// The number in a line that says that a call has returned.
fn done(line: &str) -> Option<u32> {
    // The harness may have said something on the same line.
    line.rsplit_once("done ")?.1.parse().ok()
}

/// All values of a series; they must be those of the ticks from the first on.
fn count(path: &Path, name: &str) -> u32 {
    let reader = HistoryReader::open(path).unwrap();
    let Some(info) = reader.series_named(name).unwrap().pop() else {
        return 0;
    };
    let answer = reader.samples(info.id, EVER, usize::MAX).unwrap();
    assert_eq!(answer.damaged, 0);
    for (number, sample) in (0_u32..).zip(&answer.samples) {
        assert_eq!(
            sample.value,
            f64::from(number),
            "of {} in {name}",
            answer.samples.len()
        );
    }
    answer.samples.len() as u32
}

#[test]
fn a_kill_loses_at_most_the_tick_that_was_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let rounds = env::var(ROUNDS).map_or(12, |rounds| rounds.parse().unwrap());
    let mut written = 0;
    for round in 0..rounds {
        let (mut helper, out) = start_helper(&path, written);
        let wanted = [1, 3, 6, 7, 8, 13, 14, 29, 50][round % 9];
        let mut said = 0;
        let mut lines = out.lines();
        while said < wanted {
            said += usize::from(done(&lines.next().unwrap().unwrap()).is_some());
        }
        helper.kill().unwrap();
        // What it had still said before it was gone.
        let last = lines
            .map_while(Result::ok)
            .filter_map(|line| done(&line))
            .last();
        helper.wait().unwrap();
        let acknowledged = last.map_or(written + wanted as u32, |number| number + 1);

        // First as it lies there, then after the next writer has been at it.
        let found = count(&path, "m0");
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "round {round}: {acknowledged} acknowledged, {found} found"
        );
        let history = open(&path).unwrap();
        assert_eq!(history.opened(), &Opened::Found);
        drop(history);
        for name in ["m0", "m7", "m19"] {
            assert_eq!(count(&path, name), found);
        }
        let reader = HistoryReader::open(&path).unwrap();
        let series = reader.series_named("m3").unwrap()[0].id;
        for resolution in [Resolution::Minute, Resolution::Hour] {
            let (points, _) = reader.rollups(series, EVER, resolution).unwrap();
            assert_eq!(
                points.iter().map(|point| point.summary.n).sum::<u64>(),
                u64::from(found)
            );
        }
        written = found;
    }
}

#[test]
fn others_read_while_one_writes_and_a_second_writer_is_told_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let (mut helper, out) = start_helper(&path, 0);
    let mut lines = out.lines();
    while done(&lines.next().unwrap().unwrap()).is_none() {}
    let error = open(&path).unwrap_err();
    let HistoryError::InUse { holder, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(holder, &format!("process {}", helper.id()));

    let mut before = 0;
    let mut last = 0;
    while last < 150 {
        last = lines
            .by_ref()
            .filter_map(|line| done(&line.unwrap()))
            .next()
            .unwrap();
        // Acknowledged is visible, in order, without gaps, and nothing that was there goes away.
        let now = count(&path, "m11");
        assert!(
            now > last && now >= before,
            "{now} after {last} and {before}"
        );
        before = now;
    }
    helper.kill().unwrap();
    helper.wait().unwrap();
}
