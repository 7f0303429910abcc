//! The shell around the state machine: a clock, threads and the store.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::courier::{Courier, Next, key};
use super::deliver::receiver::{Receiver, ReceiverError};
use super::deliver::{Outcome, Sender};
use super::log::{ActiveSilence, AlertLog};
use super::notification::Notification;
use super::rule::{Rule, RuleError};
use super::silence::{Silence, SilenceError};
use super::state::{AlertKey, AlertStatus, Effects, Limits, Machine, Now, Observation};
use super::store::{Address, Opened, Store, StoreError};

/// What an [`Alerter`] does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AlerterConfig {
    /// The file of state, outbox and history. Its folder must exist.
    pub path: PathBuf,
    /// What is watched.
    pub rules: Vec<Rule>,
    /// Who gets messages.
    pub receivers: Vec<Receiver>,
    /// Bounds and times.
    pub limits: Limits,
    /// How often time-outs are looked at and messages are made.
    pub tick: Duration,
    /// Transitions, messages and attempts that are kept, each; the oldest go first. Most have a few hundred bytes; a
    /// message about 20 alerts with the longest labels has 200 KiB.
    pub max_records: u64,
    /// Messages that wait for one receiver at most; further ones are dead letters at once.
    pub max_queued: u64,
}

impl AlerterConfig {
    /// The default rules and no receivers, a look each second, 100,000 records of each kind and 10,000
    /// messages in waiting.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rules: Rule::defaults(),
            receivers: Vec::new(),
            limits: Limits::default(),
            tick: Duration::from_secs(1),
            max_records: 100_000,
            max_queued: 10_000,
        }
    }

    /// Sets what is watched.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules = rules.into_iter().collect();
        self
    }

    /// Adds a receiver.
    #[must_use]
    pub fn receiver(mut self, receiver: Receiver) -> Self {
        self.receivers.push(receiver);
        self
    }

    /// Sets bounds and times.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how often time-outs are looked at.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Sets how many records of each kind are kept.
    #[must_use]
    pub fn max_records(mut self, records: u64) -> Self {
        self.max_records = records;
        self
    }

    /// Sets how many messages wait for one receiver at most.
    #[must_use]
    pub fn max_queued(mut self, messages: u64) -> Self {
        self.max_queued = messages;
        self
    }
}

/// Why an alerter does not begin, or does not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertError {
    /// A rule is refused.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A receiver is refused.
    #[error(transparent)]
    Receiver(#[from] ReceiverError),
    /// A silence is refused.
    #[error(transparent)]
    Silence(#[from] SilenceError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A number is out of bounds.
    #[error(
        "the tick of an alerter is between 1 ms and 1 h, and it keeps at least one record and one message"
    )]
    Setting,
    /// A thread cannot be started.
    #[error("a thread for alerts cannot be started")]
    Thread(#[source] std::io::Error),
    /// No receiver of this name.
    #[error("there is no receiver {0:?}")]
    NoReceiver(String),
    /// A drill did not arrive.
    #[error("the drill did not reach {receiver:?}: {why}{}", if *.again { " (a real message would be tried again)" } else { "" })]
    Undelivered {
        /// The receiver.
        receiver: String,
        /// Why; nothing the receiver said.
        why: String,
        /// Whether a message that is no drill would be tried again.
        again: bool,
    },
}

/// Where an alerter takes its time from.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Time since some fixed moment. It never goes back, and all waiting is measured with it.
    fn elapsed(&self) -> Duration;
    /// The time of day, for messages and records only.
    fn wall(&self) -> SystemTime;
}

/// The clocks of the system.
#[derive(Debug, Clone)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Counts of what went wrong, and what waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct AlerterStats {
    /// Values of series that were dropped because there were [`Limits::max_alerts`] alerts already.
    pub overflow: u64,
    /// Transitions and messages that were dropped because the store could not be written for long.
    pub dropped: u64,
    /// Why the store could not be written the last time; `None` once it could again.
    pub store_error: Option<String>,
}

