//! What seals the records of segments, when a store has a key, and what opens them.
//!
//! The rest of the crate knows only these types. Without the feature `encryption` there are no values of them.

#[cfg(feature = "encryption")]
pub(crate) use self::with_keys::{Opener, Sealer, Vault};
#[cfg(not(feature = "encryption"))]
pub(crate) use self::without_keys::{Opener, Sealer, Vault};

/// What a record grows by when it is sealed.
pub(crate) const TAG: usize = 16;
/// What the header of a sealed file says of its key.
pub(crate) const KEY_REF: usize = 36;

/// What a file is, which its key is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Records.
    Segment,
    /// A dictionary.
    Dictionary,
}

#[cfg(feature = "encryption")]
mod with_keys {
    use std::io;
    use std::sync::Arc;

    use parking_lot::{Mutex, RwLock};

    use super::{KEY_REF, TAG, What};
    use crate::crypt::{
        Generation, KeyProvider, KeyRef, KeyRing, KeyRingError, Purpose, SegmentKey, SegmentSealer,
        StoreId, TAG_LEN,
    };

    const _: () = assert!(TAG == TAG_LEN && KEY_REF == KeyRef::LEN);

    /// A store's keys.
    #[derive(Debug)]
    pub(crate) struct Vault {
        ring: RwLock<KeyRing>,
    }

    impl Vault {
        /// Keys of a new store.
        pub(crate) fn create(
            store: [u8; 16],
            provider: &dyn KeyProvider,
        ) -> Result<Self, KeyRingError> {
            let ring = KeyRing::create(StoreId::from_bytes(store), provider)?;
            Ok(Self {
                ring: RwLock::new(ring),
            })
        }

        /// The keys that were kept.
        pub(crate) fn open(bytes: &[u8], provider: &dyn KeyProvider) -> Result<Self, KeyRingError> {
            let ring = KeyRing::open(bytes, provider)?;
            Ok(Self {
                ring: RwLock::new(ring),
            })
        }

        /// What is to be kept of the keys.
        pub(crate) fn to_bytes(&self) -> Vec<u8> {
            self.ring.read().to_bytes()
        }

        /// Makes a new key for new segments, and wraps all by the provider's present master key. The keys are in force when `keep`
        /// has kept them.
        pub(crate) fn rotate<E>(
            &self,
            provider: &dyn KeyProvider,
            keep: impl FnOnce(Vec<u8>) -> Result<(), E>,
        ) -> Result<Result<(), E>, KeyRingError> {
            let mut ring = self.ring.write();
            let rotated = ring.rotate_data(provider)?;
            Ok(keep(rotated.to_bytes()).map(|()| *ring = rotated))
        }

        /// Wraps all keys by the provider's present master key. That is in force when `keep` has kept them.
        pub(crate) fn rewrap<E>(
            &self,
            provider: &dyn KeyProvider,
            keep: impl FnOnce(Vec<u8>) -> Result<(), E>,
        ) -> Result<Result<(), E>, KeyRingError> {
            let mut ring = self.ring.write();
            let rewrapped = ring.rotate_master(provider)?;
            Ok(keep(rewrapped.to_bytes()).map(|()| *ring = rewrapped))
        }

        /// Forgets the keys that none of these segments needs. They are gone when `keep` has kept the rest.
        pub(crate) fn forget<E>(
            &self,
            used: &[Opener],
            provider: &dyn KeyProvider,
            keep: impl FnOnce(Vec<u8>) -> Result<(), E>,
        ) -> Result<Result<(), E>, KeyRingError> {
            let mut ring = self.ring.write();
            let is_used = |generation| {
                generation == ring.current()
                    || used.iter().any(|opener| opener.generation() == generation)
            };
            let unused: Vec<_> = ring.generations().filter(|it| !is_used(*it)).collect();
            if unused.is_empty() {
                return Ok(Ok(()));
            }
            let mut left = ring.clone();
            for generation in unused {
                left = left.forget(generation, provider)?;
            }
            Ok(keep(left.to_bytes()).map(|()| *ring = left))
        }

        /// Whether there are keys besides the one for new segments.
        pub(crate) fn has_older(&self) -> bool {
            self.ring.read().generations().nth(1).is_some()
        }

