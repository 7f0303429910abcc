//! What some records say besides: how reads prolong the entry's life, and its tags.
//!
//! Most entries have neither, and their records are as long as if there were no such thing.

use crate::clock::Millis;

/// What a record says besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras<'a> {
    /// Of an entry whose every read prolongs its life.
    pub(crate) sliding: Option<Sliding>,
    /// The hashes of its tags, of [`TAG`] bytes each, without gaps.
    pub(crate) tags: &'a [u8],
}

/// How reads prolong an entry's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sliding {
    /// For how long it lives after a read.
    pub(crate) idle: Millis,
    /// Beyond which no read prolongs it.
    pub(crate) cap: Millis,
}

/// Bytes of the hash of a tag.
pub(crate) const TAG: usize = 8;
/// The most tags of an entry.
pub(crate) const MOST_TAGS: usize = 16;

/// Times have six bytes. The greatest number is for ever.
const TIME: usize = 6;
const NEVER: u64 = (1 << (8 * TIME)) - 1;

impl Sliding {
    pub(crate) const BYTES: usize = 2 * TIME;

    /// Until when the entry lives that is read now.
    #[inline]
    pub(crate) fn until(self, now: Millis) -> Millis {
        now.saturating_add(self.idle).min(self.cap)
    }

    /// Whether a deadline is so far behind that its record has to be written anew: an eighth of the time that a read
    /// gives. That is how much sooner the entry may end when the process is killed.
    pub(crate) fn is_behind(self, logged: Millis, deadline: Millis) -> bool {
        deadline.saturating_sub(logged) > self.idle / 8
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..TIME].copy_from_slice(&time(self.idle));
        bytes[TIME..].copy_from_slice(&time(self.cap));
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let time = |at: usize| {
            let bytes = bytes[at..at + TIME].iter().rev();
            let time = bytes.fold(0, |time, byte| time << 8 | u64::from(*byte));
            if time == NEVER { Millis::MAX } else { time }
        };
        Self {
            idle: time(0),
            cap: time(TIME),
        }
    }
}

impl Extras<'_> {
    pub(crate) fn are_any(&self) -> bool {
        self.sliding.is_some() || !self.tags.is_empty()
    }

    /// How many tags there are.
    pub(crate) fn count(&self) -> usize {
        self.tags.len() / TAG
    }
}

/// The hashes of tags, one after the other.
pub(crate) fn tags(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let tags = bytes.chunks_exact(TAG);
    tags.map(|tag| {
        tag.iter()
            .rev()
            .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
    })
}

fn time(time: Millis) -> [u8; TIME] {
    let mut bytes = [0; TIME];
    bytes.copy_from_slice(&time.min(NEVER).to_le_bytes()[..TIME]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_come_back(idle in 0..NEVER, cap in prop_oneof![0..NEVER, Just(Millis::MAX)]) {
            let sliding = Sliding { idle, cap };
            prop_assert_eq!(Sliding::from_bytes(sliding.to_bytes()), sliding);
        }
    }

    #[test]
    fn hashes_come_back() {
        let bytes: Vec<u8> = [7u64, u64::MAX - 1]
            .iter()
            .flat_map(|tag| tag.to_le_bytes())
            .collect();
        assert_eq!(tags(&bytes).collect::<Vec<_>>(), [7, u64::MAX - 1]);
    }
}
