//! Open files of segments: a bounded number of them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::OnDisk;
use super::file::{self, HEADER};
use super::system;
use crate::segment::packed;

/// The files of a folder, of which those that were used last are kept open.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    writable: bool,
    /// By the last bits of their number; the one used last comes first.
    open: [Mutex<Group>; GROUPS],
}

type Group = Vec<(u64, Arc<File>)>;

const GROUPS: usize = 16;
/// Files of a group that are kept open: 256 in all, a quarter of what a process usually may.
const MOST_OPEN: usize = 16;
/// What is read of a record before its length is known: most records are shorter.
const FIRST_READ: usize = 2048;

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
        let mut options = OpenOptions::new();
        options.read(true).write(self.writable);
        let file = system::call(|| options.open(path))?;
        Ok(self.keep(number, file))
    }

    /// Reads the record at an offset of a segment's file, of which `used` bytes are records. Says whether it is one.
    pub(crate) fn read_record(
        &self,
        on_disk: OnDisk,
        offset: u32,
        used: u32,
        record: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let file = self.get(on_disk.file)?;
        let at = HEADER + u64::from(offset);
        record.resize(FIRST_READ, 0);
        let mut read = file::read_at(&file, record, at)?;
        let Some(word) = record[..read].first_chunk() else {
            return Ok(false);
        };
        let len = packed::length_of(*word);
        // No longer than the segment is: what is on disk is not believed.
        if len > used.saturating_sub(offset) as usize {
            return Ok(false);
        }
        record.resize(len, 0);
        if len > read {
            read += file::read_at(&file, &mut record[read..], at + read as u64)?;
        }
        Ok(read >= len && packed::whole(record, on_disk.seed) == Some(len))
    }

    /// Closes a file that another process has removed.
    pub(crate) fn forget(&self, number: u64) {
        self.group(number)
            .lock()
            .retain(|(other, _)| *other != number);
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
        self.forget(number);
        system::call(|| std::fs::remove_file(file::path(&self.folder, number)))
    }

    /// [Removes](Self::remove) a file. Says whether it is gone.
    pub(crate) fn is_removed(&self, number: u64) -> bool {
        match self.remove(number) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    fn group(&self, number: u64) -> &Mutex<Group> {
        &self.open[number as usize % GROUPS]
    }
}
