//! A whole run, from test binaries to a report.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use aqe_core::Engine;
use aqe_core::config::{Isolation, Machine};
use aqe_core::queue::Scheduling;

use super::attempt::{BACKTRACE, with_causes};
use super::chronicle::Opening;
use super::floor::Floor;
use super::listing::{self, Listed};
use super::plan::{Plan, Runnable};
use super::recorder::{Outlets, Recorder};
use super::{
    Event, Reporter, RunControl, RunError, RunOptions, RunReport, RunStarted, TestOutput, batch,
    singly,
};
use crate::cargo::Workspace;
use crate::history::fingerprint;
use crate::journal::{JournalWriter, RunFolder, RunId, RunsFolder};
use crate::junit::JunitReport;
use crate::launcher::{Environment, Launcher, LauncherConfig};
use crate::list::ListCache;
use crate::model::{UnixMillis, Verdict};

/// Runs the tests of a workspace. The front page of this crate has an example.
#[derive(Debug)]
pub struct Runner {
    options: RunOptions,
    jobs: NonZeroUsize,
    engine: Engine,
    control: RunControl,
}

impl Runner {
    /// Prepares a run: its launcher and its queue. Needs a tokio runtime with time.
    ///
    /// # Errors
    ///
    /// [`RunError::Launcher`] and [`RunError::Engine`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(options: RunOptions) -> Result<Self, RunError> {
        let jobs = match options.output {
            TestOutput::Inherited => NonZeroUsize::MIN,
            TestOutput::Captured => options.settings.jobs.on(Machine::detect().cores),
        };
        let launcher = start_launcher(&options, jobs)?;
        // What waits with the launcher has begun before a failure is heard of.
        let ahead = if options.settings.fail_fast { 0 } else { AHEAD };
        let width = jobs.get().saturating_add(ahead);
        let engine = Engine::builder()
            // Whoever wants a run monitored has the events, and a monitor that lives as long as its program.
            .without_monitor()
            .queue(move |queue| {
                // The width is what was asked for. How long a test takes says nothing about how many should run.
                let queue = queue.scheduling(Scheduling::Priority);
                queue.max_concurrent(width).timeout(None)
            })
            .build()?;
        Ok(Self {
            control: RunControl::new(launcher),
            options,
            jobs,
            engine,
        })
    }

    /// A handle that ends, holds and continues the run from elsewhere.
    #[must_use]
    pub fn control(&self) -> RunControl {
        self.control.clone()
    }

    /// Lists the tests, runs those that are to run, and returns when the last verdict is on disk and has been reported.
    ///
    /// # Errors
    ///
    /// Failing tests are none; see [`RunError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops what runs, as the launcher does; the journal then ends without a last record.
    pub async fn run(
        self,
        workspace: &Workspace,
        reporter: Box<dyn Reporter>,
    ) -> Result<RunReport, RunError> {
        let state = match &self.options.state {
            Some(folder) => folder.clone(),
            None => workspace.target_directory.join("aqe"),
        };
        let mut warnings = Vec::new();
        let opening = Opening::begin(&state, &self.options.memory);
        let Listed { listings, failed } = self.list(workspace, &state, &mut warnings).await?;
        let (chronicle, mut history) = opening.finish(&mut warnings);
        let mut builds = HashMap::new();
        for (binary, listing) in &listings {
            history.keep_listed(&binary.id, listing);
            // Taken before a test runs, so that a rebuild meanwhile is not taken for what has run.
            builds.extend(fingerprint(&binary.path).map(|build| (binary.id.clone(), build)));
        }
        let plan = Plan::new(listings, &self.options.filter, &history);
        for test in &plan.duplicates {
            warnings.push(format!(
                "{} lists {} more than once; it is run as one test",
                test.binary, test.name
            ));
        }
        warnings.extend(failed.iter().map(ToString::to_string));
        let disk = Disk::prepare(&state, &mut warnings);
        let recorder = Recorder::start(Outlets {
            journal: disk.journal,
            junit: self.junit(workspace),
            history,
            reporter,
            arguments: self.options.arguments.clone(),
        })?;
        recorder.events().send(Event::RunStarted(RunStarted {
            run: disk.run,
            started: UnixMillis::now(),
            tests: plan.cases.len() as u64,
            binaries: plan.binaries(),
            ignored: plan.ignored.len() as u64,
            filtered_out: plan.filtered_out,
            jobs: self.jobs.get(),
            isolation: self.isolation().as_str(),
            journal: disk.journal_path.clone(),
        }));
        for message in warnings {
            recorder.events().send(Event::Warning { message });
        }
        let begin = Instant::now();
        let floor = Arc::new(Floor {
            control: self.control.clone(),
            events: recorder.events().clone(),
            settings: self.options.settings.clone(),
            output: self.options.output,
            spill: disk.spill.clone(),
            spill_left: AtomicU64::new(MAX_KEPT_SPILL),
            next_batch: AtomicU64::new(1),
            backtraces: std::env::var_os(BACKTRACE).is_some_and(|value| value != "0"),
        });
        if let Err(error) = self.execute_and_watch(&floor, &plan).await {
            recorder.abandon();
            return Err(error);
        }
        let duration = begin.elapsed();
        let mut recorded = recorder.finish(duration, self.control.halted())?;
        let history_error = chronicle
            .end(disk.run, &mut recorded.history, &builds)
            .err();
        if let Some(spill) = &disk.spill {
            // Stays when it holds the output of a test that failed.
            let _ = std::fs::remove_dir(spill);
        }
        Ok(RunReport {
            run: disk.run,
            counts: recorded.counts,
            selected: plan.cases.len() as u64,
            duration,
            stopped: recorded.stopped,
            unlisted: failed,
            journal: disk.journal_path,
            junit_error: recorded.junit_error,
            history_error,
        })
    }

    async fn list(
        &self,
        workspace: &Workspace,
        state: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Listed, RunError> {
        let shared = Environment::current()?;
        let binaries = workspace
            .binaries
            .iter()
            .map(|binary| Ok((binary.clone(), Arc::new(Runnable::new(binary, &shared)?))))
            .collect::<Result<Vec<_>, RunError>>()?;
        let mut cache = ListCache::load(state);
        let listed =
            listing::list(self.engine.queue(), &self.control, binaries, &mut cache).await?;
        if let Err(error) = cache.save() {
            warnings.push(with_causes(&error));
        }
        Ok(listed)
    }

    /// Executes the plan, and tells when nothing more is started.
    async fn execute_and_watch(&self, floor: &Arc<Floor>, plan: &Plan) -> Result<(), RunError> {
        let mut work = std::pin::pin!(self.execute(floor, plan));
        tokio::select! {
            // First, so that it is told even when everything else ends in the same moment.
            biased;
            () = self.control.until_halted() => {}
            done = &mut work => return done,
        }
        if let Some(reason) = self.control.halted() {
            floor.events.send(Event::Stopping { reason });
        }
        work.await
    }

    async fn execute(&self, floor: &Arc<Floor>, plan: &Plan) -> Result<(), RunError> {
        for test in &plan.ignored {
            let verdict = Verdict::Ignored { reason: None };
            floor.settle(test.clone(), verdict, Duration::ZERO);
        }
        match self.isolation() {
            Isolation::Batch => batch::run(floor, self.engine.queue(), plan, self.jobs.get()).await,
            _ => singly::run(floor, self.engine.queue(), &plan.cases).await,
        }
    }

    /// A terminal that several tests write to at once helps nobody.
    fn isolation(&self) -> Isolation {
        match self.options.output {
            TestOutput::Inherited => Isolation::Process,
            TestOutput::Captured => self.options.settings.isolation,
        }
    }

    fn junit(&self, workspace: &Workspace) -> Option<(JunitReport, PathBuf)> {
        let path = self.options.junit.clone()?;
        let name = workspace.root.file_name().unwrap_or_default();
        Some((JunitReport::new(&name.to_string_lossy()), path))
    }
}

