//! Bytes that must not outlive their use.
//!
//! A secret lies in a box of its own, so that moving the handle leaves no copy behind on the stack, and the box is
//! overwritten before its memory is given back. What a caller, a compiler's spill or the system's swap keeps of it is
//! beyond this module.

use std::fmt;
use std::io;

use zeroize::Zeroize;

/// `N` secret bytes, wiped when dropped.
pub(super) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Zeros, to be filled in place through [`expose_mut`](Self::expose_mut).
    pub(super) fn zeroed() -> Self {
        Self(Box::new([0; N]))
    }

    /// Fresh bytes of the operating system.
    pub(super) fn random() -> io::Result<Self> {
        let mut secret = Self::zeroed();
        getrandom::fill(secret.expose_mut())?;
        Ok(secret)
    }

    pub(super) fn expose(&self) -> &[u8; N] {
        &self.0
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }

    fn wipe(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Random bytes that are no secret: salts and names.
///
/// They come from the operating system and not from the cipher's library, whose own generator spends some 35 ms on
/// gathering entropy at its first use: more than opening a store takes.
pub(super) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_zeros_in_the_same_place() {
        let mut secret = Secret::<32>::random().unwrap();
        let place = secret.expose().as_ptr();
        assert_ne!(secret.expose(), &[0; 32]);
        secret.wipe();
        assert_eq!(secret.expose(), &[0; 32]);
        assert_eq!(secret.expose().as_ptr(), place);
    }

    #[test]
    fn moving_a_secret_does_not_copy_it() {
        let secret = Secret::<32>::random().unwrap();
        let place = secret.expose().as_ptr();
        let moved = std::convert::identity(secret);
        assert_eq!(moved.expose().as_ptr(), place);
    }

    #[test]
    fn a_secret_does_not_print() {
        let mut secret = Secret::<4>::zeroed();
        secret.expose_mut().copy_from_slice(b"abcd");
        assert_eq!(format!("{secret:?}"), "Secret(..)");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<32>().unwrap(), random::<32>().unwrap());
    }
}
