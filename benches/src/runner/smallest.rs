//! The smallest program that Linux can run: one page, no interpreter, no libraries, one system call.
//!
//! Starting `true` is mostly the dynamic linker's work, the same for everyone. On virtual machines that trap CPUID it
//! is almost nothing else: glibc asks the processor for its caches at every start, some fifty traps of eight
//! microseconds where this was written, which is more than half of all processor time from exec to exit. With a
//! program that does nothing, what is left is what launchers differ in.

use std::fs;
use std::path::PathBuf;

use xtask::{Failure, Result};

/// `exit_group(0)`, where we know how to say it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const CODE: &[u8] = &[
    0x31, 0xff, // xor edi, edi
    0xb8, 0xe7, 0x00, 0x00, 0x00, // mov eax, 231
    0x0f, 0x05, // syscall
];
#[cfg(all(target_os = "linux", target_arch = "aarch64"))]
const CODE: &[u8] = &[
    0x00, 0x00, 0x80, 0xd2, // mov x0, #0
    0xc8, 0x0b, 0x80, 0xd2, // mov x8, #94
    0x01, 0x00, 0x00, 0xd4, // svc #0
];
#[cfg(not(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
const CODE: &[u8] = &[];

/// The machine's number in the ELF specification.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else {
    183
};

/// Where linkers put programs that stay where they are.
const ADDRESS: u64 = 0x40_0000;

const HEADER: u16 = 64;
const SEGMENT: u16 = 56;

/// Whether there is such a program for this machine.
pub(super) const IS_KNOWN: bool = !CODE.is_empty();

/// Writes the program beside our own, unless it is there, and returns its path.
///
/// # Errors
///
/// When there is none for this machine, or when it cannot be written.
pub fn program() -> Result<PathBuf> {
    if !IS_KNOWN {
        return Err(Failure::new(
            "no smallest program is known for this machine",
        ));
    }
    let path = std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find this program: {error}")))?
        .with_file_name("smallest-program");
    let image = image();
    // Rewriting it would fail while a process of an earlier sample runs it.
    if fs::read(&path).ok().as_ref() != Some(&image) {
        fs::write(&path, &image)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
    }
    make_executable(&path)
        .map_err(|error| Failure::new(format!("cannot mark {}: {error}", path.display())))?;
    Ok(path)
}

#[cfg(unix)]
fn make_executable(path: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_path: &std::path::Path) -> std::io::Result<()> {
    Ok(())
}

/// An ELF file (System V ABI, "Object Files"): the file header, one program header, the code.
fn image() -> Vec<u8> {
    let start = u64::from(HEADER + SEGMENT);
    let size = start + CODE.len() as u64;
    let mut image = Vec::new();
    // 64 bits, little-endian, version 1.
    image.extend([0x7f, b'E', b'L', b'F', 2, 1, 1]);
    image.resize(16, 0);
    // An executable.
    push_halves(&mut image, &[2, MACHINE]);
    push_words(&mut image, &[1]);
    // Entry, program headers, no section headers.
    push_longs(&mut image, &[ADDRESS + start, u64::from(HEADER), 0]);
    push_words(&mut image, &[0]);
    push_halves(&mut image, &[HEADER, SEGMENT, 1, 0, 0, 0]);
    // Load everything, readable and executable.
    push_words(&mut image, &[1, 5]);
    push_longs(&mut image, &[0, ADDRESS, ADDRESS, size, size, 0x1_0000]);
    image.extend(CODE);
    image
}

fn push_halves(image: &mut Vec<u8>, halves: &[u16]) {
    image.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
}

fn push_words(image: &mut Vec<u8>, words: &[u32]) {
    image.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

fn push_longs(image: &mut Vec<u8>, longs: &[u64]) {
    image.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
}

#[cfg(all(
    test,
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn it_runs_and_ends_well() {
        assert_eq!(image().len(), usize::from(HEADER + SEGMENT) + CODE.len());
        let path = program().unwrap();
        let output = Command::new(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}
