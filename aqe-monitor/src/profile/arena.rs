//! Room for samples that a signal handler may write to: made before, bounded, without locks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Samples one after another, each with its length before it.
pub(super) struct Arena {
    words: Box<[AtomicU64]>,
    used: AtomicUsize,
    lost: AtomicU64,
}

/// A sample as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// The thread's name as the kernel has it: 15 bytes and a zero.
    pub(super) name: [u8; 16],
    /// What it stands for.
    pub(super) value: u64,
    /// Innermost first.
    pub(super) addresses: Vec<usize>,
}

impl Sample {
    pub(super) fn thread(&self) -> String {
        let name = self
            .name
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }
}

impl Arena {
    pub(super) fn with_words(words: usize) -> Self {
        let words = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self {
            words,
            used: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Stores a sample, or counts it as lost. Async-signal-safe: some atomic stores, and no more than its arguments say.
    pub(super) fn push(&self, name: [u8; 16], value: u64, addresses: &[usize]) {
        let length = addresses.len() + HEAD;
        // Nobody else has these words: whoever adds first has them. Readers come when all writers are gone, which the
        // gate before the arena sees to, so nothing here has to order anything.
        let at = self.used.fetch_add(length, Ordering::Relaxed);
        let Some(place) = self.words.get(at..).and_then(|rest| rest.get(..length)) else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let [low, high] = halves(name);
        let head = [length as u64, low, high, value].into_iter();
        let words = head.chain(addresses.iter().map(|&address| address as u64));
        for (place, word) in place.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The samples, in the order in which their room was taken.
    pub(super) fn into_samples(self) -> Vec<Sample> {
        let words: Vec<u64> = self.words.into_iter().map(AtomicU64::into_inner).collect();
        let (mut samples, mut rest) = (Vec::new(), words.as_slice());
        // The first sample for which there was no room left zeros behind, and all after it were lost, too.
        while let [length, low, high, value, ..] = *rest
            && length > 0
        {
            let (sample, after) = rest.split_at((length as usize).clamp(HEAD, rest.len()));
            let mut name = [0; 16];
            name[..8].copy_from_slice(&low.to_ne_bytes());
            name[8..].copy_from_slice(&high.to_ne_bytes());
            samples.push(Sample {
                name,
                value,
                addresses: sample[HEAD..].iter().map(|&word| word as usize).collect(),
            });
            rest = after;
        }
        samples
    }
}

fn halves(name: [u8; 16]) -> [u64; 2] {
    let number = u128::from_ne_bytes(name).to_ne_bytes();
    let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| number[at + i]));
    [half(0), half(8)]
}

/// Words before the addresses: length, name and value.
pub(super) const HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_the_rest_is_counted() {
        let arena = Arena::with_words(14);
        arena.push(*b"0123456789abcde\0", 7, &[1, 2, 3]);
        arena.push([0; 16], 0, &[]);
        arena.push([1; 16], 1, &[9; 8]);
        arena.push([1; 16], 1, &[]);
        assert_eq!(arena.lost(), 2);
        assert_eq!(
            arena.into_samples(),
            [
                Sample {
                    name: *b"0123456789abcde\0",
                    value: 7,
                    addresses: vec![1, 2, 3]
                },
                Sample {
                    name: [0; 16],
                    value: 0,
                    addresses: vec![]
                },
            ]
        );
    }

    #[test]
    fn threads_do_not_mix_their_samples() {
        let arena = Arena::with_words(6 * 400);
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                let arena = &arena;
                scope.spawn(move || {
                    (0..100).for_each(|_| arena.push([thread; 16], 1, &[thread as usize; 2]))
                });
            }
        });
        let samples = arena.into_samples();
        assert_eq!(samples.len(), 400);
        for sample in samples {
            assert_eq!(sample.addresses, [sample.name[0] as usize; 2]);
        }
    }
}
