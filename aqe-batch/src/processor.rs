//! The handle that users hold, and the builder of one run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cancel::CancelToken;
use crate::checkpoint::{Checkpoint, Keep, Ledger};
use crate::codec::{Codec, Json, NotKept};
use crate::config::{BatchConfig, ConfigError};
use crate::error::Stopped;
use crate::log::done::DoneSet;
use crate::log::{CheckpointError, JobIdentity};
use crate::meter::Meter;
use crate::policy::{ByConfig, Decision, OnError};
use crate::progress::{self, Progress, ProgressStream};
use crate::runs::{Running, Runs, ShutdownReport};
use crate::switch::Switch;
use crate::ticker::{Audience, Before, ByteCounter, Ticker};

/// Processes many items in chunks. It is a configuration that has been checked; [`job`](Self::job) begins a run with it,
/// and any number of runs may use it at once.
#[derive(Clone, Debug)]
///
/// Clones are handles of the same processor. Dropping them ends nothing: a run belongs to whoever began it.
/// [`shutdown`](Self::shutdown) ends all of them.
pub struct BatchProcessor {
    config: Arc<BatchConfig>,
    runs: Arc<Runs>,
}

impl BatchProcessor {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that names the first field with an impossible value.
    pub fn new(config: BatchConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: Arc::new(config),
            runs: Arc::default(),
        })
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &BatchConfig {
        &self.config
    }

    /// Begins a run. The name says what the run does; a [checkpoint](Job::checkpoint) is only resumed by a job of the same
    /// name.
    pub fn job(&self, name: impl Into<String>) -> Job {
        let name = name.into();
        Job {
            config: Arc::clone(&self.config),
            runs: Arc::clone(&self.runs),
            identity: JobIdentity::new(name),
            checkpoint: None,
            codec: NotKept,
            policy: ByConfig,
            audience: Audience::default(),
            cancel: None,
        }
    }

    /// How many runs have begun and are not over.
    #[must_use]
    pub fn running(&self) -> usize {
        self.runs.len()
    }

    /// Whether it has been [shut down](Self::shutdown).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.runs.is_closed()
    }

    /// Begins no more runs, lets those that run come to their end, and ends those that have not after `grace` as a
    /// [cancellation](CancelToken::cancel) does.
    ///
    /// Both those and runs that are begun from now on tell their callers [`Stopped::ShutDown`]. What they have done is in
    /// their report and in their checkpoint, from which a later run goes on: an end by shutdown repeats nothing that had
    /// ended.
    ///
    /// It returns within `grace` and one poll of the items that ran; on threads, within `grace` and the rest of those items,
    /// since those cannot be interrupted. With more than no grace it needs a tokio runtime with its time enabled.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aqe_batch::{BatchConfig, BatchProcessor, Stopped};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let processor = BatchProcessor::new(BatchConfig::default())?;
    /// let wait = |_: u64, _| async { Ok::<_, std::convert::Infallible>(tokio::time::sleep(Duration::from_secs(60)).await) };
    /// let run = tokio::spawn(processor.job("a day").run(0..144_000, wait));
    /// tokio::time::sleep(Duration::from_secs(601)).await;
    ///
    /// assert_eq!(processor.shutdown(Duration::from_secs(120)).await.cut, 1);
    /// let error = run.await?.unwrap_err();
    /// assert!(matches!(error.stopped(), Stopped::ShutDown));
    /// assert_eq!(error.report().progress.done, 1_200);
    /// # Ok(()) }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// If this future is dropped the processor stays closed, and its runs go on.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.runs.shut_down(grace).await
    }
}

/// One run, before it begins: what is special about it. Its last method names the source of the items and the operation.
///
/// | Items | On threads of its own, for work that computes | On the tokio runtime, for work that waits |
/// | --- | --- | --- |
/// | a slice | [`map_slice`](Self::map_slice), [`map_slice_into`](Self::map_slice_into), [`update_slice`](Self::update_slice) | |
/// | an iterator | [`map`](Self::map), [`for_each`](Self::for_each) | [`run`](Self::run), [`run_each`](Self::run_each), [`stream`](Self::stream) |
/// | a stream | | the same, with [`from_stream`](crate::from_stream) |
#[must_use = "a job does nothing until it is given items"]
pub struct Job<P = ByConfig, C = NotKept> {
    pub(crate) config: Arc<BatchConfig>,
    pub(crate) runs: Arc<Runs>,
    pub(crate) identity: JobIdentity,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) codec: C,
    pub(crate) policy: P,
    pub(crate) audience: Audience,
    pub(crate) cancel: Option<CancelToken>,
}

impl<P, C> Job<P, C> {
    /// Adds something that the results depend on, such as the version of the operation or its options. A checkpoint is
    /// only resumed by a job with the same; the order counts.
    pub fn depends_on(mut self, what: impl AsRef<[u8]>) -> Self {
        self.identity = self.identity.part(what);
        self
    }

    /// Keeps the state of the run, and results as JSON, in a file, from which the run is resumed if it ends before its
    /// time.
    pub fn checkpoint(self, checkpoint: Checkpoint) -> Job<P, Json> {
        self.checkpoint_with(checkpoint, Json)
    }

    /// As [`checkpoint`](Self::checkpoint), with results kept by another codec.
    pub fn checkpoint_with<D>(self, checkpoint: Checkpoint, codec: D) -> Job<P, D> {
        Job {
            config: self.config,
            runs: self.runs,
            identity: self.identity,
            checkpoint: Some(checkpoint),
            codec,
            policy: self.policy,
            audience: self.audience,
            cancel: self.cancel,
        }
    }

