//! Operations that have a name and can travel.
//!
//! A closure runs where it was made. An [`Operation`] is data with a name: the same one can run here, through the
//! handler that a [`Registry`] has for it, or in another process that has the same handler. Run here it is handed over
//! as it is; bytes are made only when something [asks](ErasedOperation::encode) for them.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batching::{
    BatchContext, BatchHandler, BatchOptions, BatchResults, Kind, KindFactory, Member,
};
use crate::body::Body;
use crate::context::AttemptContext;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A piece of work that may travel.
///
/// Work of this kind may be started more than once: after a failure, and, with a remote backend, after a worker was
/// lost. Side effects outside the queue must bear that.
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name under which handlers are found. It is a contract between processes: put a version into it
    /// ("run-suite/1") and take a new one when the payload changes.
    const NAME: &'static str;
    /// What the operation gives when it succeeds.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}

/// How a handler fails: in words, since the error may have to travel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct HandlerError {
    message: String,
    is_permanent: bool,
}

impl HandlerError {
    /// Fails this attempt; another may succeed.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_permanent: false,
        }
    }

    /// Fails the operation: another attempt would fail as well, so none is made.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            is_permanent: true,
        }
    }

    /// Returns what went wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns whether another attempt would be useless.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.is_permanent
    }
}

