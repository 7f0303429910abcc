//! The log as a whole: what is read back after it was cut, flipped, filled up, compacted or left by a dead process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::header::Identity;
use super::medium::Medium;
use super::scan::{Image, scan};
use super::writer::Writer;
use super::*;

fn job() -> JobIdentity {
    JobIdentity::new("test").total(100_000)
}

/// A disk of a certain size in memory, which fails when it is told to.
struct Disk {
    bytes: Mutex<Vec<u8>>,
    capacity: usize,
    syncs_left: Mutex<usize>,
}

impl Disk {
    fn new(capacity: usize, syncs: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(job().identity().encode()),
            capacity,
            syncs_left: Mutex::new(syncs),
        })
    }

    fn writer(self: &Arc<Self>) -> Writer {
        let image = scan(&self.bytes.lock()[..], |_| Ok(()), |_, _| Ok(())).unwrap();
        let medium: Arc<dyn Medium> = Arc::clone(self) as _;
        Writer::over(medium, None, image).unwrap()
    }
}

impl Medium for Disk {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.bytes.lock();
        let offset = offset as usize;
        let room = self.capacity.saturating_sub(offset).min(bytes.len());
        let end = disk.len().max(offset + room);
        disk.resize(end, 0);
        disk[offset..offset + room].copy_from_slice(&bytes[..room]);
        if room < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut left = self.syncs_left.lock();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::Other)?;
        Ok(())
    }
}

/// What a log says: the items that are done with their results, and those that were skipped.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Said {
    done: Vec<u64>,
    skipped: Vec<u64>,
    results: BTreeMap<u64, Vec<u8>>,
}

fn read(bytes: &[u8]) -> Result<(Said, Image), CheckpointError> {
    let mut results = BTreeMap::new();
    let image = scan(
        bytes,
        |found| job().identity().accepts(found),
        |item, bytes| {
            assert_eq!(results.insert(item, bytes.to_vec()), None);
            Ok(())
        },
    )?;
    let said = Said {
        done: image.done.ranges().flatten().collect(),
        skipped: image.skipped.ranges().flatten().collect(),
        results,
    };
    Ok((said, image))
}

/// One step of a run: some items that are done, one with a result, one that was skipped.
fn entry(step: u64) -> Entry {
    let mut entry = Entry::new();
    let first = (step ^ 1) * 10;
    for item in [first + 3, first, first + 1] {
        entry.done(item);
    }
    entry
        .result(first + 7, |out| {
            out.extend_from_slice(format!("result of {step}").as_bytes());
            Ok(())
        })
        .unwrap();
    entry.skipped(first + 5);
    entry
}

/// A log in memory, what it says after each step, and where it ended then.
fn written(steps: u64) -> (Vec<u8>, Vec<(Said, usize)>) {
    let disk = Disk::new(usize::MAX, usize::MAX);
    let writer = disk.writer();
    let look = |disk: &Disk| {
        let (said, image) = read(&disk.bytes.lock()).unwrap();
        (said, image.end as usize)
    };
    let mut states = vec![look(&disk)];
    for step in 0..steps {
        writer.append(&mut entry(step)).unwrap();
        writer.sync().unwrap();
        states.push(look(&disk));
    }
    drop(writer);
    let bytes = disk.bytes.lock().clone();
    (bytes, states)
}

#[test]
fn cut_anywhere_it_says_what_was_whole_by_then() {
    let (bytes, states) = written(6);
    for cut in 0..bytes.len().min(states[6].1 + 100) {
        let Ok((said, image)) = read(&bytes[..cut]) else {
            assert!(cut < states[0].1, "refused when cut at {cut}");
            continue;
        };
        // Of a record's filling nothing is needed.
        let filled = |end: usize| cut + 7 >= end;
        let steps = states.iter().rposition(|(_, end)| filled(*end)).unwrap();
        let exact = states.iter().rposition(|(_, end)| cut >= *end).unwrap();
        let found = states.iter().position(|(state, _)| *state == said);
        let found = found.unwrap_or_else(|| within_a_step(&states, &said));
        assert!((exact..=steps).contains(&found), "cut at {cut}: {said:?}");
        assert!(image.end as usize <= cut.next_multiple_of(8));
    }
}

