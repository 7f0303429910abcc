//! The two primitives, and the only file that names the library they come from.
//!
//! AES-256-GCM (NIST SP 800-38D) with 96-bit nonces and full tags, and HKDF with SHA-256 (RFC 5869). Everything above
//! decides what key, nonce and associated data are; nothing above sees a type of the library.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf::{self, HKDF_SHA256, KeyType};

use super::secret::Secret;

/// The bytes of a key, of AES-256 and of every key above it.
pub(super) const KEY_LEN: usize = 32;

/// The bytes that sealing adds to what is sealed.
pub(crate) const TAG_LEN: usize = 16;

/// What proves that a sealed text and its associated data are as they were.
pub(crate) type Tag = [u8; TAG_LEN];

/// The library did not do as asked.
///
/// On opening: the tag does not belong to text, associated data, nonce and key. Otherwise: no memory, or a text beyond
/// what one nonce covers (64 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library refused")]
pub(super) struct Refused;

/// A key that is ready to seal and open: about 600 bytes of heap, wiped by the library when dropped.
pub(super) struct GcmKey(LessSafeKey);

impl GcmKey {
    pub(super) fn new(key: &Secret<KEY_LEN>) -> Result<Self, Refused> {
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(|_| Refused)?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Encrypts `data` where it lies. No nonce may ever be given twice.
    #[inline]
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<Tag, Refused> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
            .map_err(|_| Refused)?;
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(sealed.as_ref());
        Ok(tag)
    }

    /// Decrypts `data` where it lies. When it refuses, `data` is all zeros: nobody gets to see an unproven text.
    #[inline]
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &Tag,
    ) -> Result<(), Refused> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        if self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data)
            .is_ok()
        {
            return Ok(());
        }
        // The library does so today, and does not promise it.
        data.fill(0);
        Err(Refused)
    }
}

/// Derives `N` bytes from a key that is random already, for the one purpose that `info` names.
pub(super) fn derive<const N: usize>(
    key: &[u8],
    salt: &[u8],
    info: &[&[u8]],
) -> Result<Secret<N>, Refused> {
    let extracted = hkdf::Salt::new(HKDF_SHA256, salt).extract(key);
    let expanded = extracted.expand(info, Bytes(N)).map_err(|_| Refused)?;
    let mut derived = Secret::zeroed();
    expanded.fill(derived.expose_mut()).map_err(|_| Refused)?;
    Ok(derived)
}

/// Whether two strings of bytes are equal, in a time that depends on their lengths only.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::tests::{secret, unhex};

    /// One line of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B (also in NIST's examples).
    struct Known {
        key: &'static str,
        nonce: &'static str,
        aad: &'static str,
        text: &'static str,
        sealed: &'static str,
        tag: &'static str,
    }

    const ZERO_KEY: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    const KEY: &str = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";

    /// Test cases 13 to 16: those with 256-bit keys and 96-bit nonces.
    const KNOWN: [Known; 4] = [
        Known {
            key: ZERO_KEY,
            nonce: "000000000000000000000000",
            aad: "",
            text: "",
            sealed: "",
            tag: "530f8afbc74536b9a963b4f1c4cb738b",
        },
        Known {
            key: ZERO_KEY,
            nonce: "000000000000000000000000",
            aad: "",
            text: "00000000000000000000000000000000",
            sealed: "cea7403d4d606b6e074ec5d3baf39d18",
            tag: "d0d1c8a799996bf0265b98b5d48ab919",
        },
        Known {
            key: KEY,
            nonce: "cafebabefacedbaddecaf888",
            aad: "",
            text: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                   1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                     8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
            tag: "b094dac5d93471bdec1a502270e3cc6c",
        },
        Known {
            key: KEY,
            nonce: "cafebabefacedbaddecaf888",
            aad: "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            text: "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                   1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            sealed: "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                     8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            tag: "76fc6ece0f4e1768cddf8853bb2d551b",
        },
    ];

    #[test]
    fn published_examples_of_the_cipher_come_out() {
        for known in KNOWN {
            let key = GcmKey::new(&secret(&unhex(known.key))).unwrap();
            let nonce: [u8; NONCE_LEN] = unhex(known.nonce).try_into().unwrap();
            let mut data = unhex(known.text);
            let tag = key.seal(nonce, &unhex(known.aad), &mut data).unwrap();
            assert_eq!(data, unhex(known.sealed));
            assert_eq!(tag.to_vec(), unhex(known.tag));
            key.open(nonce, &unhex(known.aad), &mut data, &tag).unwrap();
            assert_eq!(data, unhex(known.text));
        }
    }

    /// RFC 5869, appendix A: the three test cases with SHA-256.
    #[test]
    fn published_examples_of_the_derivation_come_out() {
        let key = [0x0b; 22];
        let first = derive::<42>(
            &key,
            &unhex("000102030405060708090a0b0c"),
            &[&unhex("f0f1f2f3f4f5f6f7f8f9")],
        )
        .unwrap();
        assert_eq!(
            first.expose().to_vec(),
            unhex(
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
            )
        );

        let long = |from: u8| (from..=from + 0x4f).collect::<Vec<u8>>();
        let second = derive::<82>(&long(0x00), &long(0x60), &[&long(0xb0)]).unwrap();
        assert_eq!(
            second.expose().to_vec(),
            unhex(
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
                 59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
                 cc30c58179ec3e87c14c01d5c1f3434f1d87"
            )
        );

        let third = derive::<42>(&key, &[], &[]).unwrap();
        assert_eq!(
            third.expose().to_vec(),
            unhex(
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
            )
        );
    }

    #[test]
    fn a_text_that_is_not_proven_is_not_seen() {
        let key = GcmKey::new(&secret(&[7; KEY_LEN])).unwrap();
        let mut data = *b"what only the owner of the key may read";
        let mut tag = key.seal([0; NONCE_LEN], b"", &mut data).unwrap();
        tag[15] ^= 1;
        assert_eq!(key.open([0; NONCE_LEN], b"", &mut data, &tag), Err(Refused));
        assert!(data.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn equal_means_equal() {
        assert!(equal(b"", b""));
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abd"));
        assert!(!equal(b"abc", b"ab"));
    }
}
