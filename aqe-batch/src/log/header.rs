//! The first block of a log: what it is, in which format, and whose.
//!
//! The block is written once, before the log has its name, and never again, so a crash cannot leave half of it.
//! Records begin in the next block: a torn write of a record cannot touch the header.

use super::error::{CheckpointError, Damage};

/// The header has a block of the file system for itself.
pub(crate) const HEADER_LEN: usize = 4_096;

/// The format that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"aqebatch";

/// Names are for people; what counts is the hash.
const MAX_NAME: usize = 255;

/// The number that stands for "not known beforehand".
const UNKNOWN: u64 = u64::MAX;

/// Which job a log belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The hash of everything that must be the same for a run to be resumed.
    pub(crate) hash: [u8; 32],
    /// How many items there are, if the source says so.
    pub(crate) total: Option<u64>,
    /// The name of the job, for messages.
    pub(crate) name: String,
}

impl Identity {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut name = self.name.as_str();
        while name.len() > MAX_NAME {
            name = &name[..name.floor_char_boundary(MAX_NAME)];
        }
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.total.unwrap_or(UNKNOWN).to_le_bytes());
        // At most 255: cut above.
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(HEADER_LEN - 4, 0);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header; `bytes` are the first [`HEADER_LEN`] bytes of the file, or all that there are.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        if bytes.len() < MAGIC.len() || !bytes.starts_with(MAGIC) {
            return Err(CheckpointError::NotALog { path: None });
        }
        let damaged = |what| {
            Err(CheckpointError::Damaged {
                path: None,
                offset: 0,
                what,
            })
        };
        // The version is looked at first: another version may have another header.
        let version = bytes.get(8..12).map(u32_at);
        if let Some(found) = version
            && found != VERSION
            && bytes.len() >= HEADER_LEN
            && checksum_holds(bytes)
        {
            return Err(CheckpointError::Version {
                path: None,
                found,
                known: VERSION,
            });
        }
        if bytes.len() < HEADER_LEN || !checksum_holds(bytes) {
            return damaged(Damage::Header);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(&bytes[16..48]);
        let mut total = [0; 8];
        total.copy_from_slice(&bytes[48..56]);
        let total = u64::from_le_bytes(total);
        let len = usize::from(bytes[56]);
        let Ok(name) = std::str::from_utf8(&bytes[57..57 + len]) else {
            return damaged(Damage::Header);
        };
        Ok(Self {
            hash,
            total: (total != UNKNOWN).then_some(total),
            name: name.to_owned(),
        })
    }

    /// Checks that a log with the header `found` may be resumed by this job.
    pub(crate) fn accepts(&self, found: &Self) -> Result<(), CheckpointError> {
        if self.hash == found.hash && self.total == found.total {
            return Ok(());
        }
        Err(CheckpointError::OtherJob {
            path: None,
            found: describe(found),
            expected: describe(self),
        })
    }
}

fn describe(identity: &Identity) -> String {
    let hash = u32_at(&identity.hash[..4]).swap_bytes();
    match identity.total {
        Some(total) => format!("`{}` of {total} items ({hash:08x})", identity.name),
        None => format!("`{}` ({hash:08x})", identity.name),
    }
}

fn checksum_holds(bytes: &[u8]) -> bool {
    let (covered, checksum) = bytes[..HEADER_LEN].split_at(HEADER_LEN - 4);
    crc32fast::hash(covered) == u32_at(checksum)
}

/// The number in four bytes.
fn u32_at(bytes: &[u8]) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(bytes);
    u32::from_le_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            hash: *b"0123456789abcdef0123456789abcdef",
            total: Some(1_000),
            name: "hash".to_owned(),
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for total in [None, Some(0), Some(5)] {
            let identity = Identity {
                total,
                name: "ä".repeat(200),
                ..identity()
            };
            let bytes = identity.encode();
            assert_eq!(bytes.len(), HEADER_LEN);
            let read = Identity::decode(&bytes).unwrap();
            assert_eq!(read.name, "ä".repeat(127));
            assert!(identity.accepts(&read).is_ok());
        }
    }

    #[test]
    fn every_flipped_or_missing_byte_is_noticed() {
        let bytes = identity().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(Identity::decode(&flipped).is_err(), "{at}");
            assert!(Identity::decode(&bytes[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn another_version_or_job_says_so() {
        let mut bytes = identity().encode();
        bytes[8] = 9;
        bytes.truncate(HEADER_LEN - 4);
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let error = Identity::decode(&bytes).unwrap_err().to_string();
        assert!(error.contains("format 9"), "{error}");

        let other = Identity {
            total: Some(7),
            ..identity()
        };
        let error = identity().accepts(&other).unwrap_err().to_string();
        assert!(error.contains("`hash` of 7 items"), "{error}");
        assert!(error.contains("`hash` of 1000 items"), "{error}");
    }
}
