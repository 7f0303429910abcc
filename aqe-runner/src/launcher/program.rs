//! A program prepared once and started many times.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::ProgramError;
use super::strings::{Strings, name_and_value, name_of};

/// A set of environment variables that programs share.
///
/// Two hundred test binaries differ in a dozen variables each; the other hundred are kept once.
#[derive(Clone, Debug, Default)]
pub struct Environment(Arc<Strings>);

impl Environment {
    /// Takes a snapshot of this process's environment.
    ///
    /// # Errors
    ///
    /// None on the systems we know: what their environments hold can be handed on.
    pub fn current() -> Result<Self, ProgramError> {
        Self::from_pairs(std::env::vars_os())
    }

    /// Collects variables; of two with one name the later one counts.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Nul`] when a name or value contains a zero byte, [`ProgramError::VariableName`] when a name is empty
    /// or contains `=`.
    pub fn from_pairs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ProgramError> {
        let mut strings = Strings::default();
        for (name, value) in pairs {
            strings.set(name.as_ref(), value.as_ref())?;
        }
        Ok(Self(Arc::new(strings)))
    }
}

/// A program to start: path, leading arguments, environment and working directory, in the form the system takes.
///
/// Shared between launches as `Arc<Program>`; a launch adds its own few arguments and variables.
#[derive(Debug)]
pub struct Program {
    /// The absolute path, then the leading arguments.
    argv: Strings,
    environment: Environment,
    /// Entries of `environment` that this program does not get, ascending.
    hidden: Vec<u32>,
    own_environment: Strings,
    /// Empty, or exactly one directory.
    directory: Strings,
}

impl Program {
    /// Begins the description of a program.
    ///
    /// A relative `path` is taken from the current directory when [`build`](ProgramBuilder::build) is called, whatever
    /// the working directory of the program will be; `PATH` is never searched.
    pub fn builder(path: impl Into<PathBuf>) -> ProgramBuilder {
        ProgramBuilder {
            path: path.into(),
            args: Vec::new(),
            environment: None,
            changes: Vec::new(),
            directory: None,
        }
    }

    /// Returns the absolute path of the program.
    #[must_use]
    pub fn path(&self) -> &Path {
        Path::new(self.argv.get(0))
    }

    /// Returns the working directory, or `None` for the launching process's own.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        (self.directory.len() > 0).then(|| Path::new(self.directory.get(0)))
    }

    /// Returns the arguments that every launch of this program begins with, without the program's own name.
    pub fn args(&self) -> impl Iterator<Item = &OsStr> {
        self.argv.iter().skip(1)
    }

    /// Returns the names and values of [`entries`](Self::entries).
    pub(super) fn variables<'a>(
        &'a self,
        extra: &'a Strings,
    ) -> impl Iterator<Item = (&'a OsStr, &'a OsStr)> {
        self.entries(extra).filter_map(name_and_value)
    }

    /// Returns the `NAME=value` entries that a launch with the entries `extra` gets.
    fn entries<'a>(&'a self, extra: &'a Strings) -> impl Iterator<Item = &'a OsStr> {
        let inherited = self
            .inherited(extra)
            .map(|index| self.environment.0.get(index));
        let own = self.own(extra).map(|index| self.own_environment.get(index));
        inherited.chain(own).chain(extra.iter())
    }

    /// Indices of the shared entries that neither this program nor the launch replaces.
    fn inherited<'a>(&'a self, extra: &'a Strings) -> impl Iterator<Item = usize> {
        let shared = &self.environment.0;
        (0..shared.len()).filter(move |index| {
            let hidden =
                u32::try_from(*index).is_ok_and(|index| self.hidden.binary_search(&index).is_ok());
            !hidden && !names(extra, shared.get(*index))
        })
    }

    /// Indices of this program's own entries that the launch does not replace.
    fn own<'a>(&'a self, extra: &'a Strings) -> impl Iterator<Item = usize> {
        (0..self.own_environment.len())
            .filter(move |index| !names(extra, self.own_environment.get(*index)))
    }
}

/// The same lists as addresses, for the kernel.
#[cfg(target_os = "linux")]
impl Program {
    pub(super) fn path_pointer(&self) -> *const libc::c_char {
        self.argv.pointer(0)
    }

    pub(super) fn directory_pointer(&self) -> Option<*const libc::c_char> {
        (self.directory.len() > 0).then(|| self.directory.pointer(0))
    }

    /// Replaces `argv` by the addresses of all arguments, ended by a null.
    pub(super) fn argv_into(&self, extra: &Strings, argv: &mut Vec<*const libc::c_char>) {
        argv.clear();
        argv.extend(self.argv.pointers().chain(extra.pointers()));
        argv.push(std::ptr::null());
    }

    /// Replaces `envp` by the addresses of all entries, ended by a null.
    pub(super) fn envp_into(&self, extra: &Strings, envp: &mut Vec<*const libc::c_char>) {
        envp.clear();
        envp.extend(
            self.inherited(extra)
                .map(|index| self.environment.0.pointer(index)),
        );
        envp.extend(
            self.own(extra)
                .map(|index| self.own_environment.pointer(index)),
        );
        envp.extend(extra.pointers());
        envp.push(std::ptr::null());
    }
}

