//! What the submitted operations do. Each returns its own number.

#![expect(
    clippy::manual_async_fn,
    reason = "an async fn holds its argument twice, as such and as a variable, and every queue would carry both"
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Ready at once.
pub(super) fn noop(number: u64) -> impl Future<Output = u64> + Send + 'static {
    async move { number }
}

/// Pending once.
pub(super) fn yield_once(number: u64) -> impl Future<Output = u64> + Send + 'static {
    async move {
        YieldOnce::default().await;
        number
    }
}

/// Pending twice.
pub(super) fn yield_twice(number: u64) -> impl Future<Output = u64> + Send + 'static {
    async move {
        YieldOnce::default().await;
        YieldOnce::default().await;
        number
    }
}

/// A timer of one millisecond.
pub(super) fn sleep(number: u64) -> impl Future<Output = u64> + Send + 'static {
    async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        number
    }
}

/// Four microseconds of processor time.
pub(super) fn compute(number: u64) -> impl Future<Output = u64> + Send + 'static {
    async move { four_microseconds(number) }
}

/// Is pending once and wakes itself at once.
///
/// Tokio's own `yield_now` goes by way of its driver, which would measure the driver and not the queue.
#[derive(Debug, Default)]
struct YieldOnce {
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
