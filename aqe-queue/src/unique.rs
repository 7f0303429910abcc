//! Operations that need to run only once for all who want their result.
//!
//! [`Submission::unique`] gives an operation a name of that kind. While it waits or runs, whoever submits another
//! with the same name and the same result types gets a [`SharedHandle`] of the first, and the second is dropped. The
//! result is cloned for each of them: what is expensive to clone belongs in an `Arc`.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_task::{ArcWake, waker_ref};

use crate::body::Body;
use crate::cell::{self, Stop};
use crate::error::{CancelReason, OperationError, SubmitError};
use crate::handle::{OperationHandle, OperationId};
use crate::operation::{Submission, Submit};
use crate::shared::Link;
use crate::sync::Mutex;

/// An operation that is submitted unless it is in the queue already; see [`Submission::unique`].
#[must_use = "nothing is queued before `submit`, `try_submit` or `.await`"]
pub struct Unique<B: Body> {
    submission: Submission<B>,
    name: Name,
}

/// What comes of submitting a unique operation: a handle that others may have too, or the operation again.
pub type SubmittedUnique<S, T, E> = Result<SharedHandle<T, E>, SubmitError<S>>;

impl<B> Submission<B>
where
    B: Body,
    B::Value: Clone,
    B::Error: Clone,
{
    /// Joins an operation of the same name and the same result types that waits or runs, if there is one. It is the last
    /// thing to be set: of an operation that joins another only the name counts.
    ///
    /// What has ended is not joined, so a later submission runs again. Dropping the last handle does what the policy of
    /// the operation that runs says; one that runs on can still be joined.
    ///
    /// ```
    /// use aqe_queue::{AsyncOperationQueue, QueueConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = AsyncOperationQueue::new(QueueConfig::default())?;
    /// let build = |id: u32| queue.future(async move { Ok::<_, ()>(id) }).unique("build");
    /// let (first, second) = (build(1).submit().await?, build(2).submit().await?);
    /// assert!(second.has_joined());
    /// assert_eq!((first.await, second.await), (Ok(1), Ok(1)));
    /// # Ok(()) }
    /// ```
    pub fn unique(self, name: impl Into<Arc<str>>) -> Unique<B> {
        let types = TypeId::of::<(B::Value, B::Error)>();
        Unique {
            submission: self,
            name: (name.into(), types),
        }
    }
}

impl<B> Unique<B>
where
    B: Body,
    B::Value: Clone,
    B::Error: Clone,
{
    /// Joins the operation of this name, or queues this one if there is room.
    ///
    /// # Errors
    ///
    /// As [`Submission::try_submit`]. It is full, too, while somebody else's submission of this name waits for room.
    pub fn try_submit(self) -> SubmittedUnique<B::Source, B::Value, B::Error> {
        let Self { submission, name } = self;
        let link = Arc::clone(submission.link());
        match Uniques::look(&link, &name, None) {
            Look::Joined(joined) => Ok(joined),
            Look::Busy => Err(SubmitError::Full(submission.into_source())),
            Look::Claimed(claim) => submission.try_submit().map(|handle| claim.fulfil(handle)),
        }
    }

    /// Joins the operation of this name, or queues this one, waiting for room if the queue is full.
    ///
    /// # Errors
    ///
    /// As [`Submission::submit`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is ready, the operation has not been queued and is dropped with it. Another
    /// submission of the same name that waits with it then goes on in its place.
    pub fn submit(self) -> SubmitUnique<B::Source, B::Value, B::Error> {
        SubmitUnique {
            link: Arc::clone(self.submission.link()),
            inner: self.submission.submit(),
            name: self.name,
            claim: None,
        }
    }
}

/// `unique.await` is `unique.submit().await`.
impl<B> IntoFuture for Unique<B>
where
    B: Body,
    B::Value: Clone,
    B::Error: Clone,
{
    type Output = SubmittedUnique<B::Source, B::Value, B::Error>;
    type IntoFuture = SubmitUnique<B::Source, B::Value, B::Error>;

    fn into_future(self) -> Self::IntoFuture {
        self.submit()
    }
}

