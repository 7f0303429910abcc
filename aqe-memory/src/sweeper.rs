//! The thread that clears away what is over, whether or not anybody calls the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::clock::Millis;
use crate::store::Core;

/// When the thread is to wake.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    /// The time for which the thread sleeps. Zero while it is awake.
    time: AtomicU64,
    stop: Mutex<bool>,
    rings: Condvar,
}

impl Alarm {
    /// Sees to it that the thread looks for what is over at `time`. The entry that will be over is in its queue already.
    #[inline]
    pub(crate) fn set(&self, time: Millis) {
        // Relaxed: the thread says that it sleeps before it takes the lock of the queues to see until when. An entry that it
        // did not find was put after that, so that whoever put it reads here that the thread sleeps.
        if time < self.time.load(Ordering::Relaxed) {
            self.ring(time);
        }
    }

    #[cold]
    fn ring(&self, time: Millis) {
        // With the lock in hand, the thread is asleep or awake, and not on its way.
        let _asleep = self.stop.lock();
        if time < self.time.load(Ordering::Relaxed) {
            self.time.store(time, Ordering::Relaxed);
            self.rings.notify_one();
        }
    }

    /// Sleeps until the time that `next` says or an earlier one that is [set](Self::set) meanwhile. Says whether to go on.
    fn sleep(&self, now: Millis, next: impl FnOnce() -> Option<Millis>) -> bool {
        let mut stop = self.stop.lock();
        let longest = now + LONGEST;
        self.time.store(longest, Ordering::Relaxed);
        let time = next().map_or(longest, |next| next.clamp(now + SHORTEST, longest));
        self.time.store(time, Ordering::Relaxed);
        if !*stop {
            // A millisecond more: the coarse clock may be a tick behind when the thread wakes.
            let left = Duration::from_millis(time - now + 1);
            self.rings.wait_for(&mut stop, left);
        }
        self.time.store(0, Ordering::Relaxed);
        !*stop
    }
}

/// The thread. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Sweeper {
    alarm: Arc<Alarm>,
    thread: Option<JoinHandle<()>>,
}

/// Entries whose time is over within this are cleared away together.
const SHORTEST: Millis = 20;
/// The longest sleep.
const LONGEST: Millis = 60_000;

impl Sweeper {
    pub(crate) fn start(core: &Arc<Core>) -> Self {
        let alarm = Arc::clone(&core.alarm);
        let thread = thread::Builder::new().name("aqe-memory".to_owned());
        let thread = thread.spawn({
            let (core, alarm) = (Arc::downgrade(core), Arc::clone(&alarm));
            move || run(&core, &alarm)
        });
        // Without a thread, what is over is cleared away when there is need of its memory.
        let thread = thread.ok();
        Self { alarm, thread }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        *self.alarm.stop.lock() = true;
        self.alarm.rings.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does not panic; and if it did, there would be nothing to add.
            let _ = thread.join();
        }
    }
}

fn run(core: &Weak<Core>, alarm: &Alarm) {
    loop {
        let Some(store) = core.upgrade() else { return };
        let more = store.tend();
        let now = store.now();
        drop(store);
        // The store is not held while the thread sleeps.
        let next = || {
            let expiry = core.upgrade().and_then(|store| store.next_expiry());
            Some(expiry.unwrap_or(more).min(more))
        };
        if !alarm.sleep(now, next) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{MemoryConfig, MemoryReading, Store};
    use std::time::{Duration, Instant};

    #[test]
    fn memory_comes_back_without_a_call() {
        let store = Store::new(MemoryConfig::default()).unwrap();
        let before = store.stats().resident_bytes;
        // The long one comes first, so that the thread sleeps for long when the short ones come.
        store
            .put_for(b"long", &[1; 100], Duration::from_secs(3600))
            .unwrap();
        for number in 0..10_000u32 {
            store
                .put_for(&number.to_le_bytes(), &[1; 100], Duration::from_millis(500))
                .unwrap();
        }
        assert!(store.stats().resident_bytes > before + 1_000_000);
        let start = Instant::now();
        let is_back = |stats: crate::StoreStats| {
            stats.entries == 1 && stats.resident_bytes < before + 100_000
        };
        while !is_back(store.stats()) {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{:?}",
                store.stats()
            );
            std::thread::yield_now();
        }
        assert!(store.get(b"long").is_some());
    }

    #[test]
    fn the_store_makes_way_without_a_call() {
        let full = MemoryReading {
            limit_bytes: 1 << 30,
            used_bytes: 1 << 30,
        };
        let store = Store::builder().memory_gauge(move || Some(full)).build();
        let (store, start) = (store.unwrap(), Instant::now());
        while store.stats().shrunk == 0 {
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(30), "{:?}", store.stats());
            std::thread::yield_now();
        }
        assert!(store.stats().ceiling_bytes < store.config().max_size);
        store.put(b"key", b"value").unwrap();
        assert!(store.contains(b"key"));
    }

    #[test]
    fn the_thread_ends_with_the_last_handle() {
        let store = Store::new(MemoryConfig::default()).unwrap();
        let namespace = store.namespace("n").unwrap();
        drop(store);
        namespace.put(b"key", b"value").unwrap();
        drop(namespace);
    }
}
