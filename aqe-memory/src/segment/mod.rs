//! Memory in pieces: mapped, filled from front to back, and given back as a whole.
//!
//! A segment is a mapping of its own, so that what it took is the system's again the moment it is dropped, and so that
//! what the store holds can be counted in pages instead of guessed. All `unsafe` of the crate is in this folder.

mod directory;
pub(crate) mod packed;
mod pins;
pub(crate) mod raw;

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use memmap2::MmapMut;

pub(crate) use self::directory::Directory;
use self::pins::Holds;
use crate::clock::Millis;
use crate::disk::OnDisk;
use crate::index::UNIT;
use crate::seal::{Opener, Sealer};

/// What kind of records a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As they were put: [`raw`].
    Raw,
    /// Compressed: [`packed`].
    Packed,
    /// Compressed, and not in memory: what there is is in the file.
    Cold,
}

/// A piece of memory with records.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
    /// Which one it is of all that were made to be filled. Nothing of one that was found on disk.
    pub(crate) born: u64,
    /// The records' deadlines count from here.
    pub(crate) epoch: Millis,
    /// No record that has its place here for its deadline's sake has a later one.
    pub(crate) end: Millis,
    /// The file with the same records.
    pub(crate) on_disk: Option<OnDisk>,
    /// What opens its records, if they are sealed.
    pub(crate) opener: Option<Opener>,
    /// What seals them, for as long as there may be more.
    pub(crate) sealer: Option<Sealer>,
    /// Nothing, if it is cold.
    map: Option<MmapMut>,
    /// Of the mapping, which is written through shared references: to places that nobody knows of yet, and to atomics.
    base: NonNull<u8>,
    capacity: u32,
    /// Bytes handed out. Written under the lock of the tiers.
    used: AtomicU32,
    /// Records that were reserved and are not published: while there are any, nobody gives the segment up.
    pending: AtomicU32,
    /// Bytes of records whose slot is gone.
    dead: AtomicU32,
    /// Whether it is damaged and kept as it is.
    is_spared: AtomicBool,
    /// How many dictionaries there were, and one more, when it was found to be as small as it gets. Zero before.
    judged: AtomicU32,
    /// The latest deadline of its records.
    last_deadline: AtomicU64,
    holds: Holds,
    resident: Arc<Resident>,
}

// SAFETY: `base` points into `map`, which the segment owns. Bytes that others know of are read only, but for atomics.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// How many bytes of memory all segments of a store take.
#[derive(Debug, Default)]
pub(crate) struct Resident {
    bytes: AtomicU64,
}

