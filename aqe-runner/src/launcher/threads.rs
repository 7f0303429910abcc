//! The launcher for platforms without pidfds and epoll: the standard library and blocking threads.
//!
//! The supervisor, and with it every judgement, is the same as on Linux. A process costs three threads here: one waits for
//! its end and one reads each stream. What differs is written at [`Backend::Threads`](super::Backend::Threads).

use std::io::{self, Read};
use std::process::{Command as StdCommand, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Instant;

use super::dispatch::{Dispatch, EndOnDrop, Wake};
use super::error::{Refusal, StartError};
use super::launch::{Launch, OutputMode};
use super::leader::{self, Leader};
use super::streams::{Stream, Streams};
use super::supervisor::{Attended, Ending, Host, Key, Progress, Signal, Supervisor};

/// Starts the thread that supervises.
pub(super) fn start(max_running: usize) -> Result<Arc<Dispatch>, StartError> {
    let (sender, receiver) = mpsc::channel();
    let dispatch = Arc::new(Dispatch::new(
        max_running,
        vec![Box::new(Waker(sender.clone()))],
    ));
    let shared = Arc::clone(&dispatch);
    let body = move || {
        let _ending = EndOnDrop {
            dispatch: &shared,
            shard: SHARD,
        };
        let host = ThreadHost { messages: sender };
        run(Supervisor::new(host, Arc::clone(&shared), SHARD), &receiver);
    };
    let builder = thread::Builder::new().name("aqe-launcher".to_owned());
    builder.spawn(body).map_err(StartError::Thread)?;
    Ok(dispatch)
}

/// The only one.
const SHARD: usize = 0;

struct Waker(mpsc::Sender<Message>);

impl Wake for Waker {
    fn wake(&self) {
        // A thread that has ended waits for nothing.
        let _ = self.0.send(Message::Wake);
    }
}

enum Message {
    Wake,
    Output {
        key: Key,
        stream: Stream,
        bytes: Option<Vec<u8>>,
    },
    Ended {
        key: Key,
    },
}

fn run(mut supervisor: Supervisor<ThreadHost>, messages: &Receiver<Message>) {
    let mut commands = Vec::new();
    while supervisor.attend(&mut commands) == Attended::Everything {
        // The host itself holds a sender, so that the channel cannot be disconnected here.
        let first = match supervisor.next_deadline() {
            Some(at) => messages
                .recv_timeout(at.saturating_duration_since(Instant::now()))
                .ok(),
            None => messages.recv().ok(),
        };
        supervisor.awake();
        let now = Instant::now();
        for message in first.into_iter().chain(messages.try_iter().take(64)) {
            match message {
                Message::Wake => {}
                Message::Output { key, stream, bytes } => {
                    supervisor.event(key, (stream, bytes), now)
                }
                Message::Ended { key } => supervisor.ended(key, now),
            }
        }
        supervisor.tick(now);
    }
}

struct ThreadHost {
    messages: mpsc::Sender<Message>,
}

struct Child {
    leader: Leader,
    readers: [Option<Reader>; 2],
}

/// Our side of a thread that reads a stream.
struct Reader {
    /// Gives the buffer back, which lets the thread go on: there is never more than one chunk of a stream on its way.
    buffers: SyncSender<Vec<u8>>,
    abandoned: Arc<AtomicBool>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Relaxed: nothing else hangs on it.
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

impl ThreadHost {
    fn read_in_background<R>(
        &self,
        key: Key,
        stream: Stream,
        pipe: Option<R>,
    ) -> Result<Option<Reader>, Refusal>
    where
        R: Read + leader::Pollable + Send + 'static,
    {
        let Some(mut pipe) = pipe else {
            return Ok(None);
        };
        let (buffers, returned) = mpsc::sync_channel(1);
        let abandoned = Arc::new(AtomicBool::new(false));
        let reader = Reader {
            buffers,
            abandoned: Arc::clone(&abandoned),
        };
        let messages = self.messages.clone();
        let send = move |bytes| {
            messages
                .send(Message::Output { key, stream, bytes })
                .is_ok()
        };
        self.thread(move || {
            let mut buffer = Vec::new();
            while let Some(count) = read(&mut pipe, &mut buffer, &abandoned) {
                buffer.truncate(count);
                if !send(Some(buffer)) {
                    return;
                }
                // Nobody gives it back: the process is finished, and what is still written does not matter.
                let Ok(next) = returned.recv() else { return };
                buffer = next;
            }
            send(None);
        })?;
        Ok(Some(reader))
    }

    fn thread(&self, body: impl FnOnce() + Send + 'static) -> Result<(), Refusal> {
        let builder = thread::Builder::new()
            .name("aqe-launcher-io".to_owned())
            .stack_size(64 * 1_024);
        builder
            .spawn(body)
            .map(drop)
            .map_err(|error| Refusal::from_call("thread creation", error))
    }
}

/// Reads once; `None` at the end of the stream, or when nobody wants to know any more.
fn read<R: Read + leader::Pollable>(
    pipe: &mut R,
    buffer: &mut Vec<u8>,
    abandoned: &AtomicBool,
) -> Option<usize> {
    buffer.resize(64 * 1_024, 0);
    loop {
        while !pipe.poll() {
            if abandoned.load(Ordering::Relaxed) {
                return None;
            }
        }
        match pipe.read(buffer) {
            Ok(count) => return Some(count).filter(|count| *count > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

impl Host for ThreadHost {
    type Child = Child;
    /// Bytes of a stream, or its end.
    type Event = (Stream, Option<Vec<u8>>);

    fn spawn(&mut self, key: Key, _: u64, launch: &Launch) -> Result<Child, Refusal> {
        let program = &launch.program;
        let mut command = StdCommand::new(program.path());
        command
            .args(program.args())
            .args(launch.args.iter())
            .env_clear()
            .stdin(Stdio::null());
        command.envs(program.variables(&launch.env));
        if let Some(directory) = program.directory() {
            command.current_dir(directory);
        }
        if matches!(launch.output, OutputMode::Capture(_)) {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let (leader, stdout, stderr) = Leader::spawn(command)
            .map_err(|error| Refusal::from_spawn(error, program.directory()))?;
        // From here on a failure drops the leader, which kills and reaps it.
        let readers = [
            self.read_in_background(key, Stream::Stdout, stdout)?,
            self.read_in_background(key, Stream::Stderr, stderr)?,
        ];
        let waiter = leader.waiter();
        let messages = self.messages.clone();
        self.thread(move || {
            waiter.wait();
            // Nobody to tell: the launcher has ended, and its end has reaped the process.
            let _ = messages.send(Message::Ended { key });
        })?;
        Ok(Child { leader, readers })
    }

    fn pid(&self, child: &Child) -> u32 {
        child.leader.pid()
    }

    fn signal(&mut self, child: &Child, signal: Signal) {
        child.leader.signal(signal);
    }

    fn take(
        &mut self,
        _: Key,
        child: &mut Child,
        event: Self::Event,
        streams: &mut Streams,
    ) -> Progress {
        let (stream, bytes) = event;
        let reader = &mut child.readers[stream as usize];
        match (bytes, &reader) {
            (Some(bytes), Some(Reader { buffers, .. })) => {
                streams.push(stream, &bytes);
                // It can only be refused by a thread that has ended.
                let _ = buffers.try_send(bytes);
            }
            _ => *reader = None,
        }
        progress(child)
    }

    fn look(&mut self, _: Key, child: &mut Child, _: bool, _: &mut Streams) -> Progress {
        // The threads announce everything.
        progress(child)
    }

    fn kill_leftovers(&mut self, child: &Child) -> u32 {
        child.leader.kill_leftovers();
        0
    }

    fn reap(&mut self, child: Child) -> Result<Ending, Refusal> {
        child
            .leader
            .reap()
            .map_err(|error| Refusal::System("wait", error))
    }
}

fn progress(child: &Child) -> Progress {
    Progress {
        open: child.readers.each_ref().map(Option::is_some),
        look_again: false,
    }
}
