//! By whom memory is allocated: allocations are sampled, and the stack of each sample is kept.
//!
//! Each byte allocated has the same chance to be a sample, whatever the size of its block: the distance between samples
//! is drawn from an exponential distribution. A block of size s is then sampled with probability `1 − exp(−s / period)`,
//! and divided by that it stands for all blocks of its kind.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::arena::{Arena, HEAD};
use super::super::error::ProfileError;
use super::super::gate::Gate;
use super::super::stacks::{Builder, Kind, Profile};
use super::thread_allocation_totals;

/// How often allocations are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AllocationOptions {
    /// Bytes allocated between two samples, mean: 1 or more. 512 KiB by default: a stack takes some microseconds.
    pub period: u64,
    /// Bytes of memory for samples, 64 KiB to 32 MiB; samples beyond it are counted as lost. 8 MiB by default: ten
    /// thousand of the deepest stacks.
    pub room: usize,
}

impl Default for AllocationOptions {
    fn default() -> Self {
        Self {
            period: 512 << 10,
            room: 8 << 20,
        }
    }
}

impl AllocationOptions {
    /// Looks at one of so many bytes.
    #[must_use]
    pub fn period(mut self, bytes: u64) -> Self {
        self.period = bytes;
        self
    }

    /// Keeps so many bytes of samples.
    #[must_use]
    pub fn room(mut self, bytes: usize) -> Self {
        self.room = bytes;
        self
    }
}

/// A profile of allocations that is being taken. There is one at a time in a process; dropping it ends it.
#[derive(Debug)]
pub struct AllocationProfiler {
    started: Instant,
    period: u64,
    /// Whether it is over: a second end would be that of the profiler after this one.
    ended: bool,
}

impl AllocationProfiler {
    /// Begins to look at allocations.
    ///
    /// # Errors
    ///
    /// [`ProfileError::NotTracking`] if the global allocator is no [`TrackingAllocator`](super::TrackingAllocator);
    /// [`ProfileError::Range`]; [`ProfileError::Running`] if somebody else takes one; [`ProfileError::Unsupported`]
    /// where stacks cannot be taken inside an allocator.
    pub fn start(options: AllocationOptions) -> Result<Self, ProfileError> {
        within("period", options.period, 1, 1 << 40)?;
        within("room", options.room as u64, 64 << 10, 32 << 20)?;
        if !stack::SUPPORTED {
            return Err(ProfileError::Unsupported);
        }
        if !tracking() {
            return Err(ProfileError::NotTracking);
        }
        // Acquire: what the profiler before this one did to the gate is done.
        if RUNNING.swap(true, Ordering::Acquire) {
            return Err(ProfileError::Running);
        }
        stack::prepare();
        GATE.open(Arena::with_words(options.room / size_of::<u64>()));
        // Threads that see a new turn forget how far they were.
        TURN.fetch_add(1, Ordering::Relaxed);
        // Release: who sees the period sees the turn.
        PERIOD.store(options.period, Ordering::Release);
        Ok(Self {
            started: Instant::now(),
            period: options.period,
            ended: false,
        })
    }

    /// Ends it, and looks up the names of what was seen, which takes a second in a large program. The values of the
    /// profile are estimates of all bytes allocated, freed ones too.
    #[must_use]
    pub fn stop(mut self) -> Profile {
        let duration = self.started.elapsed();
        let mut builder = Builder::new(Kind::Allocations);
        let Some(arena) = self.end() else {
            return builder.build(duration, self.period, 0);
        };
        let lost = arena.lost();
        for sample in arena.into_samples() {
            let chance = -(-(sample.value as f64) / self.period as f64).exp_m1();
            let value = (sample.value as f64 / chance).round() as u64;
            builder.add(sample.thread(), &sample.addresses, false, 1, value);
        }
        builder.build(duration, self.period, lost)
    }

    /// Takes a profile of so long. Blocks the thread meanwhile.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn record(options: AllocationOptions, duration: Duration) -> Result<Profile, ProfileError> {
        let profiler = Self::start(options)?;
        std::thread::sleep(duration);
        Ok(profiler.stop())
    }
}

impl AllocationProfiler {
    fn end(&mut self) -> Option<Arena> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        // Before the gate is closed, so that it is soon empty.
        PERIOD.store(0, Ordering::Relaxed);
        let arena = GATE.close();
        RUNNING.store(false, Ordering::Release);
        arena
    }
}

impl Drop for AllocationProfiler {
    fn drop(&mut self) {
        drop(self.end());
    }
}

fn within(name: &'static str, value: u64, least: u64, most: u64) -> Result<(), ProfileError> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(ProfileError::Range {
            name,
            value,
            least,
            most,
        })
    }
}

/// Whether an allocation is counted.
fn tracking() -> bool {
    let before = thread_allocation_totals();
    drop(std::hint::black_box(Box::new(1_u64)));
    thread_allocation_totals() != before
}

