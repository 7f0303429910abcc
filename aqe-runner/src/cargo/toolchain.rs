//! Which cargo is run, and where its compiler keeps its libraries.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CargoError, Variables};

/// A cargo and what belongs to it.
#[derive(Debug)]
pub(super) struct Toolchain {
    /// Cargo itself, not a proxy that picks one.
    pub(super) cargo: PathBuf,
    /// Variables that rustup sets for the programs it starts, so that they start the same toolchain wherever they
    /// look for it. Empty without rustup.
    pub(super) variables: Variables,
    /// Whether rustup was asked for it.
    pub(super) by_rustup: bool,
    /// The folder with `bin` and `lib` of the compiler, if it is where cargo is.
    sysroot: Option<PathBuf>,
    pub(super) cargo_home: Option<PathBuf>,
}

impl Toolchain {
    /// Finds the cargo that a user means by `cargo` in this folder.
    ///
    /// A process that cargo started is told by the variable `CARGO`. Otherwise the first one in `PATH` is taken; when
    /// that is rustup's proxy, rustup is asked which one it stands for. Starting that one directly spares two proxies
    /// and tells the path that tests see in their own `CARGO`.
    pub(super) fn find(folder: &Path) -> Result<Self, CargoError> {
        let cargo_home = env::var_os("CARGO_HOME")
            .filter(|home| !home.is_empty())
            .map(|home| folder.join(home))
            .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
        if let Some(cargo) = env::var_os("CARGO")
            .map(PathBuf::from)
            .filter(|cargo| cargo.is_file())
        {
            return Ok(Self::at(cargo, cargo_home));
        }
        let name = format!("cargo{}", env::consts::EXE_SUFFIX);
        let Some(found) = in_path(
            env::var_os("PATH").as_deref().unwrap_or_default(),
            folder,
            &name,
        ) else {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(CargoError::NotFound {
                program: name.into(),
                source,
            });
        };
        if let Some(rustup) = rustup_behind(&found)
            && let Some(cargo) = ask(Command::new(rustup)
                .args(["which", "cargo"])
                .current_dir(folder))
        {
            let mut toolchain = Self::at(PathBuf::from(cargo), cargo_home);
            toolchain.set_rustup_variables();
            return Ok(toolchain);
        }
        // Should rustup not answer, its proxy is still a cargo.
        Ok(Self::at(found.canonicalize().unwrap_or(found), cargo_home))
    }

    fn at(cargo: PathBuf, cargo_home: Option<PathBuf>) -> Self {
        let sysroot = cargo
            .parent()
            .and_then(Path::parent)
            .filter(|root| root.join("lib/rustlib").is_dir());
        Self {
            sysroot: sysroot.map(Path::to_owned),
            cargo,
            variables: Variables::new(),
            by_rustup: false,
            cargo_home,
        }
    }

    /// `…/toolchains/NAME/bin/cargo` is how rustup lays toolchains out; elsewhere the toolchain is named by its path.
    fn set_rustup_variables(&mut self) {
        self.by_rustup = true;
        let Some(root) = self.cargo.parent().and_then(Path::parent) else {
            return;
        };
        let toolchains = root
            .parent()
            .filter(|folder| folder.ends_with("toolchains"));
        let name = if toolchains.is_some() {
            root.file_name()
        } else {
            Some(root.as_os_str())
        };
        self.variables
            .extend(name.map(|name| ("RUSTUP_TOOLCHAIN".into(), name.to_owned())));
        let home = toolchains
            .and_then(Path::parent)
            .map(|home| home.as_os_str().to_owned());
        self.variables
            .extend(home.map(|home| ("RUSTUP_HOME".into(), home)));
        self.variables.extend(
            self.cargo_home
                .as_ref()
                .map(|home| ("CARGO_HOME".into(), home.into())),
        );
        // What the user has set is what rustup would have passed on.
        self.variables
            .retain(|(name, _)| env::var_os(name).is_none());
    }

