//! Finds what the values of a namespace have in common.
//!
//! A dictionary is worth having for strings that many values contain. The algorithm is COVER (Liao, Petri, Moffat and
//! Wirth, "Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016): every short string counts as much
//! as there are samples that contain it, and from one stretch of the samples after another the segment is taken whose
//! strings count most together; then they count no more. As in zstd's faster trainer, strings are told apart by their
//! hashes, so that everything is linear in the samples.
//!
//! Two things differ from that trainer. A string counts once for each sample, not once for each occurrence: a second
//! one in the same value is found in the value itself. And there is no search for the best length of segments: with
//! lengths from 256 to 2,048 bytes the ratios of JSON, XML and logs lay within two percent of one another.

/// How many bytes count as one string: fewer find matches that save nothing, more miss what fields have in common.
const STRING_BYTES: usize = 6;

/// A million counters: as many as there are distinct strings in some megabytes of text.
const COUNTER_BITS: u32 = 20;

/// A segment: some hundred bytes hold several fields that stand together in the values.
const SEGMENT_BYTES: usize = 768;

/// The strings that begin in a segment.
const SEGMENT_STRINGS: usize = SEGMENT_BYTES - STRING_BYTES + 1;

/// A segment that is worth less is no more than strings that happen to have the same hash.
const CHANCE: u64 = SEGMENT_STRINGS as u64 / 2;

/// Stretches from which one segment is chosen are this many times as many as segments, at least; so four passes
/// over the samples fill a dictionary, and what the first passes took is no longer wanted by the later ones.
const PASSES: usize = 4;

/// The most bytes of samples that are looked at: 8,000 of 2 KiB. It bounds time and memory.
pub const MAX_SAMPLE_BYTES: usize = 16 << 20;

/// Makes a dictionary of at most `size` bytes out of samples, of which no more than [`MAX_SAMPLE_BYTES`] are looked at.
///
/// What is useful to most values stands at the end, where it is in reach of the longest values and for longest. The
/// result is shorter than `size`, or empty, when the samples have less in common. It depends on nothing but the
/// samples.
///
/// It takes about 30 ns for each byte of samples, and 14 MiB more than the samples.
#[must_use]
pub fn train<S: AsRef<[u8]>>(samples: &[S], size: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut counter = Counter::new();
    for sample in samples {
        let sample = sample.as_ref();
        if text.len() + sample.len() > MAX_SAMPLE_BYTES {
            break;
        }
        counter.count(sample);
        text.extend_from_slice(sample);
    }
    if text.len() < SEGMENT_BYTES {
        return Vec::new();
    }
    Selection::new(&text, counter).fill(size)
}

/// In how many samples each string stands.
struct Counter {
    counts: Vec<u32>,
    /// The number of the last sample that contained it.
    last: Vec<u32>,
    sample: u32,
}

impl Counter {
    fn new() -> Self {
        Self {
            counts: vec![0; 1 << COUNTER_BITS],
            last: vec![0; 1 << COUNTER_BITS],
            sample: 0,
        }
    }

    fn count(&mut self, sample: &[u8]) {
        // At most one sample for each byte, but for empty ones, which count nothing.
        self.sample = self.sample.saturating_add(1);
        for string in sample.windows(STRING_BYTES) {
            let slot = slot(string);
            if self.last[slot] != self.sample {
                self.last[slot] = self.sample;
                self.counts[slot] += 1;
            }
        }
    }
}

fn slot(string: &[u8]) -> usize {
    let mut word = [0; 8];
    word[..STRING_BYTES].copy_from_slice(&string[..STRING_BYTES]);
    (u64::from_le_bytes(word).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - COUNTER_BITS)) as usize
}

/// The choice of segments.
struct Selection<'a> {
    text: &'a [u8],
    /// What each string is still worth.
    worth: Vec<u32>,
    /// How often each string stands in the segment that is being looked at.
    inside: Vec<u16>,
}

/// A segment and what its strings are worth.
#[derive(Debug, Clone, Copy)]
struct Segment {
    from: usize,
    /// Where its last string begins, plus one.
    until: usize,
    worth: u64,
}

impl<'a> Selection<'a> {
    fn new(text: &'a [u8], counter: Counter) -> Self {
        let mut worth = counter.counts;
        // What stands in one sample alone helps no other value.
        worth
            .iter_mut()
            .for_each(|count| *count = count.saturating_sub(1));
        Self {
            text,
            worth,
            inside: vec![0; 1 << COUNTER_BITS],
        }
    }

