//! The key that the user holds.
//!
//! A master key seals nothing but the data keys of a store, so that changing it costs one small file and not a
//! rewrite of the store. It is named by its fingerprint: nobody numbers keys by hand, and a store can say which one it
//! wants without knowing it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::aead::{KEY_LEN, derive, equal};
use super::error::KeyError;
use super::secret::Secret;
use super::text;

/// The name of a master key: eight bytes derived from it, which tell nothing about it.
///
/// Shown and parsed as 16 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct KeyId([u8; Self::LEN]);

impl KeyId {
    /// How many bytes an id has.
    pub const LEN: usize = 8;

    /// The id with these bytes, as a key management service may have kept it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::LEN] {
        self.0
    }
}

impl PartialEq for KeyId {
    fn eq(&self, other: &Self) -> bool {
        equal(&self.0, &other.0)
    }
}

impl Eq for KeyId {}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// A text is no [`KeyId`]: it has 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 16 hexadecimal digits")]
#[non_exhaustive]
pub struct ParseKeyIdError;

impl FromStr for KeyId {
    type Err = ParseKeyIdError;

    fn from_str(text: &str) -> Result<Self, ParseKeyIdError> {
        let mut bytes = [0; Self::LEN];
        text::unhex(text.as_bytes(), &mut bytes).map_err(|_| ParseKeyIdError)?;
        Ok(Self(bytes))
    }
}

/// A key of 32 bytes that wraps the data keys of stores.
///
/// Its bytes are wiped when it is dropped, are not shown by `Debug`, and cannot be taken out or compared; what tells
/// keys apart is their [id](Self::id). Keys are made by a cryptographic generator (`openssl rand -hex 32`,
/// [`generate`](Self::generate)), never from a password: nothing here slows down somebody who tries them all.
///
/// ```
/// use aqe_memory::crypt::MasterKey;
///
/// let key: MasterKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f".parse()?;
/// assert_eq!(key.id().to_string(), "85fbfea3412e3bdb");
///
/// let error = "000102".parse::<MasterKey>().unwrap_err();
/// assert!(error.to_string().contains("6 characters"));
/// # Ok::<(), aqe_memory::crypt::KeyError>(())
/// ```
pub struct MasterKey {
    secret: Secret<KEY_LEN>,
    id: KeyId,
}

impl MasterKey {
    /// How many bytes a key has.
    pub const LEN: usize = KEY_LEN;

    /// The key with these bytes, from a key management service for example. Wiping them is the caller's business.
    ///
    /// # Errors
    ///
    /// [`KeyError::Library`] if the key's id cannot be derived.
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Result<Self, KeyError> {
        let mut secret = Secret::zeroed();
        secret.expose_mut().copy_from_slice(bytes);
        Self::from_secret(secret)
    }

    /// A fresh key, for stores that need not be read by another process.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the operating system has no random bytes to give.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_secret(Secret::random().map_err(KeyError::Random)?)
    }

    /// What names this key wherever it is used.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Reads hexadecimal digits or base64, white space around them left out. `origin` is for the error.
    pub(super) fn from_text(
        text: &[u8],
        origin: impl FnOnce() -> String,
    ) -> Result<Self, KeyError> {
        let mut secret = Secret::zeroed();
        match text::decode_key(text.trim_ascii(), secret.expose_mut()) {
            Ok(()) => Self::from_secret(secret),
            Err(problem) => Err(KeyError::Text {
                origin: origin(),
                problem,
            }),
        }
    }

    pub(super) fn from_secret(secret: Secret<KEY_LEN>) -> Result<Self, KeyError> {
        let derived =
            derive::<{ KeyId::LEN }>(secret.expose(), b"", &[b"aqe-memory master key id"])?;
        let id = KeyId(*derived.expose());
        Ok(Self { secret, id })
    }

    /// The key under which one version of a key ring is wrapped.
    pub(super) fn wrapping_key(
        &self,
        salt: &[u8],
        store: &[u8],
    ) -> Result<Secret<KEY_LEN>, KeyError> {
        Ok(derive(
            self.secret.expose(),
            salt,
            &[b"aqe-memory key ring", store],
        )?)
    }
}

