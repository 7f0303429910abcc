//! What a test process finds in its surroundings, compared with what cargo itself gives it.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use aqe_runner::cargo::{LibraryPath, Selection, TargetKind, find_test_binaries};

mod support;
use support::{Project, command, dumped};

/// Writes all variables, the working folder and nothing else to a file named after the target.
const DUMP: &str = r#"
    let mut text = format!("WORKING FOLDER={}\n", std::env::current_dir().unwrap().display());
    for (name, value) in std::env::vars_os() {
        text.push_str(&format!("{}={}\n", name.to_string_lossy(), value.to_string_lossy()));
    }
    std::fs::write(std::path::Path::new(&std::env::var_os("DUMP_FOLDER").unwrap()).join(WHO), text).unwrap();
"#;

fn source(who: &str, with_main: bool) -> String {
    let main = if with_main {
        "#[allow(dead_code)] fn main() {}"
    } else {
        ""
    };
    format!(
        "{main}\n#[allow(dead_code)] const WHO: &str = \"{who}\";\n#[test] fn dump() {{ {DUMP} }}\n"
    )
}

/// A workspace with a target of every kind, a build script, and a configuration that sets variables in every way.
fn workspace() -> Project {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['main', 'plain', 'macro']\nresolver = '2'\n",
        ),
        (
            ".cargo/config.toml",
            "[env]\nFROM_CONFIG = 'plain'\nFORCED = { value = 'forced', force = true }\nPATH = 'kept by the process'\n\
             RELATIVE = { value = 'some/folder', relative = true }\nCARGO_PKG_NAME = 'weaker than the package'\n\
             FROM_SCRIPT = { value = 'weaker than the script', force = true }\n",
        ),
        (
            "main/Cargo.toml",
            "[package]\nname = 'main-package'\nversion = '1.2.3-rc.1+b5'\nedition = '2021'\nauthors = ['A <a@example.org>', 'B']\n\
             description = 'says \"hello\" to ü'\nhomepage = 'https://h.example.org'\nrepository = 'https://r.example.org'\n\
             license = 'MIT'\nreadme = 'READ.md'\nrust-version = '1.80'\n\
             [[bench]]\nname = 'bench-mark'\nharness = false\n[[bin]]\nname = 'tool-with-dashes'\npath = 'src/tool.rs'\n",
        ),
        ("main/READ.md", ""),
        (
            "main/build.rs",
            "fn main() {\n println!(\"cargo::rustc-env=FROM_SCRIPT=value with blanks\");\n\
             println!(\"cargo::rustc-link-search=native={}\", std::env::var(\"OUT_DIR\").unwrap());\n\
             println!(\"cargo::rustc-link-search=/elsewhere\");\n}\n",
        ),
        (
            "plain/Cargo.toml",
            "[package]\nname = 'plain'\nversion = '0.1.0'\nedition = '2021'\nlicense-file = 'L'\n",
        ),
        (
            "macro/Cargo.toml",
            "[package]\nname = 'macro'\nversion = '0.1.0'\nedition = '2021'\n[lib]\nproc-macro = true\n",
        ),
    ]);
    project.write("main/src/lib.rs", &source("lib", false));
    project.write("main/src/tool.rs", &source("bin", true));
    project.write("main/tests/it.rs", &source("test", false));
    project.write("main/examples/shown.rs", &source("example", true));
    project.write(
        "main/benches/bench-mark.rs",
        &format!("const WHO: &str = \"bench\";\nfn main() {{ {DUMP} }}\n"),
    );
    project.write("plain/src/lib.rs", &source("plain", false));
    project.write("macro/src/lib.rs", &source("macro", false));
    project
}

/// Variables in which a test process under this runner differs from one under cargo, and why.
const EXCEPTIONS: &[&str] = &[
    // Set for binaries that need it; compared by itself in another test.
    "LD_LIBRARY_PATH",
    "DYLD_FALLBACK_LIBRARY_PATH",
    // Rustup's own bookkeeping.
    "RUST_RECURSION_COUNT",
    "RUSTUP_TOOLCHAIN_SOURCE",
    // Where the tests of this file write to, and the shell's own.
    "DUMP_FOLDER",
    "_",
];

