//! What people rely on: whatever was written is what is read, at any time, by anybody, however the writer ends.

#![cfg(feature = "history")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aqe_monitor::history::{
    Buckets, History, HistoryConfig, HistoryError, HistoryReader, Kind, Moment, Opened, Resolution,
    SeriesId, SeriesKey, Tick, Timestamp,
};

const START: i64 = 1_700_000_000_000;
const EVER: std::ops::Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;

fn start() -> Moment {
    Moment {
        wall: Timestamp::from_millis(START),
        steady: Instant::now(),
    }
}

fn gauge(history: &mut History, name: &str) -> SeriesId {
    let key = SeriesKey::new(name, &[]).unwrap();
    history.series(&key, Kind::Gauge, "").unwrap()
}

fn append(history: &mut History, now: Moment, values: &[(SeriesId, f64)]) {
    let mut tick = Tick::new();
    for &(series, value) in values {
        tick.set(series, value);
    }
    history.append(now, &mut tick).unwrap();
}

fn values(path: &Path, series: SeriesId) -> Vec<f64> {
    let answer = HistoryReader::open(path)
        .unwrap()
        .samples(series, EVER, usize::MAX)
        .unwrap();
    assert_eq!(answer.damaged, 0);
    answer.samples.iter().map(|sample| sample.value).collect()
}

fn small_blocks() -> HistoryConfig {
    HistoryConfig::default().block_ticks(10)
}

#[test]
fn what_was_written_is_read_sealed_or_not_and_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut now = start();
    let mut expected = Vec::new();
    for round in 0..3 {
        let mut history = History::open(&path, small_blocks()).unwrap();
        let found = if round == 0 {
            Opened::Made
        } else {
            Opened::Found
        };
        assert_eq!(history.opened(), &found);
        let series = gauge(&mut history, "depth");
        for tick in 0..25 {
            let value = f64::from(round * 100 + tick) + 0.25;
            expected.push(value);
            append(&mut history, now, &[(series, value)]);
            now = now.after(Duration::from_secs(5));
            assert_eq!(values(&path, series), expected);
            let reader = HistoryReader::open(&path).unwrap();
            assert_eq!(reader.latest(series).unwrap().unwrap().value, value);
        }
    }
}

#[test]
fn points_and_rollups_are_those_of_the_samples() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, HistoryConfig::default().block_ticks(97)).unwrap();
    let series = gauge(&mut history, "depth");
    let mut now = start();
    let mut written = Vec::new();
    for tick in 0..2000_u32 {
        let value = f64::from(tick.wrapping_mul(2_654_435_761) >> 20) / 8.0;
        append(&mut history, now, &[(series, value)]);
        written.push((now.wall, value));
        now = now.after(Duration::from_millis(4_900 + u64::from(tick % 200)));
    }
    let reader = HistoryReader::open(&path).unwrap();
    let range = Timestamp::from_millis(START + 60_000)..Timestamp::from_millis(START + 7_000_000);
    for count in [1, 3, 10, 77, 5000] {
        let answer = reader.points(series, range.clone(), count).unwrap();
        assert!(answer.points.len() <= count);
        let mut seen = 0;
        for point in &answer.points {
            let end = point.start.after(answer.width).min(range.end);
            let inside: Vec<f64> = written
                .iter()
                .filter(|(at, _)| (point.start..end).contains(at))
                .map(|&(_, value)| value)
                .collect();
            seen += inside.len();
            let summary = point.summary;
            assert_eq!(summary.n, inside.len() as u64);
            assert_eq!(summary.min, inside.iter().copied().fold(f64::MAX, f64::min));
            assert_eq!(summary.max, inside.iter().copied().fold(f64::MIN, f64::max));
            assert_eq!(summary.sum, inside.iter().sum::<f64>());
            assert_eq!(Some(&summary.last), inside.last());
        }
        assert_eq!(
            seen,
            written.iter().filter(|(at, _)| range.contains(at)).count()
        );
    }
    for (resolution, millis) in [(Resolution::Minute, 60_000), (Resolution::Hour, 3_600_000)] {
        let (points, damaged) = reader.rollups(series, EVER, resolution).unwrap();
        assert_eq!(damaged, 0);
        assert_eq!(
            points.iter().map(|point| point.summary.n).sum::<u64>(),
            2000
        );
        for point in points {
            let period = |at: Timestamp| at.as_millis() / millis;
            let inside: Vec<f64> = written
                .iter()
                .filter(|(at, _)| period(*at) == period(point.start))
                .map(|&(_, value)| value)
                .collect();
            assert_eq!(point.start.as_millis() % millis, 0);
            assert_eq!(point.summary.n, inside.len() as u64);
            assert_eq!(
                point.summary.max,
                inside.iter().copied().fold(f64::MIN, f64::max)
            );
            assert_eq!(Some(&point.summary.last), inside.last());
        }
    }
    let rolled = reader.points_from_rollups(series, range, 2).unwrap();
    assert!(rolled.points.len() <= 2);
}

