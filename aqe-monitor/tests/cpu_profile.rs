//! Functions known to be hot are seen, with their callers, in every thread.
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aqe_monitor::profile::{CpuOptions, CpuProfiler, Profile, ProfileError, has_frame_pointers};
use parking_lot::Mutex;

/// There is one profile at a time in a process, and tests of a file share one.
static ALONE: Mutex<()> = Mutex::new(());

#[inline(never)]
fn hot(until: Instant) -> u64 {
    let mut sum = 0_u64;
    while Instant::now() < until {
        sum = churn(sum);
    }
    sum
}

/// Nearly all the time is spent here, and nothing is called from here.
#[inline(never)]
fn churn(mut sum: u64) -> u64 {
    let mut i = 0_u64;
    while i < 200_000 {
        sum = (sum ^ i) << 1;
        i += 1;
    }
    black_box(sum)
}

fn profile(work: impl FnOnce()) -> Profile {
    let profiler =
        CpuProfiler::start(CpuOptions::default().frequency(500)).expect("nobody else takes one");
    work();
    profiler.stop()
}

/// As much work as gives so many samples, whatever else the machine does.
fn busy(samples: usize) -> Profile {
    for seconds in [1, 4, 16] {
        let profile = profile(|| {
            black_box(hot(Instant::now() + Duration::from_secs(seconds) / 2));
        });
        if profile.stacks.iter().map(|stack| stack.count).sum::<u64>() as usize >= samples {
            return profile;
        }
    }
    panic!("there are no samples");
}

#[test]
fn the_hot_function_is_seen_with_its_callers() {
    let _alone = ALONE.lock();
    let profile = busy(20);
    let (hottest, value) = profile.hottest()[0];
    assert!(
        hottest.function.contains("churn"),
        "{}",
        profile.collapsed()
    );
    assert!(value * 2 > profile.total(), "{}", profile.collapsed());
    let whole = |line: &str| {
        let at = |name: &str| line.find(name);
        matches!((at("::busy"), at("::hot"), at("::churn")), (Some(a), Some(b), Some(c)) if a < b && b < c)
    };
    let text = profile.collapsed();
    // Without frame pointers there is no more than the innermost function to be found, and chance.
    assert!(!has_frame_pointers() || text.lines().any(whole), "{text}");
    assert!(profile.to_svg("hot").contains("churn"));
    assert_eq!(profile.lost, 0);
}

#[test]
fn samples_stand_for_the_time_that_was_spent() {
    let _alone = ALONE.lock();
    let profile = busy(20);
    // One thread was busy all the time, others at most beside it; another load can only take processor time away.
    let total = Duration::from_nanos(profile.total());
    assert!(
        total <= profile.duration * 2,
        "{total:?} of {:?}",
        profile.duration
    );
    assert!(total > Duration::ZERO);
}

#[test]
fn threads_are_told_apart() {
    let _alone = ALONE.lock();
    for seconds in [1, 4, 16] {
        let profile = profile(|| {
            let until = Instant::now() + Duration::from_secs(seconds) / 2;
            std::thread::scope(|scope| {
                for name in ["first", "second"] {
                    let thread = std::thread::Builder::new().name(name.to_owned());
                    thread
                        .spawn_scoped(scope, || black_box(hot(until)))
                        .expect("threads");
                }
            });
        });
        let seen = |name: &str| profile.stacks.iter().any(|stack| stack.thread == name);
        if seen("first") && seen("second") {
            return;
        }
    }
    panic!("one of the threads was never seen");
}

#[test]
fn there_is_one_profile_at_a_time_and_dropping_ends_it() {
    let _alone = ALONE.lock();
    let first = CpuProfiler::start(CpuOptions::default()).expect("nobody else takes one");
    assert!(matches!(
        CpuProfiler::start(CpuOptions::default()),
        Err(ProfileError::Running)
    ));
    drop(first);
    let second = CpuProfiler::start(CpuOptions::default()).expect("the first has ended");
    drop(second.stop());
}

#[test]
fn profiles_begin_and_end_while_threads_are_interrupted() {
    let _alone = ALONE.lock();
    let until = Instant::now() + Duration::from_secs(1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Locks and memory, which the handler must not touch, are held when it comes.
                while Instant::now() < until {
                    black_box(vec![0_u8; 1000]);
                    black_box(churn(1));
                }
            });
        }
        let mut rounds = 0;
        while Instant::now() < until || rounds == 0 {
            drop(CpuProfiler::start(CpuOptions::default().frequency(1000)).expect("one at a time"));
            rounds += 1;
        }
    });
}

#[test]
fn frequencies_that_no_timer_has_are_refused() {
    for frequency in [0, 1001] {
        let refused = CpuProfiler::start(CpuOptions::default().frequency(frequency))
            .expect_err("out of range");
        assert!(refused.to_string().contains("1000"), "{refused}");
    }
}
