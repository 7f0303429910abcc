//! `aqe run`: from a command line to an exit code.

mod alerting;
mod doc;
mod engine;
mod monitoring;
mod outcome;
mod session;
mod settings;
mod signals;

use std::io::{self, IsTerminal};
use std::path::Path;

use aqe_core::config::Config;
use aqe_core::state::StateFolder;
use aqe_runner::cargo::{CargoError, Workspace, find_test_binaries};
use aqe_runner::run::{Reporter, RunOptions};

use self::alerting::Alerting;
use self::monitoring::{About, Asked, Monitoring};
use self::outcome::{Noting, Outcome, Seen};
use self::session::Watch;
use crate::args::{ProgressArg, RunArgs};
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::style::Colors;
use crate::report::{Json, Live, LiveHandle, Look, Plain, Rerun, Results, Size};

/// Builds, runs, and says how it went.
pub(crate) fn run(arguments: &RunArgs) -> Result<Exit, Failure> {
    let folder = working_folder()?;
    if arguments.doc {
        return doc::run(arguments, &folder);
    }
    let loaded = settings::load(arguments, &folder)?;
    let config = loaded.config();
    let options = settings::options(arguments, config);
    // Answered while cargo builds.
    let version = if config.monitoring.enabled {
        Asked::about(&folder)
    } else {
        Asked::nothing()
    };
    let workspace = find(arguments, &folder)?;
    let project = settings::project_folder(&arguments.build, &folder);
    let state =
        StateFolder::find(&project).map_err(|error| Failure::of(Exit::Environment, &error))?;
    let about = About {
        version,
        selection: settings::chosen(arguments),
    };
    // Before the monitor, whose first tick comes at once.
    let alerting = Alerting::prepare(&loaded, &state);
    let monitoring = Monitoring::begin(config, &state, about, alerting.feed());
    let (monitoring, mut unmeasured) = match monitoring {
        Ok(monitoring) => (monitoring, Vec::new()),
        Err(warning) => (None, vec![warning]),
    };
    let view = view(arguments, config);
    let seen = Seen::default();
    let (reporter, watch) = session::watched(Noting::new(view.reporter, seen.clone()));
    // The inner one, so that a test is counted before the monitor hears of the end and takes its last tick.
    let mut reporter = alerting.reporter(Box::new(reporter));
    if let Some(monitoring) = &monitoring {
        reporter = monitoring.reporter(reporter);
    }
    // Who wants nothing to be measured wants nothing to be made for it either.
    let watched = config.monitoring.enabled.then_some((&state, watch));
    let report = drive(options, &workspace, reporter, view.live, watched);
    if let Some(monitoring) = monitoring {
        unmeasured.extend(monitoring.end());
    }
    // Whatever became of the run: what was raised should not wait for the next one.
    let untold = alerting.end();
    let outcome = Outcome::of(&report?, unmeasured, untold);
    outcome::conclude(&outcome, &seen.plan(), arguments)
}

/// Builds and finds the test binaries; blocks for as long as cargo does.
fn find(arguments: &RunArgs, folder: &Path) -> Result<Workspace, Failure> {
    find_test_binaries(folder, &settings::selection(&arguments.build)).map_err(
        |error| match error {
            // Cargo has said why.
            CargoError::Build { .. } => Failure::new(Exit::BuildFailed, ""),
            error => Failure::of(Exit::Environment, &error),
        },
    )
}

/// Everything asynchronous happens on this thread: the launcher, the reporter and the signals have threads of their own.
fn drive(
    options: RunOptions,
    workspace: &Workspace,
    reporter: Box<dyn Reporter>,
    live: Option<LiveHandle>,
    watched: Option<(&StateFolder, Watch)>,
) -> Result<aqe_runner::run::RunReport, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Environment,
                format!("cannot set up the event loop: {error}"),
            )
        })?;
    runtime.block_on(async {
        // Before anything is served or started: a signal from here on is not lost, however late it is looked at first.
        let signals = signals::receive();
        // Dropped at the end, which removes its files.
        let _served = watched.and_then(|(state, watch)| session::serve(state, watch));
        engine::run(options, workspace, reporter, live, signals).await
    })
}

/// A reporter, and a way to reach it if it draws on a terminal.
struct View {
    reporter: Box<dyn Reporter>,
    live: Option<LiveHandle>,
}

fn view(arguments: &RunArgs, config: &Config) -> View {
    let unreachable = |reporter| View {
        reporter,
        live: None,
    };
    if arguments.json {
        return unreachable(Box::new(Json::new(io::stdout())));
    }
    let look = Look {
        colors: Colors::choose(arguments.color, &io::stdout()),
        verbose: arguments.verbose,
        max_attempts: config.run.retries.saturating_add(1),
        rerun: Rerun::of(arguments),
    };
    if !is_live(arguments) {
        return unreachable(Box::new(Plain::new(look, io::stdout(), io::stderr())));
    }
    let size = Size::of_terminal();
    // One screen gets one stream, so that a frame is one write.
    let live = if io::stdout().is_terminal() {
        Live::new(look, Box::new(io::stdout()), Results::Screen, size)
    } else {
        Live::new(
            look,
            Box::new(io::stderr()),
            Results::Elsewhere(Box::new(io::stdout())),
            size,
        )
    };
    let handle = live.handle();
    View {
        reporter: Box::new(live),
        live: Some(handle),
    }
}

/// Whether there is a status block. Where results go through a pipe there is none by itself: what comes out at its other
/// end may land on the same screen, in the middle of the block.
fn is_live(arguments: &RunArgs) -> bool {
    // Tests that write to the terminal themselves would write into the block.
    if arguments.no_capture {
        return false;
    }
    match arguments.progress {
        ProgressArg::Live => true,
        ProgressArg::Plain => false,
        ProgressArg::Auto => {
            let is_set = |name| {
                std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false")
            };
            let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
            io::stdout().is_terminal() && io::stderr().is_terminal() && !is_set("CI") && !is_dumb
        }
    }
}
