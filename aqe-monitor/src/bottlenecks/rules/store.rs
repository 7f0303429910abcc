//! Room in the memory store: reads that miss what was there and had to go.

use super::super::draft::{Draft, Expected};
use super::super::facts::{MemoryFacts, StoreFacts};
use super::super::finding::{Resource, Severity};
use super::memory::MEGABYTE;
use super::{Outcome, Window, short};

pub(super) fn judge(
    store: &StoreFacts,
    memory: Option<&MemoryFacts>,
    window: &Window<'_>,
) -> Outcome {
    let reads = store.hits.saturating_add(store.misses);
    if reads < window.limits.operations {
        let reason = format!(
            "{reads} reads in the window; {} are needed",
            window.limits.operations
        );
        return Outcome::unknown(Resource::Store, reason);
    }
    let share = store.evicted_misses as f64 / reads as f64;
    let limit = window.limits.misses;
    if share < limit {
        return Outcome::well(Resource::Store, share, limit, MISSED);
    }
    let mut draft = Draft::new(Resource::Store, Severity::Warning)
        .measured(share, limit, MISSED)
        .input("evicted_misses", store.evicted_misses as f64, "reads")
        .input("misses", store.misses as f64, "reads")
        .input("hits", store.hits as f64, "reads")
        .input("max_bytes", store.max_bytes, "B")
        .input("evicted_bytes", store.evicted_bytes, "B")
        .input("megabyte", MEGABYTE, "B");
    draft.because(&format!(
        "{} of {reads} reads missed entries that had been evicted, {} MB of them",
        store.evicted_misses,
        short(store.evicted_bytes / MEGABYTE),
    ));
    if has_room(store, memory, window) {
        enlarge(store, &mut draft)
    } else {
        no_room(store, &mut draft)
    }
    Outcome::Found(Box::new(draft.done()))
}

/// Whether memory stays below its own threshold with the entries kept; unknown memory is not room.
fn has_room(store: &StoreFacts, memory: Option<&MemoryFacts>, window: &Window<'_>) -> bool {
    memory.is_some_and(|memory| {
        memory.used_bytes + store.evicted_bytes < window.limits.memory * memory.limit_bytes
    })
}

fn enlarge(store: &StoreFacts, draft: &mut Draft) {
    let from = format!("{}MB", (store.max_bytes / MEGABYTE).floor());
    draft.set(
        "memory.maxSize",
        &from,
        "ceil((max_bytes + evicted_bytes) / megabyte)",
        "MB",
    );
    draft.predict(Expected {
        metric: "share of reads that miss",
        unit: "missed ratio",
        formula: "(misses - evicted_misses) / (hits + misses)",
        tolerance: 0.25,
        less_is_better: true,
    });
}

fn no_room(store: &StoreFacts, draft: &mut Draft) {
    if store.compressed {
        return draft.because("there is no room for them in memory, as far as was measured");
    }
    draft.because("there is no room for them in memory, as far as was measured, and entries are not compressed");
    // How well they compress shows when they are: nothing is predicted.
    draft.switch("memory.compression", "false", "true");
}

/// Unit of a share, 0–1, of reads.
const MISSED: &str = "missed ratio";