impl<B: Body> fmt::Debug for Unique<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unique")
            .field("name", &self.name.0)
            .field("submission", &self.submission)
            .finish()
    }
}

/// The future of [`Unique::submit`].
///
/// # Cancel safety
///
/// As [`Submit`]. Another submission of the same name that waits with it goes on in its place.
#[must_use = "nothing is queued before this is awaited"]
pub struct SubmitUnique<S: 'static, T: 'static, E: 'static> {
    inner: Submit<S, T, E>,
    link: Arc<Link>,
    name: Name,
    claim: Option<Claim>,
}

impl<S, T, E> Future for SubmitUnique<S, T, E>
where
    S: 'static,
    T: Clone + Send + 'static,
    E: Clone + Send + 'static,
{
    type Output = SubmittedUnique<S, T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.claim.is_none() {
            match Uniques::look(&this.link, &this.name, Some(cx.waker())) {
                Look::Joined(joined) => return Poll::Ready(Ok(joined)),
                Look::Busy => return Poll::Pending,
                Look::Claimed(claim) => this.claim = Some(claim),
            }
        }
        let Poll::Ready(submitted) = Pin::new(&mut this.inner).poll(cx) else {
            return Poll::Pending;
        };
        let claim = this.claim.take();
        Poll::Ready(match (submitted, claim) {
            (Ok(handle), Some(claim)) => Ok(claim.fulfil(handle)),
            (Err(error), _) => Err(error),
            // The claim was made above, or in an earlier poll.
            (Ok(_), None) => unreachable!("a unique operation was submitted without its claim"),
        })
    }
}

impl<S: 'static, T: 'static, E: 'static> Unpin for SubmitUnique<S, T, E> {}

impl<S: 'static, T: 'static, E: 'static> fmt::Debug for SubmitUnique<S, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitUnique")
            .field("name", &self.name.0)
            .finish_non_exhaustive()
    }
}

/// The future of a unique operation's result. Clones, and the handles of those that joined, give the same result.
///
/// # Cancel safety
///
/// `(&mut handle).await` can be dropped and begun again without losing anything; dropping the last handle ends the
/// operation as its policy says.
#[must_use = "dropping the last handle cancels the operation, unless its policy is to detach"]
pub struct SharedHandle<T: 'static, E: 'static> {
    joined: Arc<Joined<T, E>>,
    ticket: u64,
    has_joined: bool,
}

impl<T: 'static, E: 'static> SharedHandle<T, E> {
    fn new(joined: Arc<Joined<T, E>>, has_joined: bool) -> Self {
        joined.inner.lock().handles += 1;
        let ticket = joined.bell.take_ticket();
        Self {
            joined,
            ticket,
            has_joined,
        }
    }

    /// Returns the id of the operation that runs.
    #[must_use]
    pub fn id(&self) -> OperationId {
        self.joined.inner.lock().handle.id()
    }

    /// Returns whether the operation had been submitted before, by somebody else.
    #[must_use]
    pub const fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Returns whether the operation has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.joined.is_finished()
    }

    /// Cancels the operation for all who have joined it, as [`OperationHandle::cancel`] does.
    pub fn cancel(&self) -> bool {
        let canceller = self.joined.inner.lock().handle.canceller();
        // Without the lock: whoever is woken by the end looks at the result.
        canceller.cancel()
    }
}

impl<T: Clone + 'static, E: Clone + 'static> Future for SharedHandle<T, E> {
    type Output = Result<T, OperationError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = &self.joined;
        // Before looking: an end that comes after the look wakes this task.
        joined.bell.register(self.ticket, cx.waker());
        let result = joined.inner.lock().poll(&joined.bell);
        if result.is_ready() {
            // Whoever takes the outcome may have done so in the moment in which the operation had no waker.
            joined.bell.ring();
        }
        result
    }
}

