//! Any bytes as each of the files of a store in a folder: segment, snapshot of the index, what the folder is, dictionary.
//!
//! The first byte says which. Reading ends, and takes no more memory than the file is long, or says that it is not such a
//! file; the fuzzer does not guess checksums, so that the same bytes are read dressed with the right one as well.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| aqe_memory::fuzz_files(data));
