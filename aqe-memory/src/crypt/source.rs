//! Master keys from the environment and from files.
//!
//! Both are read into buffers that are wiped. The variable itself stays where it is: other threads may be reading the
//! environment, and it is in the process's memory at a second place anyway, from where the system shows it to the same
//! user (`/proc/PID/environ`) and hands it to every child process. Prefer a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::aead::KEY_LEN;
use super::error::{KeyError, KeyTextError};
use super::key::MasterKey;
use super::secret::Secret;
use super::text;

/// How much of a key's file is read: twice the longest form, so that white space around it does no harm.
const FILE_LIMIT: usize = 128;

impl MasterKey {
    /// Reads the key in the environment variable `name`: 64 hexadecimal digits, or 32 bytes in base64. White space
    /// around it does no harm. The variable is left as it is.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unset`] without such a variable, [`KeyError::Text`] if it holds something else. The error names the
    /// variable and the place of what is wrong, and repeats nothing of the value.
    pub fn from_env(name: &str) -> Result<Self, KeyError> {
        Self::from_variable(name, std::env::var_os(name))
    }

    fn from_variable(name: &str, value: Option<OsString>) -> Result<Self, KeyError> {
        let Some(value) = value else {
            return Err(KeyError::Unset {
                name: String::from(name),
            });
        };
        let value = Zeroizing::new(value.into_encoded_bytes());
        Self::from_text(&value, || format!("environment variable `{name}`"))
    }

