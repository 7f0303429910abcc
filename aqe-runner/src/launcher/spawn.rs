//! Creates processes on Linux.
//!
//! A child is cloned into this process's own memory (`CLONE_VM`), so that nothing is copied however big this process
//! is, and runs there until its exec. Unlike after `vfork`, this thread is not suspended meanwhile: everything that the
//! child does is a list of system calls prepared beforehand, walked by a dozen instructions that use registers only. The
//! child touches no stack, no thread-local storage (which it shares with this thread), no allocator and no libc, so it
//! needs no stack of its own and cannot disturb the thread that it runs beside.
//!
//! Where the kernel, or a filter around it, refuses `clone3`, `posix_spawn` does the same, less one thing: it cannot tie
//! the child's life to this thread's ([`PR_SET_PDEATHSIG`](libc::PR_SET_PDEATHSIG)).

use std::arch::asm;
use std::ffi::c_char;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering};

use super::error::Refusal;
use super::launch::Launch;
use super::supervisor::Ending;
use super::{sys, unix};

/// How processes are created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Clone,
    PosixSpawn,
}

/// Creates the leaders of process groups.
#[derive(Debug)]
pub(super) struct Spawner {
    method: Method,
    null: OwnedFd,
    /// This process, which a child compares with its parent.
    own_pid: u32,
    /// Images of processes that are gone, for their allocations.
    #[expect(
        clippy::vec_box,
        reason = "a child knows the address of its image, so that images live in boxes"
    )]
    spare: Vec<Box<Image>>,
}

impl Spawner {
    /// Images kept for reuse; each holds a few hundred pointers.
    const SPARE: usize = 16;

    pub(super) fn new(method: Method) -> io::Result<Self> {
        let null = sys::above_stdio(std::fs::File::open("/dev/null")?.into())?;
        Ok(Self {
            method,
            null,
            own_pid: std::process::id(),
            spare: Vec::new(),
        })
    }

    /// Starts a launch with these descriptors as its output; `None` inherits ours.
    ///
    /// The caller keeps `launch` unchanged until the leader is reaped: the child reads its arguments from there.
    pub(super) fn spawn(
        &mut self,
        launch: &Launch,
        output: Option<[RawFd; 2]>,
    ) -> Result<Leader, Refusal> {
        let mut image = self.spare.pop().unwrap_or_default();
        launch.program.argv_into(&launch.args, &mut image.argv);
        launch.program.envp_into(&launch.env, &mut image.envp);
        if self.method == Method::Clone {
            image.prepare(launch, self.own_pid, self.null.as_raw_fd(), output);
            match clone_leader(image) {
                Ok(leader) => return Ok(leader),
                Err((returned, error)) if is_refused_call(&error) => {
                    self.method = Method::PosixSpawn;
                    image = returned;
                }
                Err((returned, error)) => {
                    self.put_back(returned);
                    return Err(Refusal::from_call("clone3", error));
                }
            }
        }
        let spawned = posix_spawn_leader(&image, launch, self.null.as_raw_fd(), output);
        self.put_back(image);
        spawned
    }

    /// Reaps a leader, waiting for its end; the refusal is for one that never came to run its program.
    pub(super) fn reap(&mut self, mut leader: Leader) -> Result<Ending, Refusal> {
        let reaped = leader.reap();
        let Some(image) = leader.image.take() else {
            return reaped.map_err(|error| Refusal::System("waitid", error));
        };
        let failure = image.failure();
        self.put_back(image);
        match failure {
            Some(refusal) => Err(refusal),
            None => reaped.map_err(|error| Refusal::System("waitid", error)),
        }
    }

    fn put_back(&mut self, image: Box<Image>) {
        if self.spare.len() < Self::SPARE {
            self.spare.push(image);
        }
    }
}

/// Whether the kernel is too old for our `clone3`, or a filter forbids it.
fn is_refused_call(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EPERM | libc::EINVAL | libc::EOPNOTSUPP)
    )
}

/// A process that has been created and not reaped, the leader of its own group.
///
/// Killed and reaped when dropped, so that a panic on the launcher's thread leaves neither a process nor a child that
/// still reads the memory of this one.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) pid: libc::pid_t,
    pub(super) pidfd: OwnedFd,
    reaped: bool,
    image: Option<Box<Image>>,
}