/// Why an operation or its output could not be turned into bytes or back.
#[derive(Debug, thiserror::Error)]
#[error("{} of operation `{}` cannot be {}", .0.what, .0.name, .0.direction)]
pub struct CodecError(#[source] Box<CodecFailure>);

/// On the heap, since it is rare and not small.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
struct CodecFailure {
    name: String,
    what: &'static str,
    direction: &'static str,
    source: serde_json::Error,
}

impl CodecError {
    fn encoding(name: &str, what: &'static str, source: serde_json::Error) -> Self {
        Self(Box::new(CodecFailure {
            name: name.to_owned(),
            what,
            direction: "encoded",
            source,
        }))
    }

    fn decoding(name: &str, what: &'static str, source: serde_json::Error) -> Self {
        Self(Box::new(CodecFailure {
            name: name.to_owned(),
            what,
            direction: "decoded",
            source,
        }))
    }

    /// Bytes that cannot be read now cannot be read by the next attempt either.
    pub(crate) fn into_handler_error(self) -> HandlerError {
        HandlerError::permanent(format!("{self}: {}", self.0))
    }
}

/// A named operation whose type has been forgotten. Sealed: every [`Operation`] is one, and nothing else.
pub trait ErasedOperation: Send + Sync + sealed::Sealed {
    /// Returns the operation's name.
    fn name(&self) -> &'static str;

    /// Appends the operation as JSON. Only what sends operations away calls this.
    ///
    /// # Errors
    ///
    /// If the operation's `Serialize` refuses.
    fn encode(&self, to: &mut BytesMut) -> Result<(), CodecError>;

    /// Returns the operation itself. Only what runs operations here calls this.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

mod sealed {
    pub trait Sealed {}
    impl<O: super::Operation> Sealed for O {}
}

impl<O: Operation> ErasedOperation for O {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn encode(&self, to: &mut BytesMut) -> Result<(), CodecError> {
        serde_json::to_writer(to.writer(), self)
            .map_err(|error| CodecError::encoding(O::NAME, "payload", error))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// The output of a named operation whose type has been forgotten. Sealed, like [`ErasedOperation`].
pub trait ErasedOutput: Send + sealed_output::Sealed {
    /// Appends the output as JSON.
    ///
    /// # Errors
    ///
    /// If the output's `Serialize` refuses.
    fn encode(&self, to: &mut BytesMut) -> Result<(), CodecError>;

    /// Returns the output itself.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

mod sealed_output {
    pub trait Sealed {}
    impl<O: super::Operation> Sealed for super::TypedOutput<O> {}
}

/// An output that remembers which operation it belongs to.
struct TypedOutput<O: Operation>(O::Output);

impl<O: Operation> ErasedOutput for TypedOutput<O> {
    fn encode(&self, to: &mut BytesMut) -> Result<(), CodecError> {
        serde_json::to_writer(to.writer(), &self.0)
            .map_err(|error| CodecError::encoding(O::NAME, "output", error))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        Box::new(self.0)
    }
}

/// An operation for a backend: as it is, or as bytes.
#[derive(Clone)]
#[non_exhaustive]
pub enum Payload {
    /// The operation itself.
    Value(Arc<dyn ErasedOperation>),
    /// The operation as JSON.
    Bytes {
        /// The operation's name.
        name: Arc<str>,
        /// What `encode` gave.
        bytes: Bytes,
    },
}

impl Payload {
    /// Wraps an operation.
    #[must_use]
    pub fn new<O: Operation>(operation: O) -> Self {
        Self::Value(Arc::new(operation))
    }

    /// Wraps an operation that has come as bytes. They are read when a handler needs them.
    #[must_use]
    pub fn bytes(name: impl Into<Arc<str>>, bytes: Bytes) -> Self {
        Self::Bytes {
            name: name.into(),
            bytes,
        }
    }

    /// Returns the operation's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Value(operation) => operation.name(),
            Self::Bytes { name, .. } => name,
        }
    }

    /// Returns the operation as an `O`, decoding it if it is in bytes.
    ///
    /// # Errors
    ///
    /// If it is another operation, or the bytes are not an `O`.
    pub fn decode<O: Operation>(&self) -> Result<Arc<O>, CodecError> {
        match self {
            Self::Value(operation) => Arc::clone(operation)
                .into_any()
                .downcast()
                .map_err(|_| CodecError::decoding(O::NAME, "payload", of_another("payload"))),
            Self::Bytes { bytes, .. } => serde_json::from_slice(bytes)
                .map(Arc::new)
                .map_err(|error| CodecError::decoding(O::NAME, "payload", error)),
        }
    }

    /// Returns the same operation as bytes.
    ///
    /// # Errors
    ///
    /// If the operation's `Serialize` refuses.
    pub fn to_bytes(&self) -> Result<Self, CodecError> {
        match self {
            Self::Value(operation) => {
                let mut bytes = BytesMut::new();
                operation.encode(&mut bytes)?;
                Ok(Self::Bytes {
                    name: operation.name().into(),
                    bytes: bytes.freeze(),
                })
            }
            Self::Bytes { .. } => Ok(self.clone()),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(operation) => f.debug_tuple("Value").field(&operation.name()).finish(),
            Self::Bytes { name, bytes } => f
                .debug_struct("Bytes")
                .field("name", name)
                .field("len", &bytes.len())
                .finish(),
        }
    }
}

/// The output of an operation: as it is, or as bytes.
#[non_exhaustive]
pub enum Output {
    /// The output itself.
    Value(Box<dyn ErasedOutput>),
    /// The output as JSON.
    Bytes(Bytes),
}

impl Output {
    /// Wraps the output of operation `O`.
    #[must_use]
    pub fn new<O: Operation>(output: O::Output) -> Self {
        Self::Value(Box::new(TypedOutput::<O>(output)))
    }

    /// Returns the same output as bytes.
    ///
    /// # Errors
    ///
    /// If the output's `Serialize` refuses.
    pub fn into_bytes(self) -> Result<Bytes, CodecError> {
        match self {
            Self::Value(output) => {
                let mut bytes = BytesMut::new();
                output.encode(&mut bytes)?;
                Ok(bytes.freeze())
            }
            Self::Bytes(bytes) => Ok(bytes),
        }
    }

    /// Returns the output of operation `O`.
    ///
    /// # Errors
    ///
    /// If the bytes are not such an output.
    pub fn into_output<O: Operation>(self) -> Result<O::Output, CodecError> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Value(output) => match output.into_any().downcast::<O::Output>() {
                Ok(output) => return Ok(*output),
                Err(_) => {
                    return Err(CodecError::decoding(
                        O::NAME,
                        "output",
                        of_another("output"),
                    ));
                }
            },
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| CodecError::decoding(O::NAME, "output", error))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(..)"),
            Self::Bytes(bytes) => f.debug_struct("Bytes").field("len", &bytes.len()).finish(),
        }
    }
}

fn of_another(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format!("it is the {what} of another operation"))
}

/// What runs the operations of one name.
pub(crate) type Handler<O> = Arc<
    dyn Fn(
            Arc<O>,
            AttemptContext,
        ) -> BoxFuture<'static, Result<<O as Operation>::Output, HandlerError>>
        + Send
        + Sync,
>;

/// The same, for any form of the operation.
pub(crate) type ErasedHandler = Arc<
    dyn Fn(&Payload, AttemptContext) -> BoxFuture<'static, Result<Output, HandlerError>>
        + Send
        + Sync,
>;