    /// Reads the key in the file at `path`: exactly 32 raw bytes, or 64 hexadecimal digits or base64 with white space
    /// around it, such as an end of line. The file may be a pipe. 32 raw bytes that could have been typed are refused:
    /// they are a password or half a key.
    ///
    /// On Unix the file's permissions are looked at as `ssh` does it: a file that belongs to this user and that
    /// others may read, write or execute is refused. A file of somebody else (a secret that the system mounts) is as
    /// its owner decided.
    ///
    /// # Errors
    ///
    /// [`KeyError::Read`], [`KeyError::Exposed`], or [`KeyError::Text`] if it holds something else.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        let path = path.as_ref();
        let unreadable = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        // The permissions of what was opened, and not of what the path leads to by now.
        if let Some(mode) = exposed(&file).map_err(unreadable)? {
            return Err(KeyError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let mut content = Secret::<{ FILE_LIMIT + 1 }>::zeroed();
        let length = fill(file, content.expose_mut()).map_err(unreadable)?;
        Self::from_content(path, &content.expose()[..length])
    }

    fn from_content(path: &Path, content: &[u8]) -> Result<Self, KeyError> {
        let origin = || format!("key file `{}`", path.display());
        if content.len() > FILE_LIMIT {
            let problem = KeyTextError::TooLong { limit: FILE_LIMIT };
            return Err(KeyError::Text {
                origin: origin(),
                problem,
            });
        }
        match <&[u8; KEY_LEN]>::try_from(content) {
            // 32 typed characters are a password, or 16 bytes in hexadecimal: far fewer bits than a key must have.
            Ok(raw) if !text::is_typed(raw) => Self::from_bytes(raw),
            _ => Self::from_text(content, origin),
        }
    }
}

/// Reads until the end or until `buffer` is full, without any buffer in between.
fn fill(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// The file's permissions, if it is this user's and others have any.
#[cfg(unix)]
fn exposed(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;

    let metadata = file.metadata()?;
    let mode = metadata.mode() & 0o777;
    let mine = metadata.uid() == rustix::process::getuid().as_raw();
    Ok((mine && mode & 0o077 != 0).then_some(mode))
}

/// Access lists of other systems are not read: `ssh` does not either where it finds no permission bits.
#[cfg(not(unix))]
fn exposed(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::key::problem;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn raw() -> [u8; 32] {
        std::array::from_fn(|index| index as u8)
    }

    fn expected() -> String {
        MasterKey::from_bytes(&raw()).unwrap().id().to_string()
    }

    /// A file of this user with these permissions.
    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        #[cfg(not(unix))]
        let _ = mode;
        (folder, path)
    }

    #[test]
    fn all_forms_of_a_file_give_the_same_key() {
        let with_end = |text: &str, end: &str| format!("{text}{end}").into_bytes();
        for content in [
            raw().to_vec(),
            with_end(HEX, ""),
            with_end(HEX, "\n"),
            with_end(&HEX.to_uppercase(), "\r\n"),
            with_end(BASE64, "\n"),
            with_end(BASE64.trim_end_matches('='), "\n"),
            with_end(&format!("  {HEX}"), " \n\n"),
        ] {
            let (_folder, path) = file(&content, 0o600);
            assert_eq!(
                MasterKey::from_file(&path).unwrap().id().to_string(),
                expected(),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_file_without_a_key_is_told_by_its_problem() {
        let cases: [(&[u8], KeyTextError); 8] = [
            (b"", KeyTextError::Empty),
            (b" \n", KeyTextError::Empty),
            (b"secret-password\n", KeyTextError::Length { found: 15 }),
            // A key of 16 bytes in hexadecimal, which is as long as a raw one of 32.
            (
                b"00112233445566778899aabbccddeeff",
                KeyTextError::Length { found: 32 },
            ),
            // A password that is as long, with its end of line.
            (
                b"correct-horse-battery-staple-42\n",
                KeyTextError::Length { found: 31 },
            ),
            // 32 raw bytes and an end of line, which an editor added.
            (
                b"\xFF1\xFE3456789012345678901234567890X\n",
                KeyTextError::Length { found: 32 },
            ),
            (&[b'z'; 64], KeyTextError::Digit { position: 1 }),
            (&[b'0'; 10_000], KeyTextError::TooLong { limit: FILE_LIMIT }),
        ];
        for (content, wanted) in cases {
            let (_folder, path) = file(content, 0o600);
            let error = MasterKey::from_file(&path).unwrap_err();
            assert!(
                error.to_string().contains(&path.display().to_string()),
                "{error}"
            );
            assert_eq!(problem(Err(error)), wanted);
        }
    }

    #[test]
    fn a_missing_file_and_a_folder_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("nowhere");
        let error = MasterKey::from_file(&missing).unwrap_err();
        assert!(
            matches!(&error, KeyError::Read { path, .. } if *path == missing),
            "{error}"
        );
        assert!(matches!(
            MasterKey::from_file(folder.path()),
            Err(KeyError::Read { .. } | KeyError::Exposed { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        for mode in [0o640, 0o604, 0o620, 0o610, 0o644, 0o777] {
            let (_folder, path) = file(HEX.as_bytes(), mode);
            let error = MasterKey::from_file(&path).unwrap_err();
            assert!(
                matches!(error, KeyError::Exposed { mode: found, .. } if found == mode),
                "{error}"
            );
            assert!(
                error.to_string().contains(&format!("{mode:04o}")),
                "{error}"
            );
        }
        for mode in [0o400, 0o600, 0o700] {
            let (_folder, path) = file(HEX.as_bytes(), mode);
            assert!(MasterKey::from_file(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_variable_gives_the_key_or_its_problem_but_never_its_value() {
        let key = MasterKey::from_variable("AQE_KEY", Some(OsString::from(HEX))).unwrap();
        assert_eq!(key.id().to_string(), expected());
        assert!(matches!(
            MasterKey::from_variable("AQE_KEY", None),
            Err(KeyError::Unset { name }) if name == "AQE_KEY"
        ));

        let almost = format!("{}deadbeef!", &HEX[..55]);
        for value in ["hunter2-hunter2", &almost] {
            let error =
                MasterKey::from_variable("AQE_KEY", Some(OsString::from(value))).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(told.contains("AQE_KEY"), "{told}");
            assert!(
                !told.contains("hunter2") && !told.contains("deadbeef") && !told.contains("0102"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_variable_that_is_not_there_is_named() {
        let error = MasterKey::from_env("AQE_NO_SUCH_VARIABLE").unwrap_err();
        assert!(
            matches!(&error, KeyError::Unset { name } if name == "AQE_NO_SUCH_VARIABLE"),
            "{error}"
        );
        // `=` cannot be in a name, and asking for it must not panic.
        assert!(matches!(
            MasterKey::from_env("A=B"),
            Err(KeyError::Unset { .. })
        ));
    }
}
