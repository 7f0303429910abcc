//! The Linux system calls that the launcher needs, each behind a safe function.
//!
//! `EINTR` is retried: a handler of the embedding program for SIGCHLD, or a stop and continue of the whole process, can
//! produce it.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use super::finished::Exit;
use super::supervisor::Ending;
use super::unix::usage_of;

/// Makes a pipe as `(read end, write end)`: both close on exec, the read end never blocks.
///
/// The read end must not block even though the launcher reads only what was announced: a test may open its own
/// `/dev/stdout` for reading and take the bytes first, and a launcher that waits there would hang every other test.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = io::pipe()?;
    let (reader, writer) = (above_stdio(reader.into())?, above_stdio(writer.into())?);
    // SAFETY: sets a status flag on a descriptor that this function owns; no memory is passed.
    if unsafe { libc::fcntl(reader.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((reader, writer))
}

/// Moves a descriptor above 2, where a program that closed its own standard streams may have put it.
///
/// The child copies its pipes over 0, 1 and 2, so none of them may already sit there.
pub(super) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // The standard library duplicates to the lowest free number from 3 on, close-on-exec.
    fd.try_clone()
}

/// Reads once; `None` means that nothing is there now.
pub(super) fn read(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        // SAFETY: the pointer and the length describe `buffer`, which is writable and outlives the call.
        let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        if let Ok(count) = usize::try_from(count) {
            return Ok(Some(count));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(None),
            io::ErrorKind::Interrupted => {}
            _ => return Err(error),
        }
    }
}

/// What `poll` says of one descriptor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Readiness {
    pub(super) readable: bool,
    /// The last writer is gone: what can be read now is all there will ever be.
    pub(super) hung_up: bool,
}

impl Readiness {
    pub(super) fn from_epoll(events: u32) -> Self {
        Self {
            readable: events & libc::EPOLLIN as u32 != 0,
            hung_up: events & (libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0,
        }
    }
}

/// Asks, without waiting, what up to two descriptors are ready for.
pub(super) fn poll_now(fds: [Option<RawFd>; 2]) -> [Readiness; 2] {
    // A negative descriptor is skipped by the kernel, which keeps the array of fixed length.
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.unwrap_or(-1),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the pointer and the count describe `polled`, which outlives the call.
    let count = unsafe { libc::poll(polled.as_mut_ptr(), 2, 0) };
    if count <= 0 {
        return [Readiness::default(); 2];
    }
    polled.map(|fd| Readiness {
        readable: fd.revents & libc::POLLIN != 0,
        hung_up: fd.revents & (libc::POLLHUP | libc::POLLERR) != 0,
    })
}

/// An epoll instance.
#[derive(Debug)]
pub(super) struct Epoll(OwnedFd);

/// Which condition of a descriptor is reported, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) enum Interest {
    /// Readable or hung up; reported once, then silent until armed again.
    Once,
    /// Every write is reported once, so nobody has to read the counter back.
    Edge,
}

impl Interest {
    fn bits(self) -> u32 {
        (match self {
            Self::Once => libc::EPOLLIN | libc::EPOLLONESHOT,
            Self::Edge => libc::EPOLLIN | libc::EPOLLET,
        }) as u32
    }
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes a flag, returns a new descriptor or -1.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        Ok(Self(owned(fd)?))
    }

    pub(super) fn add(&self, fd: &OwnedFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, token)
    }

    pub(super) fn rearm(&self, fd: &OwnedFd, interest: Interest, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest, token)
    }

    fn control(
        &self,
        operation: i32,
        fd: &OwnedFd,
        interest: Interest,
        token: u64,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.bits(),
            u64: token,
        };
        // SAFETY: both descriptors are open (owned by live values) and `event` outlives the call.
        let result = unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &raw mut event,
            )
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Waits for events; `None` waits for ever.
    ///
    /// The kernel counts in milliseconds here: a wait is rounded up, so that it never ends before its time and spins.
    pub(super) fn wait<'a>(
        &self,
        events: &'a mut EventBuffer,
        timeout: Option<Duration>,
    ) -> io::Result<&'a [Event]> {
        let timeout = timeout.map_or(-1, |timeout| {
            i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        let capacity = i32::try_from(events.0.len()).unwrap_or(i32::MAX);
        // SAFETY: the pointer and the capacity describe the buffer, whose elements are plain integers.
        let count = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.0.as_mut_ptr().cast(),
                capacity,
                timeout,
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(&events.0[..count]),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    Ok(&[])
                } else {
                    Err(error)
                }
            }
        }
    }
}