impl<T: 'static, E: 'static> Clone for SharedHandle<T, E> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.joined), self.has_joined)
    }
}

impl<T: 'static, E: 'static> Drop for SharedHandle<T, E> {
    fn drop(&mut self) {
        self.joined.bell.forget(self.ticket);
        let last = {
            let mut inner = self.joined.inner.lock();
            inner.handles -= 1;
            let is_over = inner.outcome.is_some();
            (inner.handles == 0 && !is_over)
                .then(|| inner.handle.end_on_drop())
                .flatten()
        };
        // Without the lock, as in `cancel`.
        if let Some((op, only_waiting)) = last {
            cell::stop(&op, Stop::Cancel(CancelReason::Dropped), only_waiting);
        }
    }
}

/// Nothing in a handle is pinned.
impl<T: 'static, E: 'static> Unpin for SharedHandle<T, E> {}

impl<T: 'static, E: 'static> fmt::Debug for SharedHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedHandle")
            .field("name", &self.joined.bell.name.0)
            .field("is_finished", &self.is_finished())
            .field("has_joined", &self.has_joined)
            .finish()
    }
}

/// What all handles of one operation share.
struct Joined<T: 'static, E: 'static> {
    inner: Mutex<Inner<T, E>>,
    bell: Arc<Bell>,
}

struct Inner<T: 'static, E: 'static> {
    handle: OperationHandle<T, E>,
    outcome: Option<Result<T, OperationError<E>>>,
    handles: usize,
}

impl<T: 'static, E: 'static> Joined<T, E> {
    fn is_finished(&self) -> bool {
        self.inner.lock().handle.is_finished()
    }
}

