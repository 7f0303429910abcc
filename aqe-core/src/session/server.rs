//! The thread that serves a session.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, getrlimit};

use super::conversation::Conversation;
use super::place::Place;
use super::protocol::Body;
use super::socket::is_of_this_user;
use super::{Refusal, SessionError, Status};
use crate::state::StateFolder;

/// Clients of a session at once, and no more than a quarter of the files that this process may have open: what a program
/// is there for needs them more. The next one is told that the session is busy.
pub const MAX_CLIENTS: usize = 256;

/// Where fewer files may be open there is no session. It has four itself.
const MIN_DESCRIPTORS: u64 = 64;

/// How long nobody is let in after the system has refused to, as when no file can be opened any more.
const PAUSE: Duration = Duration::from_secs(1);

/// Clients that are let in before those that are there have their turn.
const MAX_AT_ONCE: usize = 64;

/// Serves the status of this process in a state folder, until it is dropped; then its files are removed.
///
/// # Examples
///
/// ```
/// # #[cfg(unix)] {
/// use aqe_core::session::{Session, SessionServer, Status};
/// use aqe_core::state::StateFolder;
///
/// let project = tempfile::tempdir()?;
/// let state = StateFolder::at(project.path().join(".aqe"));
/// let server = SessionServer::start(&state, || {
///     let mut status = Status::default();
///     status.planned = 12;
///     status
/// })?;
/// let sessions = Session::find(&state)?;
/// assert_eq!(sessions[0].status()?.planned, 12);
/// drop(server);
/// assert!(Session::find(&state)?.is_empty());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SessionServer {
    /// When it is closed, the thread ends.
    wake: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
    /// Removed last, when nobody listens any more.
    _place: Place,
}

impl SessionServer {
    /// Creates the state folder if need be, takes a place in it, and begins to listen in a thread of its own.
    ///
    /// `status` is called in that thread whenever somebody asks, and at the end; nobody is served while it takes its time.
    /// [`Status::pid`] and [`Status::started`] are set by the server.
    ///
    /// # Errors
    ///
    /// A [`SessionError`] when the folder must not be used, or the system refuses.
    pub fn start(
        folder: &StateFolder,
        mut status: impl FnMut() -> Status + Send + 'static,
    ) -> Result<Self, SessionError> {
        let max_clients = max_clients()?;
        folder.create()?;
        let started = SystemTime::now().duration_since(UNIX_EPOCH);
        let started = started.unwrap_or_default();
        let millis = u64::try_from(started.as_millis()).unwrap_or(u64::MAX);
        let (place, listener) = Place::take(folder, millis)?;
        let refused = |source| SessionError::Io {
            action: "start the thread of the session in",
            path: folder.path().to_owned(),
            source,
        };
        let (wake, woken) = UnixStream::pair().map_err(refused)?;
        let status = move || {
            let mut status = status();
            status.pid = std::process::id();
            status.started = started;
            status
        };
        let thread = thread::Builder::new()
            .name("aqe-session".to_owned())
            .spawn(move || Server::new(listener, woken, status, max_clients).serve())
            .map_err(refused)?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            _place: place,
        })
    }
}

/// How many clients this process has room for.
fn max_clients() -> Result<usize, SessionError> {
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(limit) if limit < MIN_DESCRIPTORS => Err(SessionError::FewDescriptors {
            limit,
            needed: MIN_DESCRIPTORS,
        }),
        Some(limit) => {
            Ok(usize::try_from(limit / 4).map_or(MAX_CLIENTS, |most| most.min(MAX_CLIENTS)))
        }
        None => Ok(MAX_CLIENTS),
    }
}

impl Drop for SessionServer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A status that panicked has ended it already, and was told where panics are told.
            let _ = thread.join();
        }
    }
}

struct Peer {
    stream: UnixStream,
    conversation: Conversation,
}

struct Server<S> {
    listener: UnixListener,
    woken: UnixStream,
    status: S,
    peers: Vec<Peer>,
    max_clients: usize,
    /// When somebody is let in again.
    resumes: Option<Instant>,
}

impl<S: FnMut() -> Status> Server<S> {
    fn new(listener: UnixListener, woken: UnixStream, status: S, max_clients: usize) -> Self {
        Self {
            listener,
            woken,
            status,
            peers: Vec::new(),
            max_clients,
            resumes: None,
        }
    }

    fn serve(mut self) {
        loop {
            let now = Instant::now();
            self.resumes = self.resumes.filter(|resumes| *resumes > now);
            self.advance(now);
            let Some(ready) = self.wait(now) else {
                return self.end();
            };
            if ready.is_door_open {
                self.let_in();
            }
            for (peer, is_ready) in self.peers.iter_mut().zip(ready.peers) {
                if is_ready {
                    peer.read();
                }
            }
        }
    }

