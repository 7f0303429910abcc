//! The view on a terminal: what is seen, what ends it, and how the terminal is left.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::ptr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Hanging, Project};

/// A hang is noticed after this; nothing here is judged by its speed.
const LIMIT: Duration = Duration::from_secs(60);

/// What opens and leaves the screen of the view.
const SCREEN: [&str; 2] = ["\x1b[?1049h", "\x1b[?1049l"];

/// `aqe monitor --real-time` on a terminal of its own.
struct Watching {
    child: Child,
    master: File,
    /// Held, so that the terminal outlives the program and can be looked at.
    slave: OwnedFd,
    pieces: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    before: Settings,
}

/// How a terminal treats what is typed and written.
#[derive(Debug, PartialEq, Eq)]
struct Settings([libc::tcflag_t; 4]);

impl Settings {
    fn of(terminal: &OwnedFd) -> Self {
        let mut settings = MaybeUninit::<libc::termios>::uninit();
        // SAFETY: the descriptor is open, and the call writes all of the settings when it says that it succeeded.
        let settings = unsafe {
            assert_eq!(
                libc::tcgetattr(terminal.as_raw_fd(), settings.as_mut_ptr()),
                0
            );
            settings.assume_init()
        };
        Self([
            settings.c_iflag,
            settings.c_oflag,
            settings.c_cflag,
            settings.c_lflag,
        ])
    }
}

fn open_terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: both descriptors and the size are places of ours, and a name and settings are not asked for.
    let opened = unsafe {
        libc::openpty(
            &raw mut master,
            &raw mut slave,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut size,
        )
    };
    assert_eq!(opened, 0);
    // SAFETY: `openpty` has just opened them for us, and nobody else owns them.
    unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) }
}

impl Watching {
    /// Starts it, and waits until it shows the test that hangs.
    fn start(project: &Project, words: &str) -> Self {
        let (master, slave) = open_terminal();
        let before = Settings::of(&slave);
        let mut command = project.command(&format!("monitor --real-time {words}"));
        command
            .env("TERM", "xterm")
            .stdin(slave.try_clone().unwrap())
            .stdout(slave.try_clone().unwrap())
            .stderr(slave.try_clone().unwrap());
        let child = command.spawn().unwrap();
        let mut reader = master.try_clone().unwrap();
        let (piece, pieces) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // Linux ends with an error where others end with nothing.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                let _ = piece.send(bytes[..count].to_vec());
            }
        });
        let mut watching = Self {
            child,
            master,
            slave,
            pieces,
            seen: Vec::new(),
            before,
        };
        watching.wait_for("hangs");
        watching
    }

    /// Waits for a word: blank cells between words are passed over and not written.
    fn wait_for(&mut self, word: &str) {
        let limit = Instant::now() + LIMIT;
        while !self.text().contains(word) {
            // What is redrawn comes again and again, so that it is all of it together that has a limit.
            let left = limit.saturating_duration_since(Instant::now());
            match self.pieces.recv_timeout(left) {
                Ok(piece) if !left.is_zero() => self.seen.extend(piece),
                _ => {
                    let _ = self.child.kill();
                    panic!("{word:?} is not in {:?}", self.text());
                }
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    fn press(&mut self, keys: &[u8]) {
        self.master.write_all(keys).unwrap();
    }

    /// Waits for the end, and checks how the terminal is left. Gives the exit code and what came after the picture.
    fn end(mut self) -> (i32, String) {
        self.wait_for(SCREEN[1]);
        let status = self.child.wait().unwrap();
        assert_eq!(Settings::of(&self.slave), self.before);
        // Whatever it wrote before it ended is on its way when this has been written, and this comes last.
        let mut last = File::from(self.slave.try_clone().unwrap());
        last.write_all(b"the end").unwrap();
        self.wait_for("the end");
        let text = self.text();
        let (picture, after) = text.split_once(SCREEN[1]).unwrap();
        assert!(picture.contains(SCREEN[0]), "{text:?}");
        // The cursor that was hidden is shown again.
        assert!(
            text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l"),
            "{text:?}"
        );
        let code = status.code().unwrap_or(-1);
        (code, after.replace("the end", "").replace('\r', ""))
    }
}

#[test]
fn a_terminal_is_left_as_it_was_whatever_ends_the_view() {
    let project = Project::new();
    let mut run: Hanging = project.hanging();

    let mut left = Watching::start(&project, "");
    for shown in ["processors", "memory", "passed", "FAIL"] {
        left.wait_for(shown);
    }
    left.press(b"xq");
    assert_eq!(left.end().0, 0);

    let mut interrupted = Watching::start(&project, "--queue-status --interval 100ms");
    interrupted.press(b"\x03");
    assert_eq!(interrupted.end().0, 130);

    let terminated = Watching::start(&project, "");
    let pid = terminated.child.id().cast_signed();
    // SAFETY: the call takes numbers; the child was not waited for, so its number is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
    assert_eq!(terminated.end().0, 143);

    let over = Watching::start(&project, "");
    run.end(libc::SIGINT);
    let (code, after) = over.end();
    assert_eq!(code, 0);
    assert!(
        after.contains("1 passed") && after.ends_with("the run has ended\n"),
        "{after:?}"
    );
}

#[test]
fn a_run_that_is_killed_leaves_the_terminal_as_it_was_too() {
    let project = Project::new();
    let mut run = project.hanging();
    let watching = Watching::start(&project, "");
    run.end(libc::SIGKILL);
    let (code, after) = watching.end();
    assert_eq!(code, 4, "{after:?}");
    assert!(after.contains("may have been killed"), "{after:?}");
}
