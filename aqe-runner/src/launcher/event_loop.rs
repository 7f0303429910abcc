//! The Linux launcher: threads that each wait for all their processes and pipes at once.
//!
//! What a short process costs: two pipes, one clone, one registration (its pidfd), one wait, one look at both pipes, one
//! read, one signal to what is left of its group, one reap, and the closing of five descriptors. Its pipes are
//! registered only if it is still running when it is first looked at.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::dispatch::{Dispatch, EndOnDrop, Wake};
use super::error::{Refusal, StartError};
use super::launch::{Launch, OutputMode};
use super::orphans::SharedOrphans;
use super::spawn::{Leader, Method, Spawner};
use super::streams::{Stream, Streams};
use super::supervisor::{Attended, Ending, Host, Key, Progress, Signal, Supervisor};
use super::sys::{self, Epoll, Event, EventBuffer, Interest, Readiness, Wakeup};
use super::unix;

/// Starts the threads.
pub(super) fn start(
    method: Method,
    threads: usize,
    max_running: usize,
    orphans: Option<&SharedOrphans>,
) -> Result<Arc<Dispatch>, StartError> {
    // A kernel without pidfds is found out here, and not by the first process.
    let probe = sys::pidfd_open(libc::pid_t::try_from(std::process::id()).unwrap_or(0));
    probe.map_err(StartError::EventLoop)?;
    let mut hosts = Vec::new();
    let mut wakers: Vec<Box<dyn Wake>> = Vec::new();
    for _ in 0..threads {
        let (host, wakeup) =
            EpollHost::new(method, orphans.cloned()).map_err(StartError::EventLoop)?;
        hosts.push(host);
        wakers.push(Box::new(wakeup));
    }
    let dispatch = Arc::new(Dispatch::new(max_running, wakers));
    for (shard, host) in hosts.into_iter().enumerate() {
        let started = start_thread(&dispatch, shard, host);
        if let Err(error) = started {
            dispatch.ended(shard);
            // The others do its share.
            if shard == 0 {
                (1..threads).for_each(|shard| dispatch.ended(shard));
                return Err(StartError::Thread(error));
            }
        }
    }
    Ok(dispatch)
}

fn start_thread(dispatch: &Arc<Dispatch>, shard: usize, host: EpollHost) -> io::Result<()> {
    let dispatch = Arc::clone(dispatch);
    let body = move || {
        let _ending = EndOnDrop {
            dispatch: &dispatch,
            shard,
        };
        sys::block_signals();
        run(Supervisor::new(host, Arc::clone(&dispatch), shard));
    };
    thread::Builder::new()
        .name("aqe-launcher".to_owned())
        .spawn(body)
        .map(drop)
}

impl Wake for Wakeup {
    fn wake(&self) {
        self.notify();
    }
}

fn run(mut supervisor: Supervisor<EpollHost>) {
    let mut commands = Vec::new();
    let mut buffer = EventBuffer::new(64);
    while supervisor.attend(&mut commands) == Attended::Everything {
        let timeout = supervisor
            .next_deadline()
            .map(|at| at.saturating_duration_since(Instant::now()));
        // It fails only for a descriptor or a pointer that is not ours, and then nothing can be waited for: ending the
        // thread kills and reaps its processes and gives their callers an error.
        let Ok(events) = supervisor.host().epoll.wait(&mut buffer, timeout) else {
            return;
        };
        supervisor.awake();
        let now = Instant::now();
        for event in events {
            deliver(&mut supervisor, *event, now);
        }
        supervisor.tick(now);
    }
}

fn deliver(supervisor: &mut Supervisor<EpollHost>, event: Event, now: Instant) {
    let Some((key, source)) = of_token(event.token()) else {
        return;
    };
    match source {
        Source::Leader => supervisor.ended(key, now),
        Source::Pipe(stream) => supervisor.event(key, (stream, event.readiness()), now),
    }
}

/// What an epoll event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Leader,
    Pipe(Stream),
}

/// The token of what wakes the thread; its low bits name no source.
const WAKEUP: u64 = u64::MAX;

