//! A thread that samples when it is time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::clock::Clock;
use super::tick::{Sampler, Tick};

/// A running sampler. It stops when this is dropped.
#[derive(Debug)]
pub struct SamplerThread {
    stop: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    thread: Option<JoinHandle<Sampler>>,
}

impl Sampler {
    /// Samples in a thread of its own, from now on, and hands each tick to `on_tick` there.
    ///
    /// While `on_tick` runs, no sample is taken: ticks that come due meanwhile are [skipped](Tick::skipped).
    ///
    /// # Errors
    ///
    /// When the system starts no further thread.
    pub fn spawn(
        self,
        clock: Arc<dyn Clock>,
        on_tick: impl FnMut(&Tick<'_>) + Send + 'static,
    ) -> io::Result<SamplerThread> {
        let stop = Arc::new(AtomicBool::new(false));
        let run = {
            let (stop, clock) = (Arc::clone(&stop), Arc::clone(&clock));
            move || follow(self, &*clock, &stop, on_tick)
        };
        let thread = thread::Builder::new()
            .name("aqe-sampler".to_owned())
            .spawn(run)?;
        let thread = Some(thread);
        Ok(SamplerThread {
            stop,
            clock,
            thread,
        })
    }
}

fn follow(
    mut sampler: Sampler,
    clock: &dyn Clock,
    stop: &AtomicBool,
    mut on_tick: impl FnMut(&Tick<'_>),
) -> Sampler {
    while !stop.load(Ordering::Acquire) {
        on_tick(&sampler.tick(clock.now(), clock.wall()));
        clock.wait(sampler.next(), stop);
    }
    sampler
}

impl SamplerThread {
    /// Ends the thread, after the tick that it may be at, and gives the sampler back; `None` if `on_tick` panicked.
    #[must_use = "drop it to stop without asking for the sampler"]
    pub fn stop(mut self) -> Option<Sampler> {
        self.end()
    }

    fn end(&mut self) -> Option<Sampler> {
        self.stop.store(true, Ordering::Release);
        self.clock.wake();
        self.thread.take()?.join().ok()
    }
}

impl Drop for SamplerThread {
    fn drop(&mut self) {
        // Whoever drops it in `on_tick` is the thread itself, which cannot wait for its own end.
        if self
            .thread
            .as_ref()
            .is_some_and(|thread| thread.thread().id() == thread::current().id())
        {
            self.stop.store(true, Ordering::Release);
            return;
        }
        drop(self.end());
    }
}
