//! Whether a binary needs the search path that cargo gives to every program it runs.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::toolchain::joined_path;
use crate::elf;

/// Which test binaries get the search path of the dynamic linker that cargo sets for all.
///
/// With the path set, the linker looks for every library in each of its folders, in several variants of each, before
/// it looks where the system's libraries are: some fifty failed system calls per process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LibraryPath {
    /// The binaries that need it. A binary needs it
    ///
    /// * when it names a library that is in one of the path's folders, or one that is not among the system's (which may
    ///   itself need one of the path's), or when the file cannot be read as a 64-bit ELF file;
    /// * when any program of the same build needs it for that reason, since tests start programs, which inherit the
    ///   variable;
    /// * when the build made a shared library (`dylib`, `cdylib`) or a build script left one in a folder of the path,
    ///   since tests can load those by name while they run.
    ///
    /// What remains is a test that loads, by bare name, a library that is none of these: one of the compiler's own.
    /// Such a test needs [`LibraryPath::Always`].
    #[default]
    Auto,
    /// All binaries, as cargo does.
    Always,
    /// No binary.
    Never,
}

/// The search path of one build.
#[derive(Debug)]
pub(super) struct Search {
    /// The folders, in cargo's order.
    pub(super) folders: Vec<PathBuf>,
    /// Whether the build left libraries that a program can load by name.
    loadable: bool,
    /// What was found out about library names, since binaries name the same ones.
    known: RefCell<HashMap<Vec<u8>, bool>>,
}

impl Search {
    /// `script_folders` are the native search folders of build scripts; cargo takes those inside the target folder.
    pub(super) fn new(
        script_folders: &BTreeSet<PathBuf>,
        built_library: bool,
        output: &Path,
        deps: &Path,
        compiler_folders: &[PathBuf],
    ) -> Self {
        let inside = script_folders
            .iter()
            .filter(|folder| folder.starts_with(output));
        let loadable = built_library || inside.clone().any(|folder| holds_shared_library(folder));
        let own = [output.to_owned(), deps.to_owned()];
        let folders = inside
            .cloned()
            .chain(own)
            .chain(compiler_folders.iter().cloned())
            .collect();
        Self {
            folders,
            loadable,
            known: RefCell::default(),
        }
    }

    /// Whether every program of the build has to get the path, whatever it names.
    pub(super) fn is_loadable(&self) -> bool {
        self.loadable
    }

    /// Whether a program names a library that may be found only with the path. In doubt it does.
    pub(super) fn is_needed_by(&self, program: &Path) -> bool {
        let needed = File::open(program)
            .map_err(elf::ElfError::from)
            .and_then(|mut file| elf::needed_libraries(&mut file));
        needed.map_or(true, |names| {
            names.into_iter().any(|name| self.may_need(name))
        })
    }

    fn may_need(&self, name: Vec<u8>) -> bool {
        if let Some(&known) = self.known.borrow().get(&name) {
            return known;
        }
        let path = os_string(&name);
        let needs = path.is_empty()
            || self
                .folders
                .iter()
                .any(|folder| folder.join(&path).exists())
            || !SYSTEM_FOLDERS
                .iter()
                .any(|folder| Path::new(folder).join(&path).exists());
        self.known.borrow_mut().insert(name, needs);
        needs
    }
}

/// What becomes of a search path that this process has been given itself, for binaries that need none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inherited {
    /// The user set it, or nobody did.
    Kept,
    /// `cargo run` started this process and added folders of its own, which are taken out again.
    Reduced(OsString),
    /// It held nothing else.
    Dropped,
}

impl Inherited {
    /// `present` is what this process has, `added` the folders whose whole content cargo put there.
    pub(super) fn of(present: Vec<PathBuf>, added: &[PathBuf]) -> Self {
        let count = present.len();
        let is_added = |folder: &PathBuf| added.iter().any(|added| folder.starts_with(added));
        let rest: Vec<PathBuf> = present
            .into_iter()
            .filter(|folder| !is_added(folder))
            .collect();
        match rest.len() {
            left if left == count => Self::Kept,
            0 => Self::Dropped,
            _ => Self::Reduced(joined_path(rest)),
        }
    }
}

/// The variable that holds the search path on this platform.
pub(super) fn variable() -> &'static str {
    if cfg!(windows) {
        "PATH"
    } else if cfg!(target_vendor = "apple") {
        "DYLD_FALLBACK_LIBRARY_PATH"
    } else {
        "LD_LIBRARY_PATH"
    }
}

