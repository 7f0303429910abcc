//! What another program wants of alerts while somebody has their store: a file beside it, taken up at the next tick.
//!
//! One program at a time changes a store. Who wants a silence while tests run should not have to wait for their end, which
//! is when nobody needs it any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aqe_monitor::alerts::{AlertError, Alerter, Silence};
use serde::{Deserialize, Serialize};

/// A place for orders, beside a store.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use aqe_core::AlertOrders;
/// use aqe_core::alerts::{Alerter, AlerterConfig};
///
/// let folder = tempfile::tempdir()?;
/// let store = folder.path().join("alerts.db");
/// let alerter = Alerter::open(AlerterConfig::new(&store))?;
/// // Somewhere else, while the store is in use:
/// let orders = AlertOrders::beside(&store);
/// orders.silence(Some("cpuUsage"), Duration::from_secs(7200), "load test", SystemTime::now())?;
/// // Here, now and then; a feed does it at every tick:
/// assert_eq!(AlertOrders::beside(&store).obey(&alerter, SystemTime::now())?, 1);
/// assert_eq!(alerter.silences().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct AlertOrders {
    file: PathBuf,
}

/// Why orders are not given, or not taken up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AlertOrdersError {
    /// The system refuses.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A silence that no alerter would take.
    #[error(
        "a silence lasts longer than nothing and at most a year, and its reason has at most 1,024 bytes"
    )]
    Silence,
    /// Nobody has taken up the orders before.
    #[error("there are too many orders in {} already; the program that has the store does not take them up", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
}

/// One line of the file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Order {
    Silence {
        rule: Option<String>,
        /// On the clock on the wall, in milliseconds since 1970: what is taken up late ends when it was meant to.
        until_ms: u64,
        comment: String,
    },
    End(u64),
}

impl AlertOrders {
    /// The orders for whoever has the store at this path.
    #[must_use]
    pub fn beside(store: &Path) -> Self {
        Self {
            file: store.with_extension("orders"),
        }
    }

    /// Orders a silence of `length` from `wall` on, about one rule or about all.
    ///
    /// # Errors
    ///
    /// When no alerter would take it, or it cannot be written.
    pub fn silence(
        &self,
        rule: Option<&str>,
        length: Duration,
        comment: &str,
        wall: SystemTime,
    ) -> Result<(), AlertOrdersError> {
        if length.is_zero() || length > YEAR || comment.len() > MAX_COMMENT {
            return Err(AlertOrdersError::Silence);
        }
        self.give(&Order::Silence {
            rule: rule.map(str::to_owned),
            until_ms: millis(wall).saturating_add(whole_millis(length)),
            comment: comment.to_owned(),
        })
    }

    /// Orders the end of the silence of this number.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn end_silence(&self, number: u64) -> Result<(), AlertOrdersError> {
        self.give(&Order::End(number))
    }

    /// Takes up what was ordered, and returns how much that was. An order that is torn or means nothing any more is
    /// dropped. It waits for nobody: while an order is being written, none is taken up.
    ///
    /// A process that is killed in between takes the same orders up again, which begins a silence twice and tells nobody
    /// anything that should not be told.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or removed.
    pub fn obey(&self, alerter: &Alerter, wall: SystemTime) -> Result<usize, AlertOrdersError> {
        // Nearly always.
        if !self.file.exists() {
            return Ok(0);
        }
        let lock = self.lock()?;
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        let mut text = String::new();
        File::open(&self.file)
            .and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))
            .map_err(self.failed("read"))?;
        let orders = text.lines().map(serde_json::from_str::<Order>);
        let obeyed = orders.flatten().filter(|order| order.obey(alerter, wall));
        let obeyed = obeyed.count();
        fs::remove_file(&self.file).map_err(self.failed("remove"))?;
        drop(lock);
        Ok(obeyed)
    }

    fn give(&self, order: &Order) -> Result<(), AlertOrdersError> {
        let lock = self.lock()?;
        lock.lock().map_err(self.failed("lock"))?;
        let give = || {
            let mut line = serde_json::to_string(order).map_err(io::Error::from)?;
            line.push('\n');
            let mut file = own(OpenOptions::new().append(true).create(true)).open(&self.file)?;
            if file.metadata()?.len().saturating_add(line.len() as u64) > MAX_BYTES {
                return Ok(false);
            }
            file.write_all(line.as_bytes()).map(|()| true)
        };
        match give().map_err(self.failed("write"))? {
            true => Ok(()),
            false => Err(AlertOrdersError::Full {
                path: self.file.clone(),
            }),
        }
    }

    /// Never removed: two could hold the locks of two files of one name.
    fn lock(&self) -> Result<File, AlertOrdersError> {
        let path = self.file.with_extension("orders.lock");
        own(OpenOptions::new().write(true).create(true).truncate(false))
            .open(path)
            .map_err(self.failed("lock"))
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> AlertOrdersError + use<'_> {
        move |source| AlertOrdersError::Io {
            action,
            path: self.file.clone(),
            source,
        }
    }
}