/// One epoll event.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Event(libc::epoll_event);

impl Event {
    pub(super) fn token(self) -> u64 {
        self.0.u64
    }

    pub(super) fn readiness(self) -> Readiness {
        Readiness::from_epoll(self.0.events)
    }
}

/// Where a wait puts its events.
pub(super) struct EventBuffer(Box<[Event]>);

impl EventBuffer {
    pub(super) fn new(capacity: usize) -> Self {
        Self(vec![Event(libc::epoll_event { events: 0, u64: 0 }); capacity].into_boxed_slice())
    }
}

/// Wakes the loop from another thread.
#[derive(Debug)]
pub(super) struct Wakeup(OwnedFd);

impl Wakeup {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes two integers, returns a new descriptor or -1.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        Ok(Self(owned(fd)?))
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Makes the loop's next wait return at once.
    ///
    /// The only way to fail is a counter at its maximum of 2⁶⁴−2 additions, and then the loop has an event to see anyway.
    pub(super) fn notify(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the pointer and the length describe `one`.
        let _ = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

/// Blocks every signal but SIGCHLD on the calling thread, for the rest of its life.
///
/// SIGCHLD is left alone because the kernel drops it at once where it is neither handled nor blocked; were it blocked here,
/// every end of a process would wake another thread of this program for nothing.
pub(super) fn block_signals() {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` writes the whole set before it is read; the old mask is not asked for.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        libc::sigdelset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), ptr::null_mut());
    }
}

/// Sends a signal to the one process that `pidfd` stands for.
pub(super) fn signal_process(pidfd: &OwnedFd, signal: i32) {
    // SAFETY: the descriptor is open; a null `siginfo` asks for the one that `kill` would send. The result is not
    // needed: the only failures are that the process has ended or has changed to a user we may not signal.
    let _ = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
}

/// Opens a pidfd for an unreaped child of ours.
pub(super) fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: passes two integers, returns a new descriptor (always close-on-exec) or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    owned(i32::try_from(fd).unwrap_or(-1))
}

/// Reaps the process behind a pidfd, waiting for its end.
pub(super) fn reap(pidfd: &OwnedFd) -> io::Result<Ending> {
    let id = pidfd.as_raw_fd() as usize;
    wait_id(libc::P_PIDFD as usize, id)
}

/// Reaps the child behind a pidfd if it has ended; says whether there is nothing left to reap.
pub(super) fn try_reap(pidfd: &OwnedFd) -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `info` is writable memory of the type that the call fills.
    let result = unsafe {
        libc::waitid(
            libc::P_PIDFD,
            pidfd.as_raw_fd() as libc::id_t,
            info.as_mut_ptr(),
            libc::WEXITED | libc::WNOHANG,
        )
    };
    // SAFETY: zeroed, which is a valid value of this plain C structure; a process that still runs leaves it so.
    result != 0 || unsafe { info.assume_init().si_pid() } != 0
}

/// Reaps a child by its process id, waiting for its end.
pub(super) fn reap_pid(pid: libc::pid_t) -> io::Result<Ending> {
    wait_id(libc::P_PID as usize, pid as usize)
}

fn wait_id(kind: usize, id: usize) -> io::Result<Ending> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // The raw call is used because its fifth argument, which libc hides, gives the usage of exactly this child.
        // SAFETY: both pointers are to writable memory of the kernel's own types and outlive the call.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                kind,
                id,
                info.as_mut_ptr(),
                libc::WEXITED,
                usage.as_mut_ptr(),
            )
        };
        if result == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: both were zeroed, which is a valid value of these plain C structures, and then filled by the kernel.
    let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
    // SAFETY: a `siginfo` from `waitid` carries the child's members.
    let status = unsafe { info.si_status() };
    let exit = match info.si_code {
        libc::CLD_KILLED => Exit::Signal {
            number: status,
            core_dumped: false,
        },
        libc::CLD_DUMPED => Exit::Signal {
            number: status,
            core_dumped: true,
        },
        _ => Exit::Code(status),
    };
    Ok(Ending {
        exit,
        usage: usage_of(&usage),
    })
}

/// Makes this process adopt the orphans of its descendants, process-wide.
pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: passes integers.
    let result = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor to us, so nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
