//! Key-value stores and content networks: popularity is skewed, drifts, and many keys are read once.

use super::chance::{Chance, Zipf};

fn zipf(percent: usize, ranks: usize, skew: f64, seed: u64) -> Vec<u64> {
    let mut chance = Chance::new(seed);
    let zipf = Zipf::new(ranks, skew);
    (0..percent * 6_000)
        .map(|_| zipf.rank(&mut chance) as u64)
        .collect()
}

/// 50,000 keys of little skew.
pub(super) fn zipf_flat(percent: usize) -> Vec<u64> {
    zipf(percent, 50_000, 0.7, 1)
}

/// 100,000 keys of the skew that the benchmarks of caches use.
pub(super) fn zipf_steep(percent: usize) -> Vec<u64> {
    zipf(percent, 100_000, 1.0, 2)
}

/// Every 20 requests some key takes the place of one that is about as popular as what is asked for.
pub(super) fn drift(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(3);
    let zipf = Zipf::new(40_000, 0.9);
    let mut key_of_rank: Vec<u64> = (0..40_000).collect();
    (0..percent * 6_000)
        .map(|request| {
            if request % 20 == 0 {
                let risen = chance.below(40_000) as usize;
                let fallen = zipf.rank(&mut chance);
                key_of_rank.swap(risen, fallen);
            }
            key_of_rank[zipf.rank(&mut chance)]
        })
        .collect()
}

/// A content network: a third of the requests are for something that nobody asks for again.
pub(super) fn wonders(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(4);
    let zipf = Zipf::new(40_000, 0.85);
    let mut fresh = 1_000_000;
    (0..percent * 5_000)
        .map(|_| {
            if chance.happens(0.33) {
                fresh += 1;
                return fresh;
            }
            zipf.rank(&mut chance) as u64
        })
        .collect()
}

/// Keys that belong together are read together for a while and then never; beside them a steady background.
pub(super) fn bursts(percent: usize) -> Vec<u64> {
    struct Burst {
        first: u64,
        width: u64,
        left: u64,
    }
    let mut chance = Chance::new(5);
    let zipf = Zipf::new(20_000, 0.8);
    let mut fresh = 1_000_000;
    let mut bursts: Vec<Burst> = Vec::new();
    (0..percent * 5_000)
        .map(|_| {
            if bursts.len() < 8 && chance.happens(0.002) {
                let width = 20 + chance.below(400);
                let left = width * (2 + chance.below(6));
                bursts.push(Burst {
                    first: fresh,
                    width,
                    left,
                });
                fresh += width;
            }
            if bursts.is_empty() || chance.happens(0.4) {
                return zipf.rank(&mut chance) as u64;
            }
            let at = chance.below(bursts.len() as u64) as usize;
            let burst = &mut bursts[at];
            burst.left -= 1;
            let key = burst.first + chance.below(burst.width);
            if burst.left == 0 {
                bursts.swap_remove(at);
            }
            key
        })
        .collect()
}

/// News: something new every ten requests, each of its own quality, and interest fades with age.
pub(super) fn news(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(6);
    let quality = Zipf::new(1_000, 0.6);
    let mut newest: u64 = 1;
    (0..percent * 5_000)
        .map(|_| {
            if chance.happens(0.1) {
                newest += 1;
            }
            // The age has a heavy tail; what is rejected for its quality is drawn again, a few times.
            let mut item = newest;
            for _ in 0..4 {
                let age = (chance.exponential(1.0) * 3.0).exp() as u64;
                item = newest.saturating_sub(age);
                let rank = item.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
                if quality.rank(&mut chance) as u64 >= rank {
                    break;
                }
            }
            item
        })
        .collect()
}
