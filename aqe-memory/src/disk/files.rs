//! Open files of segments: a bounded number of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::file;

/// The files of a folder, of which those that were used last are kept open.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    writable: bool,
    /// By the last bits of their number; the one used last comes first.
    open: [Mutex<Vec<(u64, Arc<File>)>>; GROUPS],
}

const GROUPS: usize = 16;
/// Files of a group that are kept open: 256 in all, a quarter of what a process usually may.
const MOST_OPEN: usize = 16;

impl Files {
    pub(crate) fn new(folder: PathBuf, writable: bool) -> Self {
        Self {
            folder,
            writable,
            open: Default::default(),
        }
    }

    /// The file of this number.
    pub(crate) fn get(&self, number: u64) -> io::Result<Arc<File>> {
        let mut open = self.group(number).lock();
        if let Some(at) = open.iter().position(|(other, _)| *other == number) {
            open[..=at].rotate_right(1);
            return Ok(Arc::clone(&open[0].1));
        }
        drop(open);
        let path = file::path(&self.folder, number);
        let file = OpenOptions::new()
            .read(true)
            .write(self.writable)
            .open(path)?;
        Ok(self.keep(number, file))
    }

    /// Keeps a file open that was opened elsewhere.
    pub(crate) fn keep(&self, number: u64, file: File) -> Arc<File> {
        let file = Arc::new(file);
        let mut open = self.group(number).lock();
        open.truncate(MOST_OPEN - 1);
        open.insert(0, (number, Arc::clone(&file)));
        file
    }

    /// Removes a file from the folder. Whoever has it open reads on.
    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        self.group(number)
            .lock()
            .retain(|(other, _)| *other != number);
        std::fs::remove_file(file::path(&self.folder, number))
    }

    fn group(&self, number: u64) -> &Mutex<Vec<(u64, Arc<File>)>> {
        &self.open[number as usize % GROUPS]
    }
}
