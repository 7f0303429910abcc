//! From patterns to files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The most files that patterns may match.
pub const MOST_FILES: usize = 1_000_000;

/// Finds the files that any of the patterns matches, each once, in alphabetical order.
///
/// A pattern is the path of a file, or a path with `*`, `?`, `[…]` and, for any number of folders, `**`. A path that is a
/// file is that file, whatever its name. Folders that cannot be read are an error; nothing is left out silently.
///
/// # Errors
///
/// [`FindError`], also when a pattern matches nothing: that is mostly a mistake in writing.
pub fn find_files<S: AsRef<str>>(
    patterns: impl IntoIterator<Item = S>,
) -> Result<Vec<PathBuf>, FindError> {
    let mut files = BTreeSet::new();
    for pattern in patterns {
        let pattern = pattern.as_ref();
        if Path::new(pattern).is_file() {
            files.insert(PathBuf::from(pattern));
            continue;
        }
        let before = files.len();
        let mut matched = false;
        let malformed = |source| FindError::Malformed {
            pattern: pattern.to_owned(),
            source,
        };
        for path in glob::glob(pattern).map_err(malformed)? {
            let path = path.map_err(|error| FindError::Unreadable {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            if path.is_file() {
                matched = true;
                files.insert(path);
            }
            if files.len() > MOST_FILES {
                return Err(FindError::TooMany);
            }
        }
        if !matched && files.len() == before {
            return Err(FindError::NoMatch {
                pattern: pattern.to_owned(),
            });
        }
    }
    Ok(files.into_iter().collect())
}

/// Why files were not found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// Nothing matches a pattern.
    #[error("no file matches `{pattern}`")]
    NoMatch {
        /// The pattern.
        pattern: String,
    },
    /// A pattern makes no sense.
    #[error("`{pattern}` is no pattern")]
    Malformed {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        #[source]
        source: glob::PatternError,
    },
    /// A folder cannot be read.
    #[error("cannot look into {}", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// More files match than anybody can have meant.
    #[error("more than {MOST_FILES} files match; use narrower patterns")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_give_each_file_once_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        for name in [
            "z.info",
            "a/one.info",
            "a/b/two.info",
            "a/b/x[1].xml",
            "a/n.txt",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let find = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|it| format!("{root}/{it}"));
            find_files(patterns).map(|files| {
                let names = files.iter().map(|it| it.strip_prefix(root).unwrap());
                names.map(|it| it.display().to_string()).collect::<Vec<_>>()
            })
        };
        let all = find(&["**/*.info", "z.info", "a/b/x[1].xml"]).unwrap();
        assert_eq!(
            all,
            ["a/b/two.info", "a/b/x[1].xml", "a/one.info", "z.info"]
        );
        assert_eq!(find(&["z.info", "z.info"]).unwrap(), ["z.info"]);
        let nothing = find(&["z.info", "*.xml"]).unwrap_err();
        assert!(nothing.to_string().ends_with("/*.xml`"), "{nothing}");
        let malformed = find(&["a/***"]).unwrap_err();
        assert!(matches!(malformed, FindError::Malformed { .. }));
        // A folder is no file.
        assert!(matches!(
            find(&["a"]).unwrap_err(),
            FindError::NoMatch { .. }
        ));
    }
}
