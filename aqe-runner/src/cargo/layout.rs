//! Where cargo puts what it builds, and what a path in there tells.

use std::path::{Path, PathBuf};

use super::Selection;
use super::metadata::Metadata;

/// Where cargo puts things.
#[derive(Debug)]
pub(super) struct Layout {
    /// Programs and what else is meant for the user.
    pub(super) target_directory: PathBuf,
    /// Intermediate files, test binaries among them; the same folder unless configured otherwise.
    pub(super) build_directory: PathBuf,
    /// The triples that the user chose, as they show in paths.
    pub(super) triples: Vec<String>,
}

impl Layout {
    pub(super) fn new(selection: &Selection, folder: &Path, metadata: &Metadata) -> Self {
        let chosen = selection
            .target_dir
            .as_ref()
            .map(|chosen| folder.join(chosen));
        let target_directory = chosen.unwrap_or_else(|| metadata.target_directory.clone());
        let build_directory = match &metadata.build_directory {
            Some(build) if *build != metadata.target_directory => build.clone(),
            _ => target_directory.clone(),
        };
        // A custom target is named by a file, and its folder by the file's name without extension.
        let stem = |target: &String| {
            Path::new(target.strip_suffix(".json")?)
                .file_name()?
                .to_str()
                .map(str::to_owned)
        };
        let triples = selection
            .targets
            .iter()
            .map(|target| stem(target).unwrap_or_else(|| target.clone()))
            .collect();
        Self {
            target_directory,
            build_directory,
            triples,
        }
    }

    /// The triple in a path `<folder>/<triple>/<profile>/…`; without `--target` there is none.
    pub(super) fn triple_of(&self, path: &Path) -> Option<String> {
        let inside = self.inside(path)?;
        let mut parts = inside
            .components()
            .filter_map(|part| part.as_os_str().to_str());
        let first = parts.next()?;
        let second = parts.next()?;
        // A configured `build.target` shows in the path only. What follows a triple is a profile, and what follows a
        // profile is one of cargo's folders or the program itself.
        let is_profile = matches!(second, "deps" | "examples") || parts.next().is_none();
        let is_triple = self.triples.iter().any(|triple| triple == first) || !is_profile;
        is_triple.then(|| first.to_owned())
    }

    /// The folder of a profile's programs and the one of its test binaries.
    pub(super) fn output_folders(&self, path: &Path, has_triple: bool) -> (PathBuf, PathBuf) {
        let inside = self.inside(path).unwrap_or(path);
        let profile: PathBuf = inside
            .components()
            .take(1 + usize::from(has_triple))
            .collect();
        (
            self.target_directory.join(&profile),
            self.build_directory.join(&profile).join("deps"),
        )
    }

    fn inside<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let stripped = path.strip_prefix(&self.build_directory);
        stripped
            .or_else(|_| path.strip_prefix(&self.target_directory))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::metadata;

    fn layout(build: &str, triples: &[&str]) -> Layout {
        Layout {
            target_directory: "/t".into(),
            build_directory: build.into(),
            triples: triples.iter().map(|&triple| triple.to_owned()).collect(),
        }
    }

    #[test]
    fn triples_are_told_from_profiles() {
        let host = layout("/t", &[]);
        let table = [
            ("/t/debug/deps/it-1", None),
            ("/t/debug/examples/ex-1", None),
            ("/t/debug/tool", None),
            ("/t/my-own-profile/deps/it-1", None),
            (
                "/t/aarch64-unknown-linux-gnu/debug/deps/it-1",
                Some("aarch64-unknown-linux-gnu"),
            ),
            ("/t/custom/debug/tool", Some("custom")),
            ("/elsewhere/debug/deps/it-1", None),
            ("/t/it-1", None),
        ];
        for (path, expected) in table {
            assert_eq!(
                host.triple_of(Path::new(path)).as_deref(),
                expected,
                "{path}"
            );
        }
        assert_eq!(
            layout("/t", &["odd"])
                .triple_of(Path::new("/t/odd/deps/tool"))
                .as_deref(),
            Some("odd")
        );
    }

    #[test]
    fn folders_of_both_directories() {
        let (output, deps) =
            layout("/b", &[]).output_folders(Path::new("/b/x-y-z/debug/examples/ex-1"), true);
        assert_eq!(
            (output.to_str(), deps.to_str()),
            (Some("/t/x-y-z/debug"), Some("/b/x-y-z/debug/deps"))
        );
        let (output, deps) =
            layout("/t", &[]).output_folders(Path::new("/t/debug/deps/it-1"), false);
        assert_eq!(
            (output.to_str(), deps.to_str()),
            (Some("/t/debug"), Some("/t/debug/deps"))
        );
    }

    #[test]
    fn a_custom_target_is_known_by_its_files_name() {
        let selection = Selection {
            targets: vec![
                "conf/my-board.json".to_owned(),
                "thumbv7em-none-eabi".to_owned(),
            ],
            target_dir: Some("td".into()),
            ..Selection::default()
        };
        let metadata = metadata::read(
            &br#"{"packages":[],"workspace_root":"/w","target_directory":"/w/target"}"#[..],
        )
        .unwrap();
        let layout = Layout::new(&selection, Path::new("/w"), &metadata);
        assert_eq!(layout.triples, ["my-board", "thumbv7em-none-eabi"]);
        assert_eq!(layout.build_directory, Path::new("/w/td"));
    }
}
