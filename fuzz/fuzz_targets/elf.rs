//! Any bytes as a program file: whatever its offsets and counts say, nothing is read past a bound.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    #[cfg(fuzzing)]
    aqe_runner::fuzzing::elf(file);
    // Outside of a fuzzing build there is no way in.
    #[cfg(not(fuzzing))]
    let _ = file;
});
