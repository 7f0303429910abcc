//! Memory in pieces: mapped, filled from front to back, and given back as a whole.
//!
//! A segment is a mapping of its own, so that what it took is the system's again the moment it is dropped, and so that
//! what the store holds can be counted in pages instead of guessed. All `unsafe` of the crate is in this folder.

mod directory;
pub(crate) mod extras;
pub(crate) mod packed;
mod pins;
pub(crate) mod raw;

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
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
    /// Whether records with tags were written to it.
    has_tags: AtomicBool,
    /// How many dictionaries there were, and one more, when it was found to be as small as it gets. Zero before.
    judged: AtomicU32,
    /// The latest deadline of its records.
    last_deadline: AtomicU64,
    /// No record in its file has a lower version.
    lowest_version: AtomicU64,
    /// Whether its records are on their way out of it.
    is_leaving: AtomicBool,
    /// Bytes of the mapping that were resident when the segment was made, of whole pages.
    warm: u32,
    holds: Holds,
    resident: Arc<Resident>,
}

// SAFETY: `base` points into `map`, which the segment owns. Bytes that others know of are read only, but for atomics.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// The memory of a segment that is gone, for another one to be filled: its pages need not be had from the system again.
#[derive(Debug)]
pub(crate) struct Spare {
    map: MmapMut,
    /// Bytes of it that are resident.
    warm: u32,
    resident: Arc<Resident>,
}

