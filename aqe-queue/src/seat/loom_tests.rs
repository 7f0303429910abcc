//! All interleavings of how tasks are woken.
//!
//! Run with `cargo xtask ci loom`.

use std::sync::Arc;

use loom::thread;

use super::*;
use crate::sync::block_on;

/// Two ring, and the keeper, which sleeps until it is rung for, does not sleep for ever.
#[test]
fn loom_ring_is_heard() {
    loom::model(|| {
        let bell = Arc::new(Bell::new());
        let rings = [(); 2].map(|()| {
            let bell = Arc::clone(&bell);
            thread::spawn(move || bell.ring())
        });
        block_on(std::future::poll_fn(|cx| bell.poll(cx)));
        for ring in rings {
            ring.join().unwrap();
        }
    });
}

/// Entries of a table, and the keeper that is to be awake for the earliest: what [`Alarm`] says about itself, played
/// with two who add and a keeper that looks until it knows.
#[test]
fn loom_keeper_is_never_set_for_a_time_that_is_too_late() {
    loom::model(|| {
        let alarm = Arc::new(Alarm::new());
        let (bell, table) = (Arc::new(Bell::new()), Arc::new(Mutex::new(Vec::new())));
        let adders = [50, 70].map(|due| {
            let (alarm, bell, table) = (Arc::clone(&alarm), Arc::clone(&bell), Arc::clone(&table));
            thread::spawn(move || {
                let early = {
                    let mut table = table.lock();
                    table.push(due);
                    alarm.lower(due)
                };
                if early {
                    bell.ring();
                }
            })
        });
        // The keeper, as in `worker.rs`: it answers the rings that came, raises the alarm, searches, and sets it. It
        // sleeps on the bell as long as it is set for later than 50, which is when it has to be awake.
        block_on(std::future::poll_fn(|cx| {
            while bell.poll(cx).is_ready() {}
            alarm.set(Tick::MAX);
            let due = table.lock().iter().copied().min().unwrap_or(Tick::MAX);
            alarm.set(due);
            if due == 50 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        for adder in adders {
            adder.join().unwrap();
        }
    });
}