/// Watches values, and tells receivers.
///
/// [`open`](Self::open) starts one thread that looks at the time and one for each receiver; dropping it stops them,
/// which takes at most the timeout of an attempt under way. What is not delivered by then waits in the store.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::{Alerter, AlerterConfig, Observation};
///
/// # let folder = tempfile::tempdir()?;
/// let alerter = Alerter::open(AlerterConfig::new(folder.path().join("alerts.sqlite")))?;
/// alerter.observe(&Observation::new("cpuUsage", 97.0));
/// assert_eq!(alerter.status().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Alerter {
    shared: Arc<Shared>,
    opened: Opened,
    /// Those without a thread.
    couriers: Mutex<Vec<Courier>>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    clock: Box<dyn Clock>,
    /// What `clock` said at the beginning, and what the alerter's clock said then.
    origin: Duration,
    base: Duration,
    path: PathBuf,
    store_id: String,
    senders: Vec<Arc<Sender>>,
    /// Locked before `machine`, and for as long as the disk takes; whoever observes does not wait for it.
    ledger: Mutex<Ledger>,
    machine: Mutex<Machine>,
    signal: Mutex<Signal>,
    changed: Condvar,
}

#[derive(Debug)]
struct Ledger {
    store: Store,
    receivers: Vec<Address>,
    /// What could not be stored yet.
    pending: Effects,
}

#[derive(Debug, Default)]
struct Signal {
    stop: bool,
    /// Counts messages that came into the outbox.
    posted: u64,
    /// Counts steps of couriers.
    carried: u64,
    store_error: Option<String>,
}

impl Alerter {
    /// Opens the store and starts the threads.
    ///
    /// # Errors
    ///
    /// When a rule, a receiver or a setting is refused, or the store cannot be used. A damaged store is no error: see
    /// [`opened`](Self::opened).
    pub fn open(config: AlerterConfig) -> Result<Self, AlertError> {
        let tick = config.tick;
        let mut alerter = Self::manual(config, SystemClock::default())?;
        let couriers = std::mem::take(&mut *alerter.couriers.lock());
        let shared = Arc::clone(&alerter.shared);
        alerter.spawn("aqe-alerts", move || shared.tick_until_stopped(tick))?;
        for courier in couriers {
            let shared = Arc::clone(&alerter.shared);
            alerter.spawn("aqe-alerts-out", move || {
                shared.carry_until_stopped(courier)
            })?;
        }
        Ok(alerter)
    }

