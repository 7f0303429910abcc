//! Which version of the project is being run, as git calls it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Longest version that the history takes, in bytes.
const MAX_BYTES: usize = 256;

/// How long a run that is over waits for git. It has had the time of the build, and of the run, before.
const PATIENCE: Duration = Duration::from_secs(1);

/// A question to git that is being answered beside everything else.
pub(in crate::run) struct Asked(Option<Receiver<String>>);

impl Asked {
    /// Asks nothing: nobody will want the answer.
    pub(in crate::run) fn nothing() -> Self {
        Self(None)
    }

    /// Asks git about the repository around a folder. Without a repository nothing is started.
    pub(in crate::run) fn about(folder: &Path) -> Self {
        if !folder
            .ancestors()
            .any(|folder| folder.join(".git").exists())
        {
            return Self(None);
        }
        let (answer, answered) = mpsc::channel();
        let folder = folder.to_owned();
        let ask = move || {
            // Nobody may be left to hear it.
            let _ = answer.send(describe(&folder).unwrap_or_default());
        };
        let started = thread::Builder::new()
            .name("aqe-version".to_owned())
            .spawn(ask);
        Self(started.ok().map(|_| answered))
    }

    /// The answer, or nothing if there is none in time.
    pub(super) fn wait(self) -> String {
        let answer = self
            .0
            .and_then(|answered| answered.recv_timeout(PATIENCE).ok());
        answer.unwrap_or_default()
    }
}

/// A tag, how far from it, the commit, and whether files were changed since; `None` without git or a commit.
fn describe(folder: &Path) -> Option<String> {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["describe", "--always", "--dirty", "--tags"])
        // It looks, and takes no lock that somebody's own git would stumble over.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.trim();
    let is_answer = output.status.success() && version.len() <= MAX_BYTES;
    is_answer.then(|| version.to_owned())
}
