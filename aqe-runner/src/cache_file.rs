//! A file that is a cache in the strict sense: whatever is wrong with it, it reads as absent, and it is replaced as a
//! whole by renaming.
//!
//! One line with kind, format, checksum and length of what follows, then JSON.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a file holds, by name and version, and how large it may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CacheFile {
    /// The file's name in its folder; letters, digits, `-` and `.`.
    pub(crate) name: &'static str,
    /// Changes when an older reader would misread the file.
    pub(crate) format: u32,
    pub(crate) max_bytes: u64,
}

impl CacheFile {
    /// Reads the file of this folder; `None` when it is absent, unreadable, damaged, foreign or too large.
    pub(crate) fn read<T: DeserializeOwned>(&self, folder: &Path) -> Option<T> {
        let mut text = Vec::new();
        File::open(folder.join(self.name))
            .ok()?
            .take(self.max_bytes + 1)
            .read_to_end(&mut text)
            .ok()?;
        if text.len() as u64 > self.max_bytes {
            return None;
        }
        let end = text.iter().position(|&byte| byte == b'\n')?;
        let (header, body) = (&text[..end], &text[end + 1..]);
        if header != self.header_of(body).as_bytes() {
            return None;
        }
        serde_json::from_slice(body).ok()
    }

    /// Replaces the file of this folder, which is created if it is not there.
    pub(crate) fn write<T: Serialize + ?Sized>(&self, folder: &Path, value: &T) -> io::Result<()> {
        let body = serde_json::to_vec(value)?;
        fs::create_dir_all(folder)?;
        self.remove_leftovers(folder);
        let temporary = folder.join(format!("{}{}", self.temporary_prefix(), std::process::id()));
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(self.header_of(&body).as_bytes())?;
            file.write_all(b"\n")?;
            file.write_all(&body)
        });
        let placed = written.and_then(|()| fs::rename(&temporary, folder.join(self.name)));
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        placed
    }

    fn header_of(&self, body: &[u8]) -> String {
        let Self { name, format, .. } = self;
        format!(
            "aqe {name} {format} {:08x} {}",
            crc32fast::hash(body),
            body.len()
        )
    }

    fn temporary_prefix(&self) -> String {
        format!("{}.tmp.", self.name)
    }

    /// Removes what killed processes left half-written. One that is being written is seconds old.
    fn remove_leftovers(&self, folder: &Path) {
        let Ok(files) = fs::read_dir(folder) else {
            return;
        };
        let prefix = self.temporary_prefix();
        for file in files.flatten() {
            let is_leftover = file
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(&prefix));
            let modified = file.metadata().and_then(|metadata| metadata.modified());
            let is_old = modified.is_ok_and(|at| {
                at.elapsed()
                    .is_ok_and(|age| age > Duration::from_secs(3600))
            });
            if is_leftover && is_old {
                let _ = fs::remove_file(file.path());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: CacheFile = CacheFile {
        name: "numbers.json",
        format: 1,
        max_bytes: 100,
    };

    #[test]
    fn what_was_written_is_read_and_nothing_else_lies_around() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("new");
        FILE.write(&place, &[1, 2, 3]).unwrap();
        assert_eq!(FILE.read::<Vec<u32>>(&place), Some(vec![1, 2, 3]));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    }

    #[test]
    fn damage_foreign_formats_and_excess_read_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE.name);
        FILE.write(folder.path(), &[1, 2, 3]).unwrap();
        let good = fs::read(&path).unwrap();
        for position in 0..good.len() {
            let mut bad = good.clone();
            bad[position] ^= 1;
            fs::write(&path, bad).unwrap();
            assert_eq!(FILE.read::<Vec<u32>>(folder.path()), None, "{position}");
        }
        FILE.write(folder.path(), &[1, 2, 3]).unwrap();
        let newer = CacheFile { format: 2, ..FILE };
        assert_eq!(newer.read::<Vec<u32>>(folder.path()), None);
        FILE.write(folder.path(), &vec![7; 60]).unwrap();
        assert_eq!(FILE.read::<Vec<u32>>(folder.path()), None);
        assert_eq!(FILE.read::<Vec<u32>>(&folder.path().join("gone")), None);
    }
}
