//! Any bytes as files of `/proc` and `/sys`: no parser panics, overflows or reads a negative share.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    #[cfg(fuzzing)]
    aqe_monitor::sampler::parse_anything(text);
    // Outside of a fuzzing build there is no way in.
    #[cfg(not(fuzzing))]
    let _ = text;
});
