//! Files that are broken, cut off, or have no room: opened or set aside, never a panic, and never a value that was not written.

#![cfg(feature = "history")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aqe_monitor::history::{
    Buckets, History, HistoryConfig, HistoryError, HistoryReader, Kind, Moment, Opened, Resolution,
    SeriesKey, Tick, Timestamp,
};

const EVER: std::ops::Range<Timestamp> = Timestamp::MIN..Timestamp::MAX;
const TICKS: u32 = 95;

fn start() -> Moment {
    Moment {
        wall: Timestamp::from_millis(1_700_000_000_000),
        steady: Instant::now(),
    }
}

fn value(series: usize, tick: u32) -> f64 {
    match series % 3 {
        0 => f64::from(tick),
        1 => f64::from(tick.wrapping_mul(2_654_435_761)) / 7.0,
        _ => 3.5,
    }
}

/// Sealed blocks, ticks that wait, rollups, a histogram and a run.
fn write(path: &Path) {
    let mut history = History::open(path, HistoryConfig::default().block_ticks(30)).unwrap();
    let series: Vec<_> = (0..12)
        .map(|number| {
            let key = SeriesKey::new(&format!("m{number}"), &[("label", "x")]).unwrap();
            history.series(&key, Kind::Gauge, "").unwrap()
        })
        .collect();
    let latency = history
        .series(
            &SeriesKey::new("latency", &[]).unwrap(),
            Kind::Histogram,
            "",
        )
        .unwrap();
    let run = history.begin_run("tests", "v1", &[], start().wall).unwrap();
    history.run_results(run, &[("time", 1.5)]).unwrap();
    let mut now = start();
    let mut tick = Tick::new();
    for number in 0..TICKS {
        tick.clear();
        for (at, &series) in series.iter().enumerate() {
            tick.set(series, value(at, number));
        }
        let mut since = Buckets::new(7);
        since.record(u64::from(number) * 1000, 2);
        tick.histogram(latency, &since);
        history.append(now, &mut tick).unwrap();
        now = now.after(Duration::from_secs(5));
    }
}

/// Reads everything there is. Whatever is found must have been written; gives how much that is.
fn read(path: &Path) -> Result<usize, HistoryError> {
    let reader = HistoryReader::open(path)?;
    let mut found = 0;
    for info in reader.series()? {
        let samples = match reader.samples(info.id, EVER, usize::MAX) {
            Ok(samples) => samples.samples,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let _ = reader.histogram(info.id, EVER, 3);
        let _ = reader.latest(info.id);
        let name = info.key.name();
        let Some(number) = name
            .strip_prefix('m')
            .and_then(|number| number.parse().ok())
        else {
            assert_eq!(name, "latency");
            continue;
        };
        let written: HashSet<(i64, u64)> = (0..TICKS)
            .map(|tick| {
                (
                    start().wall.as_millis() + i64::from(tick) * 5000,
                    value(number, tick).to_bits(),
                )
            })
            .collect();
        for sample in &samples {
            assert!(
                written.contains(&(sample.at.as_millis(), sample.value.to_bits())),
                "{name}: {sample:?}"
            );
        }
        found += samples.len();
        for resolution in [Resolution::Minute, Resolution::Hour] {
            let Ok((points, _)) = reader.rollups(info.id, EVER, resolution) else {
                continue;
            };
            for point in points {
                let bounds = (0..TICKS).map(|tick| value(number, tick));
                assert!(
                    bounds.clone().any(|value| value == point.summary.min),
                    "{name}: {point:?}"
                );
                assert!(
                    bounds.clone().any(|value| value == point.summary.max),
                    "{name}: {point:?}"
                );
                assert!(point.summary.n <= u64::from(TICKS), "{name}: {point:?}");
            }
        }
    }
    let _ = reader.runs(EVER, 100);
    let _ = reader.export_csv(EVER, &mut Vec::new());
    Ok(found)
}

/// Opens a broken file as a reader and as a writer, and writes to it.
fn try_it(path: &Path, what: &str) -> Opened {
    match read(path) {
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty(), "{what}"),
    }
    let mut history = match History::open(path, HistoryConfig::default().block_ticks(30)) {
        Ok(history) => history,
        // The two numbers in the header that say whose file it is.
        Err(HistoryError::Newer { .. } | HistoryError::Foreign { .. }) => return Opened::Found,
        Err(error) => panic!("{what}: {error}, {error:?}"),
    };
    let opened = history.opened().clone();
    let series = history.series(
        &SeriesKey::new("m0", &[("label", "x")]).unwrap(),
        Kind::Gauge,
        "",
    );
    let mut now = start().after(Duration::from_secs(3600));
    for _ in 0..40 {
        let Ok(series) = series else { break };
        let mut tick = Tick::new();
        // A value of this series, at a time of its own.
        tick.set(series, value(0, 0));
        now = now.after(Duration::from_secs(5));
        if let Err(error) = history.append(now, &mut tick) {
            panic!("{what}: {error}, {error:?}");
        }
    }
    opened
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to.parent().unwrap());
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