impl FromStr for MasterKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_text(text.as_bytes(), || String::from("the text"))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Where master keys come from: a fixed set, a key management service, a prompt.
///
/// A store asks when it is opened and when its keys are rotated, and forgets the key at once; a provider may be asked
/// from any thread, and may block.
pub trait KeyProvider: Send + Sync + 'static {
    /// The key that wraps what is wrapped from now on.
    ///
    /// # Errors
    ///
    /// [`KeyError`] of any kind; [`KeyError::Provider`] holds errors of other crates.
    fn current(&self) -> Result<Arc<MasterKey>, KeyError>;

    /// The key with this id, the current one or an older one, or `None` if there is no such key.
    ///
    /// # Errors
    ///
    /// As for [`current`](Self::current). A key that does not exist is no error.
    fn by_id(&self, id: KeyId) -> Result<Option<Arc<MasterKey>>, KeyError>;
}

impl<P: KeyProvider + ?Sized> KeyProvider for Arc<P> {
    fn current(&self) -> Result<Arc<MasterKey>, KeyError> {
        (**self).current()
    }

    fn by_id(&self, id: KeyId) -> Result<Option<Arc<MasterKey>>, KeyError> {
        (**self).by_id(id)
    }
}

/// A fixed set of master keys: the current one, and older ones while stores are being moved to it.
///
/// ```
/// use aqe_memory::crypt::{KeyProvider, MasterKey, MasterKeys};
///
/// let old = MasterKey::generate()?;
/// let old_id = old.id();
/// let keys = MasterKeys::new(MasterKey::generate()?).with_older(old);
/// assert_ne!(keys.current()?.id(), old_id);
/// assert!(keys.by_id(old_id)?.is_some());
/// # Ok::<(), aqe_memory::crypt::KeyError>(())
/// ```
#[derive(Debug, Clone)]
pub struct MasterKeys {
    current: Arc<MasterKey>,
    older: Vec<Arc<MasterKey>>,
}

impl MasterKeys {
    /// Only this key.
    #[must_use]
    pub fn new(current: MasterKey) -> Self {
        Self {
            current: Arc::new(current),
            older: Vec::new(),
        }
    }

    /// This key too, for stores that are still wrapped by it.
    #[must_use]
    pub fn with_older(mut self, key: MasterKey) -> Self {
        self.older.push(Arc::new(key));
        self
    }
}

impl KeyProvider for MasterKeys {
    fn current(&self) -> Result<Arc<MasterKey>, KeyError> {
        Ok(Arc::clone(&self.current))
    }

    fn by_id(&self, id: KeyId) -> Result<Option<Arc<MasterKey>>, KeyError> {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        Ok(keys.find(|key| key.id() == id).map(Arc::clone))
    }
}

/// Errors of a text as `FromStr` gives them, for tests of this and of other files.
#[cfg(test)]
pub(super) fn problem(result: Result<MasterKey, KeyError>) -> super::error::KeyTextError {
    match result {
        Err(KeyError::Text { problem, .. }) => problem,
        other => panic!("not an error of the text: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_one_key_and_is_read_back() {
        let one = MasterKey::from_bytes(&[1; 32]).unwrap();
        let two = MasterKey::from_bytes(&[2; 32]).unwrap();
        assert_eq!(one.id(), MasterKey::from_bytes(&[1; 32]).unwrap().id());
        assert_ne!(one.id(), two.id());
        assert_eq!(one.id().to_string().parse::<KeyId>(), Ok(one.id()));
        assert_eq!(KeyId::from_bytes(one.id().to_bytes()), one.id());
        for bad in ["", "0", "00112233445566778", "001122334455667g"] {
            assert_eq!(bad.parse::<KeyId>(), Err(ParseKeyIdError), "{bad:?}");
        }
    }

    #[test]
    fn a_key_shows_its_id_and_nothing_else() {
        let key = MasterKey::from_bytes(&[0xAB; 32]).unwrap();
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.id().to_string()), "{shown}");
        assert!(
            !shown.to_lowercase().contains("abab") && !shown.contains("171"),
            "{shown}"
        );
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(
            MasterKey::generate().unwrap().id(),
            MasterKey::generate().unwrap().id()
        );
    }

    #[test]
    fn a_set_finds_old_keys_and_no_others() {
        let keys = MasterKeys::new(MasterKey::from_bytes(&[1; 32]).unwrap())
            .with_older(MasterKey::from_bytes(&[2; 32]).unwrap());
        let id = |byte| MasterKey::from_bytes(&[byte; 32]).unwrap().id();
        assert_eq!(keys.current().unwrap().id(), id(1));
        assert_eq!(keys.by_id(id(1)).unwrap().unwrap().id(), id(1));
        assert_eq!(keys.by_id(id(2)).unwrap().unwrap().id(), id(2));
        assert!(keys.by_id(id(3)).unwrap().is_none());
        let shared: Arc<dyn KeyProvider> = Arc::new(keys);
        assert!(shared.by_id(id(2)).unwrap().is_some());
    }
}
