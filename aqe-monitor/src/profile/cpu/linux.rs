//! Timer, handler and their ends.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_void};

use super::super::arena::{Arena, HEAD};
use super::super::error::ProfileError;
use super::super::gate::Gate;
use super::super::stacks::{Builder, Kind, Profile};
use super::super::walk::{DEPTH, Registers, keeping_errno, thread_name, walk};
use super::CpuOptions;

/// Where the handler writes to while a profile is taken.
static GATE: Gate<Arena> = Gate::new();
/// Whether one is. Set by `start`, cleared by the end of its session.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// A profile that is being taken.
#[derive(Debug)]
pub(super) struct Session {
    started: Instant,
    processor_time: Duration,
    ended: bool,
}

impl Session {
    pub(super) fn start(options: CpuOptions) -> Result<Self, ProfileError> {
        // Acquire: what the session before this one did to the gate is done.
        if RUNNING.swap(true, Ordering::Acquire) {
            return Err(ProfileError::Running);
        }
        // From here on whatever fails clears `RUNNING` again, by being dropped.
        let session = Self {
            started: Instant::now(),
            processor_time: processor_time(),
            ended: false,
        };
        install()?;
        GATE.open(Arena::with_words(words(options)));
        set_timer(Duration::from_secs(1) / options.frequency)?;
        Ok(session)
    }

    pub(super) fn stop(mut self) -> Profile {
        let duration = self.started.elapsed();
        let spent = processor_time().saturating_sub(self.processor_time);
        let Some(arena) = self.end() else {
            return Builder::new(Kind::Cpu).build(duration, 0, 0);
        };
        let lost = arena.lost();
        let samples = arena.into_samples();
        // The kernel's timer may be coarser than what was asked for, and signals that come while one is handled are one:
        // what was spent is known, so each sample stands for its share of it.
        let taken = (samples.len() as u64).saturating_add(lost).max(1);
        let period = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX) / taken;
        let mut builder = Builder::new(Kind::Cpu);
        for sample in samples {
            builder.add(sample.thread(), &sample.addresses, true, 1, period);
        }
        builder.build(duration, period, lost)
    }

    fn end(&mut self) -> Option<Arena> {
        if self.ended {
            return None;
        }
        self.ended = true;
        // A timer that cannot be stopped goes on to call a handler that finds nothing.
        let _ = set_timer(Duration::ZERO);
        let arena = GATE.close();
        RUNNING.store(false, Ordering::Release);
        arena
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Room for the longest profile on all processors, within bounds.
fn words(options: CpuOptions) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let samples = options.longest.as_secs_f64() * f64::from(options.frequency) * processors;
    ((samples + 100.0) * (DEPTH + HEAD + 1) as f64).min(MOST_WORDS as f64) as usize
}

extern "C" fn on_signal(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    keeping_errno(|| {
        GATE.with(|arena| {
            if let Some((address, registers)) = interrupted(context) {
                sample(arena, address, registers);
            }
        });
    });
}

fn sample(arena: &Arena, address: usize, registers: Registers) {
    let mut addresses = [0; DEPTH + 1];
    addresses[0] = address;
    let (_, callers) = addresses.split_at_mut(1);
    let found = walk(registers, callers);
    arena.push(thread_name(), 1, &addresses[..=found]);
}

/// Where the thread was.
fn interrupted(context: *mut c_void) -> Option<(usize, Registers)> {
    if context.is_null() {
        return None;
    }
    // SAFETY: for a handler installed with `SA_SIGINFO` the kernel passes a context of this type, valid until it returns.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    {
        let register = |index: c_int| machine.gregs[index as usize] as usize;
        let registers = Registers {
            frame: register(libc::REG_RBP),
            stack: register(libc::REG_RSP),
        };
        Some((register(libc::REG_RIP), registers))
    }
    #[cfg(target_arch = "aarch64")]
    {
        let registers = Registers {
            frame: machine.regs[29] as usize,
            stack: machine.sp as usize,
        };
        Some((machine.pc as usize, registers))
    }
}

/// Makes `on_signal` the handler, unless another profiler has one.
fn install() -> Result<(), ProfileError> {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    // SAFETY: a `sigaction` of zeros is one: the default action and an empty set.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as usize;
    // Interrupted system calls go on, and threads with a stack for signals use it.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: both point to actions of this function; the first is only written.
    if unsafe { libc::sigaction(libc::SIGPROF, ptr::null(), &raw mut before) } != 0 {
        return Err(ProfileError::System(io::Error::last_os_error()));
    }
    let free = [libc::SIG_DFL, libc::SIG_IGN, handler as usize].contains(&before.sa_sigaction);
    if !free {
        return Err(ProfileError::Taken);
    }
    // SAFETY: the handler is async-signal-safe: system calls, atomics, memory of its own stack and of the arena, which
    // the gate keeps while it is used.
    if unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) } != 0 {
        return Err(ProfileError::System(io::Error::last_os_error()));
    }
    Ok(())
}

/// Every so much processor time of the whole process; never if zero. The timer of old is used because the kernel gives
/// its signal to the thread that is running, while that of `timer_create` goes to the first one in older kernels.
fn set_timer(interval: Duration) -> Result<(), ProfileError> {
    let interval = libc::timeval {
        tv_sec: interval.as_secs() as libc::time_t,
        tv_usec: interval.subsec_micros() as libc::suseconds_t,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: reads `timer`; the former one is not asked for.
    if unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) } != 0 {
        return Err(ProfileError::System(io::Error::last_os_error()));
    }
    Ok(())
}

/// Processor time of all threads of the process, ended ones too.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes `time`. The clock is always there; were it not, time stays 0.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// 32 MiB: two processors for six minutes at 99 per second with stacks as deep as are kept.
const MOST_WORDS: usize = 4 << 20;