/// A step is three records; some of them may be whole when others are not.
fn within_a_step(states: &[(Said, usize)], said: &Said) -> usize {
    let step = states
        .iter()
        .position(|(state, _)| state.done.len() > said.done.len())
        .unwrap();
    let (before, after) = (&states[step - 1].0, &states[step].0);
    let between = |a: &[u64], b: &[u64], c: &[u64]| {
        a.iter().all(|item| b.contains(item)) && b.iter().all(|item| c.contains(item))
    };
    assert!(between(&before.done, &said.done, &after.done));
    assert!(between(&before.skipped, &said.skipped, &after.skipped));
    assert!(
        said.results
            .iter()
            .all(|(item, result)| after.results.get(item) == Some(result))
    );
    step - 1
}

#[test]
fn flipped_anywhere_it_is_refused_or_says_what_was_written() {
    let (mut bytes, states) = written(6);
    let (last, end) = states.last().unwrap().clone();
    let (_, before_last) = states[5];
    bytes.truncate(end + 256);
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            bytes[at] ^= bit;
            match read(&bytes) {
                // Behind the last record nothing was said, and its own end is as good as torn off.
                Ok((said, _)) if at >= before_last => {
                    assert!(said.done.iter().all(|item| last.done.contains(item)));
                    assert!(said.done.len() >= states[5].0.done.len());
                    for (item, result) in &said.results {
                        assert_eq!(last.results.get(item), Some(result), "flip at {at}");
                    }
                }
                // The filling behind a record is not read.
                Ok((said, _)) => assert_eq!(said, last, "flip at {at} was overlooked"),
                Err(CheckpointError::Damaged { offset, .. }) => {
                    assert!(offset <= at as u64 && at < before_last, "flip at {at}");
                }
                Err(CheckpointError::NotALog { .. }) => assert!(at < 8),
                Err(error) => panic!("flip at {at}: {error}"),
            }
            bytes[at] ^= bit;
        }
    }
}

#[test]
fn records_that_were_not_yet_safe_may_be_lost_in_any_order() {
    // No sync ever succeeds after the first, so nothing is claimed to be safe.
    let (mut bytes, states) = written(0);
    for item in 0..3_u64 {
        let mut contents = Vec::new();
        let start = states[0].1 as u64;
        contents::write_ranges(std::slice::from_ref(&(item..item + 1)), &mut contents);
        bytes.truncate((start + item * 48) as usize);
        let place = (bytes.len() as u64, start);
        frame::Frame::write(frame::Kind::Done, item, place, &contents, &mut bytes);
    }
    // The machine stopped when the third had reached the disk and the second had not.
    let second = states[0].1 + 48;
    bytes[second..second + 48].fill(0);
    let (said, image) = read(&bytes).unwrap();
    assert_eq!(said.done, [0]);
    assert_eq!((image.end as usize, image.clean), (second, false));
}

#[test]
fn a_full_disk_keeps_everything_before() {
    for capacity in (4_096..4_700).step_by(5) {
        let disk = Disk::new(capacity, usize::MAX);
        let writer = disk.writer();
        let mut taken = Vec::new();
        for step in 0.. {
            match writer.append(&mut entry(step)) {
                Ok(()) => taken.extend(entry(step).ranges().flatten()),
                Err(error) => {
                    let CheckpointError::Io { source, .. } = error else {
                        panic!("{error}");
                    };
                    assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                    break;
                }
            }
        }
        let error = writer.append(&mut entry(99)).unwrap_err();
        assert!(matches!(error, CheckpointError::Broken { .. }), "{error}");
        drop(writer);
        let (said, _) = read(&disk.bytes.lock()).unwrap();
        assert!(taken.iter().all(|item| said.done.contains(item)));
    }
}

