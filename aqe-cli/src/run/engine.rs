//! The call of the run engine.

use aqe_runner::cargo::Workspace;
use aqe_runner::run::{Reporter, RunError, RunOptions, RunReport, Runner};

use super::signals;
use crate::report::LiveHandle;

/// Runs the tests, and obeys signals while it does.
pub(super) async fn run(
    options: RunOptions,
    workspace: &Workspace,
    reporter: Box<dyn Reporter>,
    live: Option<LiveHandle>,
) -> Result<RunReport, RunError> {
    // Before anything is started: a signal from here on is not lost, however late the task looks at it first.
    let signals = signals::receive();
    let runner = Runner::new(options)?;
    let obeying = tokio::spawn(signals::obey(signals, runner.control(), live));
    let report = runner.run(workspace, reporter).await;
    obeying.abort();
    report
}