#[test]
fn series_come_and_go_and_histograms_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, small_blocks()).unwrap();
    let every = gauge(&mut history, "every");
    let third = gauge(&mut history, "third");
    let key = SeriesKey::new("latency", &[("kind", "read")]).unwrap();
    let latency = history
        .series(&key, Kind::Histogram, "nanoseconds")
        .unwrap();
    let mut now = start();
    let mut all = Buckets::new(7);
    let mut tick = Tick::new();
    for number in 0..35_u64 {
        tick.clear();
        tick.set(every, number as f64);
        if number % 3 == 0 {
            tick.set(third, number as f64);
        }
        let mut since = Buckets::new(7);
        for value in 0..number % 4 {
            since.record(1000 * (number + value), 1);
            all.record(1000 * (number + value), 1);
        }
        tick.histogram(latency, &since);
        history.append(now, &mut tick).unwrap();
        now = now.after(Duration::from_secs(5));
    }
    assert_eq!(
        values(&path, third),
        (0..35).step_by(3).map(f64::from).collect::<Vec<_>>()
    );
    let reader = HistoryReader::open(&path).unwrap();
    let answer = reader.histogram(latency, EVER, 1).unwrap();
    assert_eq!(answer.points.len(), 1);
    assert_eq!(answer.points[0].buckets, all);
    let (hours, _) = reader.rollups(latency, EVER, Resolution::Hour).unwrap();
    assert_eq!(
        hours.iter().map(|hour| hour.summary.n).sum::<u64>(),
        all.count()
    );
    let found = reader.series_named("latency").unwrap();
    assert_eq!(found[0].key, key);
    assert_eq!(found[0].unit, "nanoseconds");

    let error = history.series(&key, Kind::Gauge, "").unwrap_err();
    assert!(matches!(error, HistoryError::OtherKind { .. }), "{error}");
}