#[test]
fn a_sync_that_fails_ends_the_log() {
    let disk = Disk::new(usize::MAX, 3);
    let writer = disk.writer();
    let mut step = 0;
    let error = loop {
        writer.append(&mut entry(step)).unwrap();
        step += 1;
        if let Err(error) = writer.sync() {
            break error;
        }
    };
    assert!(matches!(error, CheckpointError::Io { doing: "sync", .. }));
    assert!(writer.is_broken());
    assert!(writer.append(&mut entry(step)).is_err());
}

/// A disk that loses, when the machine stops, any part of what was not synced.
#[derive(Default)]
struct Volatile {
    stable: Mutex<Vec<u8>>,
    /// What the page cache holds: sector by sector, as a disk takes it.
    pending: Mutex<Vec<(usize, Vec<u8>)>>,
}

const SECTOR: usize = 512;

fn overwrite(disk: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = disk.len().max(offset + bytes.len());
    disk.resize(end, 0);
    disk[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Volatile {
    fn writer(self: &Arc<Self>, image: Image) -> Writer {
        let medium: Arc<dyn Medium> = Arc::clone(self) as _;
        Writer::over(medium, None, image).unwrap()
    }

    /// What is found after the machine has stopped.
    fn crash(&self, chance: &mut fastrand::Rng) -> Vec<u8> {
        let mut disk = self.stable.lock().clone();
        for (offset, bytes) in &*self.pending.lock() {
            if chance.bool() {
                overwrite(&mut disk, *offset, bytes);
            }
        }
        disk
    }
}

impl Medium for Volatile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let (mut at, end) = (offset as usize, offset as usize + bytes.len());
        let mut pending = self.pending.lock();
        while at < end {
            let next = end.min((at / SECTOR + 1) * SECTOR);
            let part = &bytes[at - offset as usize..next - offset as usize];
            pending.push((at, part.to_vec()));
            at = next;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // What is written while this runs may or may not be included; here it is not, and there is time for it.
        let pending = std::mem::take(&mut *self.pending.lock());
        let mut stable = self.stable.lock();
        for (offset, bytes) in pending {
            overwrite(&mut stable, offset, &bytes);
        }
        drop(stable);
        (0..20).for_each(|_| std::thread::yield_now());
        Ok(())
    }
}

#[test]
fn a_machine_that_stops_loses_nothing_that_was_synced() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let disk = Arc::new(Volatile::default());
        *disk.stable.lock() = job().identity().encode();
        let (_, image) = read(&disk.stable.lock()).unwrap();
        let writer = disk.writer(image);
        let (mut synced, mut appended) = (0, 0);
        for step in 0..chance.u64(1..12) {
            writer.append(&mut entry(step)).unwrap();
            appended = step + 1;
            if chance.u8(..4) == 0 {
                writer.sync().unwrap();
                synced = appended;
            }
        }
        for _ in 0..5 {
            let found = disk.crash(&mut chance);
            let (said, image) = read(&found).expect("a torn end is no damage");
            for step in 0..synced {
                let items = entry(step).ranges().flatten().collect::<Vec<_>>();
                assert!(items.iter().all(|item| said.done.contains(item)), "{step}");
            }
            let possible: Vec<u64> = (0..appended)
                .flat_map(|step| entry(step).ranges().flatten().collect::<Vec<_>>())
                .collect();
            assert!(said.done.iter().all(|item| possible.contains(item)));
            assert!(image.end <= found.len() as u64);
        }
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.log");
    (folder, path)
}

fn open(path: &Path) -> Result<(CheckpointLog, BTreeMap<u64, Vec<u8>>), CheckpointError> {
    let mut results = BTreeMap::new();
    let log = CheckpointLog::open(path, &job(), |item, bytes| {
        results.insert(item, bytes.to_vec());
        Ok(())
    })?;
    Ok((log, results))
}

