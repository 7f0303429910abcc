//! Any bytes as a chunk of a history, as the times of a block and as the text of a tick.
//!
//! They are refused, or read as no more values than the block has ticks; what a chunk is read as, is written and read again.

#![no_main]

use aqe_monitor::history::{read_any_chunk, read_any_tick};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((block, bytes)) = data.split_first_chunk() else {
        return;
    };
    let block = u16::from_le_bytes(*block);
    if let Some(values) = read_any_chunk(bytes, block) {
        assert!(values <= usize::from(block));
    }
    read_any_tick(bytes, block);
});