/// Whether a file is a library that programs load while they run.
pub(super) fn is_shared_library(file: &Path) -> bool {
    let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let extension = file.extension().and_then(OsStr::to_str).unwrap_or_default();
    matches!(extension, "so" | "dylib" | "dll") || name.contains(".so.")
}

fn holds_shared_library(folder: &Path) -> bool {
    // A folder that cannot be read now cannot be read by the linker either.
    fs::read_dir(folder)
        .is_ok_and(|files| files.flatten().any(|file| is_shared_library(&file.path())))
}

#[cfg(unix)]
fn os_string(bytes: &[u8]) -> OsString {
    use std::os::unix::ffi::OsStrExt;
    OsStr::from_bytes(bytes).to_owned()
}

/// Elsewhere programs are not ELF files; a name that is not UTF-8 is found nowhere, which reads as needed.
#[cfg(not(unix))]
fn os_string(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

/// Where the dynamic linkers of common Linux systems look by themselves. What is in none of them is taken as needing
/// the path, so a folder missing here costs time and nothing else.
const SYSTEM_FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib/riscv64-linux-gnu",
    "/usr/lib/riscv64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn search(folder: &Path, script_folders: &[PathBuf], built_library: bool) -> Search {
        let deps = folder.join("deps");
        fs::create_dir_all(&deps).unwrap();
        Search::new(
            &script_folders.iter().cloned().collect(),
            built_library,
            folder,
            &deps,
            &[folder.join("rust/lib")],
        )
    }

    #[test]
    fn the_order_is_cargos_and_foreign_folders_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("build/x/out");
        let search = search(
            folder.path(),
            &["/opt/native".into(), inside.clone()],
            false,
        );
        let expected = [
            inside,
            folder.path().to_owned(),
            folder.path().join("deps"),
            folder.path().join("rust/lib"),
        ];
        assert_eq!(search.folders, expected);
    }

    #[cfg(all(
        target_os = "linux",
        target_pointer_width = "64",
        target_endian = "little"
    ))]
    #[test]
    fn a_binary_needs_the_path_when_a_library_is_there_or_nowhere() {
        let own = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        assert!(
            !search(folder.path(), &[], false).is_needed_by(&own),
            "only libraries of the system"
        );
        let search = search(folder.path(), &[], false);
        fs::write(folder.path().join("deps/libc.so.6"), "").unwrap();
        assert!(search.is_needed_by(&own), "one is in a folder of the path");
        assert!(
            search.may_need(b"libsomething-of-nobody.so.9".to_vec()),
            "not known to the system"
        );
        assert!(search.may_need(Vec::new()));
        fs::write(folder.path().join("script"), "#!/bin/sh\n").unwrap();
        assert!(
            search.is_needed_by(&folder.path().join("script")),
            "not an ELF file"
        );
        assert!(search.is_needed_by(&folder.path().join("missing")));
    }

    #[test]
    fn libraries_that_can_be_loaded_by_name_count() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("build/x/out");
        fs::create_dir_all(&out).unwrap();
        assert!(!search(folder.path(), std::slice::from_ref(&out), false).is_loadable());
        assert!(search(folder.path(), &[], true).is_loadable());
        fs::write(out.join("libplugin.so.1"), "").unwrap();
        assert!(search(folder.path(), &[out], false).is_loadable());
    }

    #[test]
    fn what_cargo_run_added_is_taken_out_again() {
        let present = |folders: &[&str]| folders.iter().map(PathBuf::from).collect::<Vec<_>>();
        let added = present(&["/w/target/debug", "/rust"]);
        let table: &[(&[&str], Inherited)] = &[
            (&[], Inherited::Kept),
            (&["/opt/lib"], Inherited::Kept),
            (
                &["/w/target/debug", "/w/target/debug/deps", "/rust/lib"],
                Inherited::Dropped,
            ),
            (
                &["/w/target/debug/deps", "/opt/lib", "/w/target"],
                Inherited::Reduced(joined_path(present(&["/opt/lib", "/w/target"]))),
            ),
        ];
        for (folders, expected) in table {
            assert_eq!(
                &Inherited::of(present(folders), &added),
                expected,
                "{folders:?}"
            );
        }
        assert_eq!(Inherited::of(present(&["/rust/lib"]), &[]), Inherited::Kept);
    }

    #[test]
    fn shared_libraries_by_name() {
        for (name, expected) in [
            ("liba.so", true),
            ("liba.so.1.2", true),
            ("a.dll", true),
            ("a.dylib", true),
            ("liba.rlib", false),
            ("a", false),
        ] {
            assert_eq!(is_shared_library(Path::new(name)), expected, "{name}");
        }
    }
}