/// Where samples go while a profile is taken.
#[cfg(not(all(loom, test)))]
static GATE: Gate<Arena> = Gate::new();
#[cfg(all(loom, test))]
static GATE: std::sync::LazyLock<Gate<Arena>> = std::sync::LazyLock::new(Gate::new);
/// Whether one is. Set by `start`, cleared by its end.
static RUNNING: AtomicBool = AtomicBool::new(false);
/// Bytes between samples; 0 while nobody looks.
static PERIOD: AtomicU64 = AtomicU64::new(0);
/// How many profiles were begun.
static TURN: AtomicU64 = AtomicU64::new(0);

/// Of one thread; nothing in it has a destructor.
struct Own {
    /// The profile that `left` belongs to.
    turn: Cell<u64>,
    /// Bytes up to the next sample.
    left: Cell<u64>,
    chance: Cell<u64>,
    /// Whether a sample is being taken: the unwinder might allocate, and that is not to be sampled.
    inside: Cell<bool>,
}

thread_local! {
    static OWN: Own = const {
        Own { turn: Cell::new(0), left: Cell::new(0), chance: Cell::new(0), inside: Cell::new(false) }
    };
}

/// Called for each block. Takes no lock and no memory.
#[inline]
pub(super) fn allocated(size: usize) {
    let period = PERIOD.load(Ordering::Acquire);
    if period != 0 {
        let _ = OWN.try_with(|own| count_down(own, size, period));
    }
}

#[inline(never)]
fn count_down(own: &Own, size: usize, period: u64) {
    if own.inside.get() {
        return;
    }
    let turn = TURN.load(Ordering::Relaxed);
    if own.turn.replace(turn) != turn {
        own.left.set(own.draw(period));
    }
    if let Some(left) = own.left.get().checked_sub(size as u64) {
        return own.left.set(left);
    }
    // Samples of bytes come at random moments: the next distance does not depend on how far this block reached beyond.
    own.left.set(own.draw(period));
    own.inside.set(true);
    GATE.with(|arena| {
        let mut addresses = [0; DEPTH];
        let found = stack::take(&mut addresses);
        arena.push(stack::thread_name(), size as u64, &addresses[..found]);
    });
    own.inside.set(false);
}

impl Own {
    /// An exponential distance of mean `period`.
    fn draw(&self, period: u64) -> u64 {
        let mut state = self.chance.get();
        if state == 0 {
            // Threads differ by where their locals lie.
            state = (std::ptr::from_ref(self) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        // Xorshift (Marsaglia, "Xorshift RNGs", 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        self.chance.set(state);
        let uniform = ((state >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        (-uniform.ln() * period as f64) as u64
    }
}

/// Most addresses of a stack that are kept.
const DEPTH: usize = 96;
const _: () = assert!(
    DEPTH + HEAD < (64 << 10) / size_of::<u64>(),
    "the least room holds a sample"
);

#[cfg(unix)]
mod stack {
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) const SUPPORTED: bool = true;

    /// Whether frame pointers are there to be followed. Written before a profile begins.
    static POINTERS: AtomicBool = AtomicBool::new(false);

    pub(super) fn prepare() {
        POINTERS.store(super::super::super::has_frame_pointers(), Ordering::Relaxed);
        // The unwinder makes tables when it is used for the first time: not inside the allocator.
        let _ = unwind(&mut [0; 4]);
    }

    /// Return addresses, innermost first.
    #[inline(never)]
    pub(super) fn take(addresses: &mut [usize]) -> usize {
        #[cfg(all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ))]
        if POINTERS.load(Ordering::Relaxed) {
            use super::super::super::walk::{here, keeping_errno, walk};
            return keeping_errno(|| walk(here(), addresses));
        }
        unwind(addresses)
    }

    fn unwind(addresses: &mut [usize]) -> usize {
        let mut found = 0;
        let mut keep = |address: *mut c_void| {
            addresses[found] = address as usize;
            found += 1;
            found < addresses.len()
        };
        // SAFETY: what has to be synchronized is the debug help library of Windows; the unwinders of Unix may be used by
        // any number of threads. This is no signal handler, and the inner allocator's locks are free again.
        unsafe { backtrace::trace_unsynchronized(|frame| keep(frame.ip())) };
        found
    }

    #[cfg(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))]
    pub(super) fn thread_name() -> [u8; 16] {
        super::super::super::walk::keeping_errno(super::super::super::walk::thread_name)
    }

    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    pub(super) fn thread_name() -> [u8; 16] {
        // Asking for a name may allocate elsewhere.
        *b"threads\0\0\0\0\0\0\0\0\0"
    }
}

#[cfg(not(unix))]
mod stack {
    pub(super) const SUPPORTED: bool = false;

    pub(super) fn prepare() {}

    pub(super) fn take(_: &mut [usize]) -> usize {
        0
    }

    pub(super) fn thread_name() -> [u8; 16] {
        [0; 16]
    }
}
