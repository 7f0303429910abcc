//! Finding sessions, and asking them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::protocol::{Body, MAX_REPLY_BYTES, Reply};
use super::socket::{Stream, connect};
use super::{Request, SessionError, Status, VERSION, place};
use crate::state::StateFolder;

/// How long an answer may take. A session on a machine that is busy takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// A session that was alive when it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pid: u32,
    started: Duration,
    socket: PathBuf,
}

impl Session {
    /// Finds the sessions of a project that are alive, the newest first. What killed programs have left is passed over.
    ///
    /// # Errors
    ///
    /// When the state folder must not be used or cannot be read. Without a folder there are no sessions.
    pub fn find(folder: &StateFolder) -> Result<Vec<Self>, SessionError> {
        if !folder.is_there()? {
            return Ok(Vec::new());
        }
        let records = place::records(folder).map_err(|source| SessionError::Io {
            action: "read",
            path: folder.path().to_owned(),
            source,
        })?;
        let records = records.iter().filter_map(|path| place::read(path));
        let sessions = records.map(|record| Self {
            pid: record.pid,
            started: Duration::from_millis(record.started_ms),
            socket: record.socket_in(folder),
        });
        let mut alive: Vec<Self> = sessions.filter(Self::is_alive).collect();
        alive.sort_by_key(|session| std::cmp::Reverse((session.started, session.pid)));
        Ok(alive)
    }

    /// Whether somebody listens. Who is stopped still does.
    fn is_alive(&self) -> bool {
        match connect(&self.socket, PATIENCE) {
            Ok(_) => true,
            Err(SessionError::Io { source, .. }) => is_slow(&source),
            Err(_) => false,
        }
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// When it began, by the wall clock, since the Unix epoch.
    #[must_use]
    pub fn started(&self) -> Duration {
        self.started
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for the status. Blocks for ten seconds at most.
    ///
    /// # Errors
    ///
    /// A [`SessionError`] when the session has ended meanwhile or does not answer.
    pub fn status(&self) -> Result<Status, SessionError> {
        let mut line = self.ask(Request::Status, PATIENCE)?;
        match line.next_reply()? {
            Some(status) => Ok(status),
            None => Err(SessionError::Lost { pid: self.pid }),
        }
    }

    /// Asks for the status now and whenever the interval has passed.
    ///
    /// # Errors
    ///
    /// As for [`status`](Self::status), and [`SessionError::Refused`] for an interval that the session does not take.
    pub fn subscribe(&self, interval: Duration) -> Result<Subscription, SessionError> {
        let patience = interval.saturating_add(PATIENCE);
        self.ask(Request::Subscribe { interval }, patience)
    }

    fn ask(&self, request: Request, patience: Duration) -> Result<Subscription, SessionError> {
        let mut stream = connect(&self.socket, PATIENCE).map_err(|error| self.explain(error))?;
        match stream.write_all(request.line().as_bytes()) {
            // A session that does not let anybody in says why before it hangs up.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other.map_err(|source| self.broken(source))?,
        }
        stream
            .set_read_timeout(Some(patience))
            .map_err(|source| self.broken(source))?;
        Ok(Subscription {
            session: self.clone(),
            stream: BufReader::new(stream),
            is_over: false,
        })
    }

    /// Gives an error of connecting the meaning that it has for a session.
    fn explain(&self, error: SessionError) -> SessionError {
        match error {
            SessionError::Io { source, .. } => self.broken(source),
            other => other,
        }
    }

    fn broken(&self, source: io::Error) -> SessionError {
        use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
        let pid = self.pid;
        match source.kind() {
            _ if is_slow(&source) => SessionError::Silent { pid },
            BrokenPipe | ConnectionRefused | ConnectionReset | NotFound => {
                SessionError::Lost { pid }
            }
            _ => SessionError::Io {
                action: "talk to the session at",
                path: self.socket.clone(),
                source,
            },
        }
    }
}

/// The statuses of a session as they come. The iterator blocks until there is one, and ends with the session, after its
/// last status; it also ends after an error.
#[derive(Debug)]
pub struct Subscription {
    session: Session,
    stream: BufReader<Stream>,
    is_over: bool,
}

impl Subscription {
    /// The next status; `None` when the session says that it is over.
    fn next_reply(&mut self) -> Result<Option<Status>, SessionError> {
        let mut line = Vec::new();
        let limit = MAX_REPLY_BYTES as u64;
        let read = (&mut self.stream).take(limit).read_until(b'\n', &mut line);
        read.map_err(|source| self.session.broken(source))?;
        if line.last() != Some(&b'\n') {
            return Err(match line.len() {
                MAX_REPLY_BYTES.. => garbled("it is too long"),
                _ => SessionError::Lost {
                    pid: self.session.pid,
                },
            });
        }
        let reply: Reply =
            serde_json::from_slice(&line).map_err(|error| garbled(&error.to_string()))?;
        match reply.body {
            _ if reply.aqe != VERSION => Err(garbled(&format!(
                "it is of version {}, and this program speaks version {VERSION}",
                reply.aqe
            ))),
            Body::Status(status) => Ok(Some(*status)),
            Body::Error(refusal) => Err(SessionError::Refused(refusal)),
            Body::End(_) => Ok(None),
        }
    }
}

impl Iterator for Subscription {
    type Item = Result<Status, SessionError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.next_reply().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

fn garbled(what: &str) -> SessionError {
    SessionError::Garbled {
        what: what.to_owned(),
    }
}

fn is_slow(error: &io::Error) -> bool {
    use io::ErrorKind::{TimedOut, WouldBlock};
    [WouldBlock, TimedOut].contains(&error.kind())
}
