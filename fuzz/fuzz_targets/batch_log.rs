//! Any bytes as a checkpoint log, and any contents as records whose checksums are right.
//!
//! The reader ends, accounts for every byte, and gives no item twice.

#![no_main]

use std::collections::HashSet;

use aqe_batch::log::{CheckpointError, dress, read_any};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    read(data);
    // A fuzzer does not guess checksums: dressed with them, the same bytes get past the first door.
    let contents: Vec<&[u8]> = data.split(|&byte| byte == 0xFE).collect();
    let mut log = dress(&contents);
    read(&log);
    // And with an end that is torn.
    log.extend_from_slice(data);
    read(&log);
    log.truncate(log.len() - log.len().min(data.len() + 7));
    read(&log);
});

fn read(bytes: &[u8]) {
    let mut items = HashSet::new();
    let result = read_any(bytes, |item, _| {
        assert!(items.insert(item), "item {item} twice")
    });
    match result {
        Ok((done, _)) => assert!(items.len() as u64 <= done),
        Err(CheckpointError::Io { .. }) => panic!("bytes in memory can be read"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
