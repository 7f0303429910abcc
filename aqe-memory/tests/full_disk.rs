//! A disk without room, and one that cannot be written to: what was acknowledged is kept, the error says what happened and
//! where, and when there is room again the store goes on.
//!
//! Each scenario is a process of its own, in a mount namespace of its own, since mounts are those of processes.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aqe_memory::{Compression, ManualClock, MemoryConfig, OpenError, PutError, Store};

/// Tells a process of this program that it has its mounts, and where.
const FOLDER: &str = "MEMORY_DISK_FOLDER";

const UNSHARE: [&str; 5] = ["unshare", "--user", "--map-root-user", "--mount", "sh"];

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Runs `test` of this program again after `mount`, which finds the folder in its environment. `None` where mounting is
/// refused.
fn with_mount(mount: &str, test: &str, folder: &Path) -> Option<Output> {
    let shell = |script: &str| {
        let mut command = Command::new(UNSHARE[0]);
        command
            .args(&UNSHARE[1..])
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .args([test, "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder);
        command.output()
    };
    match shell(mount) {
        Ok(output) if output.status.success() => {}
        refused => {
            println!("skipped: nothing can be mounted here: {refused:?}");
            return None;
        }
    }
    Some(shell(&format!("{mount} && exec \"$0\" \"$@\"")).unwrap())
}

fn check(output: &Output) {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{}\n{}", said[0], said[1]);
    assert!(said[0].contains("1 passed"), "{}", said[0]);
}

fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(4 << 20)
        .cache_size(1 << 20)
        .compression(Compression::None)
}

/// Four kilobytes that say which entry they are of.
fn value(key: u32, round: u32) -> Vec<u8> {
    let word = [key.to_le_bytes(), round.to_le_bytes()].concat();
    word.repeat(512)
}

/// Checks that every key has the value of its last put that was acknowledged.
fn check_all(store: &Store, rounds: &[u32]) {
    for (key, round) in (0u32..).zip(rounds) {
        let found = store.get(&key.to_le_bytes());
        assert!(
            found.is_some_and(|found| *found == *value(key, *round)),
            "{key}"
        );
    }
}

#[test]
fn a_file_system_that_is_full_keeps_what_it_has_and_goes_on_when_there_is_room() {
    const NAME: &str =
        "a_file_system_that_is_full_keeps_what_it_has_and_goes_on_when_there_is_room";
    let Some(disk) = folder() else {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size=8m aqe-test \"${FOLDER}\"");
        if let Some(output) = with_mount(&mount, NAME, folder.path()) {
            check(&output);
        }
        return;
    };
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let home = disk.join("store");
    // Without a thread of its own: what fails here fails in a call of ours.
    let clock = ManualClock::new();
    let open = || Store::builder().config(config()).clock(&clock).open(&home);
    let store = open().unwrap();
    let mut rounds: Vec<u32> = Vec::new();
    let refused = loop {
        let key = rounds.len() as u32;
        match store.put(&key.to_le_bytes(), &value(key, 0)) {
            Ok(_) => rounds.push(0),
            Err(error) => break error,
        }
        assert!(rounds.len() < 4096, "there is no room for so many");
    };
    let PutError::Disk(error) = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
    let said = error.to_string();
    assert!(said.contains(&home.display().to_string()), "{said}");
    check_all(&store, &rounds);
    // Others are refused as well, and change nothing.
    for key in 0..20u32 {
        assert!(store.put(&key.to_le_bytes(), &value(key, 7)).is_err());
        store.cleanup();
    }
    check_all(&store, &rounds);
    drop(store);

    // It opens where there is no room.
    let store = open().unwrap();
    check_all(&store, &rounds);
    assert!(
        store
            .damage()
            .iter()
            .all(|damage| damage.what.contains("did not come to its end"))
    );
    fs::remove_file(&ballast).unwrap();
    for key in 0..20u32 {
        store.put(&key.to_le_bytes(), &value(key, 8)).unwrap();
        rounds[key as usize] = 8;
    }
    store.flush().unwrap();
    check_all(&store, &rounds);
    drop(store);
    check_all(&open().unwrap(), &rounds);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_refused_and_left_alone() {
    const NAME: &str = "a_folder_that_cannot_be_written_to_is_refused_and_left_alone";
    if let Some(home) = folder() {
        let error = Store::open(&home, config()).unwrap_err();
        let OpenError::Disk(refused) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(refused.source.kind(), io::ErrorKind::ReadOnlyFilesystem);
        assert!(
            error.to_string().contains(&home.display().to_string()),
            "{error}"
        );
        let missing = Store::open(home.join("new"), config()).unwrap_err();
        assert!(matches!(missing, OpenError::Disk(_)), "{missing:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), config()).unwrap();
    store.put(b"key", b"value").unwrap();
    drop(store);
    let mount = format!(
        "mount --bind \"${FOLDER}\" \"${FOLDER}\" && mount -o remount,bind,ro \"${FOLDER}\""
    );
    if let Some(output) = with_mount(&mount, NAME, folder.path()) {
        check(&output);
    }
    let store = Store::open(folder.path(), config()).unwrap();
    assert_eq!(*store.get(b"key").unwrap(), *b"value");
}
