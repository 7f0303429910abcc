//! One receiver's part of the outbox: the oldest message first, again and again until it is delivered or given up.
//! It reads no clock and does not sleep; what it asks of the store and of the receiver is all its I/O.
//!
//! Messages of one receiver keep their order: "resolved" must not overtake "firing". Receivers do not wait for one
//! another.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::deliver::{Outcome, Sender};
use super::notification::{Notification, unix_ms};
use super::state::Now;
use super::store::{Db, StoreError, int, millis, note_attempt, parse, trim};

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once: there may be more.
    Again,
    /// When the alerter's clock says so.
    At(Duration),
    /// When something new is in the outbox.
    Idle,
}

/// Who brings messages to one receiver.
#[derive(Debug)]
pub(crate) struct Courier {
    pub(crate) db: Db,
    sender: Arc<Sender>,
    /// The store's name, with which idempotency keys begin.
    store: String,
    random: fastrand::Rng,
    /// Records of each kind that are kept.
    max_records: u64,
    /// What became of an attempt that the store could not take: to be written before anything else, since the
    /// message must not go out again for it.
    unwritten: Option<Written>,
}

/// A message that waits.
struct Letter {
    sequence: i64,
    attempts: u32,
    due: Duration,
    notification: Result<Notification, rusqlite::Error>,
}

#[derive(Debug)]
struct Written {
    sequence: i64,
    attempts: u32,
    at_ms: i64,
    state: &'static str,
    outcome: &'static str,
    detail: String,
    due: Duration,
}

impl Courier {
    pub(crate) fn new(
        db: Db,
        sender: Arc<Sender>,
        random: fastrand::Rng,
        max_records: u64,
    ) -> Result<Self, StoreError> {
        let store = db.store_id()?;
        Ok(Self {
            db,
            sender,
            store,
            random,
            max_records,
            unwritten: None,
        })
    }

    /// Tries to deliver the oldest message, if it is due.
    pub(crate) fn step(&mut self, now: impl Fn() -> Now) -> Result<Next, StoreError> {
        if let Some(written) = &self.unwritten {
            self.db_write(written)?;
            self.unwritten = None;
        }
        let failed = self.db.failed("read the outbox of");
        let Some(letter) = self.oldest().map_err(failed)? else {
            return Ok(Next::Idle);
        };
        let before = now();
        // A wait is at most an hour; a later time is of a clock that was set aside.
        let due = letter.due.min(before.clock + MAX_WAIT);
        if due > before.clock {
            return Ok(Next::At(due));
        }
        let made = letter.attempts + 1;
        let last = made >= self.sender.receiver.retry.attempts;
        let outcome = match &letter.notification {
            Ok(notification) => {
                let id = key(&self.store, notification.sequence);
                self.sender.send(notification, &id, before.wall, last)
            }
            Err(_) => Outcome::Never {
                why: "the stored message cannot be read".to_owned(),
            },
        };
        let written = self.judge(&letter, outcome, made, now());
        let result = self.db_write(&written);
        if result.is_err() {
            self.unwritten = Some(written);
        }
        result.map(|()| Next::Again)
    }

    fn judge(&mut self, letter: &Letter, outcome: Outcome, made: u32, now: Now) -> Written {
        let retry = self.sender.receiver.retry;
        let mut due = now.clock;
        let (state, word, detail) = match outcome {
            Outcome::Delivered(note) => ("delivered", "delivered", note),
            Outcome::Never { why } => ("dead", "refused", why),
            Outcome::Later { why, after } => match retry.wait(made, after, self.random.f64()) {
                Some(wait) => {
                    due = now.clock.saturating_add(wait);
                    ("queued", "failed", why)
                }
                None => ("dead", "given up", why),
            },
        };
        Written {
            sequence: letter.sequence,
            attempts: made,
            at_ms: int(unix_ms(now.wall)),
            state,
            outcome: word,
            detail,
            due,
        }
    }

    fn oldest(&self) -> rusqlite::Result<Option<Letter>> {
        let sql = "SELECT o.sequence, o.attempts, o.due_ms, n.body FROM outbox o
             LEFT JOIN notifications n USING (sequence)
             WHERE o.receiver = ?1 AND o.state = 'queued' ORDER BY o.sequence LIMIT 1";
        self.db
            .connection
            .prepare_cached(sql)?
            .query_row([&self.sender.receiver.name], |row| {
                let body: rusqlite::Result<String> = row.get(3);
                Ok(Letter {
                    sequence: row.get(0)?,
                    attempts: row.get(1)?,
                    due: Duration::from_millis(u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0)),
                    notification: body.and_then(|body| parse(&body)),
                })
            })
            .optional()
    }

    fn db_write(&self, written: &Written) -> Result<(), StoreError> {
        let receiver = &self.sender.receiver.name;
        let write = || {
            let tx = rusqlite::Transaction::new_unchecked(
                &self.db.connection,
                TransactionBehavior::Immediate,
            )?;
            note_attempt(
                &tx,
                written.at_ms,
                written.sequence,
                receiver,
                written.outcome,
                &written.detail,
            )?;
            // Attempts come without commits of the alerter, too, when a receiver is away for long.
            if tx.last_insert_rowid() % 64 == 0 {
                trim(&tx, int(self.max_records))?;
            }
            tx.prepare_cached(
                "UPDATE outbox SET state = ?3, attempts = ?4, due_ms = ?5
                 WHERE sequence = ?1 AND receiver = ?2",
            )?
            .execute(params![
                written.sequence,
                receiver,
                written.state,
                written.attempts,
                millis(written.due)
            ])?;
            tx.commit()
        };
        write().map_err(self.db.failed("record a delivery in"))
    }
}

const MAX_WAIT: Duration = Duration::from_secs(24 * 3600);

/// The idempotency key of a message: the same for each attempt and each receiver.
pub(crate) fn key(store: &str, sequence: u64) -> String {
    format!("{store}-{sequence}")
}
