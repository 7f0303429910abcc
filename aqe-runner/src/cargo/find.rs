//! From a selection to test binaries: two cargo processes side by side, and what follows from their answers.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::thread;

use super::built::{Built, BuiltTest};
use super::config::{Config, ConfigVariable};
use super::environment;
use super::layout::Layout;
use super::library_path::{self, Inherited, Search};
use super::messages::{self, Message, MessageError};
use super::metadata::{self, Metadata};
use super::toolchain::{Toolchain, joined_path};
use super::{CargoError, LibraryPath, Package, Selection, TargetKind, TestBinary, Variables};
use crate::model::Exit;

/// The test binaries of a workspace, built and ready.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Workspace {
    /// The folder of the workspace's manifest.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target_directory: PathBuf,
    /// The binaries, ordered by package, kind and target, the order in which `cargo test` runs them.
    pub binaries: Vec<TestBinary>,
}

/// Builds what the selection asks for, with cargo, and finds the test binaries.
///
/// `folder` is the absolute path of the folder that cargo is started in: relative paths of the selection begin there,
/// and so does the search for a manifest and for cargo's configuration. A program passes its working folder.
///
/// Blocks until the build is over. Cargo's progress, warnings and errors go to this process' standard error as they
/// come, in colours when that is a terminal.
///
/// # Errors
///
/// [`CargoError::Build`] when the build fails, which cargo has explained then; the others as they say.
///
/// # Examples
///
/// ```no_run
/// use aqe_runner::cargo::{Selection, find_test_binaries};
///
/// let workspace = find_test_binaries(&std::env::current_dir()?, &Selection::default())?;
/// for binary in &workspace.binaries {
///     println!("{} is {}", binary.id, binary.path.display());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find_test_binaries(folder: &Path, selection: &Selection) -> Result<Workspace, CargoError> {
    let toolchain = Toolchain::find(folder)?;
    let (built, metadata) = thread::scope(|scope| {
        let metadata = scope.spawn(|| ask_metadata(&toolchain, folder, selection, false));
        let built = build(&toolchain, folder, selection);
        // A panic over there would be a bug of ours and goes on here.
        let metadata = metadata
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (built, metadata)
    });
    // The build comes first: when the manifest is broken both fail, and cargo has told why once already.
    let built = built?;
    let mut metadata = metadata?;
    if !built.tests.iter().all(|test| {
        metadata
            .packages
            .iter()
            .any(|package| package.id == test.package_id)
    }) {
        // `-p` can name a package outside the workspace, which only the whole graph describes.
        metadata = ask_metadata(&toolchain, folder, selection, true)?;
    }
    let config = Config::load(
        folder,
        toolchain.cargo_home.as_deref(),
        selection.config_values(),
    )?;
    let layout = Layout::new(selection, folder, &metadata);
    Assembly {
        selection,
        folder,
        toolchain: &toolchain,
        config: &config,
        layout,
        built,
    }
    .finish(metadata)
}

/// Finds where cargo puts what it builds, without building anything. `folder` and the selection's manifest and target
/// folder count as they do for [`find_test_binaries`].
///
/// # Errors
///
/// A [`CargoError`], as when there is no manifest.
pub fn find_target_directory(folder: &Path, selection: &Selection) -> Result<PathBuf, CargoError> {
    let toolchain = Toolchain::find(folder)?;
    let metadata = ask_metadata(&toolchain, folder, selection, false)?;
    Ok(Layout::new(selection, folder, &metadata).target_directory)
}

/// Runs the build and collects what it says.
fn build(toolchain: &Toolchain, folder: &Path, selection: &Selection) -> Result<Built, CargoError> {
    let mut command = toolchain.command(folder);
    command
        .args(selection.test_arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|source| not_started(toolchain, source))?;
    let mut built = Built::default();
    let mut succeeded = None;
    let read = match child.stdout.take() {
        Some(stdout) => messages::read(stdout, |message| {
            if let Message::Finished { success } = message {
                succeeded = Some(success);
            }
            built.take(message);
        }),
        None => Ok(()),
    };
    let exit = wait(&mut child)?;
    if !exit.is_success() {
        return Err(CargoError::Build { exit });
    }
    read?;
    match succeeded {
        Some(true) => Ok(built),
        // Exit code 0 without the last message: what came before it may be incomplete too.
        _ => Err(MessageError::Io(std::io::ErrorKind::UnexpectedEof.into()).into()),
    }
}

