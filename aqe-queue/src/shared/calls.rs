//! What a call of a batch handler asks of its queue.

use super::{Shared, clock};
use crate::cell::OpRef;
use crate::seat::Done;
use crate::state::Taken;

impl Shared {
    /// Puts an operation that has begun, in a slot of its own, into a call.
    pub(crate) fn join_call(&self, op: &OpRef, call: u64) {
        let header = op.header();
        self.with_core(|core| core.state.join_call(header.id(), header.level(), call));
    }

    /// Starts up to `max` operations of a kind that wait, as part of a call. Before any of them begins, `expect` is told
    /// its number. `driver` is in the call already.
    pub(crate) fn take_along(
        &self,
        driver: &OpRef,
        (kind, call): (u32, u64),
        max: usize,
        mut expect: impl FnMut(u64),
    ) {
        let (now, mut taken) = (self.epoch.tick(clock()), Vec::new());
        self.with_core(|core| {
            core.state
                .take_along((kind, call), max, now, |it| taken.push(it));
        });
        for Taken { claimed, .. } in &taken {
            expect(claimed.header().id());
        }
        self.seat_all(driver.header().seat(), taken);
    }

    /// Hands operations to a worker, `seat` if it is still there.
    fn seat_all(&self, seat: usize, taken: Vec<Taken<crate::cell::Owned>>) {
        if taken.is_empty() {
            return;
        }
        let count = self.seats.len();
        for seat in (0..count).map(|ahead| &self.seats[(seat + ahead) % count]) {
            let mut local = seat.local.lock();
            if local.gone {
                continue;
            }
            // Before whatever else has not begun: a call waits for them, and joining it takes no time.
            for operation in taken.into_iter().rev() {
                local.fresh.push_front(operation);
            }
            let waker = local.unpark();
            drop(local);
            if let Some(waker) = waker {
                waker.wake();
            }
            return;
        }
        // All workers are gone, but for the one that is polling the call at this moment.
        let stopped = taken.into_iter().map(|it| Done::stopped(it.claimed, None));
        self.settle(&mut stopped.collect(), 0, clock(), |_| ());
    }

    /// Returns how many of a kind wait, but does not count beyond `most`.
    pub(crate) fn waiting_of_kind(&self, kind: u32, most: usize) -> usize {
        self.with_core(|core| core.state.waiting_of_kind(kind, most))
    }
}
