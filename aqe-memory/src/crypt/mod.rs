//! Encryption of a store: master keys, and what they protect.
//!
//! A store that was given a master key seals what leaves the hot tier, in memory and on disk, with AES-256-GCM. The
//! user holds a [`MasterKey`], in an environment variable, in a file or behind a [`KeyProvider`]; the store holds
//! random *data keys*, wrapped by it, in a small file beside the segments; each segment has a key of its own, derived
//! from the newest data key and 32 random bytes in the segment's header.
//!
//! ```
//! use aqe_memory::crypt::{KeyError, KeyTextError, MasterKey};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("aqe.key");
//! std::fs::write(&path, "not a key\n")?;
//! # #[cfg(unix)]
//! # std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
//! let Err(KeyError::Text { problem, .. }) = MasterKey::from_file(&path) else { panic!() };
//! assert_eq!(problem, KeyTextError::Length { found: 9 });
//!
//! std::fs::write(&path, "62ad8ebdd6d4b0a5a9ee0ffc1a60d4d1a7a12c1f8b1b54e5a0b3b0a2c4a5a6f7\n")?;
//! let key = MasterKey::from_file(&path)?;
//! println!("the store's key is {}", key.id());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is protected
//!
//! Against somebody who can read and write the store's folder, now and at any earlier time, and does not have the
//! master key:
//!
//! - **Contents.** Keys and values of entries, the dictionaries that were trained on them, and the keys in snapshots of
//!   the index cannot be read.
//! - **Changes.** A record that is not bit for bit what was sealed, with its header, is damage, and is reported and not
//!   served. That includes records moved within a segment (the nonce is the offset), to another segment or another
//!   store (number, store and salt are in the key), and under another header (it is the associated data: deadline,
//!   sequence number, namespace).
//! - **The key ring.** Data keys cannot be taken out of it, exchanged, reordered or left out.
//! - **Copies.** A store that was copied, or restored from a backup, and is written on does not use any nonce twice:
//!   nobody writes on in a segment that exists, and new segments have new salts.
//!
//! # What is not
//!
//! - **Sizes, counts and times.** How many records there are, how long they are (and so how well they compress), when
//!   they expire, in which order they were written and how often files change can be seen. Where an attacker chooses
//!   part of a value and sees its length, compression tells something about the rest of *that* value.
//! - **Rollback and removal of whole files.** A segment, a snapshot or a whole folder can be put back as it was
//!   earlier, or deleted. The end of a segment that is not finished can be cut off between records, as a crash does it;
//!   each record that remains is genuine.
//! - **The live process.** Data keys, the keys of open segments and everything in the hot tier are in memory, and so in
//!   core dumps, in swap and in what a debugger sees. Keys are wiped when they are dropped; registers, stack frames of
//!   the library and what the system wrote to disk meanwhile are not.
//! - **Keys that leaked.** Changing the master key wraps the same data keys anew. Whoever had the old key *and* an old
//!   copy of the ring can still read what those data keys seal: make a new data key too, and have the segments rewritten.
//!   Forgetting a data key does not reach copies and what a solid-state disk keeps.
//! - **Weak keys.** A master key is 32 random bytes. A password has to go through a password hash (Argon2) first.
//!
//! # Keys and their numbers
//!
//! | key | from | lives in | seals |
//! | --- | --- | --- | --- |
//! | master key | the user | a provider, while asked | data keys of any number of stores |
//! | wrapping key | HKDF(master key, salt of this version of the ring, store) | one call | data keys of one version of a ring |
//! | data key | the system's generator | the open ring | nothing itself |
//! | segment key | HKDF(data key, salt of the segment, purpose, store, number) | the segment, while it is known | records of one segment, nonce = offset |
//!
//! A segment is at most a few GiB and its records are at least 8 bytes apart, far within what GCM allows for one key
//! (NIST SP 800-38D: 2³² × 2³² blocks under distinct nonces; 2⁻¹²⁸ × length for a forged tag).

mod aead;
mod error;
mod format;
mod key;
mod ring;
mod secret;
mod segment;
mod source;
mod text;

#[cfg(test)]
mod tests;

pub use error::{KeyError, KeyRingError, KeyRingFormatError, KeyTextError};
pub use key::{KeyId, KeyProvider, MasterKey, MasterKeys, ParseKeyIdError};

pub(crate) use {
    aead::TAG_LEN,
    ring::{Generation, KeyRing, StoreId},
    segment::{KeyRef, Purpose, SegmentKey, SegmentSealer},
};

/// Any bytes as a key ring and as the text of a key, for fuzzing: parsing ends, and what parses has one spelling.
#[cfg(fuzzing)]
pub fn fuzz_key_ring(data: &[u8]) {
    for bytes in [data.to_vec(), format::dress(data)] {
        if let Ok(ring) = format::Wrapped::from_bytes(&bytes) {
            assert_eq!(ring.to_bytes(), bytes);
        }
    }
    let _ = text::decode_key(data, &mut [0; MasterKey::LEN]);
}
