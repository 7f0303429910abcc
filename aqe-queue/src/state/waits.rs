//! How long operations have waited.

use super::Tick;
use crate::histogram::Histogram;

/// Counts waits. Operations that came together have waited for the same time.
pub(super) struct Waits<'a> {
    histogram: &'a mut Histogram,
    now: Tick,
    since: Tick,
    count: u64,
}

impl<'a> Waits<'a> {
    pub(super) const fn new(histogram: &'a mut Histogram, now: Tick) -> Self {
        Self {
            histogram,
            now,
            since: 0,
            count: 0,
        }
    }

    pub(super) fn record(&mut self, since: Tick) {
        if since != self.since {
            self.flush();
            self.since = since;
        }
        self.count += 1;
    }

    pub(super) fn flush(&mut self) {
        let waited = self.now.saturating_sub(self.since);
        self.histogram
            .record_many(waited, std::mem::take(&mut self.count));
    }
}