/// Says whether one of `entries` has the same name as `entry`.
fn names(entries: &Strings, entry: &OsStr) -> bool {
    entries.len() > 0 && entries.iter().any(|other| name_of(other) == name_of(entry))
}

/// Describes a [`Program`].
#[derive(Clone, Debug)]
pub struct ProgramBuilder {
    path: PathBuf,
    args: Vec<OsString>,
    environment: Option<Environment>,
    /// Variables set (`Some`) or removed (`None`), each name once.
    changes: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
}

impl ProgramBuilder {
    /// Appends an argument that every launch begins with.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Appends arguments that every launch begins with.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Replaces the variables to start from; without this, a snapshot of the environment at [`build`](Self::build).
    #[must_use]
    pub fn environment(mut self, environment: &Environment) -> Self {
        self.environment = Some(environment.clone());
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.change(name.into(), Some(value.into()));
        self
    }

    /// Removes a variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl Into<OsString>) -> Self {
        self.change(name.into(), None);
        self
    }

    /// Sets the working directory; a relative one is taken from the current directory at [`build`](Self::build).
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    fn change(&mut self, name: OsString, value: Option<OsString>) {
        self.changes.retain(|(known, _)| *known != name);
        self.changes.push((name, value));
    }

    /// Prepares the program.
    ///
    /// Success does not promise that the path exists or can be executed: the launch says so.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Nul`] when a string contains a zero byte, [`ProgramError::VariableName`] when a variable's name is
    /// empty or contains `=`, [`ProgramError::Relative`] when a relative path is
    /// empty or the current directory is gone.
    pub fn build(self) -> Result<Arc<Program>, ProgramError> {
        let mut argv = Strings::default();
        argv.push(&[absolute(self.path)?.as_os_str()], "program path")?;
        for argument in &self.args {
            argv.push(&[argument], "argument")?;
        }
        let mut directory = Strings::default();
        if let Some(path) = self.directory {
            directory.push(&[absolute(path)?.as_os_str()], "working directory")?;
        }
        let environment = match self.environment {
            Some(environment) => environment,
            None => Environment::current()?,
        };
        let mut own_environment = Strings::default();
        for (name, value) in &self.changes {
            if let Some(value) = value {
                own_environment.set(name, value)?;
            }
        }
        let changed = |entry: &OsStr| {
            self.changes
                .iter()
                .any(|(name, _)| name.as_encoded_bytes() == name_of(entry))
        };
        let hidden = (0_u32..)
            .zip(environment.0.iter())
            .filter(|(_, entry)| changed(entry));
        let hidden = hidden.map(|(index, _)| index).collect();
        Ok(Arc::new(Program {
            argv,
            environment,
            hidden,
            own_environment,
            directory,
        }))
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, ProgramError> {
    std::path::absolute(&path).map_err(|source| ProgramError::Relative { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(program: &Program, extra: &[&str]) -> Vec<String> {
        let mut strings = Strings::default();
        for entry in extra {
            strings
                .push(&[OsStr::new(entry)], "environment entry")
                .unwrap();
        }
        let mut all: Vec<_> = program
            .entries(&strings)
            .map(|entry| entry.to_str().unwrap().to_owned())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_variable_appears_once_and_the_nearest_setting_wins() {
        let shared =
            Environment::from_pairs([("A", "0"), ("B", "1"), ("C", "2"), ("A", "1")]).unwrap();
        let program = Program::builder("/p")
            .environment(&shared)
            .env("B", "old")
            .env("B", "own")
            .env("D", "own")
            .env_remove("C")
            .build()
            .unwrap();
        assert_eq!(entries(&program, &[]), ["A=1", "B=own", "D=own"]);
        assert_eq!(
            entries(&program, &["A=x", "D=x", "E=x"]),
            ["A=x", "B=own", "D=x", "E=x"]
        );
    }

    #[test]
    fn relative_paths_are_fixed_when_built() {
        let program = Program::builder("some/program")
            .arg("first")
            .directory("some")
            .build()
            .unwrap();
        let current = std::env::current_dir().unwrap();
        assert_eq!(program.path(), current.join("some/program"));
        assert_eq!(program.directory(), Some(current.join("some").as_path()));
        assert_eq!(program.args().collect::<Vec<_>>(), ["first"]);
    }

    #[test]
    fn zero_bytes_and_empty_paths_are_refused() {
        assert!(matches!(
            Program::builder("/a\0b").build(),
            Err(ProgramError::Nul {
                what: "program path"
            })
        ));
        assert!(matches!(
            Program::builder("/a").arg("\0").build(),
            Err(ProgramError::Nul { what: "argument" })
        ));
        assert!(matches!(
            Program::builder("/a").env("A", "\0").build(),
            Err(ProgramError::Nul {
                what: "environment entry"
            })
        ));
        assert!(matches!(
            Program::builder("").build(),
            Err(ProgramError::Relative { .. })
        ));
    }
}
