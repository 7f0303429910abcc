//! Loads on a cache: which keys are read, one after the other.
//!
//! Each is made from a fixed seed and is the same each time. They were written before any policy was tried on
//! them, and none of their numbers was changed afterwards; the families follow those of the published traces: key-value
//! stores, databases, content networks, builds, and programs that walk real structures.

mod artefacts;
pub(super) mod chance;
mod databases;
mod files;
mod key_value;
mod phases;
mod programs;
mod recency;
mod scans;

pub use files::from_files;

use std::collections::HashMap;

/// The keys that are read, in order, numbered from 0 without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// What it is called in the tables.
    pub name: String,
    /// The keys.
    pub keys: Vec<u32>,
    /// How many different ones there are.
    pub distinct: usize,
}

impl Load {
    /// Numbers the keys of a sequence by their first appearance.
    #[must_use]
    pub fn new(name: &str, raw: &[u64]) -> Self {
        let mut numbers = HashMap::new();
        let keys = raw
            .iter()
            .map(|key| {
                let next = numbers.len() as u32;
                *numbers.entry(*key).or_insert(next)
            })
            .collect();
        Self {
            name: name.to_owned(),
            keys,
            distinct: numbers.len(),
        }
    }
}

/// A load's name and what makes it, given the number of requests in percent of the usual.
pub type Recipe = (&'static str, fn(usize) -> Vec<u64>);

/// All loads that are made by a generator.
pub const RECIPES: &[Recipe] = &[
    ("zipf-0.7", key_value::zipf_flat),
    ("zipf-1.0", key_value::zipf_steep),
    ("zipf-drift", key_value::drift),
    ("cdn-wonders", key_value::wonders),
    ("bursts", key_value::bursts),
    ("news", key_value::news),
    ("zipf-scans", scans::zipf_and_scans),
    ("loops", scans::loops),
    ("loop-zipf", scans::loop_beside_zipf),
    ("database", databases::pages),
    ("log-replay", databases::log_and_replay),
    ("soon-again", recency::soon_again),
    ("stack", recency::stack_distances),
    ("sessions", recency::sessions),
    ("phases", phases::phases),
    ("flips", phases::flips),
    ("builds", artefacts::builds),
    ("histories", artefacts::histories),
    ("tree-walks", programs::tree_walks),
    ("graph-walk", programs::graph_walk),
    ("hash-join", programs::hash_join),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_by_first_appearance() {
        let load = Load::new("x", &[7, 9, 7, 1]);
        assert_eq!((load.keys, load.distinct), (vec![0, 1, 0, 2], 3));
    }

    #[test]
    fn every_load_is_the_same_each_time_and_reads_some_keys_again() {
        for (name, make) in RECIPES {
            let raw = make(5);
            assert_eq!(raw, make(5), "{name}");
            let load = Load::new(name, &raw);
            assert!(load.distinct > 100, "{name}: {}", load.distinct);
            assert!(load.distinct < load.keys.len(), "{name}");
        }
    }
}