/// Names with everything that SQL, JSON, CSV and spreadsheets take for something else.
#[test]
fn hostile_names_are_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, small_blocks()).unwrap();
    let names = [
        "'; DROP TABLE tick; --",
        "\"quoted\"",
        "=cmd|' /C calc'!A0",
        "+1",
        "@SUM(1)",
        "-1",
        "\t=1",
        "a,b\r\nc",
        "\0\u{1}",
        "{\"a\":1}",
        "\u{2028}\u{202e}",
        "%s%n",
        "7\":1,\"8",
        "</script>",
        "日本語",
    ];
    let mut tick = Tick::new();
    for (at, name) in names.iter().enumerate() {
        let key = SeriesKey::new(name, &[(name, name)]).unwrap();
        let series = history.series(&key, Kind::Gauge, name).unwrap();
        tick.set(series, at as f64);
    }
    history.append(start(), &mut tick).unwrap();
    let reader = HistoryReader::open(&path).unwrap();
    for (at, name) in names.iter().enumerate() {
        let found = reader.series_named(name).unwrap();
        assert_eq!(found[0].key, SeriesKey::new(name, &[(name, name)]).unwrap());
        assert_eq!(
            reader.latest(found[0].id).unwrap().unwrap().value,
            at as f64
        );
    }
    let mut csv = Vec::new();
    assert_eq!(
        reader.export_csv(EVER, &mut csv).unwrap().samples,
        names.len() as u64
    );
    let csv = String::from_utf8(csv).unwrap();
    let cells = read_csv(&csv);
    assert_eq!(cells.len(), names.len() + 1);
    for (row, name) in cells[1..].iter().zip(names) {
        assert_eq!(row.len(), 7);
        let is_formula = name.starts_with(['=', '+', '-', '@', '\t']);
        assert_eq!(
            row[1],
            format!("{}{name}", if is_formula { "'" } else { "" })
        );
        for cell in [&row[1], &row[2], &row[4]] {
            assert!(
                !cell.starts_with(['=', '+', '-', '@', '\t', '\r']),
                "{cell:?}"
            );
        }
    }
    let mut json = Vec::new();
    reader.export_json(EVER, &mut json).unwrap();
    let json = String::from_utf8(json).unwrap();
    assert_eq!(json.lines().count(), names.len());
    assert!(
        json.chars()
            .all(|character| character == '\n' || !character.is_control())
    );
    // What SQLite's own parser makes of the labels.
    let database = rusqlite::Connection::open(&path).unwrap();
    let mut labels = database
        .prepare("SELECT j.key, j.value FROM series s, json_each(s.labels) j ORDER BY s.id")
        .unwrap();
    let labels: Vec<(String, String)> = labels
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(labels, names.map(|name| (name.to_owned(), name.to_owned())));
}

/// A strict reader of RFC 4180.
fn read_csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut characters = text.chars().peekable();
    let mut quoted = false;
    while let Some(character) = characters.next() {
        let cell = rows.last_mut().unwrap().last_mut().unwrap();
        match character {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => {
                assert!(quoted || cell.is_empty());
                quoted = !quoted;
            }
            ',' if !quoted => rows.last_mut().unwrap().push(String::new()),
            '\r' if !quoted => {
                assert_eq!(characters.next(), Some('\n'));
                rows.push(vec![String::new()]);
            }
            _ => cell.push(character),
        }
    }
    assert!(!quoted);
    assert_eq!(rows.pop(), Some(vec![String::new()]));
    rows
}

