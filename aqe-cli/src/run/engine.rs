//! The call of the run engine.

use std::thread;

use aqe_runner::cargo::Workspace;
use aqe_runner::run::{Reporter, RunControl, RunOptions, RunReport, Runner};
use tokio::sync::oneshot;

use super::signals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::LiveHandle;
use crate::signals::Signals;

/// Runs the tests, and obeys signals while it does.
pub(super) async fn run(
    options: RunOptions,
    workspace: &Workspace,
    reporter: Box<dyn Reporter>,
    live: Option<LiveHandle>,
    signals: Signals,
) -> Result<RunReport, Failure> {
    let refused = |error: &dyn std::error::Error| Failure::of(Exit::Environment, error);
    let runner = Runner::new(options).map_err(|error| refused(&error))?;
    // Dropped at the end, which ends the thread.
    let _obeying = obey(signals, runner.control(), live).map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("cannot create the thread that receives signals: {error}"),
        )
    })?;
    let report = runner.run(workspace, reporter).await;
    report.map_err(|error| refused(&error))
}

/// Obeys signals until the result is dropped.
///
/// On a thread of its own: that of the run waits for the reporter when it is far ahead and at the end, and a reporter
/// waits for as long as nobody reads what it writes. Whoever has stopped such a pipe must still be heard.
fn obey(
    signals: Signals,
    control: RunControl,
    live: Option<LiveHandle>,
) -> std::io::Result<oneshot::Sender<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let (ending, ended) = oneshot::channel();
    let body = move || {
        runtime.block_on(async {
            tokio::select! {
                () = signals::obey(signals, control, live) => {}
                _ = ended => {}
            }
        });
    };
    thread::Builder::new()
        .name("aqe-signals".to_owned())
        .spawn(body)?;
    Ok(ending)
}
