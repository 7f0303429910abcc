//! Two questions about an ELF file, answered without trusting it: which libraries does it need, and does it hold the
//! entry point of rustc's own test harness?
//!
//! Only what exists on the platforms we run on is read: 64-bit, little-endian. Every offset and count comes from the
//! file and may be anything, so each is bounded before it is used, nothing is read past its bound, and whatever is odd
//! is [`ElfError::Unsupported`]. Callers treat any error as the answer that costs time and not correctness.

use std::io::{self, Read, Seek, SeekFrom};

/// The file could not be read as the kind of ELF file that is understood here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ElfError {
    #[error("cannot read the file")]
    Io(#[from] io::Error),
    #[error("not an ELF file of a supported form: {0}")]
    Unsupported(&'static str),
}

/// The names of the shared libraries that the dynamic linker loads for this file (`DT_NEEDED`). None for a static one.
pub(crate) fn needed_libraries<F: Read + Seek>(file: &mut F) -> Result<Vec<Vec<u8>>, ElfError> {
    let header = Header::read(file)?;
    let segments = header.segments(file)?;
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Ok(Vec::new());
    };
    let entries = read_at(file, dynamic.offset, bounded_dynamic(dynamic.file_size)?)?;
    let mut needed = Vec::new();
    let mut strings = None;
    for entry in entries.chunks_exact(16) {
        let (tag, value) = (u64_at(entry, 0), u64_at(entry, 8));
        match tag {
            DT_NULL => break,
            DT_NEEDED => needed.push(value),
            DT_STRTAB => strings = Some(value),
            _ => {}
        }
    }
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let strings = strings.ok_or(ElfError::Unsupported("no dynamic string table"))?;
    needed
        .into_iter()
        .map(|at| {
            let address = strings
                .checked_add(at)
                .ok_or(ElfError::Unsupported("a string out of range"))?;
            read_name(file, file_offset(&segments, address)?)
        })
        .collect()
}

/// Whether the symbol table names `test::test_main_static`, the function that only the `main` which rustc generates
/// for `--test` calls.
///
/// A linker drops functions that nothing refers to, so its presence means that this binary's tests are a table made at
/// compile time. A stripped file cannot say, which is `None`.
pub(crate) fn has_static_test_main<F: Read + Seek>(file: &mut F) -> Result<Option<bool>, ElfError> {
    let header = Header::read(file)?;
    let sections = header.sections(file)?;
    let mut answer = None;
    for section in sections.iter().filter(|section| section.kind == SHT_SYMTAB) {
        let strings = sections
            .get(section.link as usize)
            .filter(|strings| strings.kind == SHT_STRTAB)
            .ok_or(ElfError::Unsupported("a symbol table without strings"))?;
        if strings.size > MAX_SYMBOL_BYTES {
            return Err(ElfError::Unsupported("a symbol table that is too large"));
        }
        if scan_for_test_main(file, strings.offset, strings.size)? {
            return Ok(Some(true));
        }
        answer = Some(false);
    }
    Ok(answer)
}

/// Looks for the mangled name in chunks that overlap by the longest name it can have.
fn scan_for_test_main<F: Read + Seek>(
    file: &mut F,
    offset: u64,
    size: u64,
) -> Result<bool, ElfError> {
    let end = offset
        .checked_add(size)
        .ok_or(ElfError::Unsupported("a section out of range"))?;
    let mut chunk = vec![0; SCAN_CHUNK];
    let mut at = offset;
    while at < end {
        let length = usize::try_from(end - at)
            .unwrap_or(usize::MAX)
            .min(SCAN_CHUNK);
        read_exact_at(file, at, &mut chunk[..length])?;
        if chunk[..length].split(|&byte| byte == 0).any(is_test_main) {
            return Ok(true);
        }
        if at + length as u64 >= end {
            break;
        }
        at += (length - MAX_TEST_MAIN) as u64;
    }
    Ok(false)
}