#[test]
fn views_show_what_is_sealed_and_what_is_not_to_any_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, small_blocks()).unwrap();
    let series = gauge(&mut history, "depth");
    let run = history
        .begin_run(
            "tests",
            "v1.0.0",
            &[("host", "a")],
            Timestamp::from_millis(START),
        )
        .unwrap();
    let mut now = start();
    for tick in 0..25 {
        append(&mut history, now, &[(series, f64::from(tick))]);
        now = now.after(Duration::from_secs(5));
    }
    history
        .run_results(run, &[("execution-time", 12.5)])
        .unwrap();
    history.end_run(run, now.wall).unwrap();
    let query = "SELECT resolution, sum(n), min(min), max(max), sum(sum) FROM samples_rollup
        WHERE name = 'depth' GROUP BY resolution ORDER BY resolution;
        SELECT count(*) FROM samples_recent; SELECT sum(n) FROM chunks;
        SELECT last FROM samples_rollup WHERE resolution = 'hour' ORDER BY n LIMIT 1;
        SELECT name, version, json_extract(labels, '$.host') FROM runs; SELECT name, value FROM results;
        SELECT count(*) FROM histogram_rollup; SELECT count(*) FROM clock_steps;";
    let expected = "hour|25|0.0|24.0|300.0\nminute|25|0.0|24.0|300.0\n5\n20\n24.0\ntests|v1.0.0|a\nexecution-time|12.5\n0\n0\n";
    // The tool itself where it is installed; in any case the library, statement by statement.
    if let Ok(output) = Command::new("sqlite3")
        .arg("-readonly")
        .arg(&path)
        .arg(query)
        .output()
    {
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{output:?}"
        );
    }
    let database = rusqlite::Connection::open(&path).unwrap();
    for statement in query
        .split(';')
        .filter(|statement| !statement.trim().is_empty())
    {
        database.query_row(statement, [], |_| Ok(())).unwrap();
    }
    let reader = HistoryReader::open(&path).unwrap();
    let runs = reader.runs(EVER, 10).unwrap();
    assert_eq!(
        (runs[0].name.as_str(), runs[0].ended),
        ("tests", Some(now.wall))
    );
    assert_eq!(
        reader
            .results("tests", Some("v1.0.0"), "execution-time")
            .unwrap()[0]
            .value,
        12.5
    );
    assert!(
        reader
            .results("tests", Some("v2.0.0"), "execution-time")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn old_samples_go_and_the_file_stays_within_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let config = small_blocks()
        .retention(Duration::from_secs(1000))
        .minutes(Duration::from_secs(300));
    let mut history = History::open(&path, config).unwrap();
    let series = gauge(&mut history, "depth");
    let mut now = start();
    for tick in 0..1000 {
        append(&mut history, now, &[(series, f64::from(tick))]);
        now = now.after(Duration::from_secs(5));
    }
    let kept = values(&path, series);
    // A thousand seconds are 200 ticks; a block more may wait for the next sealing, on either side.
    assert!((200..=220).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last(), Some(&999.0));
    let (minutes, _) = HistoryReader::open(&path)
        .unwrap()
        .rollups(series, EVER, Resolution::Minute)
        .unwrap();
    assert!(minutes.len() <= 8, "{}", minutes.len());
}

#[test]
fn a_history_without_room_drops_the_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let limit = 2 << 20;
    let config = HistoryConfig::default().block_ticks(20).max_bytes(limit);
    let mut history = History::open(&path, config).unwrap();
    let all: Vec<_> = (0..200)
        .map(|number| gauge(&mut history, &format!("m{number}")))
        .collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut now = start();
    for tick in 0..600 {
        let mut values: Vec<_> = all.iter().map(|&series| (series, random.f64())).collect();
        values[0].1 = f64::from(tick);
        append(&mut history, now, &values);
        now = now.after(Duration::from_secs(5));
        assert!(path.metadata().unwrap().len() <= limit);
    }
    let kept = values(&path, all[0]);
    assert!(kept.len() > 50, "{}", kept.len());
    let first = 600 - kept.len() as u32;
    assert_eq!(kept, (first..600).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn a_clock_that_is_set_loses_and_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, small_blocks()).unwrap();
    let series = gauge(&mut history, "depth");
    let mut now = start();
    let mut steps = Vec::new();
    let mut written = Vec::new();
    for number in 0..60_i32 {
        match number {
            20 => now.wall = now.wall.before(Duration::from_secs(3600)),
            30 => now.wall = now.wall.after(Duration::from_secs(86_400 * 400)),
            45 => now.wall = now.wall.before(Duration::from_secs(86_400 * 400)),
            _ => {}
        }
        let mut tick = Tick::new();
        tick.set(series, f64::from(number));
        steps.extend(history.append(now, &mut tick).unwrap().clock_step);
        written.push((now.wall, f64::from(number)));
        now = now.after(Duration::from_secs(5));
    }
    assert_eq!(steps, [-3_600_000, 86_400_000 * 400, -86_400_000 * 400]);
    // All of them are there, the ones before the leap too.
    written.sort_by_key(|&(at, _)| at);
    let reader = HistoryReader::open(&path).unwrap();
    let samples = reader.samples(series, EVER, usize::MAX).unwrap().samples;
    assert_eq!(
        samples
            .iter()
            .map(|sample| (sample.at, sample.value))
            .collect::<Vec<_>>(),
        written
    );
    assert_eq!(reader.latest(series).unwrap().unwrap().value, 59.0);
}

