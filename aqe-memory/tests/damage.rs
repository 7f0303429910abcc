//! A folder whose files were changed or cut by something else: the store opens or says what is wrong, what it gives is what
//! was put, and what it cannot give it reports.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aqe_memory::{EntryOptions, ManualClock, MemoryConfig, OpenError, Store};
use tempfile::TempDir;

fn config() -> MemoryConfig {
    MemoryConfig::default()
        .max_size(8 << 20)
        .cache_size(1 << 20)
}

/// All values that a key ever had, the last one at the end; an empty list of values is a key that was removed.
type Put = BTreeMap<String, Vec<Vec<u8>>>;

/// A folder with everything that a store writes: several files, entries that were replaced and removed, names, a dictionary.
struct Image {
    folder: TempDir,
    clock: ManualClock,
    put: Put,
    removed: Vec<String>,
}

fn value(key: u32, round: u32) -> Vec<u8> {
    let outcome = if (key + round).is_multiple_of(3) {
        "failed"
    } else {
        "passed"
    };
    format!("{{\"name\":\"suite::case_{key}\",\"outcome\":\"{outcome}\",\"attempt\":{round},\"id\":{}}}", key * 7919 + round)
        .into_bytes()
}

/// What opening and reading a folder showed.
struct Read {
    /// How many entries are not as they were left.
    changed: usize,
    /// Whether the store says that something is wrong.
    is_told: bool,
}

impl Image {
    fn new(keys: u32) -> Self {
        let mut image = Self {
            folder: TempDir::new().unwrap(),
            clock: ManualClock::new(),
            put: Put::new(),
            removed: Vec::new(),
        };
        let store = image.open(image.folder.path()).unwrap();
        let other = store.namespace("other").unwrap();
        for round in 0..3 {
            for key in (0..keys).filter(|key| round == 0 || (key + round) % 4 == 0) {
                let name = format!("test/{key:05}");
                let value = value(key, round);
                store.put(name.as_bytes(), &value).unwrap();
                image.put.entry(name).or_default().push(value);
            }
            // Makes dictionaries and a snapshot, when there is reason to.
            store.cleanup();
        }
        other.put(b"one", b"entry").unwrap();
        let tagged = EntryOptions::default().tags(["a", "b"]);
        let tagged = tagged.time_to_idle(Duration::from_secs(60));
        for key in 0..20 {
            let name = format!("tagged/{key:05}");
            let value = value(key, 9);
            let tags = if key < 10 {
                &tagged
            } else {
                &EntryOptions::default()
            };
            store.put_with(name.as_bytes(), &value, tags).unwrap();
            if key < 10 {
                image.removed.push(name.clone());
            }
            image.put.entry(name).or_default().push(value);
        }
        store.invalidate_tag("b").unwrap();
        for key in (0..keys).step_by(10) {
            let name = format!("test/{key:05}");
            assert!(store.remove(name.as_bytes()).unwrap());
            image.removed.push(name);
        }
        store.flush().unwrap();
        drop(store);
        image
    }

