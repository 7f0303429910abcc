//! What a build or a test session reads: the same things in the same order, with some change.

use super::chance::{Chance, Zipf};

/// Every build reads 5,000 artefacts in the same order; a tenth is new each time, mostly the same tenth.
pub(super) fn builds(percent: usize) -> Vec<u64> {
    const ARTEFACTS: usize = 5_000;
    let mut chance = Chance::new(51);
    let touched = Zipf::new(ARTEFACTS, 0.8);
    let mut current: Vec<u64> = (0..ARTEFACTS as u64).collect();
    let mut fresh = 1_000_000;
    let mut keys = Vec::new();
    while keys.len() < percent * 4_000 {
        for _ in 0..ARTEFACTS / 10 {
            let at = touched.rank(&mut chance) * 7_919 % ARTEFACTS;
            fresh += 1;
            current[at] = fresh;
        }
        for artefact in &current {
            keys.push(*artefact);
            // What many others are built from is read again by some of them.
            if chance.happens(0.3) {
                keys.push(current[touched.rank(&mut chance) * 7_919 % ARTEFACTS]);
            }
        }
    }
    keys.truncate(percent * 4_000);
    keys
}

/// Results by test and run: each run reads the last results of its tests, the failed ones' whole history, and the report
/// of the newest runs.
pub(super) fn histories(percent: usize) -> Vec<u64> {
    const TESTS: u64 = 1_500;
    let mut chance = Chance::new(52);
    let flaky = Zipf::new(TESTS as usize, 0.9);
    let key = |test: u64, run: u64| run * 10_000 + test;
    let mut keys = Vec::new();
    let mut run = 1;
    while keys.len() < percent * 5_000 {
        for test in 0..TESTS {
            keys.push(key(test, run - 1));
            keys.push(key(test, run));
        }
        for _ in 0..TESTS / 15 {
            let test = flaky.rank(&mut chance) as u64;
            keys.extend((0..10.min(run)).map(|ago| key(test, run - ago)));
        }
        for _ in 0..2_000 {
            let ago = (chance.exponential(1.5) as u64).min(run - 1);
            keys.push(key(flaky.rank(&mut chance) as u64, run - ago));
        }
        run += 1;
    }
    keys.truncate(percent * 5_000);
    keys
}
