//! Alerts of an engine: from the configuration and a project's own rules to an alerter, and from what is measured to it.
//!
//! | file | holds |
//! |---|---|
//! | `feed` | all of it together, for a program that has a monitor |
//! | `metric` | what is watched, by the names that people type |
//! | `orders` | silences that another program wants while somebody has the store |
//! | `own_rules` | rules that a project adds, in a file of the state folder |
//! | `setup` | rules and receivers of a configuration; secrets are fetched last, and only those that are needed |
//! | `watch` | what a tick knows becomes values that an alerter takes |
//! | `window` | operations of the last minute |

mod feed;
mod metric;
mod orders;
mod own_rules;
mod setup;
mod watch;
mod window;

pub use self::feed::AlertFeed;
pub use self::metric::AlertMetric;
pub use self::orders::{AlertOrders, AlertOrdersError};
pub use self::own_rules::{AlertAction, NewRule, OwnRule, OwnRules, OwnRulesError};
pub use self::setup::{AlertSecrets, AlertSetup, AlertSetupError};
pub use self::watch::{AlertWatch, AlertWork};
