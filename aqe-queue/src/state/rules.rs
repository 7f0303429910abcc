//! Rules that not every queue has. A queue with none of them does not even allocate this.

use super::Tick;
use super::reserved::Reserved;
use crate::body::Ending;
use crate::config::QueueConfig;
use crate::limit::Limiter;
use crate::scheduling::Scheduling;
use crate::threshold::{ErrorWindow, Exceeded, ThresholdAction};

pub(super) struct Rules {
    limiter: Option<Limiter>,
    reserved: Option<Reserved>,
    errors: Option<ErrorWindow>,
    /// What has been exceeded and not been acted on, and whether the queue was paused before.
    tripped: Option<Tripped>,
    /// From where to where the limit has moved by itself, if that has not been told.
    moved: Option<(usize, usize)>,
}

/// What the rules have done that is to be told, and acted on, without the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    pub(crate) tripped: Option<Tripped>,
    pub(crate) moved: Option<(usize, usize)>,
}

/// A threshold that has been exceeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tripped {
    pub(crate) exceeded: Exceeded,
    pub(crate) action: ThresholdAction,
    /// Whether the pause is this threshold's own.
    pub(crate) paused: bool,
}

impl Rules {
    /// Returns `None` if the configuration asks for none.
    pub(super) fn new(config: &QueueConfig) -> Option<Box<Self>> {
        let limiter = match config.scheduling {
            Scheduling::Adaptive(settings) => {
                Some(Limiter::new(settings, config.max_concurrent, 0))
            }
            Scheduling::Fifo | Scheduling::Priority => None,
        };
        let reserved = Reserved::new(config);
        let errors = config.error_threshold.map(ErrorWindow::new);
        let is_used = limiter.is_some() || reserved.is_some() || errors.is_some();
        is_used.then(|| {
            Box::new(Self {
                limiter,
                reserved,
                errors,
                tripped: None,
                moved: None,
            })
        })
    }

    /// Returns one bit for each level that may start something.
    pub(super) fn open(&self) -> u64 {
        self.reserved.as_ref().map_or(u64::MAX, Reserved::open)
    }

    /// Takes note of an operation that has been given a slot.
    pub(super) fn started(&mut self, level: u8, limit: usize) {
        if let Some(reserved) = &mut self.reserved {
            reserved.start(level, limit);
        }
    }

    /// Takes note of a slot that is free again.
    pub(super) fn left(&mut self, level: u8, limit: usize) {
        if let Some(reserved) = &mut self.reserved {
            reserved.end(level, limit);
        }
    }

    /// Takes note of another limit.
    pub(super) fn limited(&mut self, limit: usize) {
        if let Some(reserved) = &mut self.reserved {
            reserved.update(limit);
        }
    }

    /// Takes note of an operation that has left its slot for good. `running` counts it still.
    pub(super) fn ended(&mut self, ending: Ending, ran: u64, running: usize) {
        if let Some(errors) = &mut self.errors {
            match ending {
                Ending::Cancelled(_) | Ending::Shed => {}
                _ => errors.record(ending != Ending::Completed),
            }
        }
        if let Some(limiter) = &mut self.limiter {
            match ending {
                Ending::Completed => limiter.record(Some(ran), running),
                Ending::Failed | Ending::TimedOut => limiter.record(None, running),
                // Says nothing about what operations call.
                Ending::DeadlineExceeded
                | Ending::Cancelled(_)
                | Ending::Panicked
                | Ending::Shed => {}
            }
        }
    }

    /// Says whether too many operations have failed. `pause` pauses the queue, and returns whether it was not before.
    pub(super) fn judge_errors(&mut self, now: Tick, pause: impl FnOnce() -> bool) {
        if let Some((exceeded, action)) = self.errors.as_mut().and_then(|it| it.turn(now)) {
            self.tripped = Some(Tripped {
                exceeded,
                action,
                paused: pause(),
            });
        }
    }

    /// Takes note that the limit has moved by itself.
    pub(super) fn moved(&mut self, from: usize, to: usize) {
        self.limited(to);
        self.moved = Some((from, to));
    }

    pub(super) fn take_news(&mut self) -> Option<News> {
        let (tripped, moved) = (self.tripped.take(), self.moved.take());
        (tripped.is_some() || moved.is_some()).then_some(News { tripped, moved })
    }

    /// Takes note of an attempt that has failed and is to be followed by another.
    pub(super) fn failed(&mut self, running: usize) {
        if let Some(limiter) = &mut self.limiter {
            limiter.record(None, running);
        }
    }

    /// Returns the limit if it is for these rules to say.
    pub(super) fn limit(&mut self, now: Tick) -> Option<usize> {
        self.limiter.as_mut().map(|limiter| limiter.turn(now))
    }

    /// Returns the limit to use when the configured one has become `max`.
    pub(super) fn resize(&mut self, max: usize) -> usize {
        self.limiter.as_mut().map_or(max, |limiter| {
            limiter.set_max(max);
            limiter.limit()
        })
    }

    /// Returns the limit to begin with.
    pub(super) fn first_limit(&self) -> Option<usize> {
        self.limiter.as_ref().map(Limiter::limit)
    }
}
