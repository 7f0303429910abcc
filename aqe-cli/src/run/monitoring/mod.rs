//! What a run leaves in the project's history of measurements, and what it tells of itself while it goes on.
//!
//! Everything that could take a while happens on the monitor's thread: opening the file, sampling, committing, and asking
//! git for the version. Nothing that goes wrong there is more than a warning.

mod place;
mod series;
mod system;
mod version;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use aqe_core::config::Config;
use aqe_core::monitor::history::SeriesKey;
use aqe_core::state::StateFolder;
use aqe_core::{AlertFeed, Monitor, MonitoredRun};
use aqe_runner::journal::RunCounts;
use aqe_runner::run::{Event, Reporter, RunStarted};

use self::series::Series;
use self::system::ChildTime;
pub(super) use self::version::Asked;
use crate::failure::with_causes;

/// What runs are called in the history.
const NAME: &str = "aqe run";

/// With fewer files that may be open, all of them are left to the tests, each of which needs several. Measuring takes some
/// twenty, and alerts fifteen.
const FEWEST_FILES: u64 = 256;

/// A monitored run.
pub(super) struct Monitoring {
    shared: Arc<Shared>,
}

struct Shared {
    monitor: Monitor,
    series: Series,
    /// Before the first test.
    before: Option<ChildTime>,
    /// Processors that this process may use.
    cores: Option<f64>,
    /// Until the first test starts, git is not asked for its answer; then the run is in the history.
    run: Mutex<Stage>,
}

/// What is known of a run before it begins.
pub(super) struct About {
    pub(super) version: Asked,
    /// Which tests it is of; see [`chosen`](super::settings::chosen).
    pub(super) selection: String,
}

enum Stage {
    Before(About),
    During(MonitoredRun),
    After,
}

impl Monitoring {
    /// Begins to measure, unless the configuration says otherwise. What stands in the way is a warning.
    pub(super) fn begin(
        config: &Config,
        state: &StateFolder,
        about: About,
        alerts: Option<Arc<AlertFeed>>,
    ) -> Result<Option<Self>, String> {
        if !config.monitoring.enabled {
            return Ok(None);
        }
        if let Some(files) = system::open_files_allowed()
            && files < FEWEST_FILES
        {
            return Err(format!(
                "this run is not measured, to leave the {files} files that may be open to its tests; `ulimit -n {FEWEST_FILES}` allows enough"
            ));
        }
        let file = place::file_in(state).map_err(|error| {
            format!(
                "this run is not measured: {}; `aqe config set monitoring.enabled false` switches this off",
                with_causes(&error)
            )
        })?;
        let registry = aqe_core::monitor::registry::Registry::new();
        let series =
            Series::new(&registry).map_err(|error| format!("this run is not measured: {error}"))?;
        let mut monitor = Monitor::builder().config(config).registry(registry);
        if let Some(alerts) = alerts {
            monitor = monitor.on_tick(move |tick| alerts.tick(Instant::now(), &tick.system));
        }
        Ok(Some(Self {
            shared: Arc::new(Shared {
                monitor: monitor.history(file).start(),
                series,
                before: ChildTime::now(),
                cores: available_parallelism().ok().map(|cores| cores.get() as f64),
                run: Mutex::new(Stage::Before(about)),
            }),
        }))
    }

    /// A reporter that counts what passes through it.
    pub(super) fn reporter(&self, inner: Box<dyn Reporter>) -> Box<dyn Reporter> {
        Box::new(Counting {
            inner,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Waits until all is in the history. Gives what went wrong.
    pub(super) fn end(self) -> Vec<String> {
        self.shared.monitor.stop();
        let problems = self.shared.monitor.problems();
        problems.into_iter().map(|problem| problem.what).collect()
    }
}

impl Shared {
    /// Goes on to another stage; gives the one before.
    fn next(&self, stage: Stage) -> Stage {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *run, stage)
    }

    fn started(&self, started: &RunStarted) {
        if let Stage::Before(About { version, selection }) = self.next(Stage::After) {
            let run = self.monitor.run(NAME);
            let run = run
                .version_by(move || version.wait())
                .label("run", started.run.to_string())
                .label("isolation", started.isolation)
                .label("jobs", started.jobs.to_string())
                .label("selection", shortened(selection));
            self.next(Stage::During(run.begin()));
        }
    }

    /// Notes what the run came to, and lets the history be closed while the last of it is shown and written elsewhere.
    ///
    /// A run that was told to end before its tests had run has come to nothing that could be compared.
    fn finished(&self, duration: Duration, counts: &RunCounts, is_whole: bool) {
        if let Stage::During(run) = self.next(Stage::After) {
            if is_whole {
                run.results(self.results(duration, counts));
            }
            run.end();
        }
        self.monitor.close();
    }

    fn results(&self, duration: Duration, counts: &RunCounts) -> Vec<(&'static str, f64)> {
        let mut results = vec![
            ("wall_seconds", duration.as_secs_f64()),
            ("tests", counts.run() as f64),
            ("failed", counts.failures() as f64),
            ("flaky", counts.flaky as f64),
        ];
        let durations = self.series.durations();
        results.push(("test_seconds", durations.sum() as f64 / 1e9));
        results.extend(self.cores.map(|cores| ("cores", cores)));
        for (name, quantile) in [
            ("p50_seconds", 0.5),
            ("p95_seconds", 0.95),
            ("longest_seconds", 1.0),
        ] {
            let nanos = durations.quantile(quantile);
            results.extend(nanos.map(|nanos| (name, nanos as f64 / 1e9)));
        }
        if let (Some(before), Some(now)) = (self.before, ChildTime::now()) {
            results.push(("cpu_seconds", now.since(before).as_secs_f64()));
        }
        results
    }
}

/// A label that the history takes, still another one for other tests.
fn shortened(selection: String) -> String {
    match selection.len() <= SeriesKey::MAX_VALUE {
        true => selection,
        false => {
            let mut hasher = DefaultHasher::new();
            selection.hash(&mut hasher);
            let start: String = selection.chars().take(100).collect();
            format!("{start}… ({:016x})", hasher.finish())
        }
    }
}

/// Counts events, and passes them on.
struct Counting {
    inner: Box<dyn Reporter>,
    shared: Arc<Shared>,
}

impl Reporter for Counting {
    fn event(&mut self, event: &Event) {
        self.shared.series.count(event);
        match event {
            Event::RunStarted(started) => self.shared.started(started),
            Event::RunFinished {
                duration,
                counts,
                stopped,
                ..
            } => self.shared.finished(*duration, counts, stopped.is_none()),
            _ => {}
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
