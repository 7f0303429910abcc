//! Alerts: rules over values, and messages that arrive.
//!
//! Monitoring that cries too often is switched off, and so is one whose messages get lost. An [`Alerter`] takes
//! values, and tells receivers when something begins and when it is over:
//!
//! - A [`Rule`] has a threshold, a hold time, another level for the way back, and a least number of events. What
//!   comes and goes all the time is told as *flapping*, once. Alerts of a group arrive in one message.
//! - Messages wait in an outbox that is stored in one transaction with the state they follow from: a process that is
//!   killed loses none, and makes none twice.
//! - A [`Receiver`] gets them by [`Webhook`], [`Slack`] or [`Email`], in their order, with repetitions until it has
//!   them or it makes no sense any more; those are dead letters, which [`Alerter::requeue`] revives. One that is slow
//!   or away does not hold up the others.
//! - [`AlertLog`] shows what happened, to other processes, too. The file is SQLite; `transitions`, `attempts` and
//!   `outbox` are its tables to look at.
//!
//! # A program
//!
//! ```
//! use std::time::Duration;
//! use aqe_monitor::alerts::{
//!     Alerter, AlerterConfig, Labels, Observation, Receiver, Rule, Secret, Silence, Webhook,
//! };
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("alerts.sqlite");
//! # let address = "http://127.0.0.1:1/hook";
//! let hook = Webhook::new(Secret::new(address)).key(Secret::new("shared with the receiver"));
//! let config = AlerterConfig::new(path)
//!     .rules(Rule::defaults())
//!     .receiver(Receiver::new("pager", hook));
//! let alerter = Alerter::open(config)?;
//!
//! // Whenever there is a value:
//! let labels = Labels::new([("host", "a")])?;
//! alerter.observe(&Observation::new("errorRate", 7.5).events(400).labels(labels));
//!
//! // For the next two hours, people know:
//! let id = alerter.silence(Silence::new(Duration::from_secs(7200)).rule("errorRate"))?;
//! assert!(alerter.status()[0].silenced);
//! # assert!(alerter.unsilence(id)?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an alert goes through
//!
//! | phase | meaning |
//! | --- | --- |
//! | inactive | nothing is wrong |
//! | pending | the condition holds, but not for `hold` yet; a value that denies it starts anew |
//! | firing | it has held for `hold`: receivers are told |
//! | recovering | the value is beyond the resolve level, but not for `recover` yet |
//! | no data | no value for `stale_after`; the alert stays on if it was on |
//!
//! Waiting is measured on a clock that never goes back and goes on over restarts; steps of the wall clock change
//! the dates in messages and nothing else.
//!
//! # What it does not do
//!
//! There are no proxies: receivers are reached directly. Names are resolved by the system, in its own time. Slack and
//! mail systems know no idempotency keys: a message whose acknowledgement was lost can appear there twice.

mod alert;
mod alerter;
mod courier;
mod deliver;
mod labels;
mod log;
mod notification;
mod rule;
mod silence;
mod state;
mod store;

pub use self::alert::{Flap, News, Phase};
pub use self::alerter::{AlertError, Alerter, AlerterConfig, AlerterStats, Clock, SystemClock};
pub use self::deliver::receiver::{
    Channel, Email, Encryption, Receiver, ReceiverError, Slack, Webhook,
};
pub use self::deliver::retry::Retry;
pub use self::deliver::secret::{Secret, SecretError};
pub use self::deliver::webhook::verify_signature;
pub use self::labels::{Labels, LabelsError};
pub use self::log::{ActiveSilence, AlertLog, Attempt, Letter, StoredAlert};
pub use self::notification::{Entry, Notification};
pub use self::rule::{Condition, Rule, RuleError, Severity};
pub use self::silence::{Silence, SilenceError};
pub use self::state::{AlertKey, AlertStatus, Limits, Observation, Transition};
pub use self::store::{Opened, StoreError};
