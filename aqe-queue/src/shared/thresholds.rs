//! What happens when a threshold is exceeded, or the limit has moved.

use super::Shared;
use crate::error::CancelReason;
use crate::events::Event;
use crate::state::{News, Tick, Tripped};
use crate::threshold::{Change, Exceeded, ThresholdAction};

impl Shared {
    /// Tells what the rules have done, and acts on it.
    pub(super) fn tell(&self, News { tripped, moved }: News) {
        if let Some((from, to)) = moved {
            self.emit(Event::LimitMoved { from, to });
        }
        if let Some(tripped) = tripped {
            self.trip(tripped);
        }
    }

    /// Tells of a threshold that was exceeded, and acts on it. The queue is paused already.
    fn trip(&self, tripped: Tripped) {
        let Tripped {
            exceeded,
            action,
            paused,
        } = tripped;
        self.emit(Event::ThresholdExceeded { exceeded, action });
        match action {
            ThresholdAction::Pause if paused => self.emit(Event::Paused),
            ThresholdAction::Pause => {}
            ThresholdAction::Abort => {
                let operations = self.clear(CancelReason::Threshold);
                self.emit(Event::Cleared { operations });
                // Paused only so that nothing starts before it is cancelled.
                if paused {
                    self.with_core(|core| core.state.resume());
                }
            }
        }
    }

    /// Looks at the memory, if that is asked for and it is time. Returns when it is next.
    pub(crate) fn look_at_memory(&self, now: Tick) -> Tick {
        let Some(memory) = &self.memory else {
            return Tick::MAX;
        };
        let (change, next) = memory.look(now);
        match change {
            None => {}
            Some(Change::Exceeded(used)) => {
                let (limit, action) = (memory.settings.limit, memory.settings.action);
                let paused = self.with_core(|core| !core.state.is_closed() && core.state.pause());
                memory.set_paused(paused && action == ThresholdAction::Pause);
                self.trip(Tripped {
                    exceeded: Exceeded::Memory { used, limit },
                    action,
                    paused,
                });
            }
            Some(Change::Over) => {
                // Somebody may have resumed it meanwhile, or paused it before: then there is nothing to undo.
                let resumed =
                    memory.set_paused(false) && self.with_core(|core| core.state.resume());
                if resumed {
                    self.emit(Event::Resumed);
                }
            }
        }
        next
    }
}