    /// Decides what is to become of an item whose attempt (counted from 1) returned an error. Without it, items are tried
    /// again while they have [attempts](BatchConfig::retry) left.
    pub fn on_error<E, F>(self, decide: F) -> Job<OnError<F>, C>
    where
        F: Fn(&E, u32) -> Decision,
    {
        Job {
            config: self.config,
            runs: self.runs,
            identity: self.identity,
            checkpoint: self.checkpoint,
            codec: self.codec,
            policy: OnError(decide),
            audience: self.audience,
            cancel: self.cancel,
        }
    }

    /// Calls `tell` with the progress, every [`progress_interval`](BatchConfig::progress_interval) and at the end. It is
    /// called beside the items, by one thread or task at a time.
    pub fn progress(mut self, tell: impl FnMut(&Progress) + Send + 'static) -> Self {
        self.audience.callback = Some(Box::new(tell));
        self
    }

    /// Gives the progress as a stream as well.
    pub fn watch(mut self) -> (Self, ProgressStream) {
        let (publisher, stream) = progress::channel();
        self.audience.publisher = Some(publisher);
        (self, stream)
    }

    /// Lets `token` cancel the run.
    pub fn cancel(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(token.clone());
        self
    }

    /// Takes the bytes of the [progress](Progress::bytes) from `counter`, which the operation adds to.
    pub fn count_bytes(mut self, counter: &ByteCounter) -> Self {
        self.audience.bytes = Some(counter.clone());
        self
    }

    /// Asks `probe` which share of the memory is in use, 0–1, in place of the system; `None` holds nobody up.
    pub fn memory_probe(mut self, probe: impl FnMut() -> Option<f64> + Send + 'static) -> Self {
        self.audience.probe = Some(Box::new(probe));
        self
    }

    /// Begins the run, before anything is opened: its switch, and what makes it one that is not over.
    pub(crate) fn begin(&self) -> Result<(Arc<Switch>, Running), Stopped> {
        let config = &self.config;
        let switch = Switch::new(config.error_threshold, config.skip_limit, config.chunk_size);
        if let Some(token) = &self.cancel {
            token.attach(&switch);
        }
        let running = self.runs.begin(&switch)?;
        Ok((switch, running))
    }

    /// Names in the identity how results are kept.
    pub(crate) fn kept_as<T>(&mut self)
    where
        C: Codec<T>,
    {
        self.depend_on_form(C::NAME);
    }

    pub(crate) fn depend_on_form(&mut self, name: &str) {
        self.identity = self.identity.clone().part(name);
    }
}

impl<P: fmt::Debug, C: fmt::Debug> fmt::Debug for Job<P, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("config", &self.config)
            .field("checkpoint", &self.checkpoint)
            .field("codec", &self.codec)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What an earlier run has left.
pub(crate) struct Opened<T, K> {
    pub(crate) ledger: Option<Arc<Ledger<K>>>,
    pub(crate) restored: Vec<(u64, T)>,
    pub(crate) done: DoneSet,
    pub(crate) skipped: DoneSet,
}

impl<T, K> Opened<T, K> {
    pub(crate) fn before(&self) -> Before {
        Before {
            done: self.done.len(),
            skipped: self.skipped.len(),
        }
    }
}

/// Opens the checkpoint of a run, if it has one.
pub(crate) fn open<T, K: Keep<T>>(
    checkpoint: Option<Checkpoint>,
    identity: JobIdentity,
    total: Option<u64>,
    keep: K,
    interval: usize,
    switch: &Arc<Switch>,
) -> Result<Opened<T, K>, Stopped> {
    let Some(checkpoint) = checkpoint else {
        return Ok(Opened {
            ledger: None,
            restored: Vec::new(),
            done: DoneSet::default(),
            skipped: DoneSet::default(),
        });
    };
    let identity = match total {
        Some(total) => identity.total(total),
        None => identity,
    };
    let (ledger, restored) = checkpoint
        .open(&identity, keep, interval, switch)
        .map_err(Stopped::Checkpoint)?;
    let (done, skipped) = ledger.sets();
    if let Some(total) = total {
        source_is_the_same(&done, total).map_err(Stopped::Checkpoint)?;
    }
    Ok(Opened {
        ledger: Some(Arc::new(ledger)),
        restored,
        done,
        skipped,
    })
}

/// Checks that everything that is done was given by the source, which had so many items.
pub(crate) fn source_is_the_same(done: &DoneSet, items: u64) -> Result<(), CheckpointError> {
    match done.next_done(items) {
        None => Ok(()),
        Some(item) => Err(CheckpointError::SourceChanged {
            path: None,
            item,
            items,
        }),
    }
}

/// Closes the ledger when nobody else has it, and says why the run stopped, if it did.
pub(crate) fn close<K>(
    ledger: Option<Arc<Ledger<K>>>,
    switch: &Switch,
    is_complete: bool,
) -> Option<Stopped> {
    let reason = switch.take_reason();
    let is_complete = is_complete && reason.is_none();
    // Workers have given theirs back by now. Were one left, its drop would still sync, only without a word.
    let closed = ledger
        .and_then(Arc::into_inner)
        .map_or(Ok(()), |ledger| ledger.close(is_complete));
    reason.or_else(|| closed.err().map(Stopped::Checkpoint))
}

/// The counters of so many workers.
pub(crate) fn meters(workers: usize) -> Arc<[Meter]> {
    (0..workers).map(|_| Meter::default()).collect()
}

impl<P, C> Job<P, C> {
    pub(crate) fn ticker(
        &mut self,
        switch: &Arc<Switch>,
        meters: &Arc<[Meter]>,
        before: Before,
        total: Option<u64>,
    ) -> Ticker {
        let audience = std::mem::take(&mut self.audience);
        let (switch, meters) = (Arc::clone(switch), Arc::clone(meters));
        Ticker::new(&self.config, switch, meters, audience, before, total)
    }
}
