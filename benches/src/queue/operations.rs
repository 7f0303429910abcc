//! What the submitted operations do.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Is pending once and wakes itself at once.
///
/// Tokio's own `yield_now` goes by way of its driver, which would measure the driver and not the queue.
#[derive(Debug, Default)]
pub(super) struct YieldOnce {
    yielded: bool,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Keeps the processor busy for about four microseconds, with steps that each need the one before.
///
/// A fixed amount of work, not a fixed time: a machine twice as fast takes half as long, for everyone alike.
pub(super) fn four_microseconds(seed: u64) -> u64 {
    let mut state = seed | 1;
    for _ in 0..2_800 {
        // Marsaglia, "Xorshift RNGs" (2003), triple (13, 7, 17).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
    seed
}
