//! How many bytes the operations of a queue stand for, where they say so.

use std::collections::HashMap;

/// The weights of operations that have one. The others cost nothing here.
pub(super) struct Load {
    capacity: Option<u64>,
    /// Of operations that have been accepted and have not ended.
    used: u64,
    /// Promised to submitters that have not come for it yet.
    reserved: u64,
    by_id: HashMap<u64, u64>,
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
            self.by_id.insert(id, weight);
        }
    }

    pub(super) fn weight_of(&self, id: u64) -> u64 {
        self.by_id.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn remove(&mut self, id: u64) {
        let weight = self.by_id.remove(&id).unwrap_or(0);
        self.used = self.used.saturating_sub(weight);
        if self.by_id.is_empty() {
            // A burst's memory is given back.
            self.by_id.shrink_to(1_024);
        }
    }
}