    /// Answers everybody, and drops those who are gone. All who are answered now are told the same status.
    fn advance(&mut self, now: Instant) {
        let mut told: Option<Rc<str>> = None;
        let status = &mut self.status;
        let mut status = || {
            let line = told.get_or_insert_with(|| Body::Status(Box::new(status())).line().into());
            Rc::clone(line)
        };
        self.peers.retain_mut(|peer| {
            // As many requests as came at once; each needs room for its answer, so that the loop ends.
            loop {
                peer.conversation.advance(now, &mut status);
                if peer.conversation.unsent().is_empty() {
                    break;
                }
                match peer.write(now) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(_) => return false,
                }
            }
            !peer.conversation.is_over(now)
        });
    }

    /// Waits until there is something to do. `None` when it is time to end.
    fn wait(&self, now: Instant) -> Option<Ready> {
        let due = self.peers.iter().map(|peer| peer.conversation.due());
        let due = due.chain(self.resumes).min();
        let timeout = due.map(|due| {
            // Rounded up, or the last millisecond would be spent in a circle.
            let left = due.saturating_duration_since(now) + Duration::from_micros(100);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let door = match self.resumes {
            None => PollFlags::IN,
            Some(_) => PollFlags::empty(),
        };
        let mut waited = Vec::with_capacity(self.peers.len() + 2);
        waited.push(PollFd::new(&self.woken, PollFlags::IN));
        waited.push(PollFd::new(&self.listener, door));
        waited.extend(self.peers.iter().map(|peer| {
            let interest = match peer.conversation.unsent().is_empty() {
                true => PollFlags::IN,
                false => PollFlags::OUT,
            };
            PollFd::new(&peer.stream, interest)
        }));
        match poll(&mut waited, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Some(Ready::default()),
            // Without it nobody can be served; what is asked for otherwise would never be answered.
            Err(_) => return None,
        }
        if !waited[0].revents().is_empty() {
            return None;
        }
        Some(Ready {
            is_door_open: waited[1].revents().contains(PollFlags::IN),
            peers: waited[2..]
                .iter()
                .map(|peer| !peer.revents().is_empty())
                .collect(),
        })
    }

    fn let_in(&mut self) {
        for _ in 0..MAX_AT_ONCE {
            let now = Instant::now();
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
                    if ![WouldBlock, Interrupted, ConnectionAborted].contains(&error.kind()) {
                        self.resumes = Some(now + PAUSE);
                    }
                    return;
                }
            };
            // Of others nobody gets here, unless somebody has changed the permissions.
            let is_welcome = is_of_this_user(&stream).unwrap_or(false);
            if !is_welcome || stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut peer = Peer {
                stream,
                conversation: Conversation::new(now),
            };
            if self.peers.len() < self.max_clients {
                self.peers.push(peer);
            } else {
                let message = format!(
                    "{} clients are connected, which is the most",
                    self.max_clients
                );
                peer.conversation.refuse(Refusal::new("busy", message));
                let _ = peer.write(now);
            }
        }
    }

    /// Tells those who wait for news how it ended. Nobody is waited for.
    fn end(mut self) {
        if self.peers.is_empty() {
            return;
        }
        let mut last = Body::Status(Box::new((self.status)())).line();
        last.push_str(&Body::End("finished".to_owned()).line());
        let last = Rc::from(last);
        let now = Instant::now();
        for peer in &mut self.peers {
            peer.conversation.end(&last);
            let _ = peer.write(now);
        }
    }
}

/// Who can be read from or written to.
#[derive(Default)]
struct Ready {
    is_door_open: bool,
    peers: Vec<bool>,
}

impl Peer {
    /// Takes what has come, if there is room for it.
    fn read(&mut self) {
        let mut buffer = [0; 4096];
        let room = self.conversation.room().min(buffer.len());
        if room == 0 {
            return;
        }
        match self.stream.read(&mut buffer[..room]) {
            Ok(0) => self.conversation.hang_up(),
            Ok(bytes) => self.conversation.take(&buffer[..bytes]),
            Err(error) if is_for_later(&error) => {}
            Err(_) => self.conversation.hang_up(),
        }
    }

    /// Sends what the system takes. Says whether all of it went out.
    fn write(&mut self, now: Instant) -> io::Result<bool> {
        while !self.conversation.unsent().is_empty() {
            match self.stream.write(self.conversation.unsent()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => self.conversation.wrote(bytes, now),
                Err(error) if is_for_later(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

fn is_for_later(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, WouldBlock};
    [WouldBlock, Interrupted].contains(&error.kind())
}