fn ask_metadata(
    toolchain: &Toolchain,
    folder: &Path,
    selection: &Selection,
    with_dependencies: bool,
) -> Result<Metadata, CargoError> {
    let mut command = toolchain.command(folder);
    command.args(selection.metadata_arguments(with_dependencies));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|source| not_started(toolchain, source))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        // Drained beside, so that a long complaint cannot block cargo while its answer is read.
        let complaint = scope.spawn(|| stderr.map(first_text).unwrap_or_default());
        let metadata = stdout.map(metadata::read);
        let exit = wait(&mut child)?;
        let message = complaint.join().unwrap_or_default();
        if !exit.is_success() {
            return Err(CargoError::Metadata { exit, message });
        }
        match metadata {
            Some(Ok(metadata)) => Ok(metadata),
            Some(Err(source)) => Err(CargoError::Answer {
                source: Box::new(source),
            }),
            None => Err(CargoError::Answer {
                source: "no standard output".into(),
            }),
        }
    })
}

/// Everything that is known, on its way to a [`Workspace`].
struct Assembly<'a> {
    selection: &'a Selection,
    folder: &'a Path,
    toolchain: &'a Toolchain,
    config: &'a Config,
    layout: Layout,
    built: Built,
}

/// Variables by package and build script result.
type SharedEnv = HashMap<(String, Option<PathBuf>), Arc<Variables>>;

impl Assembly<'_> {
    fn finish(mut self, metadata: Metadata) -> Result<Workspace, CargoError> {
        let packages = metadata
            .packages
            .into_iter()
            .map(|package| (package.id.clone(), Arc::new(package)));
        let packages: HashMap<String, Arc<Package>> = packages.collect();
        let config = self.config.variables();
        let tests = std::mem::take(&mut self.built.tests);
        let mut targets: Vec<Target> = Vec::new();
        let mut shared = SharedEnv::new();
        let mut binaries = Vec::with_capacity(tests.len());
        for test in tests {
            let package = packages
                .get(&test.package_id)
                .ok_or_else(|| CargoError::Answer {
                    source: format!(
                        "cargo metadata does not know the package {}",
                        test.package_id
                    )
                    .into(),
                })?;
            let triple = self.layout.triple_of(&test.path);
            let known = targets.iter().position(|target| target.triple == triple);
            let position = known.unwrap_or(targets.len());
            if known.is_none() {
                targets.push(self.target(triple, &test.path)?);
            }
            binaries.push(self.binary(test, package, &targets[position], &config, &mut shared));
        }
        self.create_temporary_folder(&binaries)?;
        binaries.sort_by_cached_key(|binary| {
            (
                binary.package.name.clone(),
                binary.kind,
                binary.target.clone(),
                binary.path.clone(),
            )
        });
        Ok(Workspace {
            root: metadata.workspace_root,
            target_directory: self.layout.target_directory,
            binaries,
        })
    }

    fn binary(
        &self,
        test: BuiltTest,
        package: &Arc<Package>,
        target: &Target,
        config: &[ConfigVariable],
        shared: &mut SharedEnv,
    ) -> TestBinary {
        let out_dir = test
            .script
            .as_ref()
            .and_then(|script| script.out_dir.clone());
        let shared_env = shared
            .entry((package.id.clone(), out_dir.clone()))
            .or_insert_with(|| {
                let script = test.script.as_ref();
                let toolchain = &self.toolchain.variables;
                Arc::new(environment::of_package(
                    package,
                    &self.toolchain.cargo,
                    script,
                    config,
                    toolchain,
                ))
            });
        let mut own_env = Variables::new();
        if matches!(test.kind, TargetKind::Test | TargetKind::Bench) {
            let programs = self.built.programs.get(&package.id).into_iter().flatten();
            let programs =
                programs.filter(|(_, path)| self.layout.triple_of(path) == target.triple);
            own_env.extend(
                programs.map(|(name, path)| environment::of_program(name, path.as_os_str())),
            );
        }
        let needs_library_path = match self.selection.library_path {
            LibraryPath::Always => true,
            LibraryPath::Never => false,
            LibraryPath::Auto => target.all_need_path || target.search.is_needed_by(&test.path),
        };
        let mut unset = None;
        if needs_library_path {
            own_env.push((library_path::variable().into(), target.search_path.clone()));
        } else {
            match &target.inherited {
                Inherited::Kept => {}
                Inherited::Reduced(rest) => {
                    own_env.push((library_path::variable().into(), rest.clone()))
                }
                Inherited::Dropped => unset = Some(library_path::variable()),
            }
        }
        TestBinary {
            id: test.kind.binary_id(&package.name, &test.target),
            package: Arc::clone(package),
            kind: test.kind,
            target: test.target,
            path: test.path,
            cwd: package
                .manifest_path
                .parent()
                .unwrap_or_else(|| Path::new(""))
                .to_owned(),
            runner: Arc::clone(&target.runner),
            out_dir,
            needs_library_path,
            shared_env: Arc::clone(shared_env),
            own_env,
            unset,
        }
    }

    fn target(&self, triple: Option<String>, example: &Path) -> Result<Target, CargoError> {
        let sysroot = self.toolchain.sysroot(self.folder);
        let mut compiler = Vec::new();
        if let Some(sysroot) = &sysroot {
            let name = triple
                .clone()
                .or_else(|| self.toolchain.host_by_layout(sysroot));
            let name = name.or_else(|| self.toolchain.host(self.folder).ok());
            compiler.extend(name.map(|name| sysroot.join("lib/rustlib").join(name).join("lib")));
            // Rustup puts this one in front of whatever the process has; cargo alone does not.
            compiler.extend(self.toolchain.by_rustup.then(|| sysroot.join("lib")));
        }
        let (output, deps) = self.layout.output_folders(example, triple.is_some());
        let search = Search::new(
            &self.built.script_folders,
            self.built.built_library,
            &output,
            &deps,
            &compiler,
        );
        let mut programs = self.built.programs.values().flatten();
        let all_need_path = search.is_loadable()
            || programs.any(|(_, path)| {
                self.layout.triple_of(path) == triple && search.is_needed_by(path)
            });
        let present = env::var_os(library_path::variable()).unwrap_or_default();
        let present: Vec<PathBuf> = env::split_paths(&present)
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect();
        Ok(Target {
            runner: self.runner(triple.as_deref())?.into(),
            search_path: joined_path(
                search
                    .folders
                    .iter()
                    .cloned()
                    .chain(present.iter().cloned()),
            ),
            inherited: Inherited::of(present, &added_by_cargo(sysroot.as_deref())),
            triple,
            search,
            all_need_path,
        })
    }

    fn runner(&self, triple: Option<&str>) -> Result<Vec<OsString>, CargoError> {
        let prefix = "CARGO_TARGET_";
        let is_runner = |name: &str| name.starts_with(prefix) && name.ends_with("_RUNNER");
        let in_env = env::vars_os().any(|(name, _)| name.to_str().is_some_and(is_runner));
        if !in_env && !self.config.has_runner() {
            // The usual case, in which the compiler need not be asked what its host is.
            return Ok(Vec::new());
        }
        let triple = triple.map_or_else(
            || self.toolchain.host(self.folder),
            |triple| Ok(triple.to_owned()),
        )?;
        let variable = format!(
            "{prefix}{}_RUNNER",
            triple.to_uppercase().replace(['-', '.'], "_")
        );
        let settings = || self.toolchain.settings(self.folder, &triple);
        self.config
            .runner(&triple, env::var_os(variable).as_deref(), settings)
    }

    /// Creates the folder that `CARGO_TARGET_TMPDIR` named when integration tests and benchmarks were compiled. Cargo
    /// does so at each build, so that a test finds it though somebody cleaned it away.
    fn create_temporary_folder(&self, binaries: &[TestBinary]) -> Result<(), CargoError> {
        if binaries
            .iter()
            .any(|binary| matches!(binary.kind, TargetKind::Test | TargetKind::Bench))
        {
            fs::create_dir_all(self.layout.build_directory.join("tmp")).map_err(|source| {
                CargoError::Io {
                    action: "create the folder for the files of tests",
                    source,
                }
            })?;
        }
        Ok(())
    }
}

