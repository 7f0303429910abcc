//! Any bytes as a coverage report of Cobertura; the first two are lengths of the pieces that they come in.

#![no_main]

mod coverage;

use aqe_batch::coverage::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| coverage::check(data, Format::Cobertura));