/// Whether a symbol is `test::test_main_static` or `test::test_main_static_abort`, in the legacy mangling
/// (`_ZN4test16test_main_static17h…E`) or in v0 (`_RNvCs…_4test16test_main_static`).
fn is_test_main(symbol: &[u8]) -> bool {
    let legacy = symbol.strip_prefix(b"_ZN4test").and_then(strip_function);
    if legacy.is_some_and(|rest| rest.starts_with(b"17h")) {
        return true;
    }
    let Some(v0) = symbol.strip_prefix(b"_RNvCs") else {
        return false;
    };
    let Some(underscore) = v0.iter().position(|&byte| byte == b'_') else {
        return false;
    };
    let (hash, rest) = v0.split_at(underscore);
    let function = rest.strip_prefix(b"_4test").and_then(strip_function);
    hash.iter().all(u8::is_ascii_alphanumeric)
        && function.is_some_and(|rest| rest.is_empty() || rest[0] == b'.')
}

fn strip_function(symbol: &[u8]) -> Option<&[u8]> {
    symbol
        .strip_prefix(b"22test_main_static_abort")
        .or_else(|| symbol.strip_prefix(b"16test_main_static"))
}

/// The fields of the file header that are used.
struct Header {
    program_headers: u64,
    program_header_count: u16,
    section_headers: u64,
    section_header_count: u16,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
}

struct Section {
    kind: u32,
    offset: u64,
    size: u64,
    link: u32,
}

impl Header {
    fn read<F: Read + Seek>(file: &mut F) -> Result<Self, ElfError> {
        let bytes = read_at(file, 0, 64)?;
        if bytes[..4] != *b"\x7fELF" {
            return Err(ElfError::Unsupported("another format"));
        }
        if bytes[4..6] != [CLASS_64, DATA_LITTLE_ENDIAN] {
            return Err(ElfError::Unsupported("not 64-bit little-endian"));
        }
        let header = Self {
            program_headers: u64_at(&bytes, 32),
            program_header_count: u16_at(&bytes, 56),
            section_headers: u64_at(&bytes, 40),
            section_header_count: u16_at(&bytes, 60),
        };
        let sizes = (u16_at(&bytes, 54), u16_at(&bytes, 58));
        if header.program_header_count > 0 && sizes.0 != PROGRAM_HEADER_BYTES as u16
            || header.section_header_count > 0 && sizes.1 != SECTION_HEADER_BYTES as u16
        {
            return Err(ElfError::Unsupported("headers of another size"));
        }
        Ok(header)
    }

    fn segments<F: Read + Seek>(&self, file: &mut F) -> Result<Vec<Segment>, ElfError> {
        if self.program_header_count > MAX_PROGRAM_HEADERS {
            return Err(ElfError::Unsupported("too many program headers"));
        }
        let length = usize::from(self.program_header_count) * PROGRAM_HEADER_BYTES;
        let bytes = read_at(file, self.program_headers, length)?;
        let segment = |bytes: &[u8]| Segment {
            kind: u32_at(bytes, 0),
            offset: u64_at(bytes, 8),
            address: u64_at(bytes, 16),
            file_size: u64_at(bytes, 32),
        };
        Ok(bytes
            .chunks_exact(PROGRAM_HEADER_BYTES)
            .map(segment)
            .collect())
    }

    fn sections<F: Read + Seek>(&self, file: &mut F) -> Result<Vec<Section>, ElfError> {
        // A count of 0 with a table means more than 65,279 sections, the true number being elsewhere: far from what a
        // test binary has.
        let length = usize::from(self.section_header_count) * SECTION_HEADER_BYTES;
        let bytes = read_at(file, self.section_headers, length)?;
        let section = |bytes: &[u8]| Section {
            kind: u32_at(bytes, 4),
            offset: u64_at(bytes, 24),
            size: u64_at(bytes, 32),
            link: u32_at(bytes, 40),
        };
        Ok(bytes
            .chunks_exact(SECTION_HEADER_BYTES)
            .map(section)
            .collect())
    }
}

/// Where in the file the byte is that a loaded program sees at this address.
fn file_offset(segments: &[Segment], address: u64) -> Result<u64, ElfError> {
    segments
        .iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .find_map(|segment| {
            let into = address
                .checked_sub(segment.address)
                .filter(|into| *into < segment.file_size)?;
            segment.offset.checked_add(into)
        })
        .ok_or(ElfError::Unsupported("an address outside the file"))
}

