//! Operations that borrow, for a thread that can wait.
//!
//! An operation lives on other threads, so one that borrows must be gone before what it borrows is. A *blocking* call can
//! promise that: [`scope`](AsyncOperationQueue::scope) does not return, or unwind, before every body has been dropped.
//! An *async* scope could not: its future may be leaked (`std::mem::forget`, a cycle of `Arc`s) while the operations go
//! on, and then nothing would hold the borrow. That is why there is none; async code moves or shares (`Arc`) its data,
//! or calls this from `spawn_blocking`.
//!
//! The promise does not rest on how the queue ends operations: each body carries a token that is dropped right after
//! it, and the scope waits for the last token. A body that is never dropped keeps the scope waiting.

#[cfg(all(loom, test))]
mod loom_tests;

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::error::{OperationError, SubmitError};
use crate::handle::{OnDrop, OperationHandle};
use crate::priority::Priority;
use crate::queue::AsyncOperationQueue;
use crate::sync::{Condvar, Mutex};

/// Where operations that borrow can be submitted; see [`scope`](AsyncOperationQueue::scope).
///
/// Both lifetimes are invariant, as in the standard library's scoped threads: an operation may borrow what outlives the
/// scope, and nothing that is made inside it.
pub struct Scope<'scope, 'env: 'scope> {
    queue: AsyncOperationQueue,
    bodies: Arc<Bodies>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl AsyncOperationQueue {
    /// Calls `act`, which can submit operations that borrow, and blocks the thread until all of these are over.
    ///
    /// Operations that are not wanted any more can be [cancelled](ScopedHandle::cancel); dropping a handle lets its
    /// operation run. There is no async form, because none can be sound: its future could be leaked while the
    /// operations run on. From async code, call it in `spawn_blocking`.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, Priority, QueueConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
    /// let queue = runtime.block_on(async { AsyncOperationQueue::new(QueueConfig::default()) })?;
    ///
    /// let words = vec!["a".to_owned(), "bc".to_owned()];
    /// let lengths: Vec<usize> = queue.scope(|scope| {
    ///     let submit = |word| scope.submit(Priority::Medium, async move { Ok::<_, ()>(str::len(word)) });
    ///     let handles: Vec<_> = words.iter().filter_map(|word| submit(word).ok()).collect();
    ///     handles.into_iter().filter_map(|handle| handle.wait().ok()).collect()
    /// });
    /// assert_eq!(lengths, [1, 2]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    ///
    /// If it is called on a thread that is running async code, which it would block; or with what `act` panics with,
    /// once all operations are over.
    pub fn scope<'env, R>(
        &self,
        act: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    ) -> R {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Panics where blocking is forbidden: before anything is submitted.
            runtime.block_on(std::future::ready(()));
        }
        let scope = Scope {
            queue: self.clone(),
            bodies: Arc::new(Bodies::default()),
            scope: PhantomData,
            env: PhantomData,
        };
        // Waits when it is dropped, so by a panic as well.
        let _wait = WaitForBodies(Arc::clone(&scope.bodies));
        act(&scope)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Submits an operation, which runs once and may borrow what outlives the scope. Blocks the thread while the queue
    /// is full.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], as [`submit`](crate::Submission::submit); the operation is dropped.
    pub fn submit<T, E>(
        &'scope self,
        priority: Priority,
        operation: impl Future<Output = Result<T, E>> + Send + 'scope,
    ) -> Result<ScopedHandle<'scope, T, E>, SubmitError<()>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let body: Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'scope>> = Box::pin(operation);
        // SAFETY: only the lifetime changes. The future is dropped before its token (the order of the fields below),
        // nothing else can take it out, and `scope` neither returns nor unwinds before the last token is dropped, while
        // everything that outlives `'scope` is still there. What it leaves behind, `T` and `E`, borrows nothing.
        let body: Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'static>> =
            unsafe { std::mem::transmute(body) };
        let operation = Tokened {
            body,
            _token: Token::new(&self.bodies),
        };
        let submission = self
            .queue
            .future(operation)
            .priority(priority)
            .on_drop(OnDrop::Detach);
        match block_on(submission.submit()) {
            Ok(handle) => Ok(ScopedHandle {
                handle,
                scope: PhantomData,
            }),
            Err(error) => Err(error.map(drop)),
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("bodies", &*self.bodies.count.lock())
            .finish_non_exhaustive()
    }
}

/// The result of an operation of a [`Scope`]. Dropping it lets the operation run.
#[derive(Debug)]
pub struct ScopedHandle<'scope, T: 'static, E: 'static> {
    handle: OperationHandle<T, E>,
    scope: PhantomData<&'scope ()>,
}

impl<T: 'static, E: 'static> ScopedHandle<'_, T, E> {
    /// Blocks the thread until the operation has ended.
    ///
    /// # Errors
    ///
    /// [`OperationError`] says why there is no value.
    pub fn wait(self) -> Result<T, OperationError<E>> {
        block_on(self.handle)
    }

    /// As [`OperationHandle::cancel`].
    pub fn cancel(&self) -> bool {
        self.handle.cancel()
    }
}

/// A body, and what is dropped after it.
struct Tokened<T, E> {
    body: Pin<Box<dyn Future<Output = Result<T, E>> + Send>>,
    _token: Token,
}

impl<T, E> Future for Tokened<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        self.body.as_mut().poll(cx)
    }
}

/// Counts the bodies of a scope that have not been dropped.
#[derive(Default)]
struct Bodies {
    count: Mutex<usize>,
    none: Condvar,
}

struct Token(Arc<Bodies>);

impl Token {
    fn new(bodies: &Arc<Bodies>) -> Self {
        *bodies.count.lock() += 1;
        Self(Arc::clone(bodies))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut count = self.0.count.lock();
        *count -= 1;
        if *count == 0 {
            self.0.none.notify_all();
        }
    }
}

struct WaitForBodies(Arc<Bodies>);

impl Drop for WaitForBodies {
    fn drop(&mut self) {
        let mut count = self.0.count.lock();
        while *count > 0 {
            self.0.none.wait(&mut count);
        }
    }
}

/// Blocks the thread until a future of this crate is ready; those need no runtime where they are polled.
fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut cx) {
            return output;
        }
        std::thread::park();
    }
}
