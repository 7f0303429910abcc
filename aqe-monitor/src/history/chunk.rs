//! A chunk: the values of one series in one block, compressed.
//!
//! The first byte says how. Numbers go through `pco` (Loncaric, Jeppesen and Zinberg, "Pcodec: better compression for
//! numerical sequences", 2025), whole ones as integers; a value that never changes is kept once. A series that was not in every
//! tick has a map of those in which it was, one bit each.
//!
//! Reading takes how many ticks the block has, and allocates no more than they need, whatever the bytes say.

use pco::data_types::Number;
use pco::{ChunkConfig, standalone};

use super::buckets::Buckets;

/// One series over the ticks of a block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chunk {
    /// In which ticks it was, ascending; `None` if in all.
    pub(super) ticks: Option<Vec<u32>>,
    pub(super) values: Values,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    Numbers(Vec<f64>),
    Buckets(Vec<Buckets>),
}

impl Values {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Buckets(values) => values.len(),
        }
    }
}

/// How many pairs of bucket and count a chunk may have. A block's text has fewer, since each takes four characters of it.
pub(super) const MAX_PAIRS: usize = 1 << 22;

/// Set in the first byte if a map follows.
const PARTLY: u8 = 0x80;

const SAME: u8 = 0;
const WHOLE: u8 = 1;
const FLOAT: u8 = 2;
const BUCKETS: u8 = 3;
/// As they are: what takes less than the header that compression has, and what `pco` refuses.
const PLAIN: u8 = 4;

/// Measured: higher levels take twice the time for the last percent.
const LEVEL: usize = 8;

/// Writes a chunk of a block with so many ticks.
pub(super) fn encode(chunk: &Chunk, block: usize) -> Vec<u8> {
    let mut out = vec![0];
    if let Some(ticks) = &chunk.ticks {
        let mut map = vec![0_u8; block.div_ceil(8)];
        for &tick in ticks {
            map[tick as usize / 8] |= 1 << (tick % 8);
        }
        out.extend(map);
    }
    out[0] = match &chunk.values {
        Values::Numbers(values) => encode_numbers(values, &mut out),
        Values::Buckets(values) => encode_buckets(values, &mut out),
    };
    if chunk.ticks.is_some() {
        out[0] |= PARTLY;
    }
    out
}

fn encode_numbers(values: &[f64], out: &mut Vec<u8>) -> u8 {
    if let Some(&first) = values.first()
        && values
            .iter()
            .all(|value| value.to_bits() == first.to_bits())
    {
        out.extend(first.to_le_bytes());
        return SAME;
    }
    let compressed = match whole(values) {
        Some(whole) => compress(&whole).map(|bytes| (WHOLE, bytes)),
        None => compress(values).map(|bytes| (FLOAT, bytes)),
    };
    match compressed {
        Some((how, bytes)) if bytes.len() < 8 * values.len() => {
            out.extend(bytes);
            how
        }
        _ => {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            PLAIN
        }
    }
}

fn whole(values: &[f64]) -> Option<Vec<i64>> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let is_whole = |value: f64| {
        value.fract() == 0.0 && value.abs() < EXACT && value.to_bits() != (-0.0_f64).to_bits()
    };
    values
        .iter()
        .map(|&value| is_whole(value).then_some(value as i64))
        .collect()
}

fn compress<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    let config = ChunkConfig::default().with_compression_level(LEVEL);
    standalone::simple_compress(values, &config).ok()
}

/// Reads a chunk of a block with so many ticks; `None` says that these bytes are something else.
pub(super) fn decode(bytes: &[u8], block: usize) -> Option<Chunk> {
    let (&how, mut rest) = bytes.split_first()?;
    let mut ticks = None;
    if how & PARTLY != 0 {
        let map;
        (map, rest) = rest.split_at_checked(block.div_ceil(8))?;
        let is_set = |tick: &u32| map[*tick as usize / 8] & 1 << (tick % 8) != 0;
        ticks = Some(
            (0..u32::try_from(block).ok()?)
                .filter(is_set)
                .collect::<Vec<_>>(),
        );
    }
    let n = ticks.as_ref().map_or(block, Vec::len);
    let values = match how & !PARTLY {
        SAME => Values::Numbers(vec![f64::from_le_bytes(*rest.as_array()?); n]),
        WHOLE => {
            let whole = decompress::<i64>(rest, n)?;
            Values::Numbers(whole.into_iter().map(|value| value as f64).collect())
        }
        FLOAT => Values::Numbers(decompress(rest, n)?),
        BUCKETS => Values::Buckets(decode_buckets(rest, n)?),
        PLAIN => {
            let (values, []) = rest.as_chunks() else {
                return None;
            };
            Values::Numbers(
                values
                    .iter()
                    .map(|value| f64::from_le_bytes(*value))
                    .collect(),
            )
        }
        _ => return None,
    };
    if let Values::Numbers(numbers) = &values
        && !numbers.iter().all(|number| number.is_finite())
    {
        return None;
    }
    (values.len() == n).then_some(Chunk { ticks, values })
}

/// Reads exactly so many numbers, into as much memory as they need.
fn decompress<T: Number + Default>(bytes: &[u8], n: usize) -> Option<Vec<T>> {
    let mut values = vec![T::default(); n];
    let progress = standalone::simple_decompress_into(bytes, &mut values).ok()?;
    (progress.n_processed == n && progress.finished).then_some(values)
}