/// What all binaries of one target triple have in common.
struct Target {
    /// `None` when cargo was not told one, and builds for the host.
    triple: Option<String>,
    runner: Arc<[OsString]>,
    search: Search,
    search_path: OsString,
    inherited: Inherited,
    /// Whether every binary needs the search path because of what else was built.
    all_need_path: bool,
}

/// The folders that a cargo which started this process has put on its search path: the compiler's, and the one of this
/// program with its neighbours. None when no cargo did.
fn added_by_cargo(sysroot: Option<&Path>) -> Vec<PathBuf> {
    if env::var_os("CARGO").is_none() {
        return Vec::new();
    }
    let program = env::current_exe().ok();
    // A program is in `target/debug`, a test or an example one folder below it.
    let folders = program
        .iter()
        .filter_map(|program| program.parent())
        .map(|folder| {
            let is_below = folder.ends_with("deps") || folder.ends_with("examples");
            folder
                .parent()
                .filter(|_| is_below)
                .unwrap_or(folder)
                .to_owned()
        });
    folders.chain(sysroot.map(Path::to_owned)).collect()
}

fn not_started(toolchain: &Toolchain, source: std::io::Error) -> CargoError {
    CargoError::NotFound {
        program: toolchain.cargo.clone(),
        source,
    }
}

fn wait(child: &mut Child) -> Result<Exit, CargoError> {
    child
        .wait()
        .map(Exit::from)
        .map_err(|source| CargoError::Io {
            action: "wait for cargo",
            source,
        })
}

/// The start of what a process writes; the rest is read and dropped, so that it is not blocked.
fn first_text(mut input: impl Read) -> String {
    let mut text = Vec::new();
    let _ = input
        .by_ref()
        .take(MAX_MESSAGE_BYTES)
        .read_to_end(&mut text);
    let _ = std::io::copy(&mut input, &mut std::io::sink());
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// How much of a complaint of `cargo metadata` is kept.
const MAX_MESSAGE_BYTES: u64 = 16 * 1024;
