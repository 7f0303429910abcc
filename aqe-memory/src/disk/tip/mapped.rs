//! Numbers in a mapped file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::{ABANDONED, CHANGES, CLASSES, GROWN, HEADER};
use crate::disk::file;

const WORDS: usize = GROWN + CLASSES;
pub(super) const BYTES: usize = WORDS * 8;

/// The mapped file.
#[derive(Debug)]
pub(super) struct Map(MmapRaw);

impl Map {
    /// A number, without anything that it tells of.
    #[inline]
    pub(super) fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Relaxed)
    }

    /// A number, and everything that was done before it was [published](Self::publish) or [raised](Self::add).
    #[inline]
    pub(super) fn acquire(&self, at: usize) -> u64 {
        let number = self.load(at);
        // A fence, since a page that may only be read allows for relaxed loads alone.
        fence(Ordering::Acquire);
        number
    }

    /// Sets a number that only one thread changes at a time, and that tells of nothing by itself.
    #[inline]
    pub(super) fn store(&self, at: usize, number: u64) {
        self.word(at).store(number, Ordering::Relaxed);
    }

    /// Sets a number that only one thread changes at a time.
    #[inline]
    pub(super) fn publish(&self, at: usize, number: u64) {
        self.word(at).store(number, Ordering::Release);
    }

    /// Raises a number.
    pub(super) fn add(&self, at: usize) {
        self.word(at).fetch_add(1, Ordering::Release);
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at < WORDS);
        // SAFETY: the mapping has `WORDS` numbers, begins at a page and lasts as long as `self`. All processes use it through
        // atomics only; one that has mapped it for reading only never writes. Loads from such pages are relaxed, which is
        // sound on targets with pointers of 64 bits.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().add(at)) }
    }
}

/// Maps the file of this path, which is made if it is not there or is another. `None` if memory of this file cannot be shared.
pub(super) fn take(path: &Path, header: &[u8; HEADER]) -> io::Result<Option<Map>> {
    let usual = OpenOptions::new().read(true).write(true).open(path);
    let file = match usual {
        Ok(file) if is_tip(&file, header)? => file,
        Ok(_) => make(path, header)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path, header)?,
        Err(error) => return Err(error),
    };
    let mapped = match shares(&file) {
        true => MmapOptions::new().len(BYTES).map_raw(&file).ok(),
        false => None,
    };
    if mapped.is_none() {
        abandon(path);
    }
    Ok(mapped.map(Map))
}

/// Maps the file of this path for reading, if it is what it should be.
pub(super) fn look_at(path: &Path, header: &[u8; HEADER]) -> Option<Map> {
    let file = File::open(path).ok()?;
    if !is_tip(&file, header).ok()? {
        return None;
    }
    let map = MmapOptions::new().len(BYTES).map_raw_read_only(&file);
    map.ok().map(Map)
}

/// Says to those who have mapped the file that nothing will be told there, and removes it.
pub(super) fn abandon(path: &Path) {
    // If even this fails, the file is one that nobody can have mapped, or the folder one that nobody can write to.
    if let Ok(file) = OpenOptions::new().write(true).open(path) {
        let _ = file::write_at(&file, &ABANDONED.to_ne_bytes(), CHANGES as u64 * 8);
    }
    let _ = fs::remove_file(path);
}

fn is_tip(file: &File, header: &[u8; HEADER]) -> io::Result<bool> {
    let mut found = [0; HEADER];
    let read = file::read_at(file, &mut found, 0)?;
    let is_whole = file.metadata()?.len() == BYTES as u64;
    let mut changes = [0; 8];
    file::read_at(file, &mut changes, CHANGES as u64 * 8)?;
    let is_abandoned = u64::from_ne_bytes(changes) == ABANDONED;
    Ok(read == HEADER && found == *header && is_whole && !is_abandoned)
}

/// Writes all of the file and syncs it, so that its place on the disk is taken: a full disk is an error here, and not a signal
/// later, to whoever touches the page.
fn make(path: &Path, header: &[u8; HEADER]) -> io::Result<File> {
    let beside = path.with_extension("new");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&beside)?;
    let mut bytes = vec![0; BYTES];
    bytes[..HEADER].copy_from_slice(header);
    file::write_at(&file, &bytes, 0)?;
    file.sync_all()?;
    // Whoever has another file of this name mapped is told to look for this one.
    abandon(path);
    fs::rename(&beside, path)?;
    Ok(file)
}

/// Whether what is mapped of a file keeps its place on the disk once it has one. A file system that writes elsewhere what
/// is changed may find no room for that, and its only way to say so is a signal.
#[cfg(target_os = "linux")]
fn shares(file: &File) -> bool {
    // btrfs, ZFS, bcachefs; and what is somewhere else: NFS, SMB, Ceph, 9P, FUSE.
    const OTHERS: [u32; 9] = [
        0x9123_683E,
        0x2FC1_2FC1,
        0xCA45_1A4E,
        0x6969,
        0xFE53_4D42,
        0xFF53_4D42,
        0x00C3_6400,
        0x0102_1997,
        0x6573_5546,
    ];
    rustix::fs::fstatfs(file).is_ok_and(|found| !OTHERS.contains(&(found.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
fn shares(_: &File) -> bool {
    true
}
