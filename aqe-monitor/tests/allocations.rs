//! Counts of a known number of allocations, and sites that are known to allocate.

use std::alloc::System;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};

use aqe_monitor::profile::{
    AllocationOptions, AllocationProfiler, Profile, ProfileError, TrackingAllocator,
    allocation_totals, thread_allocation_totals,
};
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: TrackingAllocator = TrackingAllocator::new(System);

/// There is one profile at a time in a process, and totals are those of all tests.
static ALONE: Mutex<()> = Mutex::new(());

/// What the harness itself may allocate meanwhile: it prints.
const OTHERS: u64 = 1 << 20;

#[inline(never)]
fn greedy(blocks: usize, size: usize) {
    for _ in 0..blocks {
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}

#[inline(never)]
fn modest(blocks: usize, size: usize) {
    for _ in 0..blocks {
        drop(black_box(Vec::<u8>::with_capacity(size)));
    }
}

#[test]
fn a_thread_counts_its_own_exactly() {
    let mut kept = Vec::with_capacity(1000);
    let before = thread_allocation_totals();
    kept.extend((0..1000).map(|i| Box::new([i; 8])));
    let after = thread_allocation_totals();
    assert_eq!(after.allocated_blocks - before.allocated_blocks, 1000);
    assert_eq!(
        after.allocated_bytes - before.allocated_bytes,
        1000 * size_of::<[i32; 8]>() as u64
    );
    assert_eq!(after.freed_blocks, before.freed_blocks);
    kept.clear();
    assert_eq!(
        thread_allocation_totals().freed_blocks - after.freed_blocks,
        1000
    );
}

#[test]
fn a_block_that_grows_is_freed_and_allocated() {
    let mut text = Vec::<u8>::with_capacity(10);
    let before = thread_allocation_totals();
    text.reserve_exact(1000);
    let after = thread_allocation_totals();
    assert_eq!(after.allocated_bytes - before.allocated_bytes, 1000);
    assert_eq!(after.freed_bytes - before.freed_bytes, 10);
}

#[test]
fn threads_that_end_keep_their_totals() {
    let _alone = ALONE.lock();
    let before = allocation_totals();
    // More threads than have counters of their own, several at a time.
    for _ in 0..40 {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| greedy(10, 100_000));
            }
        });
    }
    let after = allocation_totals();
    let allocated = after.allocated_bytes - before.allocated_bytes;
    assert!(
        (320_000_000..320_000_000 + 8 * OTHERS).contains(&allocated),
        "{allocated}"
    );
    let live = after.live_bytes().abs_diff(before.live_bytes());
    assert!(live < OTHERS, "{live}");
    assert!(after.allocated_blocks - before.allocated_blocks >= 3200);

    // These threads come later than those that have counters of their own: they share some, and lose nothing.
    let before = allocation_totals();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| greedy(50_000, 10));
        }
    });
    let after = allocation_totals();
    assert!(after.allocated_blocks - before.allocated_blocks >= 200_000);
    assert!(after.freed_blocks - before.freed_blocks >= 200_000);
}

#[test]
fn the_peak_is_remembered() {
    let _alone = ALONE.lock();
    let before = allocation_totals();
    drop(black_box(Vec::<u8>::with_capacity(64 << 20)));
    let small: Vec<Vec<u8>> = (0..20_000).map(|_| Vec::with_capacity(1000)).collect();
    drop(black_box(small));
    let after = allocation_totals();
    assert!(
        after.peak_bytes >= before.live_bytes() + (64 << 20) - OTHERS,
        "{after:?}"
    );
    assert!(
        after.peak_bytes > after.live_bytes() + (60 << 20),
        "{after:?}"
    );
}

fn sites(work: impl FnOnce()) -> Profile {
    let profiler =
        AllocationProfiler::start(AllocationOptions::default().period(64 << 10)).expect("tracked");
    work();
    profiler.stop()
}

fn bytes_of(profile: &Profile, function: &str) -> f64 {
    let named = |line: &&str| line.contains(function);
    let value = |line: &str| {
        line.rsplit(' ')
            .next()
            .and_then(|value| value.parse::<f64>().ok())
            .expect("a value")
    };
    profile.collapsed().lines().filter(named).map(value).sum()
}

#[test]
fn sites_are_seen_by_how_much_they_allocate() {
    let _alone = ALONE.lock();
    let profile = sites(|| {
        greedy(64_000, 1000);
        modest(160, 100_000);
        // Too small and too few to be seen, and too few to disturb.
        modest(1, 1);
    });
    let text = profile.collapsed();
    // A thousand samples are off by three hundredths, 250 by six, for one standard deviation.
    let (greedy, modest) = (
        bytes_of(&profile, "::greedy"),
        bytes_of(&profile, "::modest"),
    );
    assert!((0.8..1.2).contains(&(greedy / 64e6)), "{greedy}: {text}");
    assert!((0.7..1.3).contains(&(modest / 16e6)), "{modest}: {text}");
    assert!(profile.to_svg("allocations").contains("greedy"));
    assert_eq!(profile.lost, 0);
}

#[test]
fn nothing_is_sampled_when_nobody_looks_and_room_has_an_end() {
    let _alone = ALONE.lock();
    greedy(1000, 100_000);
    let profile = sites(|| ());
    assert!(
        bytes_of(&profile, "::greedy") == 0.0,
        "{}",
        profile.collapsed()
    );

    let options = AllocationOptions::default().period(1).room(64 << 10);
    let profiler = AllocationProfiler::start(options).expect("tracked");
    greedy(20_000, 100);
    let profile = profiler.stop();
    assert!(profile.lost > 0 && !profile.stacks.is_empty());
}

/// Threads of a test that fails must not go on for ever.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn many_threads_are_sampled_while_a_profile_begins_and_ends() {
    let _alone = ALONE.lock();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = StopWhenDropped(&stop);
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    greedy(10, 1000);
                }
            });
        }
        for _ in 0..10 {
            drop(sites(|| greedy(2000, 1000)));
        }
    });
}

#[test]
fn there_is_one_profile_at_a_time_and_bad_options_are_refused() {
    let _alone = ALONE.lock();
    let first = AllocationProfiler::start(AllocationOptions::default()).expect("tracked");
    let second = AllocationProfiler::start(AllocationOptions::default());
    assert!(matches!(second, Err(ProfileError::Running)));
    drop(second);
    drop(first);
    drop(
        AllocationProfiler::start(AllocationOptions::default())
            .expect("the first has ended")
            .stop(),
    );
    for options in [
        AllocationOptions::default().period(0),
        AllocationOptions::default().room(1),
    ] {
        assert!(matches!(
            AllocationProfiler::start(options),
            Err(ProfileError::Range { .. })
        ));
    }
}
