//! The sampler on the real system, and by a clock that stands still.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use aqe_monitor::registry::Unit;
use aqe_monitor::sampler::{ManualClock, Parts, Readings, Sampler, System};

const INTERVAL: Duration = Duration::from_secs(5);

#[test]
#[cfg(target_os = "linux")]
fn this_machine_says_what_it_does() {
    let mut system = System::new(Parts::default());
    let start = Instant::now();
    let first = system.sample(start);
    assert!(
        first.process.cpu_used.is_none() && first.machine.cpu.is_none(),
        "no rate yet"
    );
    let resident = first.process.resident_bytes.unwrap();
    let held = std::hint::black_box(vec![1_u8; 64 << 20]);
    // Work until the kernel's clock, which counts in hundredths of a second, has seen some.
    let mut second = system.sample(start + Duration::from_secs(1));
    let mut seconds = 1;
    while second.process.cpu_used == Some(0.0) || second.machine.cpu.is_none() {
        std::hint::black_box((0..1_000_000_u64).fold(1, |a, b| std::hint::black_box(a ^ b)));
        seconds += 1;
        second = system.sample(start + Duration::from_secs(seconds));
    }
    drop(held);
    assert!(second.process.resident_bytes.unwrap() > resident + (32 << 20));
    assert!(second.process.threads.unwrap() >= 1);
    let cpu = second.machine.cpu.unwrap();
    assert!((0.0..=1.0).contains(&cpu.busy_ratio), "{cpu:?}");
    let used = second.machine.memory_used_ratio().unwrap();
    assert!((0.0..=1.0).contains(&used), "{used}");
    assert!(second.machine.load.is_some() && second.machine.processors.is_some());
}

#[test]
fn parts_that_nobody_wants_are_not_read() {
    let sample = System::new(Parts::basic()).sample(Instant::now());
    assert!(sample.cgroup.is_none() && sample.machine.disks.is_none());
    assert!(sample.machine.pressure.cpu_ratio.is_none());
}

#[test]
fn ticks_keep_the_beat_and_a_pause_makes_no_burst() {
    let mut sampler = Sampler::new(INTERVAL);
    let start = Instant::now();
    let wall = SystemTime::UNIX_EPOCH;
    assert_eq!(sampler.tick(start, wall).number, 0);
    // Half a second late, and still on the beat.
    let late = Duration::from_millis(500);
    assert_eq!(sampler.tick(start + INTERVAL + late, wall).skipped, 0);
    assert_eq!(sampler.next(), start + 2 * INTERVAL);
    let tick = sampler.tick(start + 10 * INTERVAL + late, wall);
    assert_eq!((tick.number, tick.skipped), (2, 8));
    assert_eq!(sampler.next(), start + 11 * INTERVAL);
}

#[test]
fn sources_speak_at_each_tick_and_one_that_panics_only_once() {
    let mut sampler = Sampler::new(INTERVAL);
    let mut asked = 0.0;
    sampler.add("counting", move |readings: &mut Readings| {
        asked += 1.0;
        readings.push("asked", Unit::None, asked);
    });
    sampler.add("broken", |readings: &mut Readings| {
        readings.push("half_done", Unit::None, 1.0);
        panic!("out of order");
    });
    for expected in [1.0, 2.0] {
        let tick = sampler.tick(Instant::now(), SystemTime::UNIX_EPOCH);
        let reading = |name: &str| tick.readings.iter().find(|reading| reading.name == name);
        assert_eq!(
            reading("asked").map(|reading| reading.value),
            Some(expected)
        );
        assert!(reading("half_done").is_none());
        assert_eq!(tick.failed_sources, ["broken"]);
    }
}

#[test]
fn a_source_cannot_fill_memory() {
    let mut sampler = Sampler::new(INTERVAL);
    sampler.add("endless", |readings: &mut Readings| {
        (0..100_000).for_each(|n| readings.push("endless", Unit::None, f64::from(n)));
        assert!(readings.dropped() > 0);
    });
    let tick = sampler.tick(Instant::now(), SystemTime::UNIX_EPOCH);
    assert_eq!(
        (tick.readings.len(), tick.failed_sources.len()),
        (10_000, 0)
    );
}

#[test]
fn the_thread_samples_when_the_clock_says_so() {
    let clock = Arc::new(ManualClock::new());
    let (tell, told) = mpsc::channel();
    let sampler = Sampler::new(INTERVAL);
    let thread = sampler
        .spawn(Arc::clone(&clock) as _, move |tick| {
            let since = tick.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            tell.send((tick.number, since)).unwrap();
        })
        .unwrap();
    assert_eq!(told.recv().unwrap(), (0, Duration::ZERO));
    for number in 1..4 {
        clock.advance(INTERVAL - Duration::from_millis(1));
        assert!(told.try_recv().is_err(), "too early");
        clock.advance(Duration::from_millis(1));
        assert_eq!(told.recv().unwrap().0, number);
    }
    let sampler = thread.stop().unwrap();
    assert_eq!(sampler.interval(), INTERVAL);
    assert!(told.recv().is_err(), "the callback is gone");
}

#[test]
fn a_dropped_thread_has_ended() {
    let clock = Arc::new(ManualClock::new());
    let (tell, told) = mpsc::channel();
    let thread = Sampler::new(INTERVAL).spawn(clock, move |_| tell.send(()).unwrap());
    told.recv().unwrap();
    drop(thread.unwrap());
    assert!(told.recv().is_err());
}
