//! What a build says about tests, gathered from its messages.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::TargetKind;
use super::environment::ScriptResult;
use super::library_path;
use super::messages::{Artifact, BuildScript, Message};

/// What the build said that matters here.
#[derive(Debug, Default)]
pub(super) struct Built {
    pub(super) tests: Vec<BuiltTest>,
    /// Programs by package: name of the target and file.
    pub(super) programs: HashMap<String, Vec<(String, PathBuf)>>,
    pub(super) scripts: HashMap<String, ScriptResult>,
    pub(super) script_folders: BTreeSet<PathBuf>,
    /// Whether a shared library that a program can load was built.
    pub(super) built_library: bool,
}

#[derive(Debug)]
pub(super) struct BuiltTest {
    pub(super) package_id: String,
    pub(super) kind: TargetKind,
    pub(super) target: String,
    pub(super) path: PathBuf,
    /// The result of the build script that came before: a package that is built twice, for the host and for a target,
    /// has two.
    pub(super) script: Option<ScriptResult>,
}

impl Built {
    pub(super) fn take(&mut self, message: Message<'_>) {
        match message {
            Message::Artifact(artifact) => self.take_artifact(artifact),
            Message::BuildScript(script) => self.take_script(script),
            Message::Finished { .. } => {}
        }
    }

    fn take_artifact(&mut self, artifact: Artifact<'_>) {
        let is = |wanted: &str| artifact.target.kind.iter().any(|kind| kind == wanted);
        // A procedural macro is a shared library too, but the compiler's to load.
        if !is("proc-macro") && !artifact.profile.test {
            let mut files = artifact.filenames.iter();
            self.built_library |=
                files.any(|file| library_path::is_shared_library(Path::new(file.as_ref())));
        }
        let Some(path) = artifact
            .executable
            .map(|path| PathBuf::from(path.into_owned()))
        else {
            return;
        };
        let package_id = artifact.package_id.into_owned();
        let target = artifact.target.name.into_owned();
        if artifact.profile.test {
            let kind = TargetKind::of_cargo(&artifact.target.kind);
            let script = self.scripts.get(&package_id).cloned();
            self.tests.push(BuiltTest {
                package_id,
                kind,
                target,
                path,
                script,
            });
        } else if TargetKind::of_cargo(&artifact.target.kind) == TargetKind::Bin {
            self.programs
                .entry(package_id)
                .or_default()
                .push((target, path));
        }
    }

    fn take_script(&mut self, script: BuildScript<'_>) {
        for path in &script.linked_paths {
            // `native=/folder` and the like; a kind other than these is part of the path.
            let kinds = ["native", "dependency", "crate", "framework", "all"];
            let folder = path
                .split_once('=')
                .filter(|(kind, _)| kinds.contains(kind))
                .map_or(&**path, |(_, folder)| folder);
            self.script_folders.insert(PathBuf::from(folder));
        }
        let out_dir = Some(script.out_dir).filter(|folder| !folder.is_empty());
        let out_dir = out_dir.map(|folder| PathBuf::from(folder.into_owned()));
        self.scripts.insert(
            script.package_id.into_owned(),
            ScriptResult {
                variables: script.env,
                out_dir,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::messages;

    fn built(messages: &str) -> Built {
        let mut built = Built::default();
        messages::read(messages.as_bytes(), |message| built.take(message)).unwrap();
        built
    }

    fn artifact(kind: &str, is_test: bool, files: &str, executable: &str) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"p","target":{{"kind":["{kind}"],"name":"n"}},"profile":{{"test":{is_test}}},"filenames":["{files}"],"executable":{executable}}}"#
        ) + "\n"
    }

    #[test]
    fn tests_programs_and_libraries_are_told_apart() {
        let text = artifact("lib", false, "/t/libn.rlib", "null")
            + &artifact("lib", true, "/t/n-1", r#""/t/n-1""#)
            + &artifact("bin", false, "/t/n", r#""/t/n""#)
            + &artifact("example", false, "/t/examples/n", r#""/t/examples/n""#)
            + &artifact("proc-macro", false, "/t/libn.so", "null");
        let found = built(&text);
        assert_eq!(found.tests.len(), 1);
        assert_eq!(
            found.programs["p"],
            [("n".to_owned(), PathBuf::from("/t/n"))]
        );
        assert!(!found.built_library, "a procedural macro is the compiler's");
        assert!(built(&artifact("cdylib", false, "/t/libn.so", "null")).built_library);
        assert!(built(&artifact("dylib", false, "/t/libn.so", "null")).built_library);
    }

    #[test]
    fn search_folders_of_build_scripts_lose_their_kind() {
        let text = r#"{"reason":"build-script-executed","package_id":"p","linked_paths":["native=/a","/b","odd=/c","all=/d=e"],"env":[],"out_dir":""}"#;
        let found = built(text);
        let expected = ["/a", "/b", "/d=e", "odd=/c"].map(PathBuf::from);
        assert_eq!(
            found.script_folders.into_iter().collect::<Vec<_>>(),
            expected
        );
        assert_eq!(found.scripts["p"].out_dir, None);
    }
}