#[test]
fn the_environment_is_the_one_that_cargo_gives() {
    let project = workspace();
    let (by_cargo, by_us) = (project.path("by-cargo"), project.path("by-us"));
    fs::create_dir_all(&by_cargo).unwrap();
    fs::create_dir_all(&by_us).unwrap();
    let output = project
        .cargo()
        .args([
            "test",
            "--offline",
            "--workspace",
            "--all-targets",
            "--target-dir",
        ])
        .arg(project.target())
        .env("DUMP_FOLDER", &by_cargo)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // Cargo makes the folder of temporary files when it builds; somebody cleans it away.
    fs::remove_dir(project.target().join("tmp")).unwrap();

    let mut selection = Selection::default();
    selection.workspace = true;
    selection.all_targets = true;
    selection.offline = true;
    selection.target_dir = Some(project.target());
    let found = find_test_binaries(&project.root(), &selection).unwrap();

    assert_eq!(
        found.root,
        project
            .path("")
            .components()
            .collect::<std::path::PathBuf>()
    );
    let ids: Vec<&str> = found
        .binaries
        .iter()
        .map(|binary| binary.id.as_str())
        .collect();
    let expected = [
        "macro",
        "main-package",
        "main-package::bin/tool-with-dashes",
        "main-package::it",
        "main-package::bench/bench-mark",
        "main-package::example/shown",
        "plain",
    ];
    assert_eq!(ids, expected);
    assert!(
        project.target().join("tmp").is_dir(),
        "the folder that CARGO_TARGET_TMPDIR names"
    );

    for binary in &found.binaries {
        let ran = command(binary, &[])
            .env("DUMP_FOLDER", &by_us)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}: {}",
            binary.id,
            String::from_utf8_lossy(&ran.stderr)
        );
        assert_eq!(
            binary.out_dir.is_some(),
            binary.package.name == "main-package"
        );
        // The tests of a procedural macro are linked to the compiler's own libraries.
        let needs = binary.kind == TargetKind::ProcMacro;
        assert!(
            binary.needs_library_path == needs || !cfg!(target_os = "linux"),
            "{}",
            binary.id
        );
    }
    let names: BTreeSet<_> = fs::read_dir(&by_cargo)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(
        names.len(),
        expected.len(),
        "every target ran under cargo: {names:?}"
    );
    for name in names {
        let mut theirs = dumped(&by_cargo.join(&name));
        let mut ours = dumped(&by_us.join(&name));
        for exception in EXCEPTIONS {
            theirs.remove(*exception);
            ours.remove(*exception);
        }
        assert_eq!(ours, theirs, "{}", name.to_string_lossy());
    }

    // The comparison above would also hold for two empty sets.
    let seen = dumped(&by_us.join("test"));
    let value = |name: &str| seen.get(name).map(String::as_str);
    assert_eq!(value("FROM_CONFIG"), Some("plain"));
    assert_eq!(value("FORCED"), Some("forced"));
    assert_eq!(value("FROM_SCRIPT"), Some("value with blanks"));
    assert_eq!(value("CARGO_PKG_NAME"), Some("main-package"));
    assert_eq!(value("RELATIVE"), project.path("some/folder").to_str());
    assert_eq!(value("WORKING FOLDER"), project.path("main").to_str());
    assert!(Path::new(value("CARGO_BIN_EXE_tool-with-dashes").unwrap()).is_file());
    assert!(Path::new(value("OUT_DIR").unwrap()).is_dir());
    assert_ne!(value("PATH"), Some("kept by the process"));
}