    /// A command of this cargo, in this folder.
    pub(super) fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        command
            .current_dir(folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The compiler's folder.
    pub(super) fn sysroot(&self, folder: &Path) -> Option<PathBuf> {
        if self.sysroot.is_some() {
            return self.sysroot.clone();
        }
        ask(self.rustc(folder).args(["--print", "sysroot"])).map(PathBuf::from)
    }

    /// The host's triple, told from the compiler's folders without starting it: the only target whose libraries are
    /// there, or the one that the toolchain's name ends in.
    pub(super) fn host_by_layout(&self, sysroot: &Path) -> Option<String> {
        let folders = std::fs::read_dir(sysroot.join("lib/rustlib"))
            .ok()?
            .flatten();
        let with_libraries = folders.filter(|folder| folder.path().join("lib").is_dir());
        let mut targets: Vec<String> = with_libraries
            .filter_map(|folder| folder.file_name().into_string().ok())
            .collect();
        if targets.len() > 1 {
            let name = sysroot.file_name()?.to_str()?;
            targets.retain(|target| name.ends_with(target.as_str()));
        }
        targets.pop().filter(|_| targets.is_empty())
    }

    /// The triple of the machine that the compiler runs on.
    pub(super) fn host(&self, folder: &Path) -> Result<String, CargoError> {
        let text = ask(self.rustc(folder).arg("-vV")).unwrap_or_default();
        let host = text.lines().find_map(|line| line.strip_prefix("host: "));
        host.map(str::to_owned).ok_or_else(|| CargoError::Config {
            place: "[target]".to_owned(),
            message: "it has a runner, and `rustc -vV` does not say which target is the host's"
                .to_owned(),
        })
    }

    /// The conditions that hold for a target, one per line.
    pub(super) fn settings(&self, folder: &Path, triple: &str) -> Result<String, CargoError> {
        ask(self.rustc(folder).args(["--print", "cfg", "--target", triple])).ok_or_else(|| CargoError::Config {
            place: "[target]".to_owned(),
            message: format!("it has a runner under a condition, and `rustc --print cfg --target {triple}` failed"),
        })
    }

    fn rustc(&self, folder: &Path) -> Command {
        let beside = self
            .cargo
            .with_file_name(format!("rustc{}", env::consts::EXE_SUFFIX));
        let program = env::var_os("RUSTC").map_or(beside, PathBuf::from);
        let mut command = Command::new(if program.is_file() {
            program
        } else {
            "rustc".into()
        });
        command
            .current_dir(folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// The first file of this name in a search path.
fn in_path(path: &OsStr, folder: &Path, name: &str) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|entry| folder.join(entry).join(name))
        .find(|file| file.is_file())
}

/// The rustup that a proxy belongs to: proxies are links to it, or copies beside it.
fn rustup_behind(cargo: &Path) -> Option<PathBuf> {
    let is_rustup = |path: &Path| path.file_stem() == Some(OsStr::new("rustup"));
    let target = cargo.canonicalize().ok()?;
    if is_rustup(&target) {
        return Some(target);
    }
    let beside = cargo.with_file_name(format!("rustup{}", env::consts::EXE_SUFFIX));
    let same_size = || Some(beside.metadata().ok()?.len() == target.metadata().ok()?.len());
    same_size().unwrap_or(false).then_some(beside)
}

/// The standard output of a program that succeeds, without the last line end.
fn ask(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim_end();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Joins folders to a search path, leaving out those that the platform's separator cannot hold.
pub(super) fn joined_path(folders: impl IntoIterator<Item = PathBuf>) -> OsString {
    let folders = folders
        .into_iter()
        .filter(|folder| env::join_paths([folder]).is_ok());
    env::join_paths(folders).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_cargo_is_found_with_its_libraries() {
        let toolchain = Toolchain::find(&env::current_dir().unwrap()).unwrap();
        assert!(toolchain.cargo.is_file());
        let sysroot = toolchain.sysroot(Path::new("/")).unwrap();
        assert!(
            sysroot.join("lib/rustlib").is_dir(),
            "{}",
            sysroot.display()
        );
        let host = toolchain.host(Path::new("/")).unwrap();
        assert_eq!(
            toolchain
                .host_by_layout(&sysroot)
                .unwrap_or_else(|| host.clone()),
            host
        );
        assert!(
            toolchain
                .settings(Path::new("/"), &host)
                .unwrap()
                .contains("target_os=")
        );
    }

    #[test]
    fn rustups_variables_follow_its_layout() {
        let mut toolchain = Toolchain::at(
            "/nowhere/toolchains/nightly-x/bin/cargo".into(),
            Some("/nowhere/ch".into()),
        );
        toolchain.set_rustup_variables();
        let value = |name: &str| {
            let found = toolchain.variables.iter().find(|(found, _)| found == name);
            found.map(|(_, value)| value.to_str().unwrap().to_owned())
        };
        // Variables that this process has itself are inherited instead.
        for (name, expected) in [
            ("RUSTUP_TOOLCHAIN", "nightly-x"),
            ("RUSTUP_HOME", "/nowhere"),
            ("CARGO_HOME", "/nowhere/ch"),
        ] {
            assert_eq!(
                value(name).as_deref(),
                env::var_os(name).is_none().then_some(expected),
                "{name}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn proxies_are_recognised() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("rustup"), "proxy").unwrap();
        std::fs::write(path("real"), "a cargo of its own").unwrap();
        std::os::unix::fs::symlink("rustup", path("cargo")).unwrap();
        let rustup = path("rustup").canonicalize().unwrap();
        assert_eq!(rustup_behind(&path("cargo")), Some(rustup));
        assert_eq!(rustup_behind(&path("real")), None);
        std::fs::copy(path("rustup"), path("copy")).unwrap();
        assert_eq!(rustup_behind(&path("copy")), Some(path("rustup")));
        assert_eq!(
            in_path(OsStr::new("nothing:."), folder.path(), "real"),
            Some(folder.path().join("./real"))
        );
    }
}
