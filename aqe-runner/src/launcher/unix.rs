//! The calls that every Unix has, for the backend of threads, and what both backends read alike.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::time::Duration;

use super::finished::{Exit, Usage};
use super::supervisor::Ending;

/// Sends a signal to every process of a group; says whether the group exists.
pub(super) fn signal_group(group: libc::pid_t, signal: i32) -> bool {
    debug_assert!(
        group > 1,
        "0 and 1 would address our own group or every process"
    );
    // SAFETY: passes two integers.
    unsafe { libc::kill(-group, signal) == 0 }
}

/// Sends a signal to one unreaped child.
pub(super) fn signal_process(pid: libc::pid_t, signal: i32) {
    // SAFETY: passes two integers. It fails when the process has changed to a user we may not signal.
    let _ = unsafe { libc::kill(pid, signal) };
}

/// Returns when a child has ended, and leaves it to be reaped.
pub(super) fn wait_for_end(pid: libc::pid_t) {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: `info` is writable memory of the type that the call fills.
        let result = unsafe {
            libc::waitid(
                libc::P_PID,
                pid as _,
                info.as_mut_ptr(),
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if result == 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Reaps a child, waiting for its end.
pub(super) fn reap(pid: libc::pid_t) -> io::Result<Ending> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: both pointers are to writable memory of the types that the call fills.
        if unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) } >= 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal {
            number: libc::WTERMSIG(status),
            core_dumped: libc::WCOREDUMP(status),
        }
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    // SAFETY: zeroed, which is a valid value of this plain C structure, and then filled.
    let usage = unsafe { usage.assume_init() };
    Ok(Ending {
        exit,
        usage: usage_of(&usage),
    })
}

pub(super) fn usage_of(usage: &libc::rusage) -> Usage {
    // Darwin counts bytes, everybody else kibibytes.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1_024
    };
    let duration = |time: libc::timeval| {
        let microseconds = u32::try_from(time.tv_usec).unwrap_or(0);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), 0)
            + Duration::from_micros(microseconds.into())
    };
    Usage {
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit,
    }
}

/// Waits until a descriptor can be read or has been hung up, at most so long; says whether.
pub(super) fn poll(fd: RawFd, milliseconds: i32) -> bool {
    let mut polled = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer and the count describe `polled`, which outlives the call.
    unsafe { libc::poll(&raw mut polled, 1, milliseconds) > 0 }
}
