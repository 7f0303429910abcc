//! Any bytes as a journal, and any lines as records whose checksums are right.
//!
//! The reader ends, accounts for every byte and every line, and believes no line that it did not check.

#![no_main]

use aqe_runner::journal::{Entry, JournalReader, ReadError, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    read(data);
    // A fuzzer does not guess checksums: dressed with them, the same bytes get past the first door.
    read(&dressed(data));
});

fn read(bytes: &[u8]) {
    let mut reader = JournalReader::new(bytes);
    let mut entries = 0;
    let mut refused = false;
    for entry in reader.by_ref() {
        match entry {
            Ok(Entry::Damaged { offset }) => assert!(offset < bytes.len() as u64),
            Ok(Entry::Record(record)) => is_written_as_read(&record),
            Ok(_) => {}
            Err(ReadError::TooNew { .. }) => refused = true,
            Err(error) => panic!("bytes in memory can be read: {error}"),
        }
        entries += 1;
    }
    let report = reader.report();
    if refused {
        return;
    }
    assert_eq!(report.whole_bytes + report.torn_bytes, bytes.len() as u64);
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    assert_eq!(entries, lines);
    assert_eq!(report.records + report.unknown + report.damaged, lines);
}

/// A run that is resumed writes down again what it read.
fn is_written_as_read(record: &Record) {
    let json = serde_json::to_string(record);
    let json = json.unwrap_or_else(|error| panic!("{record:?} was read, but {error}"));
    let again: Result<Record, _> = serde_json::from_str(&json);
    assert_eq!(again.ok().as_ref(), Some(record), "{json}");
}

/// Every line with a sequence number and a checksum in front; a line that begins with a digit brings its own number.
fn dressed(data: &[u8]) -> Vec<u8> {
    let mut journal = Vec::new();
    for (number, line) in data.split(|&byte| byte == b'\n').enumerate() {
        let covered = if line.first().is_some_and(u8::is_ascii_digit) {
            line.to_vec()
        } else {
            [number.to_string().as_bytes(), b" ", line].concat()
        };
        let checksum = crc32fast::hash(&covered);
        journal.extend_from_slice(format!("{checksum:08x} ").as_bytes());
        journal.extend_from_slice(&covered);
        journal.push(b'\n');
    }
    journal
}