#[test]
fn what_was_appended_is_there_when_it_is_opened_again() {
    let (_folder, path) = file();
    for run in 0..20 {
        let (log, results) = open(&path).unwrap();
        assert_eq!((log.done(), log.skipped()), (run * 5, run));
        assert_eq!(results.len() as u64, run);
        log.append(&mut entry(run)).unwrap();
        assert!(log.is_done((run ^ 1) * 10 + 7) && !log.is_done((run ^ 1) * 10 + 8));
        if run % 2 == 0 {
            log.sync().unwrap();
            assert_eq!(log.unsynced(), 0);
        }
    }
}

#[test]
fn a_torn_end_is_cut_off_for_good() {
    let (_folder, path) = file();
    drop(open(&path).unwrap().0.append(&mut entry(0)));
    let whole = read(&fs::read(&path).unwrap()).unwrap().1.end;
    for torn in 1..FRAME {
        let (log, _) = open(&path).unwrap();
        log.append(&mut entry(100 + torn)).unwrap();
        drop(log);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(whole + torn).unwrap();
        let (log, results) = open(&path).unwrap();
        assert_eq!((log.done(), results.len()), (5, 1), "{torn}");
        drop(log);
        assert!(read(&fs::read(&path).unwrap()).unwrap().1.clean);
    }
}

/// Less than the first record of an entry.
const FRAME: u64 = 40;

#[test]
fn two_runs_cannot_have_one_log() {
    let (_folder, path) = file();
    let first = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::Locked { .. }), "{error}");
    assert!(error.to_string().contains("run.log"), "{error}");
    drop(first);
    open(&path).unwrap();
}

