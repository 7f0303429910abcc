//! Databases: index pages above rows, scans of tables, a log that is written and replayed.

use super::chance::{Chance, Zipf};

/// Look-ups read an inner page, a leaf and a row's page; appended rows are read soon; now and then a table is scanned.
pub(super) fn pages(percent: usize) -> Vec<u64> {
    const LEAVES: u64 = 4_000;
    const ROWS: u64 = 30_000;
    let mut chance = Chance::new(21);
    let zipf = Zipf::new(ROWS as usize, 0.85);
    let mut appended = 0u64;
    let mut keys = Vec::new();
    while keys.len() < percent * 5_000 {
        match chance.below(1_000) {
            0 => keys.extend((0..3_000).map(|page| 4_000_000 + page)),
            1..150 => {
                // An append writes the last page, and reads one that was written not long ago.
                appended += 1;
                let ago = chance.exponential(40.0) as u64;
                keys.push(3_000_000 + appended / 8);
                keys.push(3_000_000 + appended.saturating_sub(ago) / 8);
            }
            _ => {
                let row = scattered(zipf.rank(&mut chance) as u64, ROWS);
                let leaf = row * LEAVES / ROWS;
                keys.extend([leaf / 100, 1_000_000 + leaf, 2_000_000 + row]);
            }
        }
    }
    keys.truncate(percent * 5_000);
    keys
}

/// Records are written once and read back in order some thousand records later by three consumers that lag differently.
pub(super) fn log_and_replay(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(22);
    let zipf = Zipf::new(5_000, 0.9);
    let mut keys = Vec::new();
    let mut head = 0u64;
    while keys.len() < percent * 5_000 {
        keys.push(1_000_000 + head);
        head += 1;
        for lag in [300, 2_500, 9_000] {
            if let Some(record) = head.checked_sub(lag) {
                keys.push(1_000_000 + record);
            }
        }
        if chance.happens(0.5) {
            keys.push(zipf.rank(&mut chance) as u64);
        }
    }
    keys.truncate(percent * 5_000);
    keys
}

/// Spreads ranks over the rows, so that popular ones are not neighbours. `rows` must have no factor of 7,919.
fn scattered(rank: u64, rows: u64) -> u64 {
    rank * 7_919 % rows
}
