//! Getting what is not there yet: one loader for each key at a time.
//!
//! Whoever finds nothing starts its loader; whoever comes meanwhile waits for the same value. What the loader does belongs
//! to all who wait: whichever of them is polled drives it. So nobody waits for a future that nobody polls, which is what
//! happens where a leader drives its own loader and is left lying about half done; and what the loader has done so far is
//! not lost when the caller that started it goes away. That is why loaders are `Send` and `'static`, as spawned tasks are,
//! though nothing is spawned.

mod flight;

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

pub(crate) use self::flight::{Drives, Ended, Loads, SharedError, Stale, Turn};
use crate::error::CompareError;
use crate::namespace::Namespace;
use crate::reading::Look;
use crate::stats::Load;
use crate::store::Core;
use crate::value::Value;
use crate::writing::Expected;

/// What a loader failed with, for everybody who waited for it.
///
/// It is the loader's error as far as it goes: it displays as that, has the same source, and gives it by
/// [reference](Deref) or [whole](Self::into_inner).
pub struct LoadError<E>(Arc<E>);

impl<E> LoadError<E> {
    pub(crate) fn new(error: Arc<E>) -> Self {
        Self(error)
    }

    /// The error itself.
    ///
    /// # Errors
    ///
    /// This error, if others have it too.
    pub fn into_inner(self) -> Result<E, Self> {
        Arc::try_unwrap(self.0).map_err(Self)
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> Deref for LoadError<E> {
    type Target = E;

    fn deref(&self) -> &E {
        &self.0
    }
}

impl<E: fmt::Debug> fmt::Debug for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error> std::error::Error for LoadError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl Namespace {
    /// The value of a key, which is loaded and put if there is none, for the store's
    /// [time to live](crate::MemoryConfig::time_to_live) from then on.
    ///
    /// In one store, one loader runs for each key at a time. Calls that come meanwhile, from whatever task or thread, wait
    /// for what it gives; their own loaders are not called. Whoever waits also drives the loader, so that it comes to its end
    /// when the call that started it is dropped, or is not polled any more. With the last call that waits, it is
    /// dropped too. If it panics, the call that started it panics, and one of the others starts its own.
    ///
    /// - A value that somebody [puts](Self::put) while it is being loaded stays, and is what everybody gets.
    /// - A key that somebody [removes](Self::remove) while it is being loaded stays removed: what is loaded may be older than
    ///   what the removal was about. Those who waited get it nevertheless; whoever comes later loads again.
    /// - A value that cannot be put, because it is too large or there is no memory, is given to those who waited. Such values are
    ///   counted in [`unkept_loads`](crate::StoreStats::unkept_loads).
    /// - A loader that asks for its own key, in its own task, gets what its inner loader gives: it does not wait for itself.
    ///
    /// The loader is polled by the tasks that wait: their runtimes should be of one kind.
    ///
    /// # Errors
    ///
    /// What the loader fails with goes to all who waited for it, if their error is of the same type; others start their
    /// own. Nothing is put then, and the next call loads again.
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped leaves the loader to those who wait for it still.
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = Store::new(MemoryConfig::default())?;
    /// let load = || async { Ok::<_, std::io::Error>("{\"passed\": 12}") };
    /// let (one, other) = tokio::join!(
    ///     store.get_or_load(b"run/1", load),
    ///     store.get_or_load(b"run/1", load),
    /// );
    /// assert_eq!(one?, other?);
    /// assert_eq!(store.stats().loads, 1);
    /// # Ok(()) }
    /// ```
    pub async fn get_or_load<Fut, B, E>(
        &self,
        key: &[u8],
        loader: impl FnOnce() -> Fut,
    ) -> Result<Value, LoadError<E>>
    where
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: AsRef<[u8]> + 'static,
        E: Send + Sync + 'static,
    {
        let time_to_live = self.core.config.time_to_live;
        self.load(key, time_to_live, loader).await
    }

    /// [`get_or_load`](Self::get_or_load) of a value that lives for as long as `time_to_live` from when it is there.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Cancel safety
    ///
    /// As [`get_or_load`](Self::get_or_load).
    pub async fn get_or_load_for<Fut, B, E>(
        &self,
        key: &[u8],
        time_to_live: Duration,
        loader: impl FnOnce() -> Fut,
    ) -> Result<Value, LoadError<E>>
    where
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: AsRef<[u8]> + 'static,
        E: Send + Sync + 'static,
    {
        self.load(key, Some(time_to_live), loader).await
    }

    /// [`get_or_load`](Self::get_or_load) for threads: the loader is called in place, and other calls for the key,
    /// [`get_or_load`](Self::get_or_load) among them, wait for it. A thread that waits for an asynchronous loader does not drive
    /// it, and loads itself when nobody drives it any more.
    ///
    /// Not for async code: it blocks the thread while somebody else loads.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// If the loader does.
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_memory::{MemoryConfig, Store};
    ///
    /// let store = Store::new(MemoryConfig::default())?;
    /// let load = || std::fs::read("no such file");
    /// assert!(store.get_or_insert_with(b"run/1", load).is_err());
    /// let value = store.get_or_insert_with(b"run/1", || Ok::<_, std::io::Error>("passed"))?;
    /// assert_eq!(*value, *b"passed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_insert_with<B, E>(
        &self,
        key: &[u8],
        loader: impl FnOnce() -> Result<B, E>,
    ) -> Result<Value, LoadError<E>>
    where
        B: AsRef<[u8]>,
        E: Send + Sync + 'static,
    {
        let time_to_live = self.core.config.time_to_live;
        self.load_here(key, time_to_live, loader)
    }

    /// [`get_or_insert_with`](Self::get_or_insert_with) of a value that lives for as long as `time_to_live` from when it is
    /// there.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// If the loader does.
    pub fn get_or_insert_with_for<B, E>(
        &self,
        key: &[u8],
        time_to_live: Duration,
        loader: impl FnOnce() -> Result<B, E>,
    ) -> Result<Value, LoadError<E>>
    where
        B: AsRef<[u8]>,
        E: Send + Sync + 'static,
    {
        self.load_here(key, Some(time_to_live), loader)
    }

    async fn load<Fut, B, E>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loader: impl FnOnce() -> Fut,
    ) -> Result<Value, LoadError<E>>
    where
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: AsRef<[u8]> + 'static,
        E: Send + Sync + 'static,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.load_missing(key, time_to_live, loader).await,
        }
    }

    pub(crate) async fn load_missing<Fut, B, E>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loader: impl FnOnce() -> Fut,
    ) -> Result<Value, LoadError<E>>
    where
        Fut: Future<Output = Result<B, E>> + Send + 'static,
        B: AsRef<[u8]> + 'static,
        E: Send + Sync + 'static,
    {
        loop {
            match self.core.loads.join(name(self.number, key), Drives::Yes) {
                Turn::Lead(lead) => {
                    if let Some(value) = self.core.peek(self.number, key) {
                        lead.end(Ended::Loaded(value.clone()));
                        return Ok(value);
                    }
                    let keep = self.keep(key, time_to_live, lead.stale());
                    let panics = CountPanic(Arc::clone(&self.core));
                    let loading = loader();
                    let seat = lead.start(Box::pin(async move {
                        let _panics = panics;
                        keep(loading.await)
                    }));
                    return own(seat.await);
                }
                Turn::Follow(seat) => match seat.await {
                    Ended::Nested => return self.keep_alone(key, time_to_live, loader().await),
                    ended => {
                        if let Some(result) = theirs(ended) {
                            return result;
                        }
                    }
                },
            }
        }
    }

    fn load_here<B, E>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loader: impl FnOnce() -> Result<B, E>,
    ) -> Result<Value, LoadError<E>>
    where
        B: AsRef<[u8]>,
        E: Send + Sync + 'static,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.load_missing_here(key, time_to_live, loader),
        }
    }

    pub(crate) fn load_missing_here<B, E>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loader: impl FnOnce() -> Result<B, E>,
    ) -> Result<Value, LoadError<E>>
    where
        B: AsRef<[u8]>,
        E: Send + Sync + 'static,
    {
        loop {
            match self.core.loads.join(name(self.number, key), Drives::No) {
                Turn::Lead(lead) => {
                    if let Some(value) = self.core.peek(self.number, key) {
                        lead.end(Ended::Loaded(value.clone()));
                        return Ok(value);
                    }
                    let keep = self.keep(key, time_to_live, lead.stale());
                    let _panics = CountPanic(Arc::clone(&self.core));
                    return own(lead.end(Ended::from(keep(loader()))));
                }
                Turn::Follow(seat) => match wait(seat) {
                    Ended::Nested => return self.keep_alone(key, time_to_live, loader()),
                    ended => {
                        if let Some(result) = theirs(ended) {
                            return result;
                        }
                    }
                },
            }
        }
    }

    /// What is done with what a loader gives.
    fn keep<B: AsRef<[u8]>, E: Send + Sync + 'static>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        stale: Arc<Stale>,
    ) -> impl FnOnce(Result<B, E>) -> Result<Value, SharedError> + Send + use<B, E> {
        let core = Arc::clone(&self.core);
        let (number, key) = (self.number, Box::<[u8]>::from(key));
        move |loaded| match loaded {
            Ok(bytes) => {
                let put = |bytes: &[u8]| core.put_loaded(number, &key, bytes, time_to_live);
                Ok(stale.unless(
                    || put(bytes.as_ref()),
                    || {
                        core.shared.counts.load(Load::Unkept);
                        Value::owned(bytes.as_ref())
                    },
                ))
            }
            Err(error) => {
                core.shared.counts.load(Load::Failed);
                let error: SharedError = Arc::new(error);
                Err(error)
            }
        }
    }

    /// As [`keep`](Self::keep), for a loader that was called by itself and shares what it loads with nobody.
    fn keep_alone<B: AsRef<[u8]>, E: Send + Sync + 'static>(
        &self,
        key: &[u8],
        time_to_live: Option<Duration>,
        loaded: Result<B, E>,
    ) -> Result<Value, LoadError<E>> {
        let keep = self.keep(key, time_to_live, Arc::default());
        own(Ended::from(keep(loaded)))
    }
}

