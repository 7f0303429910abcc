//! A pipe that everything started by a run holds open, so that its end tells that nothing of the run is left.

use std::io::{PipeReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use crate::project::LIMIT;

/// What a test of a project takes to write a byte to the leash.
pub(crate) const TUG: &str = r#"
fn tug(byte: u8) {
    use std::io::Write;
    use std::os::fd::FromRawFd;
    let Some(number) = std::env::var_os("LEASH") else { return };
    let number = number.to_str().unwrap().parse().unwrap();
    let mut pipe = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(number) });
    pipe.write_all(&[byte]).unwrap();
}
"#;

/// The end that stays here.
pub(crate) struct Leash(PipeReader);

impl Leash {
    /// Ties what `command` starts.
    pub(crate) fn tie(command: &mut Command) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let number = writer.as_raw_fd();
        command.env("LEASH", number.to_string());
        let inherit = move || {
            // Owned by this closure, so that it is open for as long as the command may be started.
            let number = writer.as_raw_fd();
            // SAFETY: `fcntl` with a number and no pointers is safe after a fork.
            match unsafe { libc::fcntl(number, libc::F_SETFD, 0) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: the closure makes one system call and touches no lock or heap.
        unsafe { command.pre_exec(inherit) };
        Self(reader)
    }

    /// Waits for a byte that a test writes.
    pub(crate) fn feel(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        byte[0]
    }

    /// Waits until nobody holds the other end, and returns what was written; the command must be gone.
    pub(crate) fn slack(mut self) -> Vec<u8> {
        let (all, read) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            self.0.read_to_end(&mut bytes).unwrap();
            let _ = all.send(bytes);
        });
        read.recv_timeout(LIMIT)
            .expect("a process of the run is still there")
    }
}
