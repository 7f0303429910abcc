//! The stack by its frame pointers, without ever reading memory that may not be there.
//!
//! Code without frame pointers keeps any number in their register. Each frame is therefore read by the kernel
//! (`process_vm_readv` from the process itself), which says so if nothing lies at an address; where that call is not
//! allowed a stack has its innermost address only. The calls are async-signal-safe: they take no lock and call nothing
//! of the C library but the system call.

/// Where a thread is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    pub(super) frame: usize,
    pub(super) stack: usize,
}

/// Most addresses of a stack that are kept.
pub(super) const DEPTH: usize = 96;

/// Writes return addresses, innermost first, to `out`, and says how many. Saves `errno`.
pub(super) fn walk(registers: Registers, out: &mut [usize]) -> usize {
    let Registers { mut frame, stack } = registers;
    let mut found = 0;
    while found < out.len() {
        // Frames lie above the stack pointer, each above the one before, and a stack has an end.
        let above = frame.wrapping_sub(stack);
        if frame < stack || above > LARGEST_STACK || !frame.is_multiple_of(size_of::<usize>()) {
            break;
        }
        let Some([next, back]) = read(frame) else {
            break;
        };
        // The zero page holds no code: threads begin with a frame of zeros.
        if back < 4096 {
            break;
        }
        out[found] = back;
        found += 1;
        if next <= frame {
            break;
        }
        frame = next;
    }
    found
}

/// Two words, if they are there.
fn read(address: usize) -> Option<[usize; 2]> {
    let mut words = [0_usize; 2];
    let length = size_of_val(&words);
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: length,
    };
    let remote = libc::iovec {
        iov_base: address as *mut libc::c_void,
        iov_len: length,
    };
    // SAFETY: the local vector is `words`, which outlives the call; the remote one is only an address to the kernel,
    // which copies from it or fails.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    (copied == length as isize).then_some(words)
}

/// The registers of the caller, or of a function inlined into it: the frames from there outwards are the caller's.
#[inline(always)]
pub(super) fn here() -> Registers {
    let (frame, stack): (usize, usize);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies two registers; reads and changes nothing else.
    unsafe {
        std::arch::asm!("mov {}, rbp", "mov {}, rsp", out(reg) frame, out(reg) stack, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("mov {}, x29", "mov {}, sp", out(reg) frame, out(reg) stack, options(nomem, nostack, preserves_flags));
    }
    Registers { frame, stack }
}

/// Whether code of this program keeps frame pointers, by trying: a stack is known whose callers are known.
pub(super) fn kept() -> bool {
    let mut addresses = [0; 2];
    let found = outer(&mut addresses);
    let within =
        |address: usize, function: usize| address.wrapping_sub(function) < LARGEST_FUNCTION;
    found == 2
        && within(addresses[0], middle as *const () as usize)
        && within(addresses[1], outer as *const () as usize)
}

#[inline(never)]
fn outer(addresses: &mut [usize; 2]) -> usize {
    // Something to do after the call, so that it stays one.
    std::hint::black_box(middle(addresses))
}

#[inline(never)]
fn middle(addresses: &mut [usize; 2]) -> usize {
    std::hint::black_box(inner(addresses))
}

#[inline(never)]
fn inner(addresses: &mut [usize; 2]) -> usize {
    std::hint::black_box(walk(here(), addresses))
}

/// The name of this thread as the kernel has it, zeros after it.
pub(super) fn thread_name() -> [u8; 16] {
    let mut name = [0_u8; 16];
    // SAFETY: the call writes at most sixteen bytes; it is a system call and nothing more.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// Runs `body` and leaves `errno` as it was: whoever was interrupted may be about to read it.
pub(super) fn keeping_errno<R>(body: impl FnOnce() -> R) -> R {
    // SAFETY: the address is that of this thread's `errno`, always valid.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *place };
    let result = body();
    // SAFETY: as above.
    unsafe { *place = before };
    result
}

/// Larger stacks than this are taken for nonsense in the register.
const LARGEST_STACK: usize = 1 << 30;

/// Of the two functions above, in any build.
const LARGEST_FUNCTION: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_stack_is_walked_as_far_as_there_is_room() {
        // As a caller builds it: each frame holds where the next one lies and where to go back to.
        let mut frames = Box::new([[0_usize; 2]; 12]);
        let base = frames.as_ptr() as usize;
        for (i, frame) in frames.iter_mut().enumerate() {
            *frame = [base + (i + 1) * 16, 0x5000 + i];
        }
        frames[11] = [0, 0];
        std::hint::black_box(&frames);
        let registers = Registers {
            frame: base,
            stack: base,
        };
        let mut few = [0; 8];
        assert_eq!(walk(registers, &mut few), 8);
        assert_eq!(few[..3], [0x5000, 0x5001, 0x5002]);
        assert_eq!(walk(registers, &mut [0; 20]), 11);
    }

    #[test]
    fn the_stack_is_where_its_variables_are() {
        let local = std::hint::black_box(0_u8);
        assert!((&raw const local as usize).abs_diff(here().stack) < 1 << 16);
    }

    #[test]
    fn registers_of_nonsense_end_the_walk() {
        let mut out = [0; 8];
        let stack = here().stack;
        for frame in [
            0,
            8,
            stack - 8,
            stack + 1,
            usize::MAX,
            usize::MAX - 7,
            stack.wrapping_add(LARGEST_STACK) & !7,
        ] {
            assert_eq!(walk(Registers { frame, stack }, &mut out), 0, "{frame:#x}");
        }
        assert_eq!(
            walk(
                Registers {
                    frame: 4096,
                    stack: 4096
                },
                &mut out
            ),
            0
        );
    }

    #[test]
    fn frames_that_go_round_end_the_walk() {
        let mut frames = Box::new([0_usize; 4]);
        let base = frames.as_ptr() as usize;
        *frames = [base + 16, 0x5000, base, 0x6000];
        std::hint::black_box(&frames);
        let mut out = [0; 8];
        assert_eq!(
            walk(
                Registers {
                    frame: base,
                    stack: base
                },
                &mut out
            ),
            2
        );
        assert_eq!(out[..2], [0x5000, 0x6000]);
    }

    #[test]
    fn errno_stays() {
        // SAFETY: this thread's `errno`.
        unsafe { *libc::__errno_location() = 7 };
        keeping_errno(|| assert_eq!(read(4096), None));
        // SAFETY: as above.
        assert_eq!(unsafe { *libc::__errno_location() }, 7);
    }
}
