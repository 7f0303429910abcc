//! One record of a log as bytes: a frame of fixed size in front of the contents.
//!
//! A frame has a checksum of its own, so that a frame can be recognised anywhere in a file without believing its length
//! first. It says up to where the file had been synced when it was written. That is what tells a torn end from damage:
//! bytes before that mark were safe, so if they are wrong something has happened to them since. The checksum covers the
//! frame's place in the file as well: a copy of a frame inside of a result is not taken for one.

/// Frames begin at multiples of this, and contents are filled up to it.
pub(crate) const ALIGN: usize = 8;

/// Bytes of a frame, before the contents.
pub(crate) const FRAME_LEN: usize = 40;

/// The largest contents of one record: one result of the largest size and what belongs to it.
pub(crate) const MAX_CONTENTS: usize = super::contents::MAX_RESULT_BYTES + 1_024;

/// No byte order mark, no text, no run of equal bytes.
const MAGIC: u32 = 0xA17E_C0D5;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Items that are done and have no result to keep.
    Done,
    /// Items that are done, and their results.
    Results,
    /// Items that were skipped.
    Skipped,
}

impl Kind {
    const fn code(self) -> u32 {
        match self {
            Self::Done => 1,
            Self::Results => 2,
            Self::Skipped => 3,
        }
    }

    const fn of(code: u32) -> Option<Self> {
        match code {
            1 => Some(Self::Done),
            2 => Some(Self::Results),
            3 => Some(Self::Skipped),
            _ => None,
        }
    }
}

/// What stands in front of the contents of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The checksum of the contents.
    pub(crate) checksum: u32,
    /// The number of bytes of the contents, without the filling.
    pub(crate) len: u32,
    /// What the record is about; a code that is not known is damage.
    pub(crate) kind: Option<Kind>,
    /// Records are numbered from 0.
    pub(crate) sequence: u64,
    /// All bytes of the file before this one were on disk when the record was written.
    pub(crate) durable: u64,
}

impl Frame {
    /// Appends a record to `out`, whose place in the file will be `offset`.
    pub(crate) fn write(
        kind: Kind,
        sequence: u64,
        (offset, durable): (u64, u64),
        contents: &[u8],
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&crc32fast::hash(contents).to_le_bytes());
        // Callers keep contents below `MAX_CONTENTS`.
        out.extend_from_slice(&(contents.len() as u32).to_le_bytes());
        out.extend_from_slice(&kind.code().to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&durable.to_le_bytes());
        let checksum = own_checksum(&out[start..start + FRAME_LEN], offset);
        out[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(contents);
        out.resize(out.len().next_multiple_of(ALIGN), 0);
    }

    /// Reads a frame from the first [`FRAME_LEN`] bytes, which stand at `offset`; `None` if there is none.
    pub(crate) fn read(bytes: &[u8], offset: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_LEN)?;
        let short = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(number)
        };
        let long = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        if short(0) != MAGIC || short(4) != own_checksum(bytes, offset) {
            return None;
        }
        Some(Self {
            checksum: short(8),
            len: short(12),
            kind: Kind::of(short(16)),
            sequence: long(24),
            durable: long(32),
        })
    }

    /// The bytes of contents and filling.
    pub(crate) fn padded_len(&self) -> usize {
        (self.len as usize).next_multiple_of(ALIGN)
    }
}

/// Covers the frame without itself, and its place.
fn own_checksum(frame: &[u8], offset: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&offset.to_le_bytes());
    hasher.update(&frame[..4]);
    hasher.update(&frame[8..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        Frame::write(Kind::Skipped, 7, (8_192, 4_096), b"abc", &mut bytes);
        assert_eq!(bytes.len(), FRAME_LEN + 8);
        let frame = Frame::read(&bytes, 8_192).unwrap();
        assert_eq!(
            (frame.kind, frame.len, frame.sequence, frame.durable),
            (Some(Kind::Skipped), 3, 7, 4_096)
        );
        assert_eq!(frame.checksum, crc32fast::hash(b"abc"));
        for at in 0..FRAME_LEN {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Frame::read(&flipped, 8_192), None, "{at}");
        }
        assert_eq!(Frame::read(&bytes, 8_200), None);
    }
}
