//! Dictionaries of the values that there are, instead of those that came by when there was none.

use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::codec::{Dictionary, Encoder, Method, train};
use crate::dictionaries::{MOST_VALUE, Made};
use crate::reading::Look;
use crate::segment::Kind;
use crate::store::Core;
use crate::value::Value;

/// Values of a namespace of which a dictionary is made, and their bytes.
const MOST_SAMPLES: usize = 4_000;
const MOST_BYTES: usize = 8 << 20;
/// Of fewer bytes of values none is made.
const FEWEST_BYTES: u64 = 128 << 10;
/// Namespaces for which dictionaries are made at a time: those with the most bytes.
const MOST_NAMESPACES: usize = 64;
/// One value of so many is kept for the comparison with the dictionary that there is.
const TRIED: usize = 8;
/// A new dictionary has to make values smaller by a fiftieth, to be worth the memory.
const GAIN: f64 = 0.98;

/// Keys of a namespace, every one with the same chance (algorithm R of Vitter, "Random Sampling with a Reservoir", ACM
/// TOMS 1985).
#[derive(Debug, Default)]
struct Reservoir {
    keys: Vec<Box<[u8]>>,
    seen: u64,
    bytes: u64,
    state: u64,
}

impl Reservoir {
    fn add(&mut self, key: &[u8], value: u64) {
        self.seen += 1;
        self.bytes += value;
        if self.keys.len() < MOST_SAMPLES {
            self.keys.push(key.into());
            return;
        }
        // Knuth's generator: nobody gains anything by guessing which values are looked at.
        self.state = self
            .state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (u128::from(self.state) * u128::from(self.seen)) >> 64;
        if let Some(kept) = self.keys.get_mut(at as usize) {
            *kept = key.into();
        }
    }
}

impl Core {
    /// Makes a dictionary for each namespace whose compressed values become smaller by it. Gives how many there were.
    pub(super) fn retrain(&self) -> u64 {
        let mut reservoirs: HashMap<u16, Reservoir> = HashMap::new();
        self.scan(|seen| {
            if seen.kind != Kind::Raw && seen.value <= MOST_VALUE as u64 {
                let reservoir = reservoirs.entry(seen.namespace).or_default();
                reservoir.add(seen.key, seen.value);
            }
        });
        let mut reservoirs: Vec<_> = reservoirs.into_iter().collect();
        reservoirs.retain(|(_, reservoir)| reservoir.bytes >= FEWEST_BYTES);
        reservoirs.sort_unstable_by_key(|(number, of)| (std::cmp::Reverse(of.bytes), *number));
        reservoirs.truncate(MOST_NAMESPACES);
        let made = reservoirs
            .into_iter()
            .filter(|(namespace, reservoir)| self.retrain_one(*namespace, &reservoir.keys));
        made.count() as u64
    }

    fn retrain_one(&self, namespace: u16, keys: &[Box<[u8]>]) -> bool {
        let Some(size) = self.shared.dictionaries.room() else {
            return false;
        };
        let mut bytes = 0;
        let values = keys
            .iter()
            .filter_map(|key| self.find(namespace, key, Look::Peek))
            .map(|(value, _)| value);
        let values = values.take_while(|value| {
            bytes += value.len();
            bytes <= MOST_BYTES
        });
        let (mut learnt, mut tried) = (Vec::new(), Vec::new());
        for (number, value) in values.enumerate() {
            let into = match number % TRIED {
                0 => &mut tried,
                _ => &mut learnt,
            };
            into.push(value);
        }
        let trained = train(&learnt, size);
        let current = self.shared.dictionaries.newest(namespace);
        let candidate = Dictionary::new(NonZeroU32::MIN, trained);
        let Ok(candidate) = candidate else {
            return false;
        };
        let before = stored(&tried, current.as_deref());
        let after = stored(&tried, Some(&candidate));
        (after as f64) < GAIN * before as f64 && self.take_in(namespace, candidate.bytes().to_vec())
    }

    fn take_in(&self, namespace: u16, bytes: Vec<u8>) -> bool {
        let _upkeep = self.upkeep.lock();
        let number = self.shared.dictionaries.next();
        let Ok(dictionary) = Dictionary::new(number, bytes) else {
            return false;
        };
        self.keep_and_install(Made {
            namespace,
            dictionary,
        })
    }
}

/// Bytes that values take, as they would be stored.
fn stored(values: &[Value], dictionary: Option<&Dictionary>) -> usize {
    let mut encoder = Encoder::new();
    let stored = values.iter().map(|value| {
        let encoded = encoder.encode(value, Method::Lz4High, dictionary);
        encoded.map_or(value.len(), |encoded| encoded.bytes.len())
    });
    stored.sum()
}
