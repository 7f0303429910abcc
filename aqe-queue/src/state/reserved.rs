//! Slots that are kept for urgent operations.

use crate::config::QueueConfig;

/// Counts who runs, by level, and says which levels may start something.
///
/// Of the slots, as many as are reserved for the levels above a level are closed to it and to all below. So
/// one number decides for each level: how many of its own urgency or less run. If a level is closed, all below it are.
pub(super) struct Reserved {
    /// For each level, how many slots are closed to it.
    closed: Box<[usize]>,
    /// For each level, how many operations run that are as urgent or less.
    running: Box<[usize]>,
    /// One bit for each level that may start something.
    open: u64,
}

impl Reserved {
    /// Returns `None` if nothing is reserved.
    pub(super) fn new(config: &QueueConfig) -> Option<Self> {
        let levels = config.priority_levels;
        let mut closed = vec![0; usize::from(levels)];
        for (priority, slots) in &config.reserved {
            let from = priority.level(levels).map_or(closed.len(), usize::from);
            closed.iter_mut().skip(from + 1).for_each(|it| *it += slots);
        }
        if closed.iter().all(|slots| *slots == 0) {
            return None;
        }
        let mut reserved = Self {
            running: vec![0; closed.len()].into(),
            closed: closed.into(),
            open: 0,
        };
        reserved.update(config.max_concurrent);
        Some(reserved)
    }

    pub(super) const fn open(&self) -> u64 {
        self.open
    }

    pub(super) fn start(&mut self, level: u8, limit: usize) {
        self.running[..=usize::from(level)]
            .iter_mut()
            .for_each(|running| *running += 1);
        self.update(limit);
    }

    pub(super) fn end(&mut self, level: u8, limit: usize) {
        self.running[..=usize::from(level)]
            .iter_mut()
            .for_each(|running| *running -= 1);
        self.update(limit);
    }

    /// Brings the open levels up to date. A limit may have fallen to what is reserved, or below: one slot is then left
    /// for each level, or the lower ones would wait for ever.
    pub(super) fn update(&mut self, limit: usize) {
        let levels = self.running.iter().zip(&self.closed);
        let open = levels
            .take_while(|(running, closed)| **running < limit.saturating_sub(**closed).max(1))
            .count();
        self.open = u64::MAX.checked_shr(64 - open as u32).unwrap_or(0);
    }
}
