//! Keys, and the order in which they are read.

use super::super::loads::chance::{Chance, Zipf};

/// The length of a key: that of `/suite/0042/test/0000012345`.
pub(super) const KEY: usize = 28;

/// Keys of one length, side by side: none is found through a pointer, so that what is measured is the cache's.
#[derive(Debug)]
pub(super) struct Keys(Vec<[u8; KEY]>);

impl Keys {
    /// So many different keys.
    pub(super) fn new(count: usize) -> Self {
        let key = |n: usize| {
            let text = format!("/suite/{:05}/test/{n:010}", n % 97);
            let mut key = [b'.'; KEY];
            key[..text.len()].copy_from_slice(text.as_bytes());
            key
        };
        Self((0..count).map(key).collect())
    }

    /// The key of a number.
    pub(super) fn key(&self, n: usize) -> &[u8] {
        &self.0[n]
    }

    /// All of them in order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.iter().map(|key| &key[..])
    }
}

/// Numbers below `count`, of which some come much more often than others: skew 0.99, as in YCSB. Which ones they are is up to
/// chance, so that they do not lie side by side.
pub(super) fn zipf(count: usize, draws: usize, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    // The same ones for every seed.
    fastrand::Rng::with_seed(7).shuffle(&mut numbers);
    let zipf = Zipf::new(count, 0.99);
    let mut chance = Chance::new(seed);
    (0..draws)
        .map(|_| numbers[zipf.rank(&mut chance)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_keys_are_the_same() {
        let keys = Keys::new(1_000);
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), 1_000);
        assert!(keys.iter().all(|key| !key.contains(&0)));
    }

    #[test]
    fn few_numbers_are_most_of_the_draws() {
        let draws = zipf(1_000, 10_000, 1);
        let mut counts = [0; 1_000];
        draws.iter().for_each(|draw| counts[*draw as usize] += 1);
        counts.sort_unstable();
        let top: usize = counts.iter().rev().take(100).sum();
        assert!(top > 6_000, "{top}");
    }
}
