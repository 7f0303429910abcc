//! One line of the journal as bytes: `<crc32 as 8 hex digits> <sequence number> <json>\n`.

use super::Record;

/// The longest line, its end included. A record with the default output excerpts stays below it even when every byte
/// needs the longest JSON escape.
pub(super) const MAX_LINE_BYTES: usize = 512 * 1024;

/// Why a line could not be written.
#[derive(Debug)]
pub(super) enum EncodeError {
    /// The record would exceed [`MAX_LINE_BYTES`].
    TooLong(usize),
    /// The record cannot be JSON.
    Json(serde_json::Error),
}

/// Appends a record's line to `buffer`, which is left as it was when that fails.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    sequence: u64,
    record: &Record,
) -> Result<(), EncodeError> {
    let start = buffer.len();
    buffer.extend_from_slice(b"00000000 ");
    let covered = buffer.len();
    buffer.extend_from_slice(sequence.to_string().as_bytes());
    buffer.push(b' ');
    if let Err(error) = serde_json::to_writer(&mut *buffer, record) {
        buffer.truncate(start);
        return Err(EncodeError::Json(error));
    }
    let length = buffer.len() - start + 1;
    if length > MAX_LINE_BYTES {
        buffer.truncate(start);
        return Err(EncodeError::TooLong(length));
    }
    let checksum = crc32fast::hash(&buffer[covered..]);
    buffer[start..start + 8].copy_from_slice(&hex(checksum));
    buffer.push(b'\n');
    Ok(())
}

/// Takes a line apart, its end removed: the sequence number and the JSON, or `None` when the line is damaged.
pub(super) fn decode(line: &[u8]) -> Option<(u64, &[u8])> {
    let (checksum, covered) = line.split_at_checked(9)?;
    let checksum: &[u8; 9] = checksum.try_into().ok()?;
    // Comparing text rather than numbers, so that a flipped letter case is damage as well.
    if checksum[8] != b' ' || checksum[..8] != hex(crc32fast::hash(covered)) {
        return None;
    }
    let blank = covered.iter().position(|&byte| byte == b' ')?;
    let sequence = std::str::from_utf8(&covered[..blank]).ok()?.parse().ok()?;
    Some((sequence, &covered[blank + 1..]))
}

fn hex(value: u32) -> [u8; 8] {
    std::array::from_fn(|index| {
        let digit = (value >> (28 - 4 * index)) & 0xf;
        b"0123456789abcdef"[digit as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::super::record::samples;
    use super::*;

    #[test]
    fn a_line_is_read_as_written() {
        for (sequence, record) in (0..).zip(samples::records()) {
            let mut line = Vec::new();
            encode(&mut line, sequence, &record).unwrap();
            assert_eq!(line.pop(), Some(b'\n'));
            let (found, json) = decode(&line).unwrap();
            assert_eq!(found, sequence);
            assert_eq!(serde_json::from_slice::<Record>(json).unwrap(), record);
        }
    }

    #[test]
    fn a_record_that_is_too_long_leaves_the_buffer_alone() {
        let record = Record::run_started(
            super::super::RunId::new(),
            vec!["x".repeat(MAX_LINE_BYTES)],
            None,
        );
        let mut buffer = b"before".to_vec();
        assert!(matches!(
            encode(&mut buffer, 0, &record),
            Err(EncodeError::TooLong(_))
        ));
        assert_eq!(buffer, b"before");
    }

    #[test]
    fn the_default_excerpts_always_fit() {
        use crate::model::{Attempt, AttemptResult, Excerpt, ExcerptLimit, OutputExcerpt, TestId};
        let worst = Excerpt::of(&vec![1u8; 1 << 20], ExcerptLimit::default());
        let attempt = Attempt::new(1, AttemptResult::Cancelled)
            .output(Some(OutputExcerpt::new(worst.clone(), worst)));
        let record = Record::AttemptFinished {
            test: TestId::new("b", "\u{1}".repeat(16 * 1024)),
            attempt,
        };
        encode(&mut Vec::new(), 0, &record).unwrap();
    }

    #[test]
    fn known_bytes() {
        assert_eq!(hex(0x0123_abcd), *b"0123abcd");
        // The check value of CRC-32/ISO-HDLC is 0xcbf43926 for the digits 1 to 9.
        assert_eq!(hex(crc32fast::hash(b"123456789")), *b"cbf43926");
        assert_eq!(decode(b""), None);
        assert_eq!(decode(b"00000000 "), None);
    }
}