    /// Fills a dictionary from its end to its beginning.
    fn fill(mut self, size: usize) -> Vec<u8> {
        let strings = self.text.len() - STRING_BYTES + 1;
        let stretches = (size / SEGMENT_BYTES / PASSES).clamp(1, strings / SEGMENT_BYTES + 1);
        let stretch = strings.div_ceil(stretches);
        // A dictionary whose samples have nothing to add any more stays shorter.
        let patience = stretches;
        let mut dictionary = vec![0; size];
        let (mut free, mut fruitless) = (size, 0);
        let mut from = 0;
        while free > 0 && fruitless < patience {
            let best = self.best(from, (from + stretch).min(strings));
            from = if from + stretch < strings {
                from + stretch
            } else {
                0
            };
            if best.worth < CHANCE {
                fruitless += 1;
                continue;
            }
            fruitless = 0;
            let segment = self.take(best);
            let length = segment.len().min(free);
            dictionary[free - length..free].copy_from_slice(&segment[segment.len() - length..]);
            free -= length;
        }
        dictionary.split_off(free)
    }

    /// The segment whose strings are worth most among those that begin in `from..until`.
    fn best(&mut self, from: usize, until: usize) -> Segment {
        let mut segment = Segment {
            from,
            until: from,
            worth: 0,
        };
        let mut best = segment;
        for at in from..until {
            if at - segment.from == SEGMENT_STRINGS {
                let slot = slot(&self.text[segment.from..]);
                self.inside[slot] -= 1;
                if self.inside[slot] == 0 {
                    segment.worth -= u64::from(self.worth[slot]);
                }
                segment.from += 1;
            }
            let slot = slot(&self.text[at..]);
            if self.inside[slot] == 0 {
                segment.worth += u64::from(self.worth[slot]);
            }
            self.inside[slot] += 1;
            segment.until = at + 1;
            if segment.worth > best.worth {
                best = segment;
            }
        }
        for at in segment.from..segment.until {
            self.inside[slot(&self.text[at..])] = 0;
        }
        best
    }

    /// The bytes of a segment without worthless ones at its ends; its strings are worth nothing from now on.
    fn take(&mut self, segment: Segment) -> &'a [u8] {
        let text = self.text;
        let strings = segment.from..segment.until;
        let wanted = |at: &usize| self.worth[slot(&text[*at..])] > 0;
        let first = strings.clone().find(wanted).unwrap_or(segment.from);
        let last = strings.clone().rev().find(wanted).unwrap_or(segment.from);
        for at in strings {
            self.worth[slot(&text[at..])] = 0;
        }
        &text[first..last + STRING_BYTES]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Vec<u8>> {
        let mut rng = fastrand::Rng::with_seed(7);
        (0..200)
            .map(|number| {
                let noise: String = (0..400).map(|_| rng.alphanumeric()).collect();
                format!("{noise}{{\"a field of them all\":{number}}}{noise}").into_bytes()
            })
            .collect()
    }

    fn contains(dictionary: &[u8], wanted: &[u8]) -> bool {
        dictionary
            .windows(wanted.len())
            .any(|window| window == wanted)
    }

    #[test]
    fn what_all_samples_have_is_in_the_dictionary_and_at_its_end() {
        let dictionary = train(&samples(), 4 << 10);
        assert!(contains(&dictionary, b"{\"a field of them all\":"));
        let end = &dictionary[dictionary.len() - SEGMENT_BYTES.min(dictionary.len())..];
        assert!(contains(end, b"a field of them all"));
    }

    #[test]
    fn what_stands_in_one_sample_alone_is_not_worth_a_byte() {
        // The one field, with the noise around it that fills its segment.
        let dictionary = train(&samples(), 64 << 10);
        assert!(
            dictionary.len() <= 2 * SEGMENT_BYTES,
            "{}",
            dictionary.len()
        );
        let mut rng = fastrand::Rng::with_seed(8);
        let noise: Vec<Vec<u8>> = (0..50)
            .map(|_| (0..1_000).map(|_| rng.u8(..)).collect())
            .collect();
        assert!(train(&noise, 64 << 10).is_empty());
    }

    #[test]
    fn samples_without_text_give_an_empty_dictionary() {
        assert!(train::<Vec<u8>>(&[], 1_000).is_empty());
        assert!(train(&[b"", b""], 1_000).is_empty());
        assert!(train(&[b"short", b"short"], 1_000).is_empty());
        assert!(train(&samples(), 0).is_empty());
    }

    #[test]
    fn no_more_is_given_than_was_asked_for_and_no_more_read_than_is_said() {
        for size in [1, 5, 100, 1_000, 70_000] {
            assert!(train(&samples(), size).len() <= size);
        }
        let first = vec![b'x'; MAX_SAMPLE_BYTES];
        let wanted = b"never looked at, although it stands in two samples".repeat(20);
        let dictionary = train(&[first, wanted.clone(), wanted], 1_000);
        assert!(!contains(&dictionary, b"never looked at"));
    }

    #[test]
    fn the_same_samples_give_the_same_dictionary() {
        assert_eq!(train(&samples(), 8 << 10), train(&samples(), 8 << 10));
    }
}
