//! Memory of the cgroup or the machine: how full, whether threads wait for it, whether the system ends processes.

use super::super::draft::{Draft, Expected};
use super::super::facts::{MemoryFacts, StoreFacts};
use super::super::finding::{Resource, Severity};
use super::{Outcome, SHARE, Window, short};

pub(super) fn judge(
    memory: &MemoryFacts,
    store: Option<&StoreFacts>,
    window: &Window<'_>,
) -> Outcome {
    let share = memory.used_bytes / memory.limit_bytes;
    let limit = window.limits.memory;
    let lost = memory.out_of_memory_kills > 0 || memory.stalled >= STALLED;
    if share < limit && !lost {
        return Outcome::well(Resource::Memory, share, limit, SHARE);
    }
    let severity = if lost {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let mut draft = Draft::new(Resource::Memory, severity)
        .measured(share, limit.min(share), SHARE)
        .input("used_bytes", memory.used_bytes, "B")
        .input("limit_bytes", memory.limit_bytes, "B")
        .input("stalled", memory.stalled, SHARE)
        .input(
            "out_of_memory_kills",
            memory.out_of_memory_kills as f64,
            "processes",
        );
    draft.because(&format!(
        "{} of {} MB are in use, threads waited for memory {} % of the time and {} processes were ended for want of it",
        short(memory.used_bytes / MEGABYTE),
        short(memory.limit_bytes / MEGABYTE),
        short(memory.stalled * 100.0),
        memory.out_of_memory_kills,
    ));
    // Advice leaves as much room as lies between two warnings: a tenth of the limit.
    draft.add("target_share", (limit - 0.1).max(0.0), SHARE);
    match store {
        Some(store) => shrink(store, &mut draft),
        None => draft.because("the store was not measured, so there is no advice"),
    }
    Outcome::Found(Box::new(draft.done()))
}

/// What the store holds can be less; what else is in memory no setting can give back.
fn shrink(store: &StoreFacts, draft: &mut Draft) {
    draft.add("store_bytes", store.used_bytes, "B");
    draft.add("megabyte", MEGABYTE, "B");
    let formula = "floor((store_bytes - (used_bytes - target_share * limit_bytes)) / megabyte)";
    let (Some(advised), Some(excess)) = (
        draft.value(formula),
        draft.value("used_bytes - target_share * limit_bytes"),
    ) else {
        return;
    };
    if excess <= 0.0 {
        return draft.because(
            "the store need not be smaller: memory was short for a part of the window only",
        );
    }
    if advised < 1.0 {
        return draft.because(&format!(
            "the store holds {} MB of it, less than the {} MB that are too much: something else has to give way",
            short(store.used_bytes / MEGABYTE),
            short(excess / MEGABYTE),
        ));
    }
    draft.because(&format!(
        "the store holds {} MB of it",
        short(store.used_bytes / MEGABYTE)
    ));
    let from = format!("{}MB", (store.max_bytes / MEGABYTE).floor());
    draft.set("memory.maxSize", &from, formula, "MB");
    draft.predict(Expected {
        metric: "share of the memory limit in use",
        unit: SHARE,
        formula: "(used_bytes - store_bytes + advised * megabyte) / limit_bytes",
        tolerance: 0.05,
        less_is_better: true,
    });
}

/// Sizes of `qe.config.yaml` are decimal.
pub(super) const MEGABYTE: f64 = 1e6;
/// Share of time in which some thread waited for memory from which on work is lost; the pressure stall information of a
/// machine that is well stays below a hundredth.
const STALLED: f64 = 0.1;
