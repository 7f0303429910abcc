//! The kinds of a queue that have a batch handler, and the call of each that is open.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::call::{AnyCall, Call};
use super::{BatchHandler, BatchOptions};
use crate::named::{Operation, Registry};

/// Makes a queue's part of a kind; given how many operations a call has unless the kind says so itself.
pub(crate) type KindFactory = Arc<dyn Fn(usize) -> Arc<dyn AnyKind> + Send + Sync>;

/// What a queue keeps for its batch handlers. A registry can serve several queues, and their calls are apart.
pub(crate) struct Batches {
    kinds: Vec<Arc<dyn AnyKind>>,
    next_call: AtomicU64,
    /// Operations that were taken along and have not begun, by their number, and their call. No other lock is taken
    /// under this one.
    expected: Mutex<HashMap<u64, Arc<dyn AnyCall>>>,
}

/// A kind whose type has been forgotten.
pub(crate) trait AnyKind: Send + Sync {
    /// An operation of this kind has come to a level.
    fn arrived(&self);

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl Batches {
    pub(crate) fn new(registry: &Registry, batch_size: usize) -> Self {
        let factories = registry.kinds();
        Self {
            kinds: factories.iter().map(|make| make(batch_size)).collect(),
            next_call: AtomicU64::new(0),
            expected: Mutex::default(),
        }
    }

    pub(super) fn kind<O: Operation>(&self, kind: u32) -> Option<Arc<Kind<O>>> {
        let kind = self.kinds.get(kind as usize)?;
        Arc::clone(kind).into_any().downcast().ok()
    }

    /// Relaxed: a number and nothing else.
    pub(super) fn next_call(&self) -> u64 {
        self.next_call.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes note that an operation was taken along for a call.
    pub(super) fn expect(&self, number: u64, call: Arc<dyn AnyCall>) {
        self.expected.lock().insert(number, call);
    }

    /// Returns the call for which an operation that begins was taken along, once.
    pub(super) fn call_of(&self, number: u64) -> Option<Arc<dyn AnyCall>> {
        self.expected.lock().remove(&number)
    }

    /// An operation of a kind with a batch handler has ended. If it had not begun, its call waits for it no longer.
    pub(crate) fn ended(&self, number: u64) {
        let call = self.call_of(number);
        if let Some(call) = call {
            call.is_without_one();
        }
    }

    /// An operation of this kind has come to a level.
    pub(crate) fn arrived(&self, kind: u32) {
        if let Some(kind) = self.kinds.get(kind as usize) {
            kind.arrived();
        }
    }
}

/// One kind in one queue.
pub(crate) struct Kind<O: Operation> {
    pub(super) number: u32,
    /// How many operations a call has at most.
    pub(super) max: usize,
    pub(super) linger: Duration,
    pub(super) handler: BatchHandler<O>,
    /// The call that lets others in. Under this lock only that call's own is taken.
    pub(super) open: Mutex<Option<Arc<Call<O>>>>,
}

impl<O: Operation> Kind<O> {
    /// Makes a queue's part of the kind.
    pub(crate) fn in_queue(
        number: u32,
        options: BatchOptions,
        batch_size: usize,
        handler: BatchHandler<O>,
    ) -> Arc<dyn AnyKind> {
        Arc::new(Self {
            number,
            max: options.max_size.unwrap_or(batch_size),
            linger: options.linger,
            handler,
            open: Mutex::default(),
        })
    }

    /// Lets nobody join `call` any more.
    pub(super) fn shut(&self, call: &Arc<Call<O>>) {
        let mut open = self.open.lock();
        let is_it = open.as_ref().is_some_and(|it| Arc::ptr_eq(it, call));
        let shut = if is_it { open.take() } else { None };
        drop(open);
        drop(shut);
    }
}

impl<O: Operation> AnyKind for Kind<O> {
    fn arrived(&self) {
        // A call that does not linger is about to look for itself.
        if self.linger.is_zero() {
            return;
        }
        let open = self.open.lock().clone();
        if let Some(call) = open {
            call.wake_driver();
        }
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
