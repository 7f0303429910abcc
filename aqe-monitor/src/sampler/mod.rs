//! What the machine, the cgroup, this process and the parts of a program are doing, every few seconds.
//!
//! [`System`] reads the operating system. [`Sampler`] decides when, asks every [`Source`] that was added too, and puts it
//! all into a [`Tick`]; it takes the time as an argument. [`Sampler::spawn`] runs it in a thread that follows a
//! [`Clock`], which tests can drive.
//!
//! ```
//! use std::time::{Duration, Instant, SystemTime};
//! use aqe_monitor::registry::Unit;
//! use aqe_monitor::sampler::{Readings, Sampler};
//!
//! let mut sampler = Sampler::new(Duration::from_secs(5));
//! sampler.add("queue", |readings: &mut Readings| readings.push("queue_depth", Unit::None, 3.0));
//! let start = Instant::now();
//! let tick = sampler.tick(start, SystemTime::now());
//! assert!(tick.readings.iter().any(|reading| reading.name == "queue_depth" && reading.value == 3.0));
//! assert_eq!(sampler.next(), start + Duration::from_secs(5));
//! ```
//!
//! On Linux, all is read from `/proc` and `/sys`, through files that are opened once. Elsewhere, the parts of a sample
//! are `None`; sources work everywhere.

mod clock;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;
mod readings;
mod sample;
mod thread;
mod tick;

pub use self::clock::{Clock, ManualClock, SystemClock};
#[cfg(target_os = "linux")]
pub use self::linux::System;
#[cfg(not(target_os = "linux"))]
pub use self::portable::System;
pub use self::readings::{Reading, Readings};
pub use self::sample::{
    Cgroup, CgroupVersion, Cpu, Disks, Machine, Network, Parts, Pressure, Process, SystemSample,
};
pub use self::thread::SamplerThread;
pub use self::tick::{Sampler, Source, Tick};

/// Feeds the parsers of what the system says with any bytes, for fuzzing.
#[cfg(fuzzing)]
pub fn parse_anything(text: &[u8]) {
    #[cfg(target_os = "linux")]
    linux::parse_anything(text);
    #[cfg(not(target_os = "linux"))]
    let _ = text;
}