/// Generation, slot (30 bits, more than the kernel has process ids), source.
fn token(key: Key, source: Source) -> u64 {
    let source = match source {
        Source::Leader => 0,
        Source::Pipe(Stream::Stdout) => 1,
        Source::Pipe(Stream::Stderr) => 2,
    };
    u64::from(key.generation) << 32 | u64::from(key.slot) << 2 | source
}

fn of_token(token: u64) -> Option<(Key, Source)> {
    let source = match token & 3 {
        0 => Source::Leader,
        1 => Source::Pipe(Stream::Stdout),
        2 => Source::Pipe(Stream::Stderr),
        _ => return None,
    };
    Some((
        Key {
            slot: token as u32 >> 2,
            generation: (token >> 32) as u32,
        },
        source,
    ))
}

struct EpollHost {
    epoll: Epoll,
    spawner: Spawner,
    orphans: Option<SharedOrphans>,
    /// One read of any pipe; as big as a pipe is by default, so that one read empties it.
    buffer: Box<[u8]>,
}

/// A process and our ends of its pipes.
struct Child {
    leader: Leader,
    pipes: [Pipe; 2],
}

#[derive(Default)]
struct Pipe {
    /// `None` once all its writers are gone, or when output is inherited.
    reader: Option<OwnedFd>,
    watch: Watch,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Watch {
    /// Not known to epoll.
    #[default]
    Never,
    /// The next byte, or the end, will be announced.
    Armed,
    /// Known to epoll, but silent: it has been announced.
    Off,
}

/// What one read of a pipe brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Nothing,
    Little,
    /// So much that a pause would let the pipe fill and its writer wait.
    Much,
}

impl EpollHost {
    const BUFFER: usize = 64 * 1_024;
    const MUCH: usize = 16 * 1_024;

    fn new(method: Method, orphans: Option<SharedOrphans>) -> io::Result<(Self, Wakeup)> {
        let (epoll, wakeup) = (Epoll::new()?, Wakeup::new()?);
        epoll.add(wakeup.fd(), Interest::Edge, WAKEUP)?;
        let spawner = Spawner::new(method)?;
        let buffer = vec![0; Self::BUFFER].into_boxed_slice();
        Ok((
            Self {
                epoll,
                spawner,
                orphans,
                buffer,
            },
            wakeup,
        ))
    }

    fn read(
        &mut self,
        pipe: &mut Pipe,
        stream: Stream,
        ready: Readiness,
        streams: &mut Streams,
    ) -> Amount {
        let Some(reader) = &pipe.reader else {
            return Amount::Nothing;
        };
        if !ready.readable {
            if ready.hung_up {
                pipe.reader = None;
            }
            return Amount::Nothing;
        }
        match sys::read(reader, &mut self.buffer) {
            Ok(None) => Amount::Nothing,
            Ok(Some(count)) if count > 0 => {
                streams.push(stream, &self.buffer[..count]);
                // A read that did not fill the buffer has emptied the pipe, and nobody is left to fill it: the read
                // that would say so is saved.
                if ready.hung_up && count < self.buffer.len() {
                    pipe.reader = None;
                }
                if count < Self::MUCH {
                    Amount::Little
                } else {
                    Amount::Much
                }
            }
            // The end; an error of a pipe's read end leaves nothing to wait for either.
            Ok(Some(_)) | Err(_) => {
                pipe.reader = None;
                Amount::Nothing
            }
        }
    }

    /// Decides how the next bytes of a pipe will be noticed; returns whether somebody has to look.
    fn watch(&self, key: Key, pipe: &mut Pipe, stream: Stream, amount: Amount) -> bool {
        let Some(reader) = &pipe.reader else {
            return false;
        };
        if pipe.watch == Watch::Armed {
            return false;
        }
        if amount == Amount::Little {
            return true;
        }
        let token = token(key, Source::Pipe(stream));
        let armed = match pipe.watch {
            Watch::Never => self.epoll.add(reader, Interest::Once, token),
            _ => self.epoll.rearm(reader, Interest::Once, token),
        };
        match armed {
            Ok(()) => {
                pipe.watch = Watch::Armed;
                false
            }
            // Out of memory or over the limit of watches: looking every 2 ms does without.
            Err(_) => true,
        }
    }
}

fn progress(child: &Child, look_again: bool) -> Progress {
    Progress {
        open: [
            child.pipes[0].reader.is_some(),
            child.pipes[1].reader.is_some(),
        ],
        look_again,
    }
}