#[test]
fn what_is_not_this_jobs_log_is_refused_and_left_alone() {
    let (folder, path) = file();
    drop(open(&path).unwrap());
    let before = fs::read(&path).unwrap();
    for other in [
        JobIdentity::new("test").total(5),
        JobIdentity::new("test"),
        JobIdentity::new("other").total(100_000),
        JobIdentity::new("test").total(100_000).part("v2"),
    ] {
        let error = CheckpointLog::open(&path, &other, |_, _| Ok(())).unwrap_err();
        assert!(matches!(error, CheckpointError::OtherJob { .. }), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);

    fs::write(&path, "to do: everything\n").unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, CheckpointError::NotALog { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"to do: everything\n");

    fs::write(&path, "").unwrap();
    assert_eq!(open(&path).unwrap().0.done(), 0);
    let nowhere = folder.path().join("no/such/folder/run.log");
    let error = open(&nowhere).unwrap_err();
    assert!(error.to_string().contains("no/such/folder"), "{error}");
}

#[test]
fn an_item_that_is_done_is_not_done_again() {
    let (_folder, path) = file();
    let (log, _) = open(&path).unwrap();
    log.append(&mut entry(0)).unwrap();
    let mut again = Entry::new();
    again.skipped(10);
    let error = log.append(&mut again).unwrap_err();
    assert!(matches!(error, CheckpointError::Repeated { item: 10 }));
    let mut twice = Entry::new();
    twice.done(1);
    twice.done(1);
    assert!(log.append(&mut twice).is_err());
    drop(log);
    assert_eq!(open(&path).unwrap().0.done(), 5);
}

#[test]
fn results_of_every_size_are_kept_and_larger_ones_refused() {
    let (_folder, path) = file();
    let (log, _) = open(&path).unwrap();
    let mut entry = Entry::new();
    let sizes = [0, 1, 127, 128, 1 << 20, MAX_RESULT_BYTES, 5, (1 << 20) + 1];
    let mut fill = |item: u64, size: usize| {
        entry.result(item, |out| {
            out.resize(out.len() + size, item as u8);
            Ok(())
        })
    };
    for (item, size) in (0..).zip(sizes) {
        fill(item, size).unwrap();
    }
    let error = fill(8, MAX_RESULT_BYTES + 1).unwrap_err();
    assert!(matches!(
        error,
        CheckpointError::ResultTooLarge { item: 8, .. }
    ));
    log.append(&mut entry).unwrap();
    drop(log);
    let (_log, results) = open(&path).unwrap();
    for (item, size) in (0..).zip(sizes) {
        assert!(results[&item].len() == size && results[&item].iter().all(|&b| b == item as u8));
    }
    assert_eq!(results.len(), sizes.len());
}

#[test]
fn a_log_that_repeats_itself_is_written_again_and_says_the_same() {
    let (_folder, path) = file();
    let (log, _) = open(&path).unwrap();
    let mut entry = Entry::new();
    // Far out of order, so that each item is a range of its own.
    for step in 0..100_000_u64 {
        let item = step * 7_919 % 200_003;
        match item % 1_000 {
            0 => entry
                .result(item, |out| {
                    out.extend_from_slice(&item.to_le_bytes());
                    Ok(())
                })
                .unwrap(),
            1 => entry.skipped(item),
            _ => entry.done(item),
        }
        log.append(&mut entry).unwrap();
    }
    // The thread has compacted it, or does so before it ends.
    let sets = log.sets();
    drop(log);
    let grown = fs::metadata(&path).unwrap().len();
    let (log, results) = open(&path).unwrap();
    assert_eq!(log.sets(), sets);
    assert_eq!(log.done(), 100_000);
    assert_eq!(
        results.len() as u64,
        (0..200).filter(|n| sets.0.contains(n * 1_000)).count() as u64
    );
    for (item, result) in &results {
        assert_eq!(result, &item.to_le_bytes());
    }
    // 100,000 records of 48 bytes, if nothing had been left out.
    assert!(grown < 100_000 * 48, "{grown}");
    drop(log);
    assert_eq!(open(&path).unwrap().1, results);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Any bytes are read to an end or refused, whether or not checksums are right.
    #[test]
    fn any_bytes_have_an_end(tail in prop::collection::vec(any::<u8>(), 0..300), records in prop::collection::vec(
        (0_u32..4, prop::collection::vec(any::<u8>(), 0..20)), 0..6)) {
        let mut bytes = job().identity().encode();
        for (sequence, (kind, contents)) in records.iter().enumerate() {
            let kind = match kind { 0 => frame::Kind::Done, 1 => frame::Kind::Results, _ => frame::Kind::Skipped };
            let place = (bytes.len() as u64, bytes.len() as u64);
            frame::Frame::write(kind, sequence as u64, place, contents, &mut bytes);
        }
        bytes.extend(tail);
        if let Ok((_, image)) = read(&bytes) {
            prop_assert!(image.end <= bytes.len() as u64 && image.len == bytes.len() as u64);
        }
    }

    /// A log says what its entries said, however they were spread over runs.
    #[test]
    fn agrees_with_a_map(chunks in prop::collection::vec((0_u64..50, 1_u64..30, any::<bool>()), 1..40)) {
        let (_folder, path) = file();
        let mut model = BTreeMap::new();
        let (mut log, _) = open(&path).unwrap();
        for (start, len, reopen) in chunks {
            let range: Range<u64> = start * 7..start * 7 + len;
            let mut entry = Entry::new();
            for item in range.filter(|item| !log.is_done(*item)) {
                let result = format!("{item}").into_bytes();
                entry.result(item, |out| { out.extend_from_slice(&result); Ok(()) }).unwrap();
                model.insert(item, result);
            }
            log.append(&mut entry).unwrap();
            if reopen {
                drop(log);
                let opened = open(&path).unwrap();
                prop_assert_eq!(&opened.1, &model);
                log = opened.0;
            }
        }
        drop(log);
        prop_assert_eq!(&open(&path).unwrap().1, &model);
    }
}

#[test]
fn identities_differ_in_every_part() {
    let hash = |job: JobIdentity| job.identity().hash;
    let all = [
        hash(JobIdentity::new("a")),
        hash(JobIdentity::new("a").part("b")),
        hash(JobIdentity::new("ab")),
        hash(JobIdentity::new("a").part("b").part("c")),
        hash(JobIdentity::new("a").part("bc")),
        hash(JobIdentity::new("").part("a")),
    ];
    for (at, one) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|other| other != one));
    }
    let long: Identity = JobIdentity::new("x".repeat(1_000)).identity();
    assert_eq!(long.encode().len(), header::HEADER_LEN);
}