    fn open(&self, folder: &Path) -> Result<Store, OpenError> {
        Store::builder()
            .config(config())
            .clock(&self.clock)
            .open(folder)
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.is_file());
        files.sort();
        files
    }

    /// A copy of the folder, in which one file is other bytes.
    fn with(&self, file: &Path, bytes: &[u8]) -> TempDir {
        let copy = TempDir::new().unwrap();
        for other in self.files() {
            let to = copy.path().join(other.file_name().unwrap());
            match other == file {
                true => fs::write(to, bytes).unwrap(),
                false => drop(fs::copy(&other, to).unwrap()),
            }
        }
        copy
    }

    /// Opens a folder and reads everything.
    fn check(&self, folder: &Path) -> Result<Read, OpenError> {
        let store = self.open(folder)?;
        let mut changed = 0;
        let damage = store.damage().to_vec();
        for (name, values) in &self.put {
            let is_removed = self.removed.contains(name);
            let found = store.get(name.as_bytes());
            let last = values.last().filter(|_| !is_removed);
            if found.as_deref() != last.map(Vec::as_slice) {
                changed += 1;
            }
            if let Some(found) = found {
                let is_one = values.iter().any(|value| **value == *found);
                assert!(is_one, "{name} has a value that was never put");
            }
        }
        let read = store.keys(b"", None, usize::MAX).len();
        assert!(read <= self.put.len(), "a key came out of nothing");
        let is_told = !damage.is_empty() || store.stats().unreadable > 0;
        // It can be used, whatever there was.
        store.put(b"afterwards", b"written").unwrap();
        assert_eq!(*store.get(b"afterwards").unwrap(), *b"written");
        store.cleanup();
        store.flush().unwrap();
        drop(store);
        let again = self.open(folder)?;
        assert_eq!(*again.get(b"afterwards").unwrap(), *b"written");
        Ok(Read { changed, is_told })
    }
}

/// Where to change a file: everywhere at both ends, and here and there between; here and there only in all but one of the
/// segments, which are alike.
fn offsets(image: &Image, file: &Path, len: usize) -> impl Iterator<Item = usize> {
    let segments: Vec<_> = image
        .files()
        .into_iter()
        .filter(|file| is_segment(file))
        .collect();
    let (edge, step) = match is_segment(file) && segments.last().is_some_and(|last| last != file) {
        true => (0, 1511),
        false => (136, 401),
    };
    (0..len).filter(move |at| *at < edge || at + edge >= len || at % step == 0)
}

fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "seg")
}

#[test]
fn a_folder_that_is_whole_says_so() {
    let image = Image::new(400);
    let names: Vec<_> = image
        .files()
        .iter()
        .map(|file| file.file_name().unwrap().to_owned())
        .collect();
    assert!(names.len() >= 4, "there is one of each kind: {names:?}");
    let copy = image.with(Path::new("none"), b"");
    let store = image.open(copy.path()).unwrap();
    assert!(store.damage().is_empty());
    drop(store);
    let read = image.check(copy.path()).unwrap();
    assert!(read.changed == 0 && !read.is_told);
}

#[test]
fn a_flipped_byte_is_noticed_wherever_it_is() {
    let image = Image::new(400);
    let (mut refused, mut lost) = (0, 0);
    for file in image.files() {
        let bytes = fs::read(&file).unwrap();
        for at in offsets(&image, &file, bytes.len()) {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let copy = image.with(&file, &bytes);
            match image.check(copy.path()) {
                Ok(read) => {
                    lost += read.changed;
                    let told = read.changed == 0 || read.is_told;
                    assert!(told, "byte {at} of {}: nobody says so", file.display());
                }
                Err(error) => {
                    refused += 1;
                    let error = error.to_string();
                    assert!(
                        error.contains(&copy.path().display().to_string()),
                        "{error}"
                    );
                }
            }
        }
    }
    assert!(
        refused > 0 && lost > 0,
        "{refused} refused, {lost} entries lost"
    );
}

#[test]
fn a_file_may_end_anywhere() {
    let image = Image::new(400);
    let (mut lost, mut silent) = (0, 0);
    for file in image.files() {
        let bytes = fs::read(&file).unwrap();
        for len in offsets(&image, &file, bytes.len()) {
            let copy = image.with(&file, &bytes[..len]);
            match image.check(copy.path()) {
                Ok(read) if read.changed > 0 => {
                    lost += 1;
                    silent += usize::from(!read.is_told);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = error.to_string();
                    let folder = copy.path().display().to_string();
                    assert!(error.contains(&folder), "{error}");
                }
            }
        }
    }
    // A file that ends between two records is as one to which the others were never written.
    assert!(lost > 0 && silent * 5 < lost, "{silent} of {lost}");
}
