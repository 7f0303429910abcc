//! The built program where everything around it goes wrong: it is killed, there is no room, no descriptor, no order.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

#[path = "../support/mod.rs"]
mod support;

mod project;

mod backtrace;
mod cargo;
mod harness;
mod names;

#[cfg(target_os = "linux")]
mod crowd;
#[cfg(target_os = "linux")]
mod kill;
#[cfg(target_os = "linux")]
mod leash;
#[cfg(target_os = "linux")]
mod shortage;
#[cfg(target_os = "linux")]
mod terminal;