#[test]
fn flipped_and_cut_files_are_opened_or_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.db");
    write(&whole);
    assert_eq!(read(&whole).unwrap(), 12 * TICKS as usize);
    let image = std::fs::read(&whole).unwrap();
    let broken: PathBuf = folder.path().join("broken").join("h.db");
    let mut random = fastrand::Rng::with_seed(42);
    let rounds =
        std::env::var("AQE_MONITOR_DAMAGE_ROUNDS").map_or(60, |rounds| rounds.parse().unwrap());
    let mut aside = 0;
    for round in 0..rounds {
        copy(&whole, &broken);
        let mut bytes = image.clone();
        match round % 4 {
            0 => {
                for _ in 0..random.usize(1..6) {
                    bytes[random.usize(..image.len())] ^= 1 << random.u8(..8);
                }
            }
            // Where the structure is: headers of pages.
            1 => {
                bytes[random.usize(..image.len() / 8192) * 8192 + random.usize(..40)] ^=
                    1 << random.u8(..8)
            }
            2 => bytes.truncate(random.usize(..image.len())),
            _ => {
                let at = random.usize(..image.len() / 512) * 512;
                bytes[at..at + 512].fill(0);
            }
        }
        std::fs::write(&broken, &bytes).unwrap();
        aside += usize::from(matches!(
            try_it(&broken, &format!("round {round}")),
            Opened::SetAside(_)
        ));
    }
    assert!(
        aside * 5 > rounds,
        "only {aside} of {rounds} were set aside"
    );
}

#[test]
fn a_log_that_is_cut_or_flipped_has_the_ticks_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, HistoryConfig::default()).unwrap();
    let series = history
        .series(&SeriesKey::new("m0", &[]).unwrap(), Kind::Gauge, "")
        .unwrap();
    let mut now = start();
    for number in 0..TICKS {
        let mut tick = Tick::new();
        tick.set(series, value(0, number));
        history.append(now, &mut tick).unwrap();
        now = now.after(Duration::from_secs(5));
    }
    let log = std::fs::read(folder.path().join("h.db-wal")).unwrap();
    let broken: PathBuf = folder.path().join("broken").join("h.db");
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..20 {
        copy(&path, &broken);
        let mut bytes = log.clone();
        if round % 2 == 0 {
            bytes.truncate(random.usize(..log.len()));
        } else {
            bytes[random.usize(..log.len())] ^= 1 << random.u8(..8);
        }
        std::fs::write(broken.with_file_name("h.db-wal"), &bytes).unwrap();
        assert!(read(&broken).is_ok());
        try_it(&broken, &format!("round {round}"));
    }
}

#[test]
fn damage_that_is_found_while_writing_costs_what_was_before_and_no_tick_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h.db");
    let mut history = History::open(&path, HistoryConfig::default().block_ticks(10)).unwrap();
    let series = history
        .series(&SeriesKey::new("m0", &[]).unwrap(), Kind::Gauge, "")
        .unwrap();
    let mut now = start();
    let mut append = |history: &mut History, number: u32| {
        let mut tick = Tick::new();
        tick.set(series, f64::from(number));
        now = now.after(Duration::from_secs(5));
        history.append(now, &mut tick).unwrap()
    };
    for number in 0..25 {
        append(&mut history, number);
    }
    history.compact().unwrap();
    // Behind its back, all pages but the first become zeros, and somebody else writes, so that it reads them again.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 1).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8192..].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let mut aside = None;
    for number in 25..80 {
        aside = append(&mut history, number).set_aside.or(aside);
    }
    let aside = aside.expect("it was set aside");
    assert!(aside.moved_to.exists() && !aside.what.is_empty());
    let reader = HistoryReader::open(&path).unwrap();
    assert_eq!(reader.latest(series).unwrap().unwrap().value, 79.0);
    let kept = reader.samples(series, EVER, usize::MAX).unwrap().samples;
    let first = 80 - kept.len() as u32;
    assert!(first <= 60, "{first}");
    assert!(
        (first..80)
            .zip(&kept)
            .all(|(number, sample)| sample.value == f64::from(number))
    );
}

/// A file system of its own, unmounted at the end.
struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is refused.
    fn new(at: PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "aqe-test"])
            .arg(&at)
            .output()
            .ok()?;
        mount.status.success().then_some(Self(at))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_costs_ticks_until_there_is_room_and_nothing_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(folder.path().join("disk")) else {
        eprintln!("skipped: mounting is refused here");
        return;
    };
    let filler = mount.0.join("filler");
    std::fs::write(&filler, vec![1; 2 << 20]).unwrap();
    let path = mount.0.join("h.db");
    let mut history = History::open(&path, HistoryConfig::default().block_ticks(50)).unwrap();
    let series: Vec<_> = (0..100)
        .map(|number| {
            history
                .series(
                    &SeriesKey::new(&format!("n{number}"), &[]).unwrap(),
                    Kind::Gauge,
                    "",
                )
                .unwrap()
        })
        .collect();
    let mut random = fastrand::Rng::with_seed(3);
    let mut now = start();
    let (mut written, mut refused) = (Vec::new(), 0);
    for number in 0..3000_u32 {
        let mut tick = Tick::new();
        tick.set(series[0], f64::from(number));
        series[1..]
            .iter()
            .for_each(|&series| tick.set(series, random.f64()));
        now = now.after(Duration::from_secs(5));
        match history.append(now, &mut tick) {
            Ok(_) => written.push(f64::from(number)),
            Err(HistoryError::Full { .. }) => refused += 1,
            Err(error) => panic!("{error}: {error:?}"),
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "the disk was never full");
    let read = || -> Vec<f64> {
        let reader = HistoryReader::open(&path).unwrap();
        let answer = reader.samples(series[0], EVER, usize::MAX).unwrap();
        assert_eq!(answer.damaged, 0);
        answer.samples.iter().map(|sample| sample.value).collect()
    };
    assert_eq!(read(), written);
    std::fs::remove_file(&filler).unwrap();
    for number in 0..10 {
        let mut tick = Tick::new();
        tick.set(series[0], f64::from(number) + 0.5);
        now = now.after(Duration::from_secs(5));
        history.append(now, &mut tick).unwrap();
        written.push(f64::from(number) + 0.5);
    }
    assert_eq!(read(), written);
}
