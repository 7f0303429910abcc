//! Whatever call of a store to its system fails, alone or with all that follow it: what was acknowledged is there, what was
//! refused is as it was before, and the folder opens again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::disk::system::faults;
use crate::{Compression, EntryOptions, ManualClock, MemoryConfig, Store};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A run of a store, and what it has acknowledged.
struct Run<'a> {
    folder: &'a Path,
    clock: ManualClock,
    store: Option<Store>,
    model: Model,
    refused: usize,
}

/// One entry of so many has a tag, and a time to idle.
const TAGGED: u32 = 12;

fn value(key: u32, round: u32) -> Vec<u8> {
    let len = 400 + (key * 370 + round * 110) as usize % 6000;
    format!("{key} in round {round}; ")
        .bytes()
        .cycle()
        .take(len)
        .collect()
}

impl Run<'_> {
    /// Small segments, so that files are begun, compacted and removed all the time.
    fn open(&mut self) -> bool {
        let config = MemoryConfig::default()
            .max_size(1 << 20)
            .cache_size(64 << 10)
            .compression(Compression::None);
        // Without a thread of its own, so that every call to the system is one of this thread.
        let opened = Store::builder()
            .config(config)
            .clock(&self.clock)
            .open(self.folder);
        self.store = opened.ok();
        self.refused += usize::from(self.store.is_none());
        self.store.is_some()
    }

    fn put(&mut self, key: u32, round: u32) {
        let Some(store) = &self.store else { return };
        let (name, value) = (key.to_be_bytes().to_vec(), value(key, round));
        let mut options = EntryOptions::default().time_to_live(Duration::from_secs(3600));
        if key.is_multiple_of(TAGGED) {
            options = options
                .tags(["twelfth"])
                .time_to_idle(Duration::from_secs(3000));
        }
        match store.put_with(&name, &value, &options) {
            Ok(_) => drop(self.model.insert(name, value)),
            Err(_) => self.refused += 1,
        }
    }

    fn remove(&mut self, key: u32) {
        let Some(store) = &self.store else { return };
        let name = key.to_be_bytes().to_vec();
        match store.remove(&name) {
            Ok(was_there) => assert_eq!(was_there, self.model.remove(&name).is_some(), "{key}"),
            Err(_) => self.refused += 1,
        }
    }

    fn invalidate(&mut self) {
        let Some(store) = &self.store else { return };
        match store.invalidate_tag("twelfth") {
            Ok(()) => self.model.retain(|name, _| {
                let key = <[u8; 4]>::try_from(&name[..]).map(u32::from_be_bytes);
                key.is_ok_and(|key| !key.is_multiple_of(TAGGED))
            }),
            Err(_) => self.refused += 1,
        }
    }

    fn all(&mut self) {
        if !self.open() {
            return;
        }
        for round in 0..3 {
            for key in 0..500 {
                self.put(key, round);
            }
            for key in (round..500).step_by(7) {
                self.remove(key);
            }
            if round == 1 {
                self.invalidate();
            }
            let Some(store) = &self.store else { return };
            store.cleanup();
            self.refused += usize::from(store.flush().is_err());
        }
        self.refused += usize::from(
            self.store
                .as_ref()
                .is_some_and(|store| store.namespace("another").is_err()),
        );
    }

    /// What is there when nothing fails any more.
    fn check(&mut self, what: &str) {
        let Some(store) = &self.store else { return };
        for (name, value) in &self.model {
            let found = store.get(name);
            let found = found.unwrap_or_else(|| panic!("{what}: {name:?} is gone"));
            assert!(*found == **value, "{what}: {name:?} has another value");
        }
        for name in store.keys(b"", None, usize::MAX) {
            assert!(
                self.model.contains_key(&*name),
                "{what}: {name:?} came back"
            );
        }
    }
}

fn run(fails: Range<u64>) -> (u64, usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run {
        folder: folder.path(),
        clock: ManualClock::new(),
        store: None,
        model: Model::new(),
        refused: 0,
    };
    let what = format!("{fails:?}");
    faults::arm(fails);
    run.all();
    let calls = faults::disarm();
    run.check(&format!("{what}, in the same process"));
    run.store = None;
    assert!(run.open(), "{what}: it does not open");
    run.check(&what);
    run.put(1000, 0);
    run.store.as_ref().unwrap().flush().unwrap();
    run.store = None;
    assert!(run.open(), "{what}: it does not open again");
    run.check(&what);
    (calls, run.refused)
}

#[test]
fn nothing_acknowledged_is_lost_whichever_call_fails() {
    let (calls, refused) = run(0..0);
    assert!(
        calls > 400 && refused == 0,
        "{calls} calls, {refused} refused"
    );
    let mut refused = 0;
    // Those that begin a store, and some of the others, which are alike.
    let step = calls / 24 + 1;
    for call in (0..calls).filter(|call| *call < 12 || call % step == 0) {
        refused += run(call..call + 1).1;
        if call % (4 * step) == 0 {
            refused += run(call..u64::MAX).1;
        }
    }
    assert!(refused > 30, "{refused}");
}
