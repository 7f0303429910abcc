//! Which items of a lane are to be polled.
//!
//! Each slot has a waker of its own that is made once and used by all items that pass through it. Waking one puts the slot
//! into its lane's list and, if the lane does not run just now, wakes the lane's task: a wake costs a short lock and no
//! allocation, and a lane that is being polled finds the slot without a trip through the scheduler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use parking_lot::Mutex;

/// The list of one lane.
#[derive(Default)]
pub(super) struct Ready {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: Vec<usize>,
    /// Whether something besides the slots has changed.
    is_nudged: bool,
    /// Whether the lane is being polled and will look at this before it returns.
    is_running: bool,
    task: Option<Waker>,
}

impl Ready {
    /// The lane is being polled, by `task`.
    pub(super) fn enter(&self, task: &Waker) {
        let mut state = self.state.lock();
        state.is_running = true;
        if !state.task.as_ref().is_some_and(|it| it.will_wake(task)) {
            state.task = Some(task.clone());
        }
    }

    /// Moves the woken slots into `slots`, which is empty.
    pub(super) fn take(&self, slots: &mut Vec<usize>) {
        std::mem::swap(&mut self.state.lock().slots, slots);
    }

    /// Whether the lane may wait: nothing has changed since it looked. From now on changes wake its task.
    pub(super) fn leave(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_nudged || !state.slots.is_empty() {
            state.is_nudged = false;
            return false;
        }
        state.is_running = false;
        true
    }

    /// The lane is not being polled any more, though there is more to do: it has asked to be polled again.
    pub(super) fn interrupt(&self) {
        self.state.lock().is_running = false;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let task = {
            let mut state = self.state.lock();
            change(&mut state);
            if state.is_running {
                return;
            }
            state.task.clone()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// Something that concerns all of a run has changed: the lane looks again.
impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.change(|state| state.is_nudged = true);
    }
}

/// The waker of one slot.
pub(super) struct SlotWaker {
    pub(super) at: usize,
    /// Whether the slot is in the list.
    pub(super) is_listed: AtomicBool,
    pub(super) ready: Arc<Ready>,
}

impl SlotWaker {
    /// The slot has left the list and is about to be polled: wakes from now on list it again.
    pub(super) fn unlist(&self) {
        // What happened before the wake is visible to the poll.
        self.is_listed.swap(false, Ordering::AcqRel);
    }
}

impl Wake for SlotWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_listed.swap(true, Ordering::AcqRel) {
            self.ready.change(|state| state.slots.push(self.at));
        }
    }
}