impl Leader {
    fn reap(&mut self) -> io::Result<Ending> {
        let reaped = sys::reap(&self.pidfd);
        // After an error too: it says that the child is not ours any more (the program ignores SIGCHLD), so that
        // trying again would change nothing.
        self.reaped = true;
        reaped
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.reaped {
            unix::signal_group(self.pid, libc::SIGKILL);
            sys::signal_process(&self.pidfd, libc::SIGKILL);
            let _ = self.reap();
        }
    }
}

/// Everything that a child reads, or writes, in our memory before its exec.
#[derive(Debug, Default)]
struct Image {
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    steps: Vec<Step>,
    failed: Failed,
}

// SAFETY: the pointers are addresses for the kernel; Rust code never reads through them, on any thread, and they are
// replaced before a child sees them.
unsafe impl Send for Image {}

/// One system call of the child.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Step {
    number: usize,
    args: [usize; 4],
    /// The call has succeeded if its result, masked, is what is expected.
    mask: usize,
    expected: usize,
}

/// Written by the child when a step does not succeed; read after it has been reaped.
#[repr(C)]
#[derive(Debug, Default)]
struct Failed {
    result: AtomicIsize,
    /// The address of the step, 0 if none failed.
    step: AtomicUsize,
}

impl Step {
    /// A call that fails with a negative number.
    const fn new(number: libc::c_long, args: [usize; 4]) -> Self {
        Self {
            number: number as usize,
            args,
            mask: 1 << (usize::BITS - 1),
            expected: 0,
        }
    }

    const fn returning(self, expected: usize) -> Self {
        Self {
            mask: usize::MAX,
            expected,
            ..self
        }
    }
}

/// The size of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;
static NO_SIGNALS: u64 = 0;
/// The kernel's `struct sigaction` (handler, flags, restorer, mask) for the default action.
static DEFAULT_ACTION: [u64; 4] = [0; 4];

impl Image {
    fn prepare(&mut self, launch: &Launch, parent: u32, null: RawFd, output: Option<[RawFd; 2]>) {
        let address = |pointer: *const c_char| pointer.expose_provenance();
        let duplicate =
            |from: RawFd, to: usize| Step::new(libc::SYS_dup3, [from as usize, to, 0, 0]);

        self.failed = Failed::default();
        let steps = &mut self.steps;
        steps.clear();
        steps.push(Step::new(libc::SYS_setpgid, [0; 4]));
        // `kill -9` of the launching program takes the running processes along. Should it have died before this call,
        // nothing would tell; hence the question who our parent is.
        steps.push(Step::new(
            libc::SYS_prctl,
            [
                libc::PR_SET_PDEATHSIG as usize,
                libc::SIGKILL as usize,
                0,
                0,
            ],
        ));
        steps.push(Step::new(libc::SYS_getppid, [0; 4]).returning(parent as usize));
        // Rust programs ignore SIGPIPE, and an ignored signal stays ignored through exec.
        let action = (&raw const DEFAULT_ACTION).expose_provenance();
        steps.push(Step::new(
            libc::SYS_rt_sigaction,
            [libc::SIGPIPE as usize, action, 0, SIGNAL_SET_BYTES],
        ));
        steps.push(duplicate(null, 0));
        if let Some([stdout, stderr]) = output {
            steps.push(duplicate(stdout, 1));
            steps.push(duplicate(stderr, 2));
        }
        if let Some(directory) = launch.program.directory_pointer() {
            steps.push(Step::new(libc::SYS_chdir, [address(directory), 0, 0, 0]));
        }
        let mask = (&raw const NO_SIGNALS).expose_provenance();
        steps.push(Step::new(
            libc::SYS_rt_sigprocmask,
            [libc::SIG_SETMASK as usize, mask, 0, SIGNAL_SET_BYTES],
        ));
        let argv = self.argv.as_ptr().expose_provenance();
        let envp = self.envp.as_ptr().expose_provenance();
        steps.push(Step::new(
            libc::SYS_execve,
            [address(launch.program.path_pointer()), argv, envp, 0],
        ));
    }