/// Handlers by the name of their operation. Cloning is cheap and gives an independent registry.
#[derive(Clone, Default)]
pub struct Registry {
    entries: BTreeMap<&'static str, Entry>,
    /// Kinds with a batch handler. They are numbered from 0.
    kinds: u32,
}

#[derive(Clone)]
struct Entry {
    /// A `Handler<O>`.
    typed: Arc<dyn Any + Send + Sync>,
    erased: ErasedHandler,
    /// The number of the kind and what makes its part of a queue, if it has a batch handler.
    batched: Option<(u32, KindFactory)>,
}

impl Registry {
    /// Creates a registry without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the handler of operation `O`. It gets the operation behind an `Arc`, because every attempt needs it.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the name has a handler already: which of two would run should not depend on their order.
    pub fn register<O, F, Fut>(&mut self, handler: F) -> Result<&mut Self, RegisterError>
    where
        O: Operation,
        F: Fn(Arc<O>, AttemptContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<O::Output, HandlerError>> + Send + 'static,
    {
        self.insert::<O>(
            Arc::new(move |operation, cx| Box::pin(handler(operation, cx))),
            None,
        )
    }

    /// Sets a handler that gets several operations `O` in one call: see [`batching`](crate::batching), which says what
    /// that means for each of them. It returns one result for each operation, in their order, or one error for all.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use aqe_queue::{AsyncOperationQueue, BatchContext, BatchOptions, Operation, QueueConfig, Registry};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Insert(u32);
    ///
    /// impl Operation for Insert {
    ///     const NAME: &'static str = "insert/1";
    ///     /// How many rows went in together.
    ///     type Output = usize;
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut registry = Registry::new();
    /// registry.register_batch(
    ///     BatchOptions::default().max_size(100),
    ///     |rows: Vec<Arc<Insert>>, _: BatchContext| async move {
    ///         let together = rows.len();
    ///         Ok(rows.iter().map(|_| Ok(together)).collect())
    ///     },
    /// )?;
    /// let queue = AsyncOperationQueue::builder(QueueConfig::default()).registry(registry).build()?;
    /// let mut handles = Vec::new();
    /// for row in 0..3 {
    ///     handles.push(queue.submit(Insert(row)).await?);
    /// }
    /// for handle in handles {
    ///     assert_eq!(handle.await, Ok(3));
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the name has a handler already, or a call would have room for nothing.
    pub fn register_batch<O, F, Fut>(
        &mut self,
        options: BatchOptions,
        handler: F,
    ) -> Result<&mut Self, RegisterError>
    where
        O: Operation,
        F: Fn(Vec<Arc<O>>, BatchContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = BatchResults<O::Output>> + Send + 'static,
    {
        if options.max_size == Some(0) {
            return Err(RegisterError {
                name: O::NAME,
                problem: "cannot have calls of no operations; leave `max_size` out, or let it be 1 or more",
            });
        }
        let kind = self.kinds;
        let handler: BatchHandler<O> =
            Arc::new(move |operations, cx| Box::pin(handler(operations, cx)));
        let factory: KindFactory =
            Arc::new(move |default| Kind::in_queue(kind, options, default, Arc::clone(&handler)));
        self.insert::<O>(
            Arc::new(move |operation, cx| Box::pin(Member::join(kind, operation, cx))),
            Some((kind, factory)),
        )?;
        self.kinds += 1;
        Ok(self)
    }

    fn insert<O: Operation>(
        &mut self,
        typed: Handler<O>,
        batched: Option<(u32, KindFactory)>,
    ) -> Result<&mut Self, RegisterError> {
        if self.entries.contains_key(O::NAME) {
            return Err(RegisterError {
                name: O::NAME,
                problem: "has a handler already",
            });
        }
        let entry = Entry {
            erased: erase::<O>(Arc::clone(&typed)),
            typed: Arc::new(typed),
            batched,
        };
        self.entries.insert(O::NAME, entry);
        Ok(self)
    }

    /// Returns the names that have a handler, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.entries.keys().copied()
    }

    pub(crate) fn typed<O: Operation>(&self) -> Option<Handler<O>> {
        // A second type under the same name cannot have been registered; if one is submitted it is unknown.
        self.entries
            .get(O::NAME)?
            .typed
            .downcast_ref::<Handler<O>>()
            .map(Arc::clone)
    }

    /// Returns the number of a kind that has a batch handler.
    pub(crate) fn kind(&self, name: &str) -> Option<u32> {
        if self.kinds == 0 {
            return None;
        }
        let (kind, _) = self.entries.get(name)?.batched.as_ref()?;
        Some(*kind)
    }

    /// Returns what makes the kinds with a batch handler, by their numbers.
    pub(crate) fn kinds(&self) -> Vec<KindFactory> {
        let batched = self.entries.values().filter_map(|it| it.batched.as_ref());
        let mut kinds: Vec<_> = batched.collect();
        kinds.sort_unstable_by_key(|(kind, _)| *kind);
        kinds
            .into_iter()
            .map(|(_, factory)| Arc::clone(factory))
            .collect()
    }

    pub(crate) fn erased(&self, name: &str) -> Option<ErasedHandler> {
        self.entries
            .get(name)
            .map(|entry| Arc::clone(&entry.erased))
    }
}

/// The two ways to a handler: by value, where the operation is handed over as it is, and by bytes.
fn erase<O: Operation>(handler: Handler<O>) -> ErasedHandler {
    Arc::new(move |payload, cx| match payload.decode::<O>() {
        Ok(operation) => {
            let run = handler(operation, cx);
            Box::pin(async move { run.await.map(Output::new::<O>) })
        }
        Err(error) => Box::pin(async move { Err(error.into_handler_error()) }),
    })
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// A handler cannot be registered: its operation has one already, or its calls could hold nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation `{name}` {problem}")]
pub struct RegisterError {
    name: &'static str,
    problem: &'static str,
}

/// The body of a named operation that runs here.
pub struct Named<O: Operation> {
    operation: Arc<O>,
    handler: Option<Handler<O>>,
    attempt: Option<BoxFuture<'static, Result<O::Output, HandlerError>>>,
}

impl<O: Operation> Named<O> {
    pub(crate) fn new(operation: Arc<O>, handler: Option<Handler<O>>) -> Self {
        Self {
            operation,
            handler,
            attempt: None,
        }
    }
}

impl<O: Operation> Body for Named<O> {
    type Value = O::Output;
    type Error = HandlerError;
    type Source = Arc<O>;

    const REPEATS: bool = true;

    fn is_worth_retrying(error: &HandlerError) -> bool {
        !error.is_permanent()
    }

    fn start(mut self: Pin<&mut Self>, context: impl FnOnce() -> AttemptContext) {
        let operation = Arc::clone(&self.operation);
        self.attempt = self
            .handler
            .as_ref()
            .map(|handler| handler(operation, context()));
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<O::Output, HandlerError>> {
        poll_attempt(self.attempt.as_mut(), cx)
    }

    fn stop(mut self: Pin<&mut Self>) {
        self.attempt = None;
    }

    fn into_source(self) -> Arc<O> {
        self.operation
    }
}

/// Nothing in it is pinned: the attempt is on the heap.
impl<O: Operation> Unpin for Named<O> {}

impl<O: Operation> fmt::Debug for Named<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&O::NAME).finish()
    }
}