/// Starts a launcher that adopts orphans if that is wanted and can be had.
fn start_launcher(options: &RunOptions, jobs: NonZeroUsize) -> Result<Launcher, RunError> {
    let config = LauncherConfig::default().max_running(jobs);
    if options.adopt_orphans
        && cfg!(target_os = "linux")
        && let Ok(launcher) = Launcher::start(&config.clone().subreaper(true))
    {
        return Ok(launcher);
    }
    Ok(Launcher::start(&config)?)
}

/// The run's folder, as far as it can be had.
struct Disk {
    run: RunId,
    journal: Option<JournalWriter>,
    journal_path: Option<PathBuf>,
    spill: Option<PathBuf>,
}

impl Disk {
    /// Makes room for a new run; without it the run goes on, and `warnings` says what is missing.
    fn prepare(state: &Path, warnings: &mut Vec<String>) -> Self {
        let run = RunId::new();
        let runs = RunsFolder::new(state.join("runs"));
        let mut disk = Self {
            run,
            journal: None,
            journal_path: None,
            spill: None,
        };
        let folder = match runs.create(run) {
            Ok(folder) => folder,
            Err(error) => {
                warnings.push(format!(
                    "this run is not recorded on disk: {}",
                    with_causes(&error)
                ));
                return disk;
            }
        };
        disk.open(&folder, warnings);
        // What cannot be cleared away today is tried again tomorrow.
        let _ = runs.prune(RunsFolder::DEFAULT_KEPT);
        disk
    }

    fn open(&mut self, folder: &RunFolder, warnings: &mut Vec<String>) {
        match folder.create_journal() {
            Ok(journal) => {
                self.journal_path = Some(folder.journal_path());
                self.journal = Some(journal);
            }
            Err(error) => warnings.push(format!(
                "this run is not recorded on disk: {}",
                with_causes(&error)
            )),
        }
        let spill = folder.path().join("output");
        // Without it, output that does not fit in memory goes to the system's folder for temporary files.
        if std::fs::create_dir(&spill).is_ok() {
            self.spill = Some(spill);
        }
    }
}

/// Operations that are with the launcher before it can start them: then the next process is started by the thread that
/// sees the last one end, without a way through this runtime.
const AHEAD: usize = 1;
/// The most spilled output of failed tests that one run leaves on disk.
const MAX_KEPT_SPILL: u64 = 1024 * 1024 * 1024;
