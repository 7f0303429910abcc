//! A narrow terminal, and names that are wider than they are long.

use std::fs::File;
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::Command;
use std::ptr;
use std::sync::mpsc::channel;
use std::thread;

use unicode_width::UnicodeWidthChar;

use crate::crowd::Gate;
use crate::project::{LIMIT, Project, Running};

const WIDTH: usize = 40;

/// Each waits until the pipe is opened, so that it is in the block for certain.
const LIBRARY: &str = r#"
#[cfg(test)] use std::io::Read;
#[cfg(test)] fn wait() {
    let pipe = std::path::Path::new(&std::env::var_os("STATE").unwrap()).join("pipe");
    let mut byte = [0];
    std::fs::File::open(pipe).unwrap().read_exact(&mut byte).unwrap();
}
#[test] fn 試験試験試験試験試験試験試験試験試験試験試験試験試験試験() { wait() }
#[test] fn a試験試験試験試験試験試験試験試験試験試験試験試験試験試験() { wait(); panic!("{}", "これは失敗です".repeat(9)) }
"#;

/// A terminal as far as it is needed here: it wraps, scrolls for ever and knows what a line was before it was wrapped.
#[derive(Default)]
struct Terminal {
    /// Each row with whether it continues the row above.
    rows: Vec<(Vec<char>, bool)>,
    row: usize,
    column: usize,
}

/// The right half of a wide character.
const HALF: char = '\0';

impl Terminal {
    fn show(&mut self, text: &str) {
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            match char {
                '\x1b' => {
                    assert_eq!(chars.next(), Some('['), "{text:?}");
                    let mut sequence = String::new();
                    while !sequence.ends_with(|char: char| char.is_ascii_alphabetic()) {
                        sequence.push(chars.next().unwrap());
                    }
                    self.control(&sequence);
                }
                '\r' => self.column = 0,
                '\n' => {
                    self.row += 1;
                    self.column = 0;
                    self.row_mut();
                }
                char => self.put(char),
            }
        }
    }

    fn put(&mut self, char: char) {
        let width = char
            .width()
            .unwrap_or_else(|| panic!("{char:?} was let through"));
        // A cursor past the last cell moves on only when there is something to put.
        if self.column + width > WIDTH {
            self.row += 1;
            self.column = 0;
            self.row_mut().1 = true;
        }
        let column = self.column;
        let cells = &mut self.row_mut().0;
        cells.truncate(column);
        cells.push(char);
        cells.extend((1..width).map(|_| HALF));
        self.column += width;
    }

    fn control(&mut self, sequence: &str) {
        let (number, letter) = sequence.split_at(sequence.len() - 1);
        match letter {
            "A" => self.row = self.row.checked_sub(number.parse().unwrap_or(1)).unwrap(),
            "J" => {
                assert!(["", "0"].contains(&number), "{sequence}");
                // What is taken away was the block, of which no line may have been wider than the terminal.
                let wrapped = self.rows[self.row..]
                    .iter()
                    .find(|(_, continues)| *continues);
                assert_eq!(wrapped, None, "a line of the block was wrapped");
                let column = self.column;
                self.row_mut().0.truncate(column);
                self.rows.truncate(self.row + 1);
            }
            "K" => {
                let column = self.column;
                self.row_mut().0.truncate(column);
            }
            // Colours, and whether the cursor is seen.
            "m" | "h" | "l" => {}
            _ => panic!("{sequence:?} is not known here"),
        }
    }

    fn row_mut(&mut self) -> &mut (Vec<char>, bool) {
        if self.rows.len() <= self.row {
            self.rows.resize_with(self.row + 1, Default::default);
        }
        &mut self.rows[self.row]
    }

    /// What a person reads, with wrapped lines put together again.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for (cells, continues) in &self.rows {
            let text = cells.iter().filter(|char| **char != HALF);
            match lines.last_mut().filter(|_| *continues) {
                Some(line) => line.extend(text),
                None => lines.push(text.collect()),
            }
        }
        lines
    }
}

fn open_terminal() -> (File, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    let mut size = libc::winsize {
        ws_row: 24,
        ws_col: WIDTH.try_into().unwrap(),
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

/// Everything that the terminal got; the gate is opened when both names have been on it.
fn on_a_terminal(mut command: Command, gate: &mut Gate) -> String {
    let (mut master, slave) = open_terminal();
    command
        .env("TERM", "xterm")
        .stdout(slave.try_clone().unwrap())
        .stderr(slave);
    let mut child = command.spawn().unwrap();
    // The command holds the other end open, and a terminal ends when nobody does.
    drop(command);
    let (piece, pieces) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        // Linux ends with an error where others end with nothing.
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            let _ = piece.send(bytes[..count].to_vec());
        }
    });
    let mut seen = Vec::new();
    let mut is_shut = true;
    loop {
        match pieces.recv_timeout(LIMIT) {
            Ok(piece) => seen.extend(piece),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                child.kill().unwrap();
                panic!("it hangs: {}", String::from_utf8_lossy(&seen))
            }
        }
        let text = String::from_utf8_lossy(&seen);
        if is_shut && text.contains(" 試験") && text.contains(" a試") {
            is_shut = false;
            gate.open();
            gate.open();
        }
    }
    assert_eq!(child.wait().unwrap().code(), Some(1));
    String::from_utf8(seen).unwrap()
}

/// The line without what differs between two runs.
fn normal(line: &str) -> String {
    let line = match (line.find('['), line.find(']')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &line[..from], &line[to + 1..]),
        _ => line.to_owned(),
    };
    let line = line.split(" in ").next().unwrap_or_default();
    let line = line.split("thread '").next().unwrap_or_default();
    if line.starts_with("journal: ") {
        return "journal: ".to_owned();
    }
    line.trim_end().to_owned()
}

#[test]
fn a_narrow_terminal_with_wide_names_is_left_with_the_results_and_nothing_else() {
    let project = Project::new("terminal", "", &[("src/lib.rs", LIBRARY)]);
    let mut gate = Gate::new();
    let words = "--jobs 2 --color always";
    let mut command = project.command(words);
    command.env("STATE", gate.state());
    gate.open();
    gate.open();
    let mut piped = project.command("--jobs 2 --color never --progress live");
    piped.env("STATE", gate.state());
    let piped = Running::start(piped).end();
    assert_eq!(piped.code, 1, "{}", piped.stderr);
    let expected: Vec<String> = piped.stdout.lines().map(normal).collect();

    let seen = on_a_terminal(command, &mut gate);
    let mut terminal = Terminal::default();
    terminal.show(&seen);
    let mut lines: Vec<String> = terminal.lines().iter().map(|line| normal(line)).collect();
    // Cargo's own progress is above.
    let first = lines
        .iter()
        .position(|line| *line == expected[0])
        .unwrap_or_else(|| panic!("{lines:#?}"));
    lines.drain(..first);
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    assert_eq!(lines, expected, "{seen:?}");
}
