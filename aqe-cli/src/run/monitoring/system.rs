//! What the system says of this process: how many files it may open, and what those that it has started used.

use std::time::Duration;

/// Processor time, in programs and in the kernel for them, of all processes that were started and have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChildTime(Duration);

impl ChildTime {
    /// Up to now; `None` where the system does not tell.
    pub(super) fn now() -> Option<Self> {
        children().map(Self)
    }

    /// What has come since.
    pub(super) fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}

/// How many files this process may have open; `None` where there is no such limit.
#[cfg(unix)]
pub(super) fn open_files_allowed() -> Option<u64> {
    let mut limit = std::mem::MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: the call writes one `rlimit` to the place that the pointer is for, and nothing else.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, limit.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: it was zeroed, which is a valid `rlimit`, and then written by the call.
    let soft = unsafe { limit.assume_init() }.rlim_cur;
    (soft != libc::RLIM_INFINITY).then_some(soft)
}

#[cfg(not(unix))]
pub(super) fn open_files_allowed() -> Option<u64> {
    None
}

#[cfg(unix)]
fn children() -> Option<Duration> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call writes one `rusage` to the place that the pointer is for, and nothing else.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr()) };
    if result != 0 {
        return None;
    }
    // SAFETY: it was zeroed, which is a valid `rusage`, and then written by the call.
    let usage = unsafe { usage.assume_init() };
    let duration = |time: libc::timeval| {
        let seconds = u64::try_from(time.tv_sec).ok()?;
        let micros = u64::try_from(time.tv_usec).ok()?;
        Some(Duration::from_secs(seconds) + Duration::from_micros(micros))
    };
    Some(duration(usage.ru_utime)? + duration(usage.ru_stime)?)
}

#[cfg(not(unix))]
fn children() -> Option<Duration> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_used_is_counted_when_it_has_ended() {
        let before = ChildTime::now().unwrap();
        let work = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let status = std::process::Command::new("sh").args(["-c", work]).status();
        assert!(status.unwrap().success());
        assert!(ChildTime::now().unwrap().since(before) > Duration::ZERO);
    }
}