    /// Opens the store and starts nothing: the caller calls [`tick`](Self::tick) and [`deliver`](Self::deliver) when
    /// it sees fit, and time is what `clock` says. For tests and simulations.
    ///
    /// # Errors
    ///
    /// As with [`open`](Self::open).
    pub fn manual(config: AlerterConfig, clock: impl Clock) -> Result<Self, AlertError> {
        let ticks = Duration::from_millis(1)..=Duration::from_secs(3600);
        if !ticks.contains(&config.tick) || config.max_records == 0 || config.max_queued == 0 {
            return Err(AlertError::Setting);
        }
        Rule::check_all(&config.rules)?;
        Receiver::check_all(&config.receivers)?;
        let mut roots = None;
        let mut senders = Vec::new();
        for receiver in config.receivers {
            senders.push(Arc::new(Sender::new(receiver, &mut roots)?));
        }
        let wall = clock.wall();
        let (store, restored, opened) =
            Store::open(&config.path, wall, config.max_records, config.max_queued)?;
        let (origin, base) = (clock.elapsed(), restored.clock);
        let mut machine = Machine::new(config.rules, config.limits, restored)?;
        machine.resume(base);
        let mut couriers = Vec::new();
        for sender in &senders {
            let (db, random) = (store.connect()?, fastrand::Rng::new());
            let sender = Arc::clone(sender);
            couriers.push(Courier::new(db, sender, random, config.max_records)?);
        }
        let receivers = senders.iter().map(|sender| Address {
            name: sender.receiver.name.clone(),
            min_severity: sender.receiver.min_severity,
        });
        let shared = Shared {
            clock: Box::new(clock),
            origin,
            base,
            path: config.path,
            store_id: store.id()?,
            ledger: Mutex::new(Ledger {
                receivers: receivers.collect(),
                store,
                pending: Effects::default(),
            }),
            senders,
            machine: Mutex::new(machine),
            signal: Mutex::default(),
            changed: Condvar::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            opened,
            couriers: Mutex::new(couriers),
            threads: Vec::new(),
        })
    }

    /// How the store was found: a damaged one was set aside.
    #[must_use]
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Takes a value. It does not wait for the disk or for receivers.
    pub fn observe(&self, observation: &Observation) {
        let now = self.shared.now();
        self.shared.machine.lock().observe(now, observation);
    }

    /// Where all alerts stand, by rule and labels.
    #[must_use]
    pub fn status(&self) -> Vec<AlertStatus> {
        self.shared.machine.lock().status()
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> Vec<Rule> {
        self.shared.machine.lock().rules().to_vec()
    }

    /// The names of the receivers.
    #[must_use]
    pub fn receivers(&self) -> Vec<String> {
        let senders = self.shared.senders.iter();
        senders.map(|sender| sender.receiver.name.clone()).collect()
    }

    /// Begins a silence and returns its number.
    ///
    /// # Errors
    ///
    /// When it is refused, or cannot be stored: then it is in force, but may not outlive this process.
    pub fn silence(&self, silence: Silence) -> Result<u64, AlertError> {
        let (id, stored) = self
            .shared
            .settle(|machine, now| machine.silence(now, silence));
        let id = id?;
        stored?;
        Ok(id)
    }

    /// Ends a silence early; `false` if there is none of this number.
    ///
    /// # Errors
    ///
    /// When that cannot be stored: then it has ended, but may come back with the next process.
    pub fn unsilence(&self, id: u64) -> Result<bool, AlertError> {
        let (found, stored) = self.shared.settle(|machine, _| machine.unsilence(id));
        stored?;
        Ok(found)
    }

    /// Silences in force.
    #[must_use]
    pub fn silences(&self) -> Vec<ActiveSilence> {
        let now = self.shared.now().clock;
        let machine = self.shared.machine.lock();
        let silences = machine.silences().iter().cloned();
        silences
            .filter_map(|silence| ActiveSilence::at(silence, now))
            .collect()
    }

    /// Drops an alert without a word, as if its series had never been; `false` if there is none.
    ///
    /// # Errors
    ///
    /// When that cannot be stored.
    pub fn forget(&self, key: &AlertKey) -> Result<bool, AlertError> {
        let (found, stored) = self.shared.settle(|machine, _| machine.forget(key));
        stored?;
        Ok(found)
    }

    /// Sends a real message to `receiver`, marked as a drill, at once and once, past silences and the queue. It waits
    /// for at most the receiver's timeout, and is in the history.
    ///
    /// # Errors
    ///
    /// When there is no such receiver, the store cannot be written, or the message did not arrive.
    pub fn test(&self, receiver: &str) -> Result<(), AlertError> {
        self.send_drill(receiver, Notification::drill)
    }

    /// As [`test`](Self::test), with a message that looks as if `rule`, which need not be one of the alerter's, had
    /// fired with a value just beyond its threshold. The rule stays as it is.
    ///
    /// # Errors
    ///
    /// As with [`test`](Self::test), and when the rule is refused.
    pub fn test_rule(&self, receiver: &str, rule: &Rule) -> Result<(), AlertError> {
        rule.check()?;
        self.send_drill(receiver, |sequence, at| {
            Notification::drill_of(rule, sequence, at)
        })
    }

    fn send_drill(
        &self,
        receiver: &str,
        make: impl FnOnce(u64, SystemTime) -> Notification,
    ) -> Result<(), AlertError> {
        let mut senders = self.shared.senders.iter();
        let sender = senders
            .find(|sender| sender.receiver.name == receiver)
            .ok_or_else(|| AlertError::NoReceiver(receiver.to_owned()))?;
        let drill = self.shared.number_drill(make)?;
        let id = key(&self.shared.store_id, drill.sequence);
        let wall = self.shared.now().wall;
        let outcome = sender.send(&drill, &id, wall, true);
        let (word, detail, result) = match outcome {
            Outcome::Delivered(note) => ("delivered", note, Ok(())),
            Outcome::Later { why, .. } => ("given up", why.clone(), Err((why, true))),
            Outcome::Never { why } => ("refused", why.clone(), Err((why, false))),
        };
        let at = self.shared.now();
        let ledger = self.shared.ledger.lock();
        ledger
            .store
            .note_drill(at, drill.sequence, receiver, word, &detail)?;
        drop(ledger);
        result.map_err(|(why, again)| AlertError::Undelivered {
            receiver: receiver.to_owned(),
            why,
            again,
        })
    }

    /// Lets time pass: what is due is decided and stored. The threads of [`open`](Self::open) do it, too.
    ///
    /// # Errors
    ///
    /// When the store cannot be written. What was to be stored is kept for the next call.
    pub fn tick(&self) -> Result<(), StoreError> {
        self.shared.tick()
    }

    /// Delivers all that is due, and returns when the next attempt is due on the clock of [`manual`](Self::manual),
    /// if anything waits. With [`open`](Self::open) the threads do it, and this does nothing.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written. What became of an attempt is kept for the next call.
    pub fn deliver(&self) -> Result<Option<Duration>, StoreError> {
        let mut soonest: Option<Duration> = None;
        for courier in self.couriers.lock().iter_mut() {
            let next = loop {
                match courier.step(|| self.shared.now())? {
                    Next::Again => {}
                    Next::At(due) => {
                        let passed = due.saturating_sub(self.shared.base);
                        break Some(passed.saturating_add(self.shared.origin));
                    }
                    Next::Idle => break None,
                }
            };
            soonest = match (soonest, next) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        Ok(soonest)
    }

    /// Makes what messages there are to make, and waits until the outbox of every receiver is empty, for at most
    /// `timeout`; `false` if something still waits. For the end of a program. It waits for the threads of
    /// [`open`](Self::open): with [`manual`](Self::manual), call [`deliver`](Self::deliver).
    ///
    /// # Errors
    ///
    /// When the store cannot be written or read.
    pub fn flush(&self, timeout: Duration) -> Result<bool, StoreError> {
        let deadline = Instant::now() + timeout.min(MAX_FLUSH);
        self.tick()?;
        loop {
            let seen = self.shared.signal.lock().carried;
            if self.queued()? == 0 {
                return Ok(true);
            }
            let mut signal = self.shared.signal.lock();
            if signal.carried == seen
                && self
                    .shared
                    .changed
                    .wait_until(&mut signal, deadline)
                    .timed_out()
            {
                return Ok(false);
            }
        }
    }

    /// Messages that wait for these receivers.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn queued(&self) -> Result<u64, StoreError> {
        let ledger = self.shared.ledger.lock();
        ledger.store.queued(&ledger.receivers)
    }

    /// Puts the dead letters of `receiver` into its outbox again, and returns how many there were.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    pub fn requeue(&self, receiver: &str) -> Result<usize, StoreError> {
        let count = self.shared.ledger.lock().store.requeue(receiver)?;
        self.shared.announce(None);
        Ok(count)
    }

    /// The history, through a connection of its own.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened once more.
    pub fn log(&self) -> Result<AlertLog, StoreError> {
        AlertLog::open(&self.shared.path)
    }

    /// What went wrong, in numbers.
    #[must_use]
    pub fn stats(&self) -> AlerterStats {
        // One after the other, so that no two locks are held.
        let dropped = self.shared.ledger.lock().pending.dropped;
        let overflow = self.shared.machine.lock().overflow();
        AlerterStats {
            overflow,
            dropped,
            store_error: self.shared.signal.lock().store_error.clone(),
        }
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), AlertError> {
        let builder = std::thread::Builder::new().name(name.to_owned());
        self.threads
            .push(builder.spawn(run).map_err(AlertError::Thread)?);
        Ok(())
    }
}

