//! Loads that change their nature while they run.

use super::chance::{Chance, Zipf};
use super::{recency, scans};

/// Skewed reads, recency, loops and other skewed reads, 60,000 requests each, in turns.
pub(super) fn phases(percent: usize) -> Vec<u64> {
    const TURN: usize = 60_000;
    let mut chance = Chance::new(41);
    let zipf = Zipf::new(20_000, 0.9);
    let soon = recency::soon_again(percent);
    let loops = scans::loops(percent);
    let mut keys = Vec::new();
    let mut from = 0;
    while keys.len() < percent * 7_200 {
        let to = from + TURN;
        keys.extend((0..TURN).map(|_| zipf.rank(&mut chance) as u64));
        keys.extend(part(&soon, from, to).iter().map(|key| 10_000_000 + key));
        keys.extend(part(&loops, from, to).iter().map(|key| 20_000_000 + key));
        keys.extend((0..TURN).map(|_| 30_000_000 + zipf.rank(&mut chance) as u64));
        from = to;
    }
    keys.truncate(percent * 7_200);
    keys
}

/// Skewed reads whose whole popularity is dealt anew every 50,000 requests.
pub(super) fn flips(percent: usize) -> Vec<u64> {
    const KEYS: u64 = 30_000;
    let mut chance = Chance::new(42);
    let zipf = Zipf::new(KEYS as usize, 1.0);
    (0..percent * 5_000)
        .map(|request| {
            // Odd and no multiple of 3 or 5: it has no factor in common with the number of keys.
            let deal = (request / 50_000) as u64 * 7_920 + 7_919;
            zipf.rank(&mut chance) as u64 * deal % KEYS
        })
        .collect()
}

/// The part of a list, as far as it reaches.
fn part(keys: &[u64], from: usize, to: usize) -> &[u64] {
    &keys[from.min(keys.len())..to.min(keys.len())]
}