    /// Why the child did not come to run its program, once it is reaped.
    fn failure(&self) -> Option<Refusal> {
        // Relaxed: the child has been waited for, which orders its writes before this read.
        let step = self
            .failed
            .step
            .load(Ordering::Relaxed)
            .checked_sub(self.steps.as_ptr().addr())?;
        let number = self.steps.get(step / size_of::<Step>())?.number as libc::c_long;
        let error = io::Error::from_raw_os_error(
            i32::try_from(-self.failed.result.load(Ordering::Relaxed)).unwrap_or(libc::EIO),
        );
        Some(match number {
            libc::SYS_execve => Refusal::from_exec(error),
            libc::SYS_chdir => Refusal::WorkingDirectory(error),
            libc::SYS_setpgid => Refusal::from_call("setpgid", error),
            libc::SYS_prctl => Refusal::from_call("prctl", error),
            libc::SYS_dup3 => Refusal::from_call("dup3", error),
            _ => Refusal::from_call("a system call of the new process", error),
        })
    }
}

/// The first version of the kernel's `struct clone_args`.
#[repr(C)]
#[derive(Debug, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// Absent from the `libc` crate; Linux 5.5.
const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;

/// Clones a leader that does what `image`, just prepared, says.
fn clone_leader(image: Box<Image>) -> Result<Leader, (Box<Image>, io::Error)> {
    let mut pidfd: RawFd = -1;
    let flags = (libc::CLONE_VM | libc::CLONE_PIDFD) as u64 | CLONE_CLEAR_SIGHAND;
    let args = CloneArgs {
        flags,
        pidfd: (&raw mut pidfd).expose_provenance() as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: `args` is a valid argument of `clone3` and `pidfd` a place for the descriptor. The steps end with an exec
    // of zero-terminated strings in null-terminated arrays; they, the steps and `failed` live in `image` and `launch`,
    // which the leader and the caller keep until the child is reaped. No descriptor is touched but the child's copies.
    let result = unsafe { clone_and_walk(&args, image.steps.as_ptr(), &image.failed) };
    match libc::pid_t::try_from(result) {
        Ok(pid) if pid > 0 => {
            // SAFETY: the kernel has just stored this new descriptor, which nobody else knows.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Leader {
                pid,
                pidfd,
                reaped: false,
                image: Some(image),
            })
        }
        _ => Err((
            image,
            io::Error::from_raw_os_error(i32::try_from(-result).unwrap_or(libc::EINVAL)),
        )),
    }
}

/// Clones a child that performs `steps`, and returns its process id or a negated error number.
///
/// The child never returns from here. When a step fails it stores the result and the step, and exits with code 127.
///
/// # Safety
///
/// - `args` asks for a new process (no `CLONE_THREAD`) with `CLONE_VM`, no stack and no thread-local storage.
/// - `steps` points to calls that end with one that does not return when it succeeds.
/// - All that the steps refer to, the steps themselves and `failed` stay valid and unchanged until the child has been reaped.
/// - `args` clears the child's signal handlers, so that none runs there on a stack that it does not have.
#[cfg(target_arch = "x86_64")]
unsafe fn clone_and_walk(args: &CloneArgs, steps: *const Step, failed: &Failed) -> isize {
    let result;
    // SAFETY: see above. The parent sees one system call, with the registers that it changes declared. The child, which
    // starts with a copy of the registers after that call, changes registers and `failed` only; it shares the parent's
    // stack pointer and never uses it.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 4f",
            // The child: one step after the other.
            "2:",
            "mov rax, [r12]",
            "mov rdi, [r12 + 8]",
            "mov rsi, [r12 + 16]",
            "mov rdx, [r12 + 24]",
            "mov r10, [r12 + 32]",
            "syscall",
            "mov rcx, rax",
            "and rcx, [r12 + 40]",
            "cmp rcx, [r12 + 48]",
            "jne 3f",
            "add r12, {step_bytes}",
            "jmp 2b",
            // A step has failed.
            "3:",
            "mov [r13], rax",
            "mov [r13 + 8], r12",
            "mov edi, 127",
            "mov eax, {exit_group}",
            "syscall",
            "ud2",
            // The parent.
            "4:",
            step_bytes = const size_of::<Step>(),
            exit_group = const libc::SYS_exit_group,
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") steps,
            in("r13") failed,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// As on x86-64.
///
/// # Safety
///
/// As on x86-64.
#[cfg(target_arch = "aarch64")]
unsafe fn clone_and_walk(args: &CloneArgs, steps: *const Step, failed: &Failed) -> isize {
    let result;
    // SAFETY: as on x86-64; the kernel preserves every register but x0.
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 4f",
            // The child: one step after the other.
            "2:",
            "ldp x8, x0, [x20]",
            "ldp x1, x2, [x20, #16]",
            "ldp x3, x4, [x20, #32]",
            "ldr x5, [x20, #48]",
            "svc #0",
            "and x4, x4, x0",
            "cmp x4, x5",
            "b.ne 3f",
            "add x20, x20, #{step_bytes}",
            "b 2b",
            // A step has failed.
            "3:",
            "stp x0, x20, [x21]",
            "mov x0, #127",
            "mov x8, #{exit_group}",
            "svc #0",
            "brk #1",
            // The parent.
            "4:",
            step_bytes = const size_of::<Step>(),
            exit_group = const libc::SYS_exit_group,
            inlateout("x0") args => result,
            in("x1") size_of::<CloneArgs>(),
            in("x8") libc::SYS_clone3,
            in("x20") steps,
            in("x21") failed,
            options(nostack),
        );
    }
    result
}

