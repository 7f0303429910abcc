//! Strings in the form in which the system takes them.
//!
//! On Unix a launch hands the kernel zero-terminated strings. Preparing them once per program, in one block, keeps a
//! launch down to copying pointers, and keeps two hundred test binaries with a hundred variables each small.

use std::ffi::OsStr;

use super::error::ProgramError;

/// A list of strings without zero bytes, each followed by one, in a single allocation.
#[cfg(unix)]
#[derive(Clone, Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    /// Where each string begins.
    starts: Vec<u32>,
}

#[cfg(unix)]
impl Strings {
    /// Appends the concatenation of `parts`.
    pub(super) fn push(
        &mut self,
        parts: &[&OsStr],
        what: &'static str,
    ) -> Result<(), ProgramError> {
        use std::os::unix::ffi::OsStrExt as _;

        let refused = ProgramError::Nul { what };
        // 4 GiB of arguments is a thousand times what any kernel takes, so this limit is never the first to be met.
        let Ok(start) = u32::try_from(self.bytes.len()) else {
            return Err(refused);
        };
        if parts.iter().any(|part| part.as_bytes().contains(&0)) {
            return Err(refused);
        }
        for part in parts {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.bytes.push(0);
        self.starts.push(start);
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(super) fn get(&self, index: usize) -> &OsStr {
        use std::os::unix::ffi::OsStrExt as _;

        OsStr::from_bytes(self.bytes_of(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn bytes_of(&self, index: usize) -> &[u8] {
        let start = self.starts[index] as usize;
        let next = self
            .starts
            .get(index + 1)
            .map_or(self.bytes.len(), |next| *next as usize);
        &self.bytes[start..next - 1]
    }

    /// The address of a string; valid as long as `self` is neither changed nor dropped, even when it is moved.
    #[cfg(target_os = "linux")]
    pub(super) fn pointer(&self, index: usize) -> *const libc::c_char {
        self.bytes[self.starts[index] as usize..].as_ptr().cast()
    }

    #[cfg(target_os = "linux")]
    pub(super) fn pointers(&self) -> impl Iterator<Item = *const libc::c_char> {
        (0..self.len()).map(|index| self.pointer(index))
    }
}

/// A list of strings.
#[cfg(not(unix))]
#[derive(Clone, Debug, Default)]
pub(super) struct Strings(Vec<std::ffi::OsString>);

#[cfg(not(unix))]
impl Strings {
    pub(super) fn push(
        &mut self,
        parts: &[&OsStr],
        what: &'static str,
    ) -> Result<(), ProgramError> {
        if parts
            .iter()
            .any(|part| part.as_encoded_bytes().contains(&0))
        {
            return Err(ProgramError::Nul { what });
        }
        self.0.push(parts.iter().copied().collect());
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> &OsStr {
        &self.0[index]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(|string| string.as_os_str())
    }
}

impl Strings {
    /// Appends a `NAME=value` entry, in place of one that has the name already.
    pub(super) fn set(&mut self, name: &OsStr, value: &OsStr) -> Result<(), ProgramError> {
        let bytes = name.as_encoded_bytes();
        // Windows keeps the directories of its drives in variables whose names begin with the sign.
        if bytes.is_empty() || bytes[1..].contains(&b'=') {
            return Err(ProgramError::VariableName {
                name: name.to_owned(),
            });
        }
        if self.iter().any(|entry| name_of(entry) == bytes) {
            let mut others = Self::default();
            for entry in self.iter().filter(|entry| name_of(entry) != bytes) {
                others.push(&[entry], ENTRY)?;
            }
            *self = others;
        }
        self.push(&[name, OsStr::new("="), value], ENTRY)
    }
}

const ENTRY: &str = "environment entry";

/// Returns the name in a `NAME=value` entry.
///
/// A leading `=` belongs to the name: Windows keeps the directories of its drives in such variables.
pub(super) fn name_of(entry: &OsStr) -> &[u8] {
    let bytes = entry.as_encoded_bytes();
    let end = bytes
        .iter()
        .skip(1)
        .position(|byte| *byte == b'=')
        .map_or(bytes.len(), |position| position + 1);
    &bytes[..end]
}

/// Splits a `NAME=value` entry.
#[cfg(unix)]
pub(super) fn name_and_value(entry: &OsStr) -> Option<(&OsStr, &OsStr)> {
    use std::os::unix::ffi::OsStrExt as _;

    let (name, value) = entry.as_bytes().split_at_checked(name_of(entry).len())?;
    Some((
        OsStr::from_bytes(name),
        OsStr::from_bytes(value.strip_prefix(b"=")?),
    ))
}

/// Splits a `NAME=value` entry.
#[cfg(not(unix))]
pub(super) fn name_and_value(entry: &OsStr) -> Option<(&OsStr, &OsStr)> {
    let (name, value) = entry
        .as_encoded_bytes()
        .split_at_checked(name_of(entry).len())?;
    let value = value.strip_prefix(b"=")?;
    // SAFETY: both were cut from an `OsStr` next to an ASCII character.
    Some(unsafe {
        (
            OsStr::from_encoded_bytes_unchecked(name),
            OsStr::from_encoded_bytes_unchecked(value),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_went_in() {
        let mut strings = Strings::default();
        strings.push(&[OsStr::new("a")], "argument").unwrap();
        strings.push(&[], "argument").unwrap();
        strings
            .push(
                &[OsStr::new("KEY"), OsStr::new("="), OsStr::new("value")],
                "environment entry",
            )
            .unwrap();
        let all: Vec<_> = strings.iter().map(OsStr::to_owned).collect();
        assert_eq!(all, ["a", "", "KEY=value"]);
    }

    #[test]
    fn a_zero_byte_is_refused_and_changes_nothing() {
        let mut strings = Strings::default();
        let error = strings.push(&[OsStr::new("a\0b")], "argument").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the argument contains a zero byte, which no program can be given"
        );
        assert_eq!(strings.len(), 0);
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let mut strings = Strings::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3=4")] {
            strings.set(OsStr::new(name), OsStr::new(value)).unwrap();
        }
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["B=2", "A=3=4"]);
        for name in ["", "A=B"] {
            let error = strings.set(OsStr::new(name), OsStr::new("")).unwrap_err();
            assert!(
                matches!(error, ProgramError::VariableName { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn the_name_ends_at_the_first_equals_sign_after_the_first_byte() {
        for (entry, name) in [
            ("A=1=2", "A"),
            ("A", "A"),
            ("=C:=C:\\", "=C:"),
            ("A=", "A"),
            ("", ""),
        ] {
            assert_eq!(name_of(OsStr::new(entry)), name.as_bytes(), "{entry}");
        }
    }
}