impl Spare {
    pub(crate) fn capacity(&self) -> u32 {
        self.map.len() as u32
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.resident
            .bytes
            .fetch_sub(self.warm.into(), Ordering::Relaxed);
    }
}

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
        name: (u32, u64),
        capacity: u32,
        times: (Millis, Millis),
        on_disk: Option<OnDisk>,
        sealer: Option<Sealer>,
        resident: &Arc<Resident>,
    ) -> io::Result<Box<Self>> {
        let map = MmapMut::map_anon(capacity as usize)?;
        // A huge page would make resident what nothing was written to. A kernel without them refuses, and that is well.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        Ok(Self::over(
            map,
            0,
            (kind, name, times),
            (on_disk, sealer),
            resident,
        ))
    }

    /// An uncompressed segment in memory that another one had.
    pub(crate) fn in_spare(spare: Spare, name: (u32, u64), times: (Millis, Millis)) -> Box<Self> {
        // What is resident of it is the segment's from now on, so the spare must not give it back.
        let spare = ManuallyDrop::new(spare);
        // SAFETY: both are moved out once, and the spare is neither dropped nor used any more.
        let (map, resident) = unsafe { (ptr::read(&spare.map), ptr::read(&spare.resident)) };
        let what = (Kind::Raw, name, times);
        Self::over(map, spare.warm, what, (None, None), &resident)
    }

    fn over(
        mut map: MmapMut,
        warm: u32,
        (kind, (number, born), (epoch, end)): (Kind, (u32, u64), (Millis, Millis)),
        (on_disk, sealer): (Option<OnDisk>, Option<Sealer>),
        resident: &Arc<Resident>,
    ) -> Box<Self> {
        let base = NonNull::from(&mut map[..]).cast();
        Box::new(Self {
            kind,
            number,
            born,
            epoch,
            end,
            on_disk,
            opener: sealer.as_ref().map(Sealer::opener),
            sealer,
            capacity: map.len() as u32,
            map: Some(map),
            base,
            used: AtomicU32::new(0),
            pending: AtomicU32::new(0),
            dead: AtomicU32::new(0),
            is_spared: AtomicBool::new(false),
            has_tags: AtomicBool::new(false),
            judged: AtomicU32::new(0),
            last_deadline: AtomicU64::new(0),
            lowest_version: AtomicU64::new(u64::MAX),
            is_leaving: AtomicBool::new(false),
            warm,
            holds: Holds::new(),
            resident: Arc::clone(resident),
        })
    }

    /// What is left of a segment that nobody reads from any more.
    pub(crate) fn into_spare(mut self) -> Option<Spare> {
        let warm = self.resident() as u32;
        // Without its mapping, the segment counts nothing as resident, and gives nothing back when it is dropped.
        let map = self.map.take()?;
        Some(Spare {
            map,
            warm,
            resident: Arc::clone(&self.resident),
        })
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
            has_tags: AtomicBool::new(false),
            judged: AtomicU32::new(0),
            last_deadline: AtomicU64::new(last_deadline),
            lowest_version: AtomicU64::new(u64::MAX),
            is_leaving: AtomicBool::new(false),
            warm: 0,
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
        if self.has_tags() {
            cooled.note_tags();
        }
        cooled.note_version(self.lowest_version());
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
        let pages = self.pages(after) - self.pages(used);
        if pages > 0 {
            self.resident.bytes.fetch_add(pages, Ordering::Relaxed);
        }
        self.pending.fetch_add(1, Ordering::Relaxed);
        // Mostly it is the same bucket's next deadline, and one thread only is here.
        if self.last_deadline() < deadline {
            self.last_deadline.fetch_max(deadline, Ordering::SeqCst);
        }
        self.fetch_ahead(after, u32::try_from(size).unwrap_or(u32::MAX));
        Some(used)
    }

    /// Asks for the cache lines of the record that will come next, if it is like the one before. It is written in the lock's shadow: an
    /// atomic operation that follows waits for all lines that were written to, and these were not used for as long as it took to
    /// fill all the other segments.
    #[inline]
    fn fetch_ahead(&self, offset: u32, size: u32) {
        const LINE: usize = 64;
        const MOST: u32 = 4 * LINE as u32;
        let end = offset.saturating_add(size.min(MOST)).min(self.capacity);
        for at in (offset..end).step_by(LINE) {
            prefetch_for_writing(self.base.as_ptr().wrapping_add(at as usize));
        }
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
            Some(_) => self.pages(self.used()),
            None => 0,
        }
    }

    /// Bytes that are resident when so many are used.
    fn pages(&self, used: u32) -> u64 {
        u64::from(used)
            .next_multiple_of(u64::from(PAGE))
            .max(self.warm.into())
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

    /// Says that a record with tags is written to it, or was. The caller holds the lock of the tiers, or publishes the record
    /// under that of a shard afterwards.
    pub(crate) fn note_tags(&self) {
        self.has_tags.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_tags(&self) -> bool {
        self.has_tags.load(Ordering::Relaxed)
    }

    /// Says that a record of this version is in its file, or may be. Under the lock of the tiers.
    pub(crate) fn note_version(&self, version: u64) {
        self.lowest_version.fetch_min(version, Ordering::Relaxed);
    }

    /// No record in its file has a lower version.
    pub(crate) fn lowest_version(&self) -> u64 {
        self.lowest_version.load(Ordering::Relaxed)
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

    /// Says that all records are on their way out of the segment, whose time is over if one is given: unless a record was given
    /// a later deadline meanwhile. The caller has the lock of the tiers, and looks at each record under the lock of its shard
    /// afterwards: from then on nobody [overwrites](Self::prolong) it.
    pub(crate) fn leave(&self, over: Option<Millis>) -> bool {
        // Sequentially consistent, here and in `prolong`: each says something and then looks at what the other says. So that
        // not both can miss it, there has to be one order of all four.
        let left_before = self.is_leaving.swap(true, Ordering::SeqCst);
        let stays = over.is_some_and(|now| self.last_deadline.load(Ordering::SeqCst) > now);
        if stays && !left_before {
            self.is_leaving.store(false, Ordering::SeqCst);
        }
        !stays
    }

    /// Notes that a record is about to be given another deadline where it is, if records are not on their way out. The caller
    /// has the write lock of the record's shard.
    pub(crate) fn prolong(&self, deadline: Millis) -> bool {
        if self.last_deadline() < deadline {
            self.last_deadline.fetch_max(deadline, Ordering::SeqCst);
        }
        !self.is_leaving.load(Ordering::SeqCst)
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

    /// Takes a hold away. Gives the segment, if it was the last one.
    ///
    /// # Safety
    ///
    /// The caller had a hold, and does not use the segment any more.
    pub(crate) unsafe fn let_go(segment: NonNull<Self>) -> Option<Box<Self>> {
        // SAFETY: until the hold is gone the segment is there; with the last one, nobody else knows of it, and it came
        // from a box.
        unsafe {
            let is_last = segment.as_ref().holds.let_go();
            is_last.then(|| Box::from_raw(segment.as_ptr()))
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

#[cfg(all(target_arch = "x86_64", not(loom)))]
#[inline]
fn prefetch_for_writing(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
    // SAFETY: a hint, which cannot fault.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) };
}

/// There is no stable way to ask for it.
#[cfg(not(all(target_arch = "x86_64", not(loom))))]
#[inline]
fn prefetch_for_writing(_address: *const u8) {}

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
    fn a_record_is_prolonged_or_leaves_and_never_both() {
        let resident = Arc::new(Resident::default());
        let make = || Segment::new(Kind::Raw, (0, 1), 1 << 16, (0, 99), None, None, &resident);
        let segment = make().unwrap();
        segment.reserve(20, 5);
        assert!(!segment.leave(Some(4)), "its time is not over");
        assert!(segment.prolong(9));
        assert!(!segment.leave(Some(5)), "it was prolonged");
        assert!(segment.prolong(8) && segment.last_deadline() == 9);
        assert!(segment.leave(Some(9)));
        assert!(!segment.prolong(20), "records are on their way out");
        assert!(!segment.leave(Some(9)), "whoever comes later sees that");
        assert!(!segment.prolong(20), "and they still are");
        let segment = make().unwrap();
        assert!(segment.leave(None) && !segment.prolong(1));
    }

    #[test]
    fn memory_that_is_used_again_is_resident_from_the_start() {
        let resident = Arc::new(Resident::default());
        let segment = Segment::new(Kind::Raw, (0, 1), 1 << 16, (0, 9), None, None, &resident);
        let segment = segment.unwrap();
        segment.reserve(5000, 5);
        let spare = (*segment).into_spare().unwrap();
        assert_eq!(resident.bytes(), 8192);
        let segment = Segment::in_spare(spare, (1, 2), (0, 9));
        assert_eq!((resident.bytes(), segment.resident()), (8192, 8192));
        segment.reserve(8192, 5);
        assert_eq!((resident.bytes(), segment.resident()), (8192, 8192));
        segment.reserve(4, 5);
        assert_eq!((resident.bytes(), segment.resident()), (12288, 12288));
        drop(segment);
        assert_eq!(resident.bytes(), 0);
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