impl Host for EpollHost {
    type Child = Child;
    type Event = (Stream, Readiness);

    fn spawn(&mut self, key: Key, id: u64, launch: &Launch) -> Result<Child, Refusal> {
        let pipe = || sys::pipe().map_err(|error| Refusal::from_call("pipe2", error));
        let (leader, pipes) = match launch.output {
            OutputMode::Inherit => (self.spawner.spawn(launch, None)?, <[Pipe; 2]>::default()),
            OutputMode::Capture(_) => {
                let [(stdout, to_stdout), (stderr, to_stderr)] = [pipe()?, pipe()?];
                let leader = self
                    .spawner
                    .spawn(launch, Some([to_stdout.as_raw_fd(), to_stderr.as_raw_fd()]))?;
                (
                    leader,
                    [stdout, stderr].map(|reader| Pipe {
                        reader: Some(reader),
                        watch: Watch::Never,
                    }),
                )
            }
        };
        self.epoll
            .add(&leader.pidfd, Interest::Once, token(key, Source::Leader))
            .map_err(|error| Refusal::from_call("epoll_ctl", error))?;
        if let Some(orphans) = &self.orphans {
            orphans.lock().started(leader.pid, id);
        }
        Ok(Child { leader, pipes })
    }

    fn pid(&self, child: &Child) -> u32 {
        child.leader.pid.unsigned_abs()
    }

    fn signal(&mut self, child: &Child, signal: Signal) {
        let number = match signal {
            Signal::Terminate => libc::SIGTERM,
            Signal::Kill => libc::SIGKILL,
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
        };
        let reached = unix::signal_group(child.leader.pid, number);
        // Twice does not matter for SIGKILL; for SIGTERM it could mean "at once".
        if !reached || signal == Signal::Kill {
            sys::signal_process(&child.leader.pidfd, number);
        }
    }

    fn take(
        &mut self,
        key: Key,
        child: &mut Child,
        event: Self::Event,
        streams: &mut Streams,
    ) -> Progress {
        let (stream, ready) = event;
        let pipe = &mut child.pipes[stream as usize];
        pipe.watch = Watch::Off;
        let amount = self.read(pipe, stream, ready, streams);
        let look_again = self.watch(key, pipe, stream, amount);
        progress(child, look_again)
    }

    fn look(
        &mut self,
        key: Key,
        child: &mut Child,
        ended: bool,
        streams: &mut Streams,
    ) -> Progress {
        let wanted = child.pipes.each_ref().map(|pipe| {
            let unwatched = ended || pipe.watch != Watch::Armed;
            pipe.reader
                .as_ref()
                .filter(|_| unwatched)
                .map(AsRawFd::as_raw_fd)
        });
        if wanted == [None, None] {
            return progress(child, false);
        }
        let mut look_again = false;
        for (stream, ready) in Stream::BOTH.into_iter().zip(sys::poll_now(wanted)) {
            let pipe = &mut child.pipes[stream as usize];
            if wanted[stream as usize].is_some() {
                let amount = self.read(pipe, stream, ready, streams);
                look_again |= self.watch(key, pipe, stream, amount);
            }
        }
        progress(child, look_again)
    }

    fn kill_leftovers(&mut self, child: &Child) -> u32 {
        let leader = child.leader.pid;
        // Before the group is killed, to tell what was still alive.
        let alive = self
            .orphans
            .as_ref()
            .map_or(0, |orphans| orphans.lock().kill_left_by(leader));
        unix::signal_group(leader, libc::SIGKILL);
        alive
    }

    fn reap(&mut self, child: Child) -> Result<Ending, Refusal> {
        if let Some(orphans) = &self.orphans {
            orphans.lock().reaped(child.leader.pid);
        }
        self.spawner.reap(child.leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_what_they_were_made_for() {
        let key = Key {
            slot: (1 << 30) - 1,
            generation: u32::MAX,
        };
        for source in [
            Source::Leader,
            Source::Pipe(Stream::Stdout),
            Source::Pipe(Stream::Stderr),
        ] {
            assert_eq!(of_token(token(key, source)), Some((key, source)));
        }
        assert_eq!(of_token(WAKEUP), None);
    }
}