/// No list walker is written for this processor: `posix_spawn` takes over.
///
/// # Safety
///
/// None is needed.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone_and_walk(_: &CloneArgs, _: *const Step, _: &Failed) -> isize {
    -(libc::ENOSYS as isize)
}

fn posix_spawn_leader(
    image: &Image,
    launch: &Launch,
    null: RawFd,
    output: Option<[RawFd; 2]>,
) -> Result<Leader, Refusal> {
    let spawned = Attributes::new().and_then(|attributes| {
        let actions = Actions::new(launch, null, output)?;
        let mut pid = 0;
        // SAFETY: both objects are initialised; the path is zero-terminated, the arrays are null-terminated and hold
        // zero-terminated strings; all of them outlive the call, which returns after the exec.
        let code = unsafe {
            libc::posix_spawn(
                &raw mut pid,
                launch.program.path_pointer(),
                &raw const actions.0,
                &raw const attributes.0,
                image.argv.as_ptr().cast(),
                image.envp.as_ptr().cast(),
            )
        };
        check(code).map(|()| pid)
    });
    let pid = spawned.map_err(|error| Refusal::from_spawn(error, launch.program.directory()))?;
    match sys::pidfd_open(pid) {
        Ok(pidfd) => Ok(Leader {
            pid,
            pidfd,
            reaped: false,
            image: None,
        }),
        Err(error) => {
            // Without a pidfd nobody would learn of its end. It has hardly begun.
            unix::signal_group(pid, libc::SIGKILL);
            let _ = sys::reap_pid(pid);
            Err(Refusal::from_call("pidfd_open", error))
        }
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// A new process group, no blocked signals, SIGPIPE as it is by default.
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: each object is initialised by the first call that takes it and used after; nothing here keeps a
        // pointer to `set`.
        unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            let mut attributes = Self(attributes.assume_init());
            check(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                flags as _,
            ))?;
            check(libc::posix_spawnattr_setpgroup(&raw mut attributes.0, 0))?;
            libc::sigemptyset(set.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                set.as_ptr(),
            ))?;
            libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
            check(libc::posix_spawnattr_setsigdefault(
                &raw mut attributes.0,
                set.as_ptr(),
            ))?;
            Ok(attributes)
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new(launch: &Launch, null: RawFd, output: Option<[RawFd; 2]>) -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the object is initialised by the first call and used after; the directory is zero-terminated.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            let mut actions = Self(actions.assume_init());
            check(libc::posix_spawn_file_actions_adddup2(
                &raw mut actions.0,
                null,
                0,
            ))?;
            if let Some([stdout, stderr]) = output {
                check(libc::posix_spawn_file_actions_adddup2(
                    &raw mut actions.0,
                    stdout,
                    1,
                ))?;
                check(libc::posix_spawn_file_actions_adddup2(
                    &raw mut actions.0,
                    stderr,
                    2,
                ))?;
            }
            if let Some(directory) = launch.program.directory_pointer() {
                check(libc::posix_spawn_file_actions_addchdir_np(
                    &raw mut actions.0,
                    directory,
                ))?;
            }
            Ok(actions)
        }
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}
