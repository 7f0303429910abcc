//! `aiosmtpd`, a mail server from PyPI, in an environment of its own below the target folder.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::tls::Identity;

const PACKAGE: &str = "aiosmtpd==1.4.6";

/// A running server. The process ends with it.
pub(crate) struct MailServer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) port: u16,
}

impl MailServer {
    /// Starts one in `mode` plain, starttls or tls; `None` if it cannot be installed, which is said.
    pub(crate) fn start(mode: &str, identity: &Identity, folder: &Path) -> Option<Self> {
        let python = python()?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, identity.certificate.pem()).unwrap();
        std::fs::write(&key, identity.key.serialize_pem()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alerts/smtp_server.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg(mode)
            .args([certificate, key])
            .stdout(Stdio::piped())
            // Its warnings about unsafe settings, which are wanted here.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let port = lines.next().unwrap().unwrap().parse().unwrap();
        Some(Self {
            process,
            lines,
            port,
        })
    }

    /// Waits for the next mail.
    pub(crate) fn mail(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    /// Ends the server, and returns how many mails were not asked for.
    pub(crate) fn rest(mut self) -> usize {
        self.process.kill().unwrap();
        self.lines.by_ref().count()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The interpreter that has the package, installed by the first who asks.
fn python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let environment = folder.join("aiosmtpd-1.4.6");
    let python = environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    });
    let lock = File::create(folder.join("aiosmtpd.lock")).unwrap();
    lock.lock().unwrap();
    let has = |python: &Path| {
        let mut import = Command::new(python);
        let import = import.args(["-c", "import aiosmtpd"]).stderr(Stdio::null());
        import.status().is_ok_and(|status| status.success())
    };
    if has(&python) {
        return Some(python);
    }
    let ran = |command: &mut Command| command.status().is_ok_and(|status| status.success());
    let name = if cfg!(windows) { "python" } else { "python3" };
    let made = ran(Command::new(name).args(["-m", "venv"]).arg(&environment))
        && ran(Command::new(&python).args(["-m", "pip", "install", "--quiet", PACKAGE]));
    if made && has(&python) {
        return Some(python);
    }
    let say = format!(
        "no mail server to test with; install one with\n  {name} -m venv {0} && {1} -m pip install {PACKAGE}",
        environment.display(),
        python.display(),
    );
    // A machine that must not skip says so.
    assert!(
        std::env::var_os("AQE_REQUIRE_MAIL_SERVER").is_none(),
        "{say}"
    );
    eprintln!("skipped: {say}");
    None
}
