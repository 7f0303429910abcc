//! The sampled keys that some trial holds or remembers, numbered so that trials need two bytes for one.

use super::rule::RULES;

/// A sampled key's number.
pub(super) type Number = u16;

/// What one trial knows of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where the entry lies.
    pub(super) place: Place,
    /// How often it was read there.
    pub(super) frequency: u8,
    /// If it was let go: when, by the trial's count of sixteenths of the capacity let go.
    pub(super) let_go: u16,
}

/// Where an entry lies in a trial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere, and it is not remembered.
    #[default]
    Unknown,
    /// Nowhere, but its letting go is remembered.
    Ghost,
    /// In the recent queue.
    Recent,
    /// In the main queue.
    Main,
}

impl Place {
    pub(super) fn holds(self) -> bool {
        matches!(self, Self::Recent | Self::Main)
    }
}

/// A key and what the trials know of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Key {
    /// [`super::samples::name`] of its hash; 0 while the number is free.
    name: u64,
    /// Its entry's weight when it was numbered, in bytes. All trials go by this one, so that their sums agree.
    pub(super) weight: u64,
    /// By rule.
    pub(super) marks: [Mark; RULES],
}

/// A table of fixed size from names to numbers.
///
/// Linear probing over numbers, at most half full. Removal shifts what follows back (Knuth, TAOCP 3, 6.4, algorithm R), so that no
/// tombstones gather.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Key>,
    /// Numbers by name; [`EMPTY`] where there is none. Twice as many as keys, a power of two.
    table: Vec<Number>,
    /// Where the search for a number to free goes on.
    hand: usize,
}

const EMPTY: Number = Number::MAX;

impl Keys {
    /// Room for `keys`, a power of two below 65,536.
    pub(super) fn new(keys: usize) -> Self {
        Self {
            keys: vec![Key::default(); keys],
            table: vec![EMPTY; keys * 2],
            hand: 0,
        }
    }

    pub(super) fn room(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.keys) + size_of_val(&*self.table)
    }

    pub(super) fn key(&mut self, number: Number) -> &mut Key {
        &mut self.keys[usize::from(number)]
    }

    pub(super) fn name(&self, number: Number) -> u64 {
        self.keys[usize::from(number)].name
    }

    /// The key's number. A new key takes that of one which no trial holds any more, the first in turn; there is none when
    /// the trials hold all.
    pub(super) fn number(&mut self, name: u64, weight: u64) -> Option<Number> {
        if let Some(number) = self.find(name) {
            let key = &mut self.keys[usize::from(number)];
            if !key.marks.iter().any(|mark| mark.place.holds()) {
                key.weight = weight;
            }
            return Some(number);
        }
        let number = self.free()?;
        self.keys[usize::from(number)] = Key {
            name,
            weight,
            ..Key::default()
        };
        let slot = self.slot(name);
        self.table[slot] = number;
        Some(number)
    }

    /// Forgets the keys that are not to stay; no trial may hold one.
    pub(super) fn retain(&mut self, stays: impl Fn(u64) -> bool) {
        for number in 0..self.keys.len() {
            let name = self.keys[number].name;
            if name != 0 && !stays(name) {
                self.forget(number as Number);
            }
        }
    }

    /// Frees a number, giving up what trials remember of its key.
    fn free(&mut self) -> Option<Number> {
        for _ in 0..self.keys.len() {
            let number = self.hand as Number;
            self.hand = (self.hand + 1) % self.keys.len();
            let key = &self.keys[usize::from(number)];
            if key.name == 0 {
                return Some(number);
            }
            if !key.marks.iter().any(|mark| mark.place.holds()) {
                self.forget(number);
                return Some(number);
            }
        }
        None
    }

    fn find(&self, name: u64) -> Option<Number> {
        let number = self.table[self.slot(name)];
        (number != EMPTY).then_some(number)
    }

    /// The slot of a name, or the empty one where it belongs.
    fn slot(&self, name: u64) -> usize {
        let mut slot = self.home(name);
        while self.table[slot] != EMPTY && self.name(self.table[slot]) != name {
            slot = (slot + 1) % self.table.len();
        }
        slot
    }

    fn home(&self, name: u64) -> usize {
        // A sampled name's lower bits are all zero: the multiplication brings the others to where they count (Knuth's
        // multiplicative hashing with the golden ratio).
        let mixed = name.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        mixed as usize % self.table.len()
    }

    fn forget(&mut self, number: Number) {
        let mut hole = self.slot(self.name(number));
        self.keys[usize::from(number)] = Key::default();
        self.table[hole] = EMPTY;
        let mut slot = (hole + 1) % self.table.len();
        while self.table[slot] != EMPTY {
            let home = self.home(self.name(self.table[slot]));
            // What would be found from its home without passing the hole stays.
            let length = self.table.len();
            if (slot + length - home) % length >= (slot + length - hole) % length {
                self.table.swap(hole, slot);
                hole = slot;
            }
            slot = (slot + 1) % length;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn hold(keys: &mut Keys, number: Number) {
        keys.key(number).marks[3].place = Place::Recent;
    }

    #[test]
    fn a_key_keeps_its_number() {
        let mut keys = Keys::new(4);
        let first = keys.number(10, 8);
        assert!(first.is_some());
        assert_ne!(keys.number(20, 8), first);
        assert_eq!(keys.number(10, 8), first);
    }

    #[test]
    fn the_weight_is_that_of_when_nobody_held_it() {
        let mut keys = Keys::new(4);
        let number = keys.number(10, 8).unwrap();
        keys.number(10, 16);
        assert_eq!(keys.key(number).weight, 16);
        hold(&mut keys, number);
        keys.number(10, 24);
        assert_eq!(keys.key(number).weight, 16);
    }

    #[test]
    fn held_keys_keep_their_numbers_and_fill_the_table() {
        let mut keys = Keys::new(4);
        let number = keys.number(10, 8).unwrap();
        hold(&mut keys, number);
        for name in 11..100 {
            keys.number(name, 8);
        }
        assert_eq!(keys.number(10, 8), Some(number));
        for name in 100..103 {
            let number = keys.number(name, 8).unwrap();
            hold(&mut keys, number);
        }
        assert_eq!(keys.number(200, 8), None);
        keys.retain(|name| name == 10);
        assert!(keys.number(200, 8).is_some());
    }

    proptest! {
        /// However many keys came and went, a key that is held is found under its number.
        #[test]
        fn agrees_with_a_map(names in proptest::collection::vec(1u64..60, 1..300)) {
            let mut keys = Keys::new(16);
            let mut held = HashMap::new();
            for (step, name) in names.into_iter().enumerate() {
                let Some(number) = keys.number(name, 8) else {
                    prop_assert_eq!(held.len(), 16);
                    break;
                };
                prop_assert_eq!(*held.get(&name).unwrap_or(&number), number);
                if step % 3 == 0 {
                    hold(&mut keys, number);
                    held.insert(name, number);
                }
                for (name, number) in &held {
                    prop_assert_eq!(keys.find(*name), Some(*number));
                }
            }
        }
    }
}
