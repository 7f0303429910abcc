//! Scans and loops: what fills a cache and does not come back, or comes back just too late.

use super::chance::{Chance, Zipf};

/// Skewed reads; every 25,000 requests one reads 10,000 keys of a table of 60,000 in a row.
pub(super) fn zipf_and_scans(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(11);
    let zipf = Zipf::new(40_000, 0.9);
    let mut next_row = 0u64;
    let mut keys = Vec::new();
    while keys.len() < percent * 6_000 {
        keys.extend((0..15_000).map(|_| zipf.rank(&mut chance) as u64));
        keys.extend((0..10_000).map(|row| 1_000_000 + (next_row + row) % 60_000));
        next_row += 10_000;
    }
    keys.truncate(percent * 6_000);
    keys
}

/// Loops that are a fifth larger than 1, 5 and 20 % of all keys, in turns.
pub(super) fn loops(percent: usize) -> Vec<u64> {
    const ALL: u64 = 30_000;
    let mut keys = Vec::new();
    let mut turn = 0;
    while keys.len() < percent * 5_000 {
        let (length, times) = [(ALL / 83, 60), (ALL * 6 / 100, 12), (ALL * 24 / 100, 6)][turn % 3];
        let first = (turn as u64 / 3) * 7_919 % ALL;
        for _ in 0..times {
            keys.extend((0..length).map(|at| (first + at) % ALL));
        }
        turn += 1;
    }
    keys.truncate(percent * 5_000);
    keys
}

/// One reader goes round and round over 12,000 keys while another one draws from 20,000.
pub(super) fn loop_beside_zipf(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(13);
    let zipf = Zipf::new(20_000, 0.9);
    let mut at = 0;
    (0..percent * 5_000)
        .map(|_| {
            if chance.happens(0.5) {
                at = (at + 1) % 12_000;
                return 1_000_000 + at;
            }
            zipf.rank(&mut chance) as u64
        })
        .collect()
}
