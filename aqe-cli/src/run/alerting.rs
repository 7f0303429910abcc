//! Alerts while tests run: a run that nobody looks at tells somebody.
//!
//! No run fails because of its alerts. What is in their way is a warning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aqe_core::AlertFeed;
use aqe_core::config::Loaded;
use aqe_core::state::StateFolder;
use aqe_runner::model::Verdict;
use aqe_runner::run::{Event, Reporter};

use crate::alerts::{create_state_folder, setup_of};
use crate::failure::{Failure, with_causes};

/// For how long the end of a run waits for messages to be delivered. An attempt under way may take as long again.
const LAST_MESSAGES: Duration = Duration::from_secs(10);

/// The alerts of a run.
#[derive(Clone)]
pub(super) struct Alerting {
    feed: Option<Arc<AlertFeed>>,
    warnings: Vec<String>,
}

impl Alerting {
    /// Prepares for the ticks of a monitor, if the configuration says so. Nothing is opened yet.
    pub(super) fn prepare(loaded: &Loaded, state: &StateFolder) -> Self {
        let monitoring = &loaded.config().monitoring;
        let mut warnings = Vec::new();
        if !monitoring.enabled || !monitoring.alerting.enabled {
            return Self {
                feed: None,
                warnings,
            };
        }
        let feed = match feed(loaded, state, &mut warnings) {
            Ok(feed) => Some(Arc::new(feed)),
            Err(failure) => {
                warnings.push(format!("this run raises none: {}", failure.message()));
                None
            }
        };
        Self { feed, warnings }
    }

    /// What wants to know of each tick.
    pub(super) fn feed(&self) -> Option<Arc<AlertFeed>> {
        self.feed.clone()
    }

    /// A reporter that counts tests that end.
    pub(super) fn reporter(&self, inner: Box<dyn Reporter>) -> Box<dyn Reporter> {
        match self.feed() {
            Some(feed) => Box::new(Counting { inner, feed }),
            None => inner,
        }
    }

    /// Waits until everybody is told, within bounds, and ends. Gives what was in the way.
    pub(super) fn end(self) -> Vec<String> {
        let mut warnings = self.warnings;
        match self.feed.map(|feed| feed.end(LAST_MESSAGES)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => warnings.push(
                "not everybody could be told by the end of the run; the next run goes on with it, and \
                 `aqe alerts history` shows what is in the way"
                    .to_owned(),
            ),
            Some(Err(error)) => warnings.push(format!("this run raises none: {}", with_causes(&error))),
        }
        warnings
    }
}

fn feed(
    loaded: &Loaded,
    state: &StateFolder,
    warnings: &mut Vec<String>,
) -> Result<AlertFeed, Failure> {
    let setup = setup_of(loaded.config(), loaded.file(), state)?;
    create_state_folder(state)?;
    let (config, problems) = setup.alerter_as_far_as_possible();
    warnings.extend(problems.iter().map(|problem| with_causes(problem)));
    Ok(AlertFeed::new(config))
}

/// Passes events on, and counts tests that end.
struct Counting {
    inner: Box<dyn Reporter>,
    feed: Arc<AlertFeed>,
}

impl Reporter for Counting {
    fn event(&mut self, event: &Event) {
        if let Event::TestFinished {
            verdict, duration, ..
        } = event
        {
            match verdict {
                // They say nothing of what was measured.
                Verdict::Ignored { .. } | Verdict::Cancelled => {}
                verdict => {
                    let failed = matches!(verdict, Verdict::Failed(_) | Verdict::TimedOut { .. });
                    self.feed.ended(Instant::now(), *duration, failed);
                }
            }
        }
        self.inner.event(event);
    }

    fn flush(&mut self) {
        self.inner.flush();
    }

    fn tick_after(&self) -> Option<Duration> {
        self.inner.tick_after()
    }

    fn tick(&mut self) {
        self.inner.tick();
    }
}
