//! What does a writer lose to those who read in other processes?
//!
//! One process reads all the time while the writer puts. The writer's own readings are what is shown; beside it, those of a
//! writer that is alone.

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use aqe_memory::Reader;
use fastrand::Rng;
use xtask::{Failure, Result};

use super::durable::Set;
use super::engines::{Aqe, Durability, Engine, Heed, Sqlite};
use super::keys::Keys;
use crate::measure::{Reading, Stretch};
use crate::rounds::{SAMPLE, Scale};
use crate::workloads::{Entry, entry, failed, folder};

pub(super) const ENTRIES: &[Entry] = &[
    entry("aqe", |scale| write::<Aqe>(scale, Some("aqe"))),
    entry("aqe-alone", |scale| write::<Aqe>(scale, None)),
    entry("sqlite-wal", |scale| write::<Sqlite>(scale, Some("sqlite"))),
    entry("sqlite-wal-alone", |scale| write::<Sqlite>(scale, None)),
    entry("heed", |scale| write::<Heed>(scale, Some("heed"))),
    entry("heed-alone", |scale| write::<Heed>(scale, None)),
];

/// What a sample's workload begins with that is no workload, but a process that reads the folder named after it.
const READER_OF: &str = "reader-of=";

/// The folder that a workload says is to be read.
pub(super) fn folder_to_read(workload: &str) -> Option<&Path> {
    workload.strip_prefix(READER_OF).map(Path::new)
}

/// Entries that are there before.
const THERE: usize = 4_000;

fn write<E: Engine>(scale: Scale, reader: Option<&str>) -> Result<Vec<Reading>> {
    let set = Set::new(THERE.max(scale.of(40_000) as usize));
    let folder = folder()?;
    let engine = E::open(folder.path(), Durability::Written)?;
    engine.put_all(set.iter().take(THERE))?;
    let reader = reader.map(|name| Beside::start(name, folder.path()));
    let reader = reader.transpose()?;
    let stretch = Stretch::start();
    for (key, value) in set.iter() {
        engine.put(key, value)?;
    }
    let readings = stretch.per_operation(set.iter().len() as u64);
    reader.map_or(Ok(()), Beside::end)?;
    Ok(readings)
}

/// A process that reads.
struct Beside(Child);

impl Beside {
    /// Starts it, and waits until it has read something.
    fn start(engine: &str, folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().map_err(failed)?;
        let workload = format!("{READER_OF}{}", folder.display());
        let mut child = Command::new(program)
            .args([SAMPLE, super::AREA, &workload, engine, Scale::Full.word()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut ready = [0; 1];
        let begun = child.stdout.as_mut().map(|output| output.read(&mut ready));
        match begun {
            Some(Ok(1)) => Ok(Self(child)),
            _ => Err(Failure::new("the reader has not begun to read")),
        }
    }

    /// Ends it: it reads for as long as its standard input is open.
    fn end(mut self) -> Result<()> {
        drop(self.0.stdin.take());
        let status = self.0.wait().map_err(failed)?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::new(format!("the reader has ended with {status}"))),
        }
    }
}

/// Reads a folder until standard input ends.
pub(super) fn read(engine: &str, folder: &Path) -> Result<Vec<Reading>> {
    match engine {
        "aqe" => {
            let reader = Reader::open(folder).map_err(failed)?;
            read_with(|key| Ok(reader.get(key).map_err(failed)?.is_some()))
        }
        "sqlite" => read_engine::<Sqlite>(folder),
        "heed" => read_engine::<Heed>(folder),
        _ => Err(Failure::new(format!("nobody reads folders of `{engine}`"))),
    }
}

fn read_engine<E: Engine>(folder: &Path) -> Result<Vec<Reading>> {
    let engine = E::open(folder, Durability::Written)?;
    read_with(|key| Ok(engine.get(key)?.is_some()))
}

/// Reads what was there before the writer began, which nobody removes.
fn read_with(get: impl Fn(&[u8]) -> Result<bool>) -> Result<Vec<Reading>> {
    static IS_OVER: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        // Whatever comes, or ends: nobody waits for this process any more.
        let _ = std::io::stdin().read(&mut [0]);
        IS_OVER.store(true, Ordering::Relaxed);
    });
    let keys = Keys::new(THERE);
    let mut rng = Rng::with_seed(1);
    let mut has_told = false;
    while !IS_OVER.load(Ordering::Relaxed) {
        for _ in 0..64 {
            if !black_box(get(keys.key(rng.usize(..THERE)))?) {
                return Err(Failure::new("a value is not there that was put before"));
            }
        }
        if !has_told {
            println!("reading");
            has_told = true;
        }
    }
    Ok(Vec::new())
}