/// The body of a named operation whose type is not known here.
pub struct Erased {
    payload: Payload,
    handler: Option<ErasedHandler>,
    attempt: Option<BoxFuture<'static, Result<Output, HandlerError>>>,
}

impl Erased {
    pub(crate) fn new(payload: Payload, handler: Option<ErasedHandler>) -> Self {
        Self {
            payload,
            handler,
            attempt: None,
        }
    }
}

impl Body for Erased {
    type Value = Output;
    type Error = HandlerError;
    type Source = Payload;

    const REPEATS: bool = true;

    fn is_worth_retrying(error: &HandlerError) -> bool {
        !error.is_permanent()
    }

    fn start(mut self: Pin<&mut Self>, context: impl FnOnce() -> AttemptContext) {
        self.attempt = self
            .handler
            .as_ref()
            .map(|handler| handler(&self.payload, context()));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Output, HandlerError>> {
        poll_attempt(self.attempt.as_mut(), cx)
    }

    fn stop(mut self: Pin<&mut Self>) {
        self.attempt = None;
    }

    fn into_source(self) -> Payload {
        self.payload
    }
}

impl fmt::Debug for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Erased").field(&self.payload.name()).finish()
    }
}

fn poll_attempt<T>(
    attempt: Option<&mut BoxFuture<'static, Result<T, HandlerError>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, HandlerError>> {
    match attempt {
        Some(attempt) => attempt.as_mut().poll(cx),
        // An operation without a handler is refused when it is submitted, so it never comes here.
        None => Poll::Ready(Err(HandlerError::permanent("no handler is registered"))),
    }
}