/// Reads a string up to its terminating zero.
fn read_name<F: Read + Seek>(file: &mut F, offset: u64) -> Result<Vec<u8>, ElfError> {
    file.seek(SeekFrom::Start(offset))?;
    let mut name = Vec::new();
    file.by_ref().take(MAX_NAME_BYTES).read_to_end(&mut name)?;
    let end = name
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(ElfError::Unsupported("a string without end"))?;
    name.truncate(end);
    Ok(name)
}

fn read_at<F: Read + Seek>(file: &mut F, offset: u64, length: usize) -> Result<Vec<u8>, ElfError> {
    let mut bytes = vec![0; length];
    read_exact_at(file, offset, &mut bytes)?;
    Ok(bytes)
}

fn read_exact_at<F: Read + Seek>(
    file: &mut F,
    offset: u64,
    bytes: &mut [u8],
) -> Result<(), ElfError> {
    file.seek(SeekFrom::Start(offset))?;
    Ok(file.read_exact(bytes)?)
}

fn bounded_dynamic(size: u64) -> Result<usize, ElfError> {
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= MAX_DYNAMIC_BYTES);
    size.ok_or(ElfError::Unsupported("a dynamic section that is too large"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

// Names and values of the System V ABI, chapters 4 and 5.
const CLASS_64: u8 = 2;
const DATA_LITTLE_ENDIAN: u8 = 1;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const PROGRAM_HEADER_BYTES: usize = 56;
const SECTION_HEADER_BYTES: usize = 64;

// Bounds far above what linkers produce.
const MAX_PROGRAM_HEADERS: u16 = 256;
const MAX_DYNAMIC_BYTES: usize = 64 * 1024;
const MAX_NAME_BYTES: u64 = 4096;
const MAX_SYMBOL_BYTES: u64 = 1 << 30;

const SCAN_CHUNK: usize = 64 * 1024;
/// The longest form of the name: a v0 hash has at most 11 digits, a legacy one 16.
const MAX_TEST_MAIN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// A file with one segment that maps all of it at address 0x1000, a dynamic section and a symbol table.
    fn elf(needed: &[&str], symbols: &[&str]) -> Vec<u8> {
        let mut strings = vec![0];
        let mut dynamic = Vec::new();
        for name in needed {
            dynamic.extend([DT_NEEDED, strings.len() as u64]);
            strings.extend(name.bytes().chain([0]));
        }
        let mut symbol_strings = vec![0];
        for name in symbols {
            symbol_strings.extend(name.bytes().chain([0]));
        }
        let programs_at = 64;
        let dynamic_at = programs_at + 2 * PROGRAM_HEADER_BYTES;
        let strings_at = dynamic_at + (dynamic.len() + 4) * 8;
        let symbols_at = strings_at + strings.len();
        let sections_at = symbols_at + symbol_strings.len();
        let end = sections_at + 3 * SECTION_HEADER_BYTES;
        dynamic.extend([DT_STRTAB, 0x1000 + strings_at as u64, DT_NULL, 0]);

        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(32, 0);
        bytes.extend((programs_at as u64).to_le_bytes());
        bytes.extend((sections_at as u64).to_le_bytes());
        bytes.extend([0; 6]);
        for half in [
            PROGRAM_HEADER_BYTES as u16,
            2,
            SECTION_HEADER_BYTES as u16,
            3,
            0,
        ] {
            bytes.extend(half.to_le_bytes());
        }
        for (kind, at, size) in [
            (PT_LOAD, 0, end),
            (PT_DYNAMIC, dynamic_at, dynamic.len() * 8),
        ] {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 4]);
            for word in [at, 0x1000 + at, 0, size, size, 0] {
                bytes.extend((word as u64).to_le_bytes());
            }
        }
        dynamic
            .iter()
            .for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend(&strings);
        bytes.extend(&symbol_strings);
        for (kind, at, size, link) in [
            (0, 0, 0, 0),
            (SHT_SYMTAB, 0, 0, 2u32),
            (SHT_STRTAB, symbols_at, symbol_strings.len(), 0),
        ] {
            bytes.extend(0u32.to_le_bytes());
            bytes.extend(u32::to_le_bytes(kind));
            bytes.extend([0; 16]);
            bytes.extend((at as u64).to_le_bytes());
            bytes.extend((size as u64).to_le_bytes());
            bytes.extend(link.to_le_bytes());
            bytes.extend([0; 20]);
        }
        assert_eq!(bytes.len(), end);
        bytes
    }

    const V0: &str = "_RNvCs3mSbOeLENLV_4test16test_main_static";
    const LEGACY: &str = "_ZN4test16test_main_static17h0123456789abcdefE";

    #[test]
    fn needed_libraries_are_read() {
        let file = elf(&["libgcc_s.so.1", "libc.so.6"], &[]);
        assert_eq!(
            needed_libraries(&mut Cursor::new(file)).unwrap(),
            [&b"libgcc_s.so.1"[..], b"libc.so.6"]
        );
        assert!(
            needed_libraries(&mut Cursor::new(elf(&[], &[])))
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn the_test_main_is_told_from_its_namesakes() {
        let table = [
            (V0, true),
            (LEGACY, true),
            ("_RNvCs3mSbOeLENLV_4test22test_main_static_abort", true),
            ("_RNvCs3mSbOeLENLV_4test16test_main_static.llvm.123", true),
            ("_ZN6mytest16test_main_static17h0123456789abcdefE", false),
            ("_ZN2my4test16test_main_static17h0123456789abcdefE", false),
            ("_RNvNtCs3mSbOeLENLV_2my4test16test_main_static", false),
            ("_RNvCs3mSbOeLENLV_4test16test_main_staticx", false),
            ("test_main_static", false),
        ];
        for (symbol, expected) in table {
            let file = elf(&["libc.so.6"], &["main", symbol, "other"]);
            assert_eq!(
                has_static_test_main(&mut Cursor::new(file)).unwrap(),
                Some(expected),
                "{symbol}"
            );
        }
    }

    #[test]
    fn a_symbol_across_chunks_is_found() {
        for shift in SCAN_CHUNK - 100..SCAN_CHUNK + 20 {
            let filler = "x".repeat(shift);
            let file = elf(&[], &[&filler, V0, "tail"]);
            assert_eq!(
                has_static_test_main(&mut Cursor::new(file)).unwrap(),
                Some(true),
                "{shift}"
            );
        }
    }

    #[test]
    fn this_very_test_binary_is_understood() {
        if !cfg!(all(
            target_os = "linux",
            target_pointer_width = "64",
            target_endian = "little"
        )) {
            return;
        }
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(has_static_test_main(&mut file).unwrap(), Some(true));
        let needed = needed_libraries(&mut file).unwrap();
        assert!(
            needed.iter().any(|name| name.starts_with(b"libc.")),
            "{needed:?}"
        );
    }

    #[test]
    fn other_files_are_refused() {
        for bytes in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF",
            &[0; 4096],
            b"\x7fELF\x01\x01",
        ] {
            assert!(needed_libraries(&mut Cursor::new(bytes)).is_err());
            assert!(has_static_test_main(&mut Cursor::new(bytes)).is_err());
        }
    }

    #[test]
    fn a_truncated_file_never_looks_like_a_static_one() {
        let file = elf(&["libc.so.6"], &[]);
        let names_end = file
            .windows(9)
            .position(|window| window == b"libc.so.6")
            .unwrap()
            + 10;
        for cut in 0..names_end {
            assert!(
                needed_libraries(&mut Cursor::new(&file[..cut])).is_err(),
                "{cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn damaged_files_neither_panic_nor_allocate_much(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut file = elf(&["libgcc_s.so.1", "libc.so.6"], &[V0]);
            for (index, byte) in flips {
                let at = index.index(file.len());
                file[at] = byte;
            }
            if let Ok(needed) = needed_libraries(&mut Cursor::new(&file)) {
                prop_assert!(needed.len() <= MAX_DYNAMIC_BYTES / 16);
            }
            let _ = has_static_test_main(&mut Cursor::new(&file));
        }

        #[test]
        fn any_bytes_behind_the_magic_are_taken(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
            let file = [&b"\x7fELF\x02\x01"[..], &tail].concat();
            let _ = needed_libraries(&mut Cursor::new(&file));
            let _ = has_static_test_main(&mut Cursor::new(&file));
        }
    }
}
