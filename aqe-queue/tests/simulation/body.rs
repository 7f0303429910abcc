//! What simulated operations do.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aqe_queue::AttemptContext;
use fastrand::Rng;

use crate::world::{Did, Life, Record, World};

/// What every panic here begins with, so that the panic hook can tell them from real ones.
pub(crate) const ON_PURPOSE: &str = "on purpose";

/// One attempt. It may succeed, fail, panic at any moment, never end, use the queue, and be dropped at any moment.
pub(crate) fn attempt(
    world: &Arc<World>,
    record: &Arc<Record>,
    cx: Option<&AttemptContext>,
) -> impl Future<Output = Result<u64, u64>> + Send + use<> {
    let cx = cx.cloned();
    let number = cx.as_ref().map_or(1, AttemptContext::attempt);
    let mut chance = Rng::with_seed(record.seed ^ u64::from(number).rotate_left(40));
    let begun = cx.is_some().then(|| {
        let life = Life::begin(Arc::clone(world), Arc::clone(record));
        if life.record.attempts() != number {
            life.world.fault(format_args!(
                "operation {} is told that its attempt {} is number {number}",
                record.number,
                record.attempts()
            ));
        }
        if chance.u8(..) == 0 {
            life.end(Did::Panicked);
            panic!("{ON_PURPOSE}, before it began");
        }
        life
    });
    let (world, record) = (Arc::clone(world), Arc::clone(record));
    async move {
        // A future that cannot be repeated begins when it is first polled.
        let life = begun.unwrap_or_else(|| Life::begin(world, record));
        let bomb = Bomb(chance.u8(..) == 0);
        let steps = match chance.u8(0..16) {
            0..=11 => 0,
            12..=14 => 1,
            _ => chance.u8(2..5),
        };
        for _ in 0..steps {
            step(&life, cx.as_ref(), &mut chance).await;
        }
        bomb.defuse();
        end(&life, &mut chance).await
    }
}

async fn step(life: &Life, cx: Option<&AttemptContext>, chance: &mut Rng) {
    match chance.u8(0..16) {
        0..=4 => Turn::Yield.await,
        5..=9 if life.world.is_exact => {
            tokio::time::sleep(Duration::from_micros(chance.u64(0..40_000))).await;
        }
        10..=12 => Turn::Park(Arc::clone(&life.world)).await,
        13 | 14 => meddle(&life.world, chance),
        _ => {
            // A cancelled body may notice it, and what it does about it must not matter.
            if cx.is_some_and(AttemptContext::is_cancelled) {
                Turn::Yield.await;
            }
            if let Some(cx) = cx.filter(|_| chance.bool()) {
                let signal = cx.signal();
                if signal.is_cancelled() != cx.is_cancelled() && life.world.is_exact {
                    life.world
                        .fault("a signal and its context say different things");
                }
            }
        }
    }
}

async fn end(life: &Life, chance: &mut Rng) -> Result<u64, u64> {
    let record = &life.record;
    match chance.u8(0..64) {
        0 => {
            life.end(Did::Panicked);
            panic!("{ON_PURPOSE}, at the end");
        }
        1..=9 => {
            life.end(Did::Failed);
            Err(error_of(record, record.attempts()))
        }
        10 | 11 if record.timeout.is_some() || record.deadline.is_some() => {
            std::future::pending().await
        }
        _ => {
            life.end(Did::Succeeded);
            Ok(record.number)
        }
    }
}

/// What an attempt that fails returns.
pub(crate) fn error_of(record: &Record, attempt: u32) -> u64 {
    Rng::with_seed(record.seed.wrapping_add(u64::from(attempt))).u64(..)
}

/// At such an error a defective hook panics.
pub(crate) const fn is_fatal(error: u64) -> bool {
    error.is_multiple_of(64)
}

/// Uses the queue from within it.
fn meddle(world: &World, chance: &mut Rng) {
    let Some(queue) = world.queue.lock().clone() else {
        return;
    };
    match chance.u8(0..8) {
        0 => queue.pause(),
        1 | 2 => queue.resume(),
        3 => queue.pause_admission(),
        4 | 5 => queue.resume_admission(),
        _ => drop(queue.status()),
    }
    // Everybody else may have let go of it by now: dropping the last handle within an operation closes the queue.
    drop(queue);
}

/// Lets others run: until it is polled again, or until somebody wakes those who wait.
enum Turn {
    Yield,
    Park(Arc<World>),
    Over,
}

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut *self, Self::Over) {
            Self::Yield => cx.waker().wake_by_ref(),
            Self::Park(world) => world.wakers.lock().push(cx.waker().clone()),
            Self::Over => return Poll::Ready(()),
        }
        Poll::Pending
    }
}

/// Panics when it is dropped before it is defused.
struct Bomb(bool);

impl Bomb {
    fn defuse(mut self) {
        self.0 = false;
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(
            !self.0 || std::thread::panicking(),
            "{ON_PURPOSE}, when dropped"
        );
    }
}
