//! The data keys of a store.
//!
//! Segments are sealed under random data keys, and those lie beside the segments, wrapped by the user's master key.
//! So the master key can be changed without touching a segment, and the data key without touching old ones.
//!
//! A ring never changes: rotating makes another one. Write the new ring's bytes where they survive, and only then put
//! it in the old one's place; a crash in between leaves the store as it was, and no segment is ever sealed under a key
//! that was not kept.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::aead::{GcmKey, KEY_LEN, Refused};
use super::error::{KeyError, KeyRingError};
use super::format::{MAX_KEYS, SALT_LEN, VERSION, Wrapped, WrappedKey};
use super::key::{KeyId, KeyProvider, MasterKey};
use super::secret::{Secret, random};
use super::segment::{KeyRef, Purpose, SegmentKey, SegmentSealer};

/// Which store something belongs to; everything that is sealed is bound to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct StoreId([u8; Self::LEN]);

impl StoreId {
    pub(crate) const LEN: usize = 16;

    pub(crate) const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreId({self})")
    }
}

/// Counts the data keys of a store, from 1. A number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Generation(NonZeroU32);

impl Generation {
    pub(crate) const FIRST: Self = Self(NonZeroU32::MIN);

    pub(crate) const fn new(number: u32) -> Option<Self> {
        // `Option::map` is not const.
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A data key in the open.
#[derive(Clone)]
struct DataKey {
    generation: Generation,
    /// Shared by the rings that one became, and wiped with the last of them.
    secret: Arc<Secret<KEY_LEN>>,
}

impl DataKey {
    fn random(generation: Generation) -> Result<Self, KeyError> {
        let secret = Secret::random().map_err(KeyError::Random)?;
        Ok(Self {
            generation,
            secret: Arc::new(secret),
        })
    }
}

/// The data keys of one store, opened. Cloning shares the keys.
#[derive(Clone)]
pub(crate) struct KeyRing {
    wrapped: Wrapped,
    /// The same generations as in `wrapped`; the last is the one that new segments are sealed under.
    keys: Vec<DataKey>,
}

impl KeyRing {
    /// The ring of a new store: one data key, wrapped by the provider's current key.
    pub(crate) fn create(store: StoreId, provider: &dyn KeyProvider) -> Result<Self, KeyRingError> {
        Self::wrap(
            store,
            vec![DataKey::random(Generation::FIRST)?],
            &*provider.current()?,
        )
    }

    /// Opens what [`to_bytes`](Self::to_bytes) gave, with the key that it asks the provider for.
    ///
    /// # Errors
    ///
    /// [`KeyRingError::WrongKey`] names the key that is wanted and the one that is there.
    pub(crate) fn open(bytes: &[u8], provider: &dyn KeyProvider) -> Result<Self, KeyRingError> {
        let wrapped = Wrapped::from_bytes(bytes)?;
        let master = match provider.by_id(wrapped.master)? {
            Some(key) => key,
            None => provider.current()?,
        };
        if master.id() != wrapped.master {
            return Err(KeyRingError::WrongKey {
                wanted: wrapped.master,
                given: master.id(),
            });
        }
        let wrapper = Wrapper::new(&master, wrapped.store, &wrapped.salt, wrapped.keys.len())?;
        let open = |key: &WrappedKey| {
            let secret = wrapper
                .unwrap(key)
                .map_err(|Refused| KeyRingError::Tampered {
                    generation: key.generation.get(),
                    master: wrapped.master,
                })?;
            Ok(DataKey {
                generation: key.generation,
                secret: Arc::new(secret),
            })
        };
        let keys = wrapped
            .keys
            .iter()
            .map(open)
            .collect::<Result<_, KeyRingError>>()?;
        Ok(Self { wrapped, keys })
    }

    /// The ring as bytes that are safe to keep beside the segments.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.wrapped.to_bytes()
    }

    pub(crate) fn store(&self) -> StoreId {
        self.wrapped.store
    }

    /// The key that one must have to open this ring.
    pub(crate) fn master(&self) -> KeyId {
        self.wrapped.master
    }

    /// The generation that new segments are sealed under.
    pub(crate) fn current(&self) -> Generation {
        self.newest().generation
    }

    /// All generations, oldest first.
    pub(crate) fn generations(&self) -> impl Iterator<Item = Generation> + '_ {
        self.keys.iter().map(|key| key.generation)
    }

    /// The same data keys, wrapped by the provider's current master key.
    ///
    /// Whoever has the old master key and an old copy of the ring has the data keys still: after a leak, make
    /// [new data keys](Self::rotate_data) too and rewrite what the old ones sealed.
    #[must_use = "the new ring is to be written and put in this one's place"]
    pub(crate) fn rotate_master(&self, provider: &dyn KeyProvider) -> Result<Self, KeyRingError> {
        Self::wrap(self.store(), self.keys.clone(), &*provider.current()?)
    }

    /// A ring with one more data key, for new segments; those that exist stay readable.
    #[must_use = "the new ring is to be written and put in this one's place"]
    pub(crate) fn rotate_data(&self, provider: &dyn KeyProvider) -> Result<Self, KeyRingError> {
        let full = KeyRingError::Full { limit: MAX_KEYS };
        if self.keys.len() >= MAX_KEYS {
            return Err(full);
        }
        let Some(generation) = self.current().next() else {
            return Err(full);
        };
        let mut keys = self.keys.clone();
        keys.push(DataKey::random(generation)?);
        Self::wrap(self.store(), keys, &*provider.current()?)
    }