impl Order {
    /// Whether it meant anything.
    fn obey(&self, alerter: &Alerter, wall: SystemTime) -> bool {
        let done: Result<bool, AlertError> = match self {
            Self::Silence {
                rule,
                until_ms,
                comment,
            } => {
                let left = Duration::from_millis(until_ms.saturating_sub(millis(wall)));
                let silence = Silence::new(left).comment(comment);
                let silence = match rule {
                    Some(rule) => silence.rule(rule),
                    None => silence,
                };
                // One that is over is refused for its length.
                alerter.silence(silence).map(|_| true)
            }
            Self::End(number) => alerter.unsilence(*number),
        };
        done.unwrap_or(false)
    }
}

/// Some hundred orders with the longest reasons.
const MAX_BYTES: u64 = 128 * 1024;
/// As with silences themselves.
const MAX_COMMENT: usize = 1024;
const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

/// New files are this user's alone.
fn own(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, whole_millis)
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use aqe_monitor::alerts::{AlerterConfig, SystemClock};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn place() -> (tempfile::TempDir, Alerter, AlertOrders) {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("alerts.db");
        let orders = AlertOrders::beside(&store);
        let alerter = Alerter::manual(AlerterConfig::new(store), SystemClock::default());
        (folder, alerter.unwrap(), orders)
    }

    #[test]
    fn orders_are_taken_up_once_and_in_their_order() {
        let (_folder, alerter, orders) = place();
        orders
            .silence(Some("cpuUsage"), HOUR, "a\nb \"c\"", NOW)
            .unwrap();
        orders.silence(None, 2 * HOUR, "", NOW).unwrap();
        orders.end_silence(1).unwrap();
        orders.end_silence(77).unwrap();
        assert_eq!(orders.obey(&alerter, NOW).unwrap(), 3);
        assert_eq!(orders.obey(&alerter, NOW).unwrap(), 0);
        let silences = alerter.silences();
        assert_eq!((silences.len(), silences[0].silence.id), (1, 2));
        orders.silence(Some("x"), HOUR, "a\nb \"c\"", NOW).unwrap();
        orders.obey(&alerter, NOW).unwrap();
        assert_eq!(alerter.silences()[1].silence.comment, "a\nb \"c\"");
    }

    #[test]
    fn what_is_taken_up_late_ends_when_it_was_meant_to() {
        let (_folder, alerter, orders) = place();
        orders.silence(None, HOUR, "", NOW).unwrap();
        orders.silence(None, 3 * HOUR, "", NOW).unwrap();
        assert_eq!(orders.obey(&alerter, NOW + 2 * HOUR).unwrap(), 1);
        assert!(alerter.silences()[0].remaining <= HOUR);
    }

    #[test]
    fn what_is_torn_refused_or_too_much_is_not_taken_up() {
        let (_folder, alerter, orders) = place();
        orders.silence(None, HOUR, "", NOW).unwrap();
        let whole = fs::read_to_string(&orders.file).unwrap();
        fs::write(
            &orders.file,
            format!("{whole}rubbish\n{{\"silence\":{{\"rule\""),
        )
        .unwrap();
        assert_eq!(orders.obey(&alerter, NOW).unwrap(), 1);
        for (length, comment) in [
            (Duration::ZERO, ""),
            (2 * YEAR, ""),
            (HOUR, &*"x".repeat(1025)),
        ] {
            let refused = orders.silence(None, length, comment, NOW);
            assert!(matches!(refused, Err(AlertOrdersError::Silence)));
        }
        let full = (0..200).find_map(|_| {
            let comment = "x".repeat(MAX_COMMENT);
            orders.silence(None, HOUR, &comment, NOW).err()
        });
        assert!(matches!(full, Some(AlertOrdersError::Full { .. })));
        assert!(orders.obey(&alerter, NOW).unwrap() > 100);
    }

    #[test]
    fn while_an_order_is_written_nobody_waits_for_it() {
        let (_folder, alerter, orders) = place();
        orders.silence(None, HOUR, "", NOW).unwrap();
        let writer = orders.lock().unwrap();
        writer.lock().unwrap();
        assert_eq!(orders.obey(&alerter, NOW).unwrap(), 0);
        drop(writer);
        assert_eq!(orders.obey(&alerter, NOW).unwrap(), 1);
    }
}
