//! Any bytes as a store's key ring, and as the text of a master key.
//!
//! The parser ends, and what it accepts has one spelling; the fuzzer does not guess checksums, so that the same bytes
//! are read dressed with the right one as well.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aqe_memory::crypt::fuzz_key_ring(data));