    /// A ring without this data key. No segment may need it any more: what it sealed cannot be read without it.
    #[must_use = "the new ring is to be written and put in this one's place"]
    pub(crate) fn forget(
        &self,
        generation: Generation,
        provider: &dyn KeyProvider,
    ) -> Result<Self, KeyRingError> {
        if generation == self.current() {
            return Err(KeyRingError::InUse {
                generation: generation.get(),
            });
        }
        self.key(generation)?;
        let mut keys = self.keys.clone();
        keys.retain(|key| key.generation != generation);
        Self::wrap(self.store(), keys, &*provider.current()?)
    }

    /// What seals a new file, under the newest data key and a salt that has never been used.
    ///
    /// There is no sealer for a file that exists: after a crash nobody knows which of its nonces were used.
    pub(crate) fn sealer(
        &self,
        purpose: Purpose,
        number: u64,
    ) -> Result<SegmentSealer, KeyRingError> {
        let key = self.newest();
        let key_ref = KeyRef {
            generation: key.generation,
            salt: random().map_err(KeyError::Random)?,
        };
        let key = SegmentKey::derive(key.secret.expose(), self.store(), purpose, number, key_ref)?;
        Ok(SegmentSealer::new(Arc::new(key)))
    }

    /// What opens the records of a file, given what its header says of its key.
    pub(crate) fn opener(
        &self,
        purpose: Purpose,
        number: u64,
        key_ref: KeyRef,
    ) -> Result<SegmentKey, KeyRingError> {
        let key = self.key(key_ref.generation)?;
        Ok(SegmentKey::derive(
            key.secret.expose(),
            self.store(),
            purpose,
            number,
            key_ref,
        )?)
    }

    fn key(&self, generation: Generation) -> Result<&DataKey, KeyRingError> {
        match self
            .keys
            .binary_search_by_key(&generation, |key| key.generation)
        {
            Ok(index) => Ok(&self.keys[index]),
            Err(_) => Err(KeyRingError::UnknownGeneration {
                generation: generation.get(),
                newest: self.current().get(),
            }),
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "neither a parsed ring nor a made one is empty, and rings do not change"
    )]
    fn newest(&self) -> &DataKey {
        self.keys.last().expect("a ring has a data key")
    }

    /// Wraps all keys anew under a salt of its own, so that no wrapping key ever seals two rings.
    fn wrap(store: StoreId, keys: Vec<DataKey>, master: &MasterKey) -> Result<Self, KeyRingError> {
        let salt = random().map_err(KeyError::Random)?;
        let wrapper = Wrapper::new(master, store, &salt, keys.len())?;
        let wrapped = keys
            .iter()
            .map(|key| wrapper.wrap(key))
            .collect::<Result<_, Refused>>()?;
        Ok(Self {
            wrapped: Wrapped {
                store,
                master: master.id(),
                salt,
                keys: wrapped,
            },
            keys,
        })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("store", &self.store())
            .field("master", &self.master())
            .field("current", &self.current().get())
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

/// Wraps and unwraps the data keys of one version of a ring.
///
/// The nonce is the generation: a wrapping key, which has the salt of one version in it, sees each generation once.
/// The associated data names format, store, master key, generation and *how many* keys there are, so that an entry can
/// neither be moved nor be left out.
struct Wrapper {
    key: GcmKey,
    aad: [u8; Self::AAD_LEN],
}

impl Wrapper {
    const AAD_LEN: usize = 2 + StoreId::LEN + KeyId::LEN + 4 + 4;

    fn new(
        master: &MasterKey,
        store: StoreId,
        salt: &[u8; SALT_LEN],
        count: usize,
    ) -> Result<Self, KeyError> {
        let key = GcmKey::new(&master.wrapping_key(salt, &store.to_bytes())?)?;
        let mut aad = [0; Self::AAD_LEN];
        aad[..2].copy_from_slice(&VERSION.to_le_bytes());
        aad[2..18].copy_from_slice(&store.to_bytes());
        aad[18..26].copy_from_slice(&master.id().to_bytes());
        aad[26..30].copy_from_slice(&(count as u32).to_le_bytes());
        Ok(Self { key, aad })
    }

    fn wrap(&self, key: &DataKey) -> Result<WrappedKey, Refused> {
        let (nonce, aad) = self.context(key.generation);
        // What is copied here is ciphertext by the time that it is dropped.
        let mut sealed = *key.secret.expose();
        let tag = self.key.seal(nonce, &aad, &mut sealed)?;
        Ok(WrappedKey {
            generation: key.generation,
            sealed,
            tag,
        })
    }

    fn unwrap(&self, key: &WrappedKey) -> Result<Secret<KEY_LEN>, Refused> {
        let (nonce, aad) = self.context(key.generation);
        let mut secret = Secret::zeroed();
        secret.expose_mut().copy_from_slice(&key.sealed);
        self.key.open(nonce, &aad, secret.expose_mut(), &key.tag)?;
        Ok(secret)
    }

    fn context(&self, generation: Generation) -> ([u8; 12], [u8; Self::AAD_LEN]) {
        let mut aad = self.aad;
        aad[30..].copy_from_slice(&generation.get().to_le_bytes());
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&generation.get().to_be_bytes());
        (nonce, aad)
    }
}