        /// Whether a segment is not sealed with the key for new ones.
        pub(crate) fn is_outdated(&self, opener: Option<&Opener>) -> bool {
            opener.is_none_or(|opener| opener.generation() != self.ring.read().current())
        }

        /// What seals the records of a segment that nobody has written to.
        pub(crate) fn sealer(&self, what: What, number: u64) -> io::Result<Sealer> {
            let sealer = self.ring.read().sealer(what.purpose(), number);
            let sealer = sealer.map_err(io::Error::other)?;
            Ok(Sealer(Mutex::new(sealer)))
        }

        /// What opens the records of a segment whose header says this of its key.
        pub(crate) fn opener(
            &self,
            what: What,
            number: u64,
            key: &[u8; KEY_REF],
        ) -> io::Result<Opener> {
            let key = KeyRef::from_bytes(key).ok_or(io::ErrorKind::InvalidData)?;
            let key = self.ring.read().opener(what.purpose(), number, key);
            Ok(Opener(Arc::new(key.map_err(io::Error::other)?)))
        }
    }

    impl What {
        fn purpose(self) -> Purpose {
            match self {
                Self::Segment => Purpose::Segment,
                Self::Dictionary => Purpose::Dictionary,
            }
        }
    }

    /// Seals the records of one segment, in the order of their offsets.
    #[derive(Debug)]
    pub(crate) struct Sealer(Mutex<SegmentSealer>);

    impl Sealer {
        pub(crate) fn key_ref(&self) -> [u8; KEY_REF] {
            self.0.lock().key_ref().to_bytes()
        }

        pub(crate) fn opener(&self) -> Opener {
            Opener(Arc::clone(self.0.lock().key()))
        }

        /// Seals `body`, which is at `offset`, under `header`.
        pub(crate) fn seal(&self, offset: u32, header: &[u8], body: &mut [u8]) -> [u8; TAG] {
            match self.0.lock().seal_in_place(offset.into(), header, body) {
                Ok(tag) => tag,
                // Records are shorter than that, and places in a segment are given once, from front to back.
                Err(error) => unreachable!("{error}"),
            }
        }
    }

    /// Opens the records of one segment. Clones share it.
    #[derive(Clone, Debug)]
    pub(crate) struct Opener(Arc<SegmentKey>);

    impl Opener {
        pub(crate) fn key_ref(&self) -> [u8; KEY_REF] {
            self.0.key_ref().to_bytes()
        }

        fn generation(&self) -> Generation {
            self.0.key_ref().generation
        }

        /// Opens what was sealed. `None` if that is not what this is.
        pub(crate) fn open(
            &self,
            offset: u32,
            header: &[u8],
            body: &mut [u8],
            tag: &[u8; TAG],
        ) -> Option<()> {
            let opened = self.0.open_in_place(offset.into(), header, body, tag);
            opened.ok().map(|_| ())
        }
    }
}

#[cfg(not(feature = "encryption"))]
mod without_keys {
    use std::io;

    use super::{KEY_REF, TAG, What};

    /// A store's keys. There are none.
    #[derive(Debug)]
    pub(crate) enum Vault {}

    impl Vault {
        pub(crate) fn is_outdated(&self, _: Option<&Opener>) -> bool {
            match *self {}
        }

        pub(crate) fn sealer(&self, _: What, _: u64) -> io::Result<Sealer> {
            match *self {}
        }

        pub(crate) fn opener(&self, _: What, _: u64, _: &[u8; KEY_REF]) -> io::Result<Opener> {
            match *self {}
        }
    }

    #[derive(Debug)]
    pub(crate) enum Sealer {}

    impl Sealer {
        pub(crate) fn key_ref(&self) -> [u8; KEY_REF] {
            match *self {}
        }

        pub(crate) fn opener(&self) -> Opener {
            match *self {}
        }

        pub(crate) fn seal(&self, _: u32, _: &[u8], _: &mut [u8]) -> [u8; TAG] {
            match *self {}
        }
    }

    #[derive(Clone, Debug)]
    pub(crate) enum Opener {}

    impl Opener {
        pub(crate) fn key_ref(&self) -> [u8; KEY_REF] {
            match *self {}
        }

        pub(crate) fn open(&self, _: u32, _: &[u8], _: &mut [u8], _: &[u8; TAG]) -> Option<()> {
            match *self {}
        }
    }
}
