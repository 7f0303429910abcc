//! The times of a block: when each of its ticks was.
//!
//! A sampler ticks at an interval, more or less. So a time is where an even interval would put it, plus a rest that mostly fits
//! into two bytes; that decodes at the speed of a copy, and all series of a block share it.

/// Writes times, of which none is before the one before.
pub(super) fn encode(times: &[i64]) -> Vec<u8> {
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
        return vec![RESTS_16];
    };
    let interval = (last - first) / (times.len() as i64 - 1).max(1);
    let rests = || {
        (0_i64..)
            .zip(times)
            .map(|(at, &time)| time - first - at * interval)
    };
    let narrow = rests().all(|rest| i16::try_from(rest).is_ok());
    let mut out = vec![if narrow { RESTS_16 } else { RESTS_64 }];
    out.extend(first.to_le_bytes());
    out.extend(interval.to_le_bytes());
    for rest in rests() {
        if narrow {
            // It fits, as has just been checked.
            out.extend((rest as i16).to_le_bytes());
        } else {
            out.extend(rest.to_le_bytes());
        }
    }
    out
}

const RESTS_16: u8 = 0;
const RESTS_64: u8 = 1;

/// Reads `n` times; `None` says that these bytes are something else. What is given never goes back.
pub(super) fn decode(bytes: &[u8], n: usize) -> Option<Vec<i64>> {
    let (&kind, rest) = bytes.split_first()?;
    if n == 0 {
        return rest.is_empty().then(Vec::new);
    }
    let (first, rest) = rest.split_first_chunk()?;
    let (interval, rests) = rest.split_first_chunk()?;
    let (first, interval) = (i64::from_le_bytes(*first), i64::from_le_bytes(*interval));
    let times = match kind {
        RESTS_16 => {
            let (rests, []) = rests.as_chunks::<2>() else {
                return None;
            };
            let rests = rests
                .iter()
                .map(|rest| i64::from(i16::from_le_bytes(*rest)));
            place(first, interval, rests)
        }
        RESTS_64 => {
            let (rests, []) = rests.as_chunks::<8>() else {
                return None;
            };
            place(
                first,
                interval,
                rests.iter().map(|rest| i64::from_le_bytes(*rest)),
            )
        }
        _ => return None,
    };
    (times.len() == n && times.is_sorted()).then_some(times)
}

fn place(first: i64, interval: i64, rests: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut even = first;
    rests
        .map(|rest| {
            let time = even.wrapping_add(rest);
            even = even.wrapping_add(interval);
            time
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_survive(mut times in prop::collection::vec(0..253_402_300_800_000_i64, 0..100)) {
            times.sort_unstable();
            prop_assert_eq!(decode(&encode(&times), times.len()), Some(times));
        }

        #[test]
        fn any_bytes_are_times_that_do_not_go_back_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..100), n in 0..50_usize,
        ) {
            if let Some(times) = decode(&bytes, n) {
                prop_assert!(times.is_sorted() && times.len() == n);
            }
        }
    }

    #[test]
    fn ticks_near_an_interval_take_two_bytes() {
        let times: Vec<_> = (0..720)
            .map(|tick| 1_700_000_000_000 + tick * 5000 + tick % 7)
            .collect();
        assert_eq!(encode(&times).len(), 17 + 2 * 720);
        assert_eq!(decode(&encode(&times), 720), Some(times));
    }
}
