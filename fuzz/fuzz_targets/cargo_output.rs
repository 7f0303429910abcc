//! Any bytes as what cargo and the compiler print: build messages, metadata, and after a NUL a condition and settings.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    #[cfg(fuzzing)]
    aqe_runner::cargo::fuzzing::read(text);
    // Outside of a fuzzing build there is no way in.
    #[cfg(not(fuzzing))]
    let _ = text;
});