impl Core {
    pub(crate) fn peek(&self, namespace: u16, key: &[u8]) -> Option<Value> {
        let found = self.find(namespace, key, Look::Peek);
        found.map(|(value, _)| value)
    }

    /// Puts what was loaded, unless somebody has put something meanwhile. Gives what is there.
    fn put_loaded(
        &self,
        namespace: u16,
        key: &[u8],
        bytes: &[u8],
        time_to_live: Option<Duration>,
    ) -> Value {
        let absent = Expected::Version(None);
        let put = self.put(namespace, key, bytes, time_to_live, absent);
        self.shared.counts.load(match put {
            Ok(_) => Load::Kept,
            Err(CompareError::Put(_) | CompareError::Changed { .. }) => Load::Unkept,
        });
        // It may be gone by now, evicted or over. What was loaded is as good then.
        let there = self.peek(namespace, key);
        there.unwrap_or_else(|| Value::owned(bytes))
    }
}

/// A loader that panics has failed.
struct CountPanic(Arc<Core>);

impl Drop for CountPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.shared.counts.load(Load::Failed);
        }
    }
}

/// The name of a load among all of a store.
fn name(namespace: u16, key: &[u8]) -> Box<[u8]> {
    [&namespace.to_le_bytes(), key].concat().into()
}

impl Loads<Value> {
    /// Says that what is being loaded for a key now is not to be put.
    pub(crate) fn invalidate(&self, namespace: u16, key: &[u8]) {
        if self.are_any() {
            self.invalidate_named(&name(namespace, key));
        }
    }
}

/// What one's own loader has given.
pub(crate) fn own<V, E: Send + Sync + 'static>(ended: Ended<V>) -> Result<V, LoadError<E>> {
    match theirs(ended) {
        Some(result) => result,
        None => unreachable!("one's own loader has one's own error, and its panic was resumed"),
    }
}

/// What somebody else's loader has given, if it can be ours.
pub(crate) fn theirs<V, E: Send + Sync + 'static>(
    ended: Ended<V>,
) -> Option<Result<V, LoadError<E>>> {
    match ended {
        Ended::Loaded(value) => Some(Ok(value)),
        Ended::Failed(error) => {
            let error: Arc<dyn Any + Send + Sync> = error;
            Some(Err(LoadError::new(error.downcast().ok()?)))
        }
        Ended::Void | Ended::Nested => None,
    }
}

/// Waits for a future on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future: Pin<&mut _> = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}