/// Five streams: precisions, lengths, numbers of buckets, counts, sums. Each has its length before it.
fn encode_buckets(values: &[Buckets], out: &mut Vec<u8>) -> u8 {
    let precisions: Vec<_> = values
        .iter()
        .map(|value| u32::from(value.precision()))
        .collect();
    let lengths: Vec<_> = values
        .iter()
        .map(|value| value.counts().len() as u32)
        .collect();
    let pairs = || values.iter().flat_map(Buckets::counts);
    let buckets: Vec<_> = pairs().map(|&(bucket, _)| bucket).collect();
    let counts: Vec<_> = pairs().map(|&(_, count)| count).collect();
    let sums: Vec<_> = values.iter().map(Buckets::sum).collect();
    push_stream(&precisions, out);
    push_stream(&lengths, out);
    push_stream(&buckets, out);
    push_stream(&counts, out);
    push_stream(&sums, out);
    BUCKETS
}

fn push_stream<T: Number>(values: &[T], out: &mut Vec<u8>) {
    // Fails for settings that cannot work only, and these can. An empty stream is found on reading.
    let bytes = compress(values).unwrap_or_default();
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn decode_buckets(mut bytes: &[u8], n: usize) -> Option<Vec<Buckets>> {
    let precisions: Vec<u32> = stream(&mut bytes, n)?;
    let lengths: Vec<u32> = stream(&mut bytes, n)?;
    let pairs = lengths
        .iter()
        .map(|&length| length as usize)
        .try_fold(0, |sum: usize, length| {
            sum.checked_add(length).filter(|&sum| sum <= MAX_PAIRS)
        })?;
    let buckets: Vec<u32> = stream(&mut bytes, pairs)?;
    let counts: Vec<u64> = stream(&mut bytes, pairs)?;
    let sums: Vec<f64> = stream(&mut bytes, n)?;
    let mut pairs = buckets.into_iter().zip(counts);
    let one = |((precision, length), sum): ((u32, u32), f64)| {
        let pairs = pairs.by_ref().take(length as usize).collect();
        Buckets::from_kept(u8::try_from(precision).ok()?, sum, pairs)
    };
    precisions
        .into_iter()
        .zip(lengths)
        .zip(sums)
        .map(one)
        .collect()
}

fn stream<T: Number + Default>(bytes: &mut &[u8], n: usize) -> Option<Vec<T>> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (stream, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *bytes = rest;
    decompress(stream, n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let finite = any::<f64>().prop_filter("finite", |value| value.is_finite());
        prop_oneof![
            prop::collection::vec(finite, 0..200),
            prop::collection::vec((-1000..1000_i32).prop_map(f64::from), 0..800),
            (any::<i32>(), 0..800_usize).prop_map(|(value, n)| vec![f64::from(value); n]),
            prop::collection::vec(
                (0..10_000_u32).prop_map(|value| f64::from(value) / 100.0),
                0..800
            ),
        ]
    }

    fn buckets() -> impl Strategy<Value = Buckets> {
        (
            0..=8_u8,
            prop::collection::btree_map(0..5000_u32, 1..u64::MAX, 0..20),
        )
            .prop_map(|(precision, counts)| Buckets::from_counts(precision, 12.5, counts))
    }

    proptest! {
        #[test]
        fn numbers_survive(values in numbers()) {
            let chunk = Chunk { ticks: None, values: Values::Numbers(values) };
            let block = chunk.values.len();
            let read = decode(&encode(&chunk, block), block);
            prop_assert_eq!(read, Some(chunk));
        }

        #[test]
        fn histograms_survive(values in prop::collection::vec(buckets(), 1..30)) {
            let chunk = Chunk { ticks: None, values: Values::Buckets(values) };
            let block = chunk.values.len();
            let read = decode(&encode(&chunk, block), block);
            prop_assert_eq!(read, Some(chunk));
        }

        #[test]
        fn series_that_come_and_go_survive(there in prop::collection::vec(any::<bool>(), 1..300)) {
            let ticks: Vec<u32> = (0..).zip(&there).filter(|(_, there)| **there).map(|(at, _)| at).collect();
            let values = ticks.iter().map(|&tick| f64::from(tick) * 1.5).collect();
            let chunk = Chunk { ticks: Some(ticks), values: Values::Numbers(values) };
            let read = decode(&encode(&chunk, there.len()), there.len());
            prop_assert_eq!(read, Some(chunk));
        }

        #[test]
        fn any_bytes_are_a_chunk_or_refused(
            how in prop_oneof![0..=4_u8, 128..=132_u8], bytes in prop::collection::vec(any::<u8>(), 0..300), block in 0..300_usize,
        ) {
            let bytes = [vec![how], bytes].concat();
            if let Some(chunk) = decode(&bytes, block) {
                prop_assert!(chunk.values.len() <= block);
            }
        }

        #[test]
        fn a_broken_chunk_is_refused_or_has_as_many_values(
            values in numbers(), at: prop::sample::Index, flip in 1..=255_u8, cut: bool,
        ) {
            let block = values.len();
            let chunk = Chunk { ticks: None, values: Values::Numbers(values) };
            let mut bytes = encode(&chunk, block);
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            if let Some(chunk) = decode(&bytes, block) {
                prop_assert!(chunk.values.len() <= block);
            }
        }
    }

    #[test]
    fn a_value_that_stays_takes_nine_bytes() {
        let chunk = Chunk {
            ticks: None,
            values: Values::Numbers(vec![0.1; 720]),
        };
        assert_eq!(encode(&chunk, 720).len(), 9);
    }

    #[test]
    fn more_buckets_than_any_block_has_are_refused() {
        let mut bytes = vec![BUCKETS];
        push_stream(&[7_u32; 2], &mut bytes);
        push_stream(&[u32::MAX; 2], &mut bytes);
        assert_eq!(decode(&bytes, 2), None);
    }
}