#[test]
fn one_writes_and_others_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let history = History::open(&path, small_blocks()).unwrap();
    let error = History::open(&path, small_blocks()).unwrap_err();
    let HistoryError::InUse { holder, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(holder, &format!("process {}", std::process::id()));
    drop(history);
    History::open(&path, small_blocks()).unwrap();
}

#[test]
fn newer_and_foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    drop(History::open(&path, small_blocks()).unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    let errors = [
        History::open(&path, small_blocks()).unwrap_err(),
        HistoryReader::open(&path).unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(
                error,
                HistoryError::Newer {
                    found: 2,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let other = folder.path().join("other.db");
    let database = rusqlite::Connection::open(&other).unwrap();
    database
        .execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1);")
        .unwrap();
    drop(database);
    let before = std::fs::read(&other).unwrap();
    assert!(matches!(
        History::open(&other, small_blocks()).unwrap_err(),
        HistoryError::Foreign { .. }
    ));
    assert_eq!(std::fs::read(&other).unwrap(), before);
    assert!(matches!(
        HistoryReader::open(folder.path().join("none")).unwrap_err(),
        HistoryError::Missing { .. }
    ));
}

#[test]
fn a_file_of_garbage_is_set_aside_and_three_of_them_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    for round in 0..5 {
        std::fs::write(&path, format!("this is no database {round}").repeat(1000)).unwrap();
        let history = History::open(&path, small_blocks()).unwrap();
        let Opened::SetAside(aside) = history.opened() else {
            panic!("{:?}", history.opened())
        };
        let moved = std::fs::read_to_string(&aside.moved_to).unwrap();
        assert!(moved.starts_with(&format!("this is no database {round}")));
        assert!(!aside.what.is_empty());
    }
    let aside = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("damaged"))
        .count();
    assert_eq!(aside, 3);
}

#[test]
fn what_cannot_be_kept_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    for config in [
        small_blocks().block_ticks(0),
        small_blocks().retention(Duration::ZERO),
        small_blocks().max_bytes(10),
    ] {
        assert!(matches!(
            History::open(&path, config).unwrap_err(),
            HistoryError::Setting { .. }
        ));
    }
    let mut history = History::open(&path, small_blocks().max_series(3)).unwrap();
    let one = gauge(&mut history, "one");
    gauge(&mut history, "two");
    gauge(&mut history, "three");
    let error = history
        .series(&SeriesKey::new("four", &[]).unwrap(), Kind::Gauge, "")
        .unwrap_err();
    assert_eq!(error.to_string(), "series: at most 3, not 4");
    let mut tick = Tick::new();
    tick.set(one, f64::NAN);
    tick.set(one, f64::INFINITY);
    assert_eq!(history.append(start(), &mut tick).unwrap().dropped, 2);
    assert!(
        history
            .end_run(history_run(&folder), Timestamp::now())
            .is_err()
    );
}

/// A run of another history.
fn history_run(folder: &tempfile::TempDir) -> aqe_monitor::history::RunId {
    let mut other = History::open(folder.path().join("other.db"), small_blocks()).unwrap();
    other.begin_run("x", "", &[], Timestamp::now()).unwrap()
}

#[test]
fn series_without_samples_make_room_for_others_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut now = start();
    for round in 0..5 {
        let config = small_blocks()
            .max_series(4)
            .retention(Duration::from_secs(100));
        let mut history = History::open(&path, config).unwrap();
        let series =
            [0, 1].map(|number| gauge(&mut history, &format!("round {round} number {number}")));
        for tick in 0..60 {
            append(
                &mut history,
                now,
                &[(series[0], f64::from(tick)), (series[1], 0.0)],
            );
            now = now.after(Duration::from_secs(5));
        }
        let seen = values(&path, series[0]);
        assert_eq!(seen.last(), Some(&59.0));
        // Numbers are not used again, so nothing of the old ones is seen under the new name.
        assert!(seen.len() <= 60);
        now = now.after(Duration::from_secs(1000));
    }
}