impl<T: Clone + 'static, E: Clone + 'static> Inner<T, E> {
    fn poll(&mut self, bell: &Arc<Bell>) -> Poll<Result<T, OperationError<E>>> {
        if self.outcome.is_none() {
            let waker = waker_ref(bell);
            let mut cx = Context::from_waker(&waker);
            let Poll::Ready(outcome) = Pin::new(&mut self.handle).poll(&mut cx) else {
                return Poll::Pending;
            };
            self.outcome = Some(outcome);
        }
        // Cloned under the lock of this one operation's handles, which nothing in a clone has reason to touch.
        self.outcome.clone().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The one waker of a unique operation. It is rung by the end: then the name is free again, and all who wait are woken.
struct Bell {
    link: Arc<Link>,
    name: Name,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Bell {
    fn take_ticket(&self) -> u64 {
        let mut waiting = self.waiting.lock();
        waiting.next += 1;
        waiting.next
    }

    fn register(&self, ticket: u64, waker: &Waker) {
        self.waiting.lock().wakers.insert(ticket, waker.clone());
    }

    fn forget(&self, ticket: u64) {
        let forgotten = self.waiting.lock().wakers.remove(&ticket);
        drop(forgotten);
    }

    fn ring(self: &Arc<Self>) {
        self.link.shared.uniques.forget(self);
        let wakers = std::mem::take(&mut self.waiting.lock().wakers);
        wakers.into_values().for_each(Waker::wake);
    }
}

impl ArcWake for Bell {
    fn wake_by_ref(bell: &Arc<Self>) {
        bell.ring();
    }
}

/// A name, and the types of the result: operations that give something else are others.
type Name = (Arc<str>, TypeId);

/// The unique operations of a queue: one entry for each that waits or runs, or is being submitted.
#[derive(Default)]
pub(crate) struct Uniques {
    /// Nothing of the user's runs under this lock, and no other lock is taken.
    table: Mutex<HashMap<Name, Entry>>,
}

enum Entry {
    /// Somebody is submitting it; others of the same name wait for what comes of that.
    Claimed(Vec<Waker>),
    /// It is in the queue. The bell says which operation this is when its end takes it away.
    Live(Arc<Bell>, Arc<dyn Any + Send + Sync>),
}

/// What there is of a name.
enum Look<T: 'static, E: 'static> {
    Joined(SharedHandle<T, E>),
    /// Somebody is submitting it. The waker is kept.
    Busy,
    /// Nothing. The caller is to submit it.
    Claimed(Claim),
}

impl Uniques {
    fn look<T, E>(link: &Arc<Link>, name: &Name, waker: Option<&Waker>) -> Look<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let uniques = &link.shared.uniques;
        loop {
            let mut table = uniques.table.lock();
            let (bell, any) = match table.get_mut(name) {
                Some(Entry::Live(bell, any)) => (Arc::clone(bell), Arc::clone(any)),
                Some(Entry::Claimed(waiting)) => {
                    if let Some(waker) = waker
                        && !waiting.iter().any(|it| it.will_wake(waker))
                    {
                        waiting.push(waker.clone());
                    }
                    return Look::Busy;
                }
                None => {
                    table.insert(name.clone(), Entry::Claimed(Vec::new()));
                    return Look::Claimed(Claim {
                        link: Arc::clone(link),
                        name: name.clone(),
                        is_open: true,
                    });
                }
            };
            drop(table);
            if let Ok(joined) = any.downcast::<Joined<T, E>>()
                && !joined.is_finished()
            {
                return Look::Joined(SharedHandle::new(joined, true));
            }
            // It has ended, and its bell is about to be rung.
            uniques.forget(&bell);
        }
    }

    fn forget(&self, bell: &Arc<Bell>) {
        let mut table = self.table.lock();
        let is_it =
            matches!(table.get(&bell.name), Some(Entry::Live(it, _)) if Arc::ptr_eq(it, bell));
        let forgotten = is_it.then(|| table.remove(&bell.name));
        drop(table);
        // This may be the last that knows of the operation's result, whose drop is the user's code.
        drop(forgotten);
    }
}

impl fmt::Debug for Uniques {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uniques")
            .field(&self.table.lock().len())
            .finish()
    }
}

/// The right to submit an operation of a name.
struct Claim {
    link: Arc<Link>,
    name: Name,
    is_open: bool,
}

impl Claim {
    /// Makes the operation known to those who want to join it.
    fn fulfil<T, E>(mut self, handle: OperationHandle<T, E>) -> SharedHandle<T, E>
    where
        T: Clone + Send + 'static,
        E: Clone + Send + 'static,
    {
        let bell = Arc::new(Bell {
            link: Arc::clone(&self.link),
            name: self.name.clone(),
            waiting: Mutex::default(),
        });
        let joined = Arc::new(Joined {
            inner: Mutex::new(Inner {
                handle,
                outcome: None,
                handles: 0,
            }),
            bell: Arc::clone(&bell),
        });
        let shared = SharedHandle::new(Arc::clone(&joined), false);
        let entry = Entry::Live(Arc::clone(&bell), Arc::<Joined<T, E>>::clone(&joined));
        self.is_open = false;
        self.replace(Some(entry));
        // Leaves the bell as the operation's waker, so that its end is heard even if no handle is ever polled.
        let is_over = joined.inner.lock().listen(&bell);
        if is_over {
            bell.ring();
        }
        shared
    }

    /// Ends the claim, and wakes those who waited for what comes of it.
    fn replace(&self, by: Option<Entry>) {
        let mut table = self.link.shared.uniques.table.lock();
        let before = match by {
            Some(entry) => table.insert(self.name.clone(), entry),
            None => table.remove(&self.name),
        };
        drop(table);
        if let Some(Entry::Claimed(waiting)) = before {
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl<T: Clone + 'static, E: Clone + 'static> Inner<T, E> {
    fn listen(&mut self, bell: &Arc<Bell>) -> bool {
        self.poll(bell).is_ready()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Once it is fulfilled the entry is another's.
        if self.is_open {
            self.replace(None);
        }
    }
}