impl Resident {
    pub(crate) fn bytes(&self) -> u64 {
        // Relaxed: a sum that is read for decisions of degree.
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The system's pages, in bytes. Where they are larger, less is counted than a page has at the end of each segment.
pub(crate) const PAGE: u32 = 4096;

impl Segment {
    /// A segment of `capacity` bytes, of which none is resident yet.
    pub(crate) fn new(
        kind: Kind,
        (number, born): (u32, u64),
        capacity: u32,
        (epoch, end): (Millis, Millis),
        on_disk: Option<OnDisk>,
        sealer: Option<Sealer>,
        resident: &Arc<Resident>,
    ) -> io::Result<Box<Self>> {
        let mut map = MmapMut::map_anon(capacity as usize)?;
        // A huge page would make resident what nothing was written to. A kernel without them refuses, and that is well.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let base = NonNull::from(&mut map[..]).cast();
        Ok(Box::new(Self {
            kind,
            number,
            born,
            epoch,
            end,
            on_disk,
            opener: sealer.as_ref().map(Sealer::opener),
            sealer,
            map: Some(map),
            base,
            capacity,
            used: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            is_spared: AtomicBool::new(false),
            judged: AtomicU32::new(0),
            last_deadline: AtomicU64::new(0),
            holds: Holds::new(),
            resident: Arc::clone(resident),
        }))
    }

    /// A segment of which only the file is there, with records up to `used`.
    pub(crate) fn cold(
        number: u32,
        used: u32,
        (epoch, end): (Millis, Millis),
        last_deadline: Millis,
        dead: u32,
        (on_disk, opener): (OnDisk, Option<Opener>),
        resident: &Arc<Resident>,
    ) -> Box<Self> {
        Box::new(Self {
            kind: Kind::Cold,
            number,
            born: 0,
            epoch,
            end,
            on_disk: Some(on_disk),
            opener,
            sealer: None,
            map: None,
            base: NonNull::dangling(),
            capacity: 0,
            used: AtomicU32::new(used),
            pending: AtomicU32::new(0),
            dead: AtomicU32::new(dead),
            is_spared: AtomicBool::new(false),
            judged: AtomicU32::new(0),
            last_deadline: AtomicU64::new(last_deadline),
            holds: Holds::new(),
            resident: Arc::clone(resident),
        })
    }

    /// The same segment without its memory.
    pub(crate) fn cooled(&self) -> Option<Box<Self>> {
        let cooled = Self::cold(
            self.number,
            self.used(),
            (self.epoch, self.end),
            self.last_deadline(),
            self.dead(),
            (self.on_disk?, self.opener.clone()),
            &self.resident,
        );
        cooled.judge(self.judged());
        Some(cooled)
    }

    /// Takes `size` bytes, if there is room. The caller holds the lock of the tiers, writes a record to the place and
    /// [publishes](Self::published) it.
    pub(crate) fn reserve(&self, size: u64, deadline: Millis) -> Option<u32> {
        debug_assert!(size.is_multiple_of(u64::from(UNIT)));
        // Relaxed throughout: only one thread is here at a time, and others read these for decisions of degree.
        let used = self.used.load(Ordering::Relaxed);
        let after = u32::try_from(size).ok()?.checked_add(used)?;
        if after > self.capacity {
            return None;
        }
        self.used.store(after, Ordering::Relaxed);
        let pages = pages(after) - pages(used);
        if pages > 0 {
            self.resident.bytes.fetch_add(pages, Ordering::Relaxed);
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.last_deadline.fetch_max(deadline, Ordering::Relaxed);
        Some(used)
    }

    /// Says that a reserved record has its slot, or never gets one.
    pub(crate) fn published(&self) {
        // Release: whoever sees no record pending sees the slots of all.
        self.pending.fetch_sub(1, Ordering::Release);
    }

    /// Whether every record that was reserved has its slot.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    pub(crate) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn resident(&self) -> u64 {
        match self.map {
            Some(_) => pages(self.used()),
            None => 0,
        }
    }

    /// Bytes of records whose slot is gone.
    pub(crate) fn dead(&self) -> u32 {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn add_dead(&self, bytes: u32) {
        self.dead.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says that it is not to be compacted.
    pub(crate) fn spare(&self) {
        self.is_spared.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spared(&self) -> bool {
        self.is_spared.load(Ordering::Relaxed)
    }

    /// Says that it is as small as it gets with the dictionaries that there are: one less than this.
    pub(crate) fn judge(&self, dictionaries: u32) {
        self.judged.store(dictionaries, Ordering::Relaxed);
    }

    pub(crate) fn judged(&self) -> u32 {
        self.judged.load(Ordering::Relaxed)
    }

    pub(crate) fn last_deadline(&self) -> Millis {
        self.last_deadline.load(Ordering::Relaxed)
    }

    /// Orphans the record at a place: a value that still reads it holds the segment from now on.
    pub(crate) fn orphan(&self, record: raw::Record<'_>) {
        record.header().pins.orphan(&self.holds);
    }

    /// [Orphans](Self::orphan) every record, if values can read from the segment at all.
    ///
    /// # Safety
    ///
    /// Every record that was reserved was written, none was orphaned, and no slot names the segment.
    unsafe fn orphan_all(&self) {
        if self.kind == Kind::Raw {
            let mut offset = 0;
            while offset < self.used() {
                // SAFETY: records stand one behind the other, from the first byte to the last one used.
                let record = unsafe { self.raw(offset) };
                offset += record.size();
                self.orphan(record);
            }
        }
    }

    /// Takes a hold away, and frees the segment if it was the last one.
    ///
    /// # Safety
    ///
    /// The caller had a hold, and does not use the segment any more.
    pub(crate) unsafe fn let_go(segment: NonNull<Self>) {
        // SAFETY: until the hold is gone the segment is there; with the last one, nobody else knows of it, and it came
        // from a box.
        unsafe {
            if segment.as_ref().holds.let_go() {
                drop(Box::from_raw(segment.as_ptr()));
            }
        }
    }

    fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.resident
            .bytes
            .fetch_sub(self.resident(), Ordering::Relaxed);
    }
}

fn pages(bytes: u32) -> u64 {
    u64::from(bytes).next_multiple_of(u64::from(PAGE))
}

/// When an entry ends, as its record says it: milliseconds from the segment's epoch, or seconds where those do not
/// suffice, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime(u32);

impl Lifetime {
    const NEVER: u32 = u32::MAX;
    /// From here on the unit is a second. Below it are 24 days in milliseconds, above it 68 years in seconds.
    const SECONDS: u32 = 1 << 31;

    /// The lifetime that ends at `deadline`, never sooner: rounded up to a second beyond 24 days. `Millis::MAX` is never.
    pub(crate) fn until(deadline: Millis, epoch: Millis) -> Self {
        let left = deadline.saturating_sub(epoch);
        if left < Millis::from(Self::SECONDS) {
            return Self(left as u32);
        }
        let seconds = left.div_ceil(1000);
        match u32::try_from(seconds) {
            Ok(seconds) if seconds < Self::SECONDS - 1 => Self(Self::SECONDS | seconds),
            _ => Self(Self::NEVER),
        }
    }

    /// When it ends.
    #[inline]
    pub(crate) fn deadline(self, epoch: Millis) -> Millis {
        match self.0 {
            Self::NEVER => Millis::MAX,
            millis if millis < Self::SECONDS => epoch + Millis::from(millis),
            seconds => epoch + Millis::from(seconds & !Self::SECONDS) * 1000,
        }
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lifetime_is_never_shorter_and_hardly_longer(
            epoch in 0u64..1 << 42,
            left in prop_oneof![0u64..1 << 20, 0u64..1 << 32, 0u64..1 << 41, Just((1 << 31) - 1), Just(1 << 31)],
        ) {
            let lifetime = Lifetime::until(epoch + left, epoch);
            let lifetime = Lifetime::from_bits(lifetime.bits()).deadline(epoch);
            prop_assert!(lifetime >= epoch + left);
            let most = if left < 1 << 31 { 0 } else { 999 };
            prop_assert!(lifetime == Millis::MAX || lifetime - (epoch + left) <= most);
        }
    }

    #[test]
    fn resident_bytes_are_those_of_pages_that_were_written() {
        let resident = Arc::new(Resident::default());
        let segment =
            Segment::new(Kind::Raw, (0, 1), 1 << 16, (0, 9), None, None, &resident).unwrap();
        assert_eq!(resident.bytes(), 0);
        assert_eq!(segment.reserve(20, 5), Some(0));
        assert_eq!(segment.reserve(4096, 3), Some(20));
        assert_eq!((resident.bytes(), segment.resident()), (8192, 8192));
        assert_eq!(segment.last_deadline(), 5);
        assert_eq!(segment.reserve(1 << 16, 9), None, "there is no room");
        assert_eq!(segment.last_deadline(), 5);
        drop(segment);
        assert_eq!(resident.bytes(), 0);
    }
}