/// Whole numbers are integers in a tick's text: SQLite would cut off their averages, and refuse sums beyond 64 bits.
#[test]
fn views_average_whole_numbers_and_add_up_large_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let config = HistoryConfig::default().block_ticks(4096);
    let mut history = History::open(&path, config).unwrap();
    let (small, large) = (gauge(&mut history, "small"), gauge(&mut history, "large"));
    let mut now = start();
    let most = 9_007_199_254_740_991.0;
    for tick in 0..1100 {
        append(
            &mut history,
            now,
            &[(small, f64::from(1 + tick % 2)), (large, most)],
        );
        now = now.after(Duration::from_millis(1));
    }
    let database = rusqlite::Connection::open(&path).unwrap();
    let hour = |name: &str| -> (f64, f64) {
        let query = "SELECT avg, sum FROM samples_rollup WHERE resolution = 'hour' AND name = ?1";
        database
            .query_row(query, [name], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    assert_eq!(hour("small"), (1.5, 1650.0));
    assert!((hour("large").1 / (1100.0 * most) - 1.0).abs() < 1e-9);
}

#[test]
fn runs_take_an_eighth_of_the_room_and_the_oldest_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let limit = 2 << 20;
    let mut history = History::open(&path, small_blocks().max_bytes(limit)).unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("{number:0>200}")).collect();
    let results: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let mut begun = Vec::new();
    for _ in 0..40 {
        let run = history
            .begin_run("tests", "v1", &[], Timestamp::from_millis(START))
            .unwrap();
        history.run_results(run, &results).unwrap();
        begun.push(run);
    }
    let reader = HistoryReader::open(&path).unwrap();
    let kept: Vec<_> = reader
        .runs(EVER, 100)
        .unwrap()
        .iter()
        .rev()
        .map(|run| run.id)
        .collect();
    assert!(begun.ends_with(&kept));
    // A run takes 22 KiB, and an eighth is 256.
    assert!((10..=13).contains(&kept.len()), "{}", kept.len());
    assert_eq!(
        reader.results("tests", None, &names[0]).unwrap().len(),
        kept.len()
    );
    let error = history
        .end_run(begun[0], Timestamp::from_millis(START))
        .unwrap_err();
    assert!(matches!(error, HistoryError::Unknown { .. }), "{error}");
}

#[cfg(unix)]
#[test]
fn a_link_leads_to_the_same_history() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("h.db"), folder.path().join("link.db"));
    let mut history = History::open(&path, small_blocks()).unwrap();
    let series = gauge(&mut history, "depth");
    append(&mut history, start(), &[(series, 7.0)]);
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = History::open(&link, small_blocks()).unwrap_err();
    assert!(matches!(error, HistoryError::InUse { .. }), "{error}");
    assert_eq!(values(&link, series), [7.0]);
}

#[test]
fn what_seems_old_after_a_long_gap_is_not_dropped_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let config = small_blocks().retention(Duration::from_secs(7200));
    let mut history = History::open(&path, config.clone()).unwrap();
    let series = gauge(&mut history, "depth");
    append(&mut history, start(), &[(series, 0.0)]);
    drop(history);

    // The machine has started with a clock that is years ahead.
    let mut history = History::open(&path, config).unwrap();
    let mut now = start().after(Duration::from_secs(86_400 * 1000));
    for tick in 1..30 {
        append(&mut history, now, &[(series, f64::from(tick))]);
        now = now.after(Duration::from_secs(5));
    }
    assert_eq!(values(&path, series).len(), 30);
    // A day later, with the same clock, it has been right after all.
    now = now.after(Duration::from_secs(86_400));
    for tick in 30..60 {
        append(&mut history, now, &[(series, f64::from(tick))]);
        now = now.after(Duration::from_secs(5));
    }
    assert!(values(&path, series)[0] >= 20.0);
}

#[test]
fn writers_and_readers_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<History>();
    moves::<HistoryReader>();
    moves::<Tick>();
}