/// Longer waits for the end of a program are slips of units, and sums with them could overflow.
const MAX_FLUSH: Duration = Duration::from_secs(24 * 3600);
/// How long a courier waits when the store fails: a full disk is not emptied within milliseconds.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Drop for Alerter {
    fn drop(&mut self) {
        // What the last moments brought; a failure is kept in nobody's memory from here on.
        let _ = self.shared.tick();
        self.shared.signal.lock().stop = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn now(&self) -> Now {
        let passed = self.clock.elapsed().saturating_sub(self.origin);
        let clock = self.base.saturating_add(passed);
        Now::new(clock, self.clock.wall())
    }

    fn tick(&self) -> Result<(), StoreError> {
        self.settle(|machine, now| machine.tick(now)).1
    }

    /// Changes the machine and stores what follows from it, with what could not be stored before.
    fn settle<R>(
        &self,
        change: impl FnOnce(&mut Machine, Now) -> R,
    ) -> (R, Result<(), StoreError>) {
        let mut ledger = self.ledger.lock();
        let now = self.now();
        let (result, effects) = {
            let mut machine = self.machine.lock();
            (change(&mut machine, now), machine.take_effects())
        };
        let stored = ledger.settle(now, effects);
        drop(ledger);
        match stored {
            Ok(0) => (result, Ok(())),
            Ok(_) => {
                self.announce(None);
                (result, Ok(()))
            }
            Err(error) => {
                self.announce(Some(&error));
                (result, Err(error))
            }
        }
    }

    /// Takes a number for a drill and stores both before it is sent: the number must never be used again.
    fn number_drill(
        &self,
        make: impl FnOnce(u64, SystemTime) -> Notification,
    ) -> Result<Notification, StoreError> {
        let mut ledger = self.ledger.lock();
        let now = self.now();
        let sequence = self.machine.lock().number();
        let drill = make(sequence, now.wall);
        ledger.store.keep_drill(&drill)?;
        Ok(drill)
    }

    /// Wakes whoever waits for the outbox or the store.
    fn announce(&self, error: Option<&StoreError>) {
        let mut signal = self.signal.lock();
        signal.store_error = error.map(describe);
        signal.posted += u64::from(error.is_none());
        self.changed.notify_all();
    }

    fn tick_until_stopped(&self, every: Duration) {
        loop {
            let mut signal = self.signal.lock();
            let deadline = Instant::now() + every;
            while !signal.stop && !self.changed.wait_until(&mut signal, deadline).timed_out() {}
            if signal.stop {
                return;
            }
            drop(signal);
            // It is in the statistics, and the next tick stores what this one could not.
            let _ = self.tick();
        }
    }

    fn carry_until_stopped(&self, mut courier: Courier) {
        loop {
            let seen = {
                let signal = self.signal.lock();
                if signal.stop {
                    return;
                }
                signal.posted
            };
            let step = courier.step(|| self.now());
            let mut signal = self.signal.lock();
            signal.carried += 1;
            let wait = match step {
                Ok(Next::Again) => Duration::ZERO,
                Ok(Next::At(due)) => due.saturating_sub(self.now().clock),
                Ok(Next::Idle) => MAX_FLUSH,
                Err(error) => {
                    signal.store_error = Some(describe(&error));
                    STORE_PAUSE
                }
            };
            // Whoever flushes wants to know of this step; that it wakes other couriers, too, is rare and harmless.
            self.changed.notify_all();
            let deadline = Instant::now() + wait;
            while !signal.stop
                && signal.posted == seen
                && !self.changed.wait_until(&mut signal, deadline).timed_out()
            {}
        }
    }
}

impl Ledger {
    /// Stores what is new and what waits; returns how many messages there were.
    fn settle(&mut self, now: Now, effects: Effects) -> Result<usize, StoreError> {
        self.pending.absorb(effects);
        if self.pending.is_empty() {
            return Ok(0);
        }
        self.store.commit(now, &self.pending, &self.receivers)?;
        let dropped = self.pending.dropped;
        let stored = std::mem::take(&mut self.pending);
        self.pending.dropped = dropped;
        Ok(stored.notifications.len())
    }
}

/// An error and its cause in one line.
fn describe(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
#[path = "alerter_tests.rs"]
mod tests;
