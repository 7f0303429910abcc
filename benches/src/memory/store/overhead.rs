//! What an entry takes beyond its key and its value, which are random: nobody makes them smaller.

use fastrand::Rng;
use xtask::Result;

use super::keys::{KEY, Keys};
use super::ram::resident;
use super::stores::{Aqe, AqeHotOnly, AqeSealed, Foyer, Moka, Quick, Raw, Store};
use crate::measure::Reading;
use crate::rounds::Scale;
use crate::workloads::{Entry, entry};

const ENTRIES: u64 = 1_000_000;
const VALUE: usize = 100;

pub(super) const UNCOMPRESSED: &[Entry] = &[
    entry("aqe", sample::<AqeHotOnly>),
    entry("moka", sample::<Moka<Raw>>),
    entry("quick_cache", sample::<Quick<Raw>>),
    entry("foyer", sample::<Foyer>),
];

/// Where compression is tried, and gives nothing.
pub(super) const COMPRESSED: &[Entry] = &[
    entry("aqe", sample::<Aqe>),
    entry("aqe-sealed", sample::<AqeSealed>),
];

fn sample<S: Store>(scale: Scale) -> Result<Vec<Reading>> {
    let count = scale.of(ENTRIES) as usize;
    let keys = Keys::new(count);
    let before = resident()?;
    // Room for more than twice of it: what is put stays.
    let store = S::within((count * 2 * (KEY + VALUE)) as u64)?;
    let mut rng = Rng::with_seed(11);
    for key in keys.iter() {
        let mut value = [0; VALUE];
        rng.fill(&mut value);
        store.put(key, &value, None);
    }
    store.settle();
    let grown = resident()? - before;
    let kept = keys.iter().filter(|key| store.has(key)).count();
    let beyond = grown / kept.max(1) as f64 - (KEY + VALUE) as f64;
    Ok(vec![
        Reading::new("overhead", "B/entry", beyond),
        Reading::new("dropped", "%", 100.0 - kept as f64 * 100.0 / count as f64),
    ])
}
