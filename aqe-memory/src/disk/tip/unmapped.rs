//! The sibling of `mapped.rs` where a mapped file is not known to be shared, or eight bytes are not written at once: there is
//! none, and readers look at the files.

use std::io;
use std::path::Path;

use super::HEADER;

/// Nothing is one.
#[derive(Debug)]
pub(super) enum Map {}

impl Map {
    pub(super) fn load(&self, _: usize) -> u64 {
        match *self {}
    }

    pub(super) fn acquire(&self, _: usize) -> u64 {
        match *self {}
    }

    pub(super) fn store(&self, _: usize, _: u64) {
        match *self {}
    }

    pub(super) fn publish(&self, _: usize, _: u64) {
        match *self {}
    }

    pub(super) fn add(&self, _: usize) {
        match *self {}
    }
}

/// None, and none that another system has left is believed.
pub(super) fn take(path: &Path, _: &[u8; HEADER]) -> io::Result<Option<Map>> {
    let _ = std::fs::remove_file(path);
    Ok(None)
}

pub(super) fn look_at(_: &Path, _: &[u8; HEADER]) -> Option<Map> {
    None
}
