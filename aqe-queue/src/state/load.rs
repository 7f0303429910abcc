//! What the state knows of single operations, by their number: how many bytes they stand for, and of which kind they are.
//! Only where they say so.

use std::collections::HashMap;

/// The weights and kinds of operations that have one. The others cost nothing here.
pub(super) struct Load {
    capacity: Option<u64>,
    /// Of operations that have been accepted and have not ended.
    used: u64,
    /// Promised to submitters that have not come for it yet.
    reserved: u64,
    by_id: HashMap<u64, Entry>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    weight: u64,
    /// The number of the kind, if it has a batch handler.
    kind: Option<u32>,
}

impl Load {
    pub(super) fn new(capacity: Option<u64>) -> Self {
        Self {
            capacity,
            used: 0,
            reserved: 0,
            by_id: HashMap::new(),
        }
    }

    pub(super) const fn used(&self) -> u64 {
        self.used
    }

    /// Returns by how much `weight` is too much at present.
    pub(super) fn excess(&self, weight: u64) -> u64 {
        match self.capacity {
            // What weighs nothing always fits: only the number of operations bounds it.
            Some(capacity) if weight > 0 => self
                .used
                .saturating_add(self.reserved)
                .saturating_add(weight)
                .saturating_sub(capacity),
            _ => 0,
        }
    }

    pub(super) const fn reserve(&mut self, weight: u64) {
        self.reserved = self.reserved.saturating_add(weight);
    }

    pub(super) const fn unreserve(&mut self, weight: u64) {
        self.reserved = self.reserved.saturating_sub(weight);
    }

    pub(super) fn add(&mut self, id: u64, weight: u64) {
        if weight > 0 {
            self.used = self.used.saturating_add(weight);
            self.by_id.entry(id).or_default().weight = weight;
        }
    }

    pub(super) fn weight_of(&self, id: u64) -> u64 {
        self.by_id.get(&id).map_or(0, |entry| entry.weight)
    }

    pub(super) fn set_kind(&mut self, id: u64, kind: u32) {
        self.by_id.entry(id).or_default().kind = Some(kind);
    }

    pub(super) fn kind_of(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id)?.kind
    }

    pub(super) fn remove(&mut self, id: u64) {
        let weight = self.by_id.remove(&id).unwrap_or_default().weight;
        self.used = self.used.saturating_sub(weight);
        if self.by_id.is_empty() {
            // A burst's memory is given back.
            self.by_id.shrink_to(1_024);
        }
    }
}