/// A person's shell has none of the variables that cargo sets for this test process, and its `cargo` is often a proxy
/// that picks a toolchain.
#[test]
fn the_environment_is_the_one_that_cargo_gives_when_started_from_a_shell() {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "the_environment_is_the_one_that_cargo_gives"]);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO") || text.starts_with("RUSTUP") || EXCEPTIONS.contains(&&*text) {
            again.env_remove(&name);
        }
    }
    let output = again.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_binary_that_needs_the_search_path_gets_cargos() {
    // A library that is loaded at run time: the test binary names it, and nothing but the search path finds it.
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = ['shared', 'user']\nresolver = '2'\n",
        ),
        (
            "shared/Cargo.toml",
            "[package]\nname = 'shared'\nversion = '0.1.0'\nedition = '2021'\n[lib]\ncrate-type = ['dylib']\n",
        ),
        ("shared/src/lib.rs", "pub fn answer() -> u32 { 42 }\n"),
        (
            "user/Cargo.toml",
            "[package]\nname = 'user'\nversion = '0.1.0'\nedition = '2021'\n[dependencies]\nshared = { path = '../shared' }\n",
        ),
    ]);
    let source = source("user", false).replace(
        "#[test]",
        "#[test] fn uses() { assert_eq!(shared::answer(), 42) }\n#[test]",
    );
    project.write("user/src/lib.rs", &source);
    let dump = project.path("dump");
    fs::create_dir_all(dump.join("cargo")).unwrap();
    fs::create_dir_all(dump.join("us")).unwrap();
    let mut cargo = project.cargo();
    cargo
        .args(["test", "--offline", "-p", "user", "--lib", "--target-dir"])
        .arg(project.target());
    let output = cargo
        .env("DUMP_FOLDER", dump.join("cargo"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut selection = Selection::default();
    selection.packages = vec!["user".to_owned()];
    selection.lib = true;
    selection.offline = true;
    selection.target_dir = Some(project.target());
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    let [binary] = found.binaries.as_slice() else {
        panic!("{:?}", found.binaries)
    };
    assert!(binary.needs_library_path);
    let ran = command(binary, &[])
        .env("DUMP_FOLDER", dump.join("us"))
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );

    // The same folders in the same order; folders that are there twice count where they are first.
    let folders = |who: &str| {
        let seen = dumped(&dump.join(who).join("user"));
        let mut folders: Vec<String> = Vec::new();
        for folder in seen
            .get("LD_LIBRARY_PATH")
            .map(String::as_str)
            .unwrap_or_default()
            .split(':')
        {
            if !folders.iter().any(|known| known == folder) {
                folders.push(folder.to_owned());
            }
        }
        folders
    };
    if cfg!(target_os = "linux") {
        assert_eq!(folders("us"), folders("cargo"));
    }

    // A test that needs nothing itself and starts a program that does: the program inherits the path.
    project.write(
        "user/src/main.rs",
        "fn main() { assert_eq!(shared::answer(), 42) }\n",
    );
    project.write(
        "user/tests/starts.rs",
        "#[test] fn t() { assert!(std::process::Command::new(env!(\"CARGO_BIN_EXE_user\")).status().unwrap().success()) }\n",
    );
    selection.lib = false;
    selection.tests = true;
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    let starts = found
        .binaries
        .iter()
        .find(|binary| binary.id.as_str() == "user::starts")
        .unwrap();
    assert!(starts.needs_library_path);
    assert!(command(starts, &[]).output().unwrap().status.success());

    selection.tests = false;
    selection.lib = true;
    selection.library_path = LibraryPath::Never;
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    assert!(!found.binaries[0].needs_library_path);
    let mut bare = command(&found.binaries[0], &[]);
    let ran = bare
        .env("DUMP_FOLDER", dump.join("us"))
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .unwrap();
    assert!(
        !cfg!(target_os = "linux") || !ran.status.success(),
        "the path was needed indeed"
    );
}

#[test]
fn a_configured_runner_comes_before_the_binary() {
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n",
        ),
        ("src/lib.rs", "#[test] fn t() {}\n"),
        (
            ".cargo/config.toml",
            "[target.'cfg(all())']\nrunner = ['tools/wrap', '--with space']\n",
        ),
    ]);
    let mut selection = Selection::default();
    selection.offline = true;
    selection.target_dir = Some(project.target());
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    let words: Vec<_> = found.binaries[0]
        .command()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        words[..2],
        [
            project.path("tools/wrap").display().to_string(),
            "--with space".to_owned()
        ]
    );
    assert_eq!(Path::new(&words[2]), found.binaries[0].path);
    assert!(
        found.binaries[0]
            .shell_command(&["--list"])
            .ends_with(" --list")
    );
}

#[test]
fn an_explicit_target_is_found_in_its_own_folder() {
    let host = {
        let output = Project::new(&[("x", "")])
            .cargo()
            .arg("-vV")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("host: "))
            .unwrap()
            .to_owned()
    };
    let project = Project::new(&[
        (
            "Cargo.toml",
            "[package]\nname = 'p'\nversion = '0.1.0'\nedition = '2021'\n",
        ),
        ("src/lib.rs", ""),
        ("src/main.rs", "fn main() {}\n"),
        (
            "tests/it.rs",
            "#[test] fn t() { assert!(std::path::Path::new(env!(\"CARGO_BIN_EXE_p\")).exists()) }\n",
        ),
    ]);
    let mut selection = Selection::default();
    selection.offline = true;
    selection.targets = vec![host.clone()];
    selection.target_dir = Some(project.target());
    let found = find_test_binaries(&project.root(), &selection).unwrap();
    let test = found
        .binaries
        .iter()
        .find(|binary| binary.kind == TargetKind::Test)
        .unwrap();
    assert!(test.path.starts_with(project.target().join(&host)));
    let program = test
        .env()
        .find(|(name, _)| *name == "CARGO_BIN_EXE_p")
        .unwrap()
        .1;
    assert_eq!(
        Path::new(program),
        project
            .target()
            .join(&host)
            .join("debug")
            .join(format!("p{}", std::env::consts::EXE_SUFFIX))
    );
    assert!(!test.needs_library_path || !cfg!(target_os = "linux"));
}
