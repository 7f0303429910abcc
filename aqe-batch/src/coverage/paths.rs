//! One name for one file.
//!
//! A file is `src/lib.rs` to one tool, `./src/lib.rs` to another, `C:\build\src\lib.rs` to a third and
//! `/opt/project/src/lib.rs` to a fourth. Reports can only be merged when they agree.

use serde::{Deserialize, Serialize};

/// How paths in reports are turned into the names of files.
///
/// Backslashes become slashes, `.` and empty parts are left out, and then the longest of the given prefixes that fits
/// is taken off. `..` stays: what it means depends on links that nobody can see from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct PathRules {
    /// Normalised, the longest first.
    prefixes: Vec<String>,
}

impl PathRules {
    /// No prefix is taken off.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prefixes: Vec::new(),
        }
    }

    /// Takes `prefix` off paths that begin with it; it ends where a part of the path ends, so that `/opt/p` does not
    /// fit `/opt/pq/a.rs`. Usually the folder of the project, where it was built.
    #[must_use]
    pub fn strip_prefix(mut self, prefix: &str) -> Self {
        let prefix = cleaned(prefix);
        if !prefix.is_empty() && !self.prefixes.contains(&prefix) {
            self.prefixes.push(prefix);
            self.prefixes
                .sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        }
        self
    }

    /// The name of the file that a report calls `path`.
    #[must_use]
    pub fn apply(&self, path: &str) -> Box<str> {
        let path = cleaned(path);
        let short = self
            .prefixes
            .iter()
            .find_map(|prefix| without(&path, prefix));
        match short {
            Some(short) => short.into(),
            None => path.into_boxed_str(),
        }
    }
}

impl From<Vec<String>> for PathRules {
    fn from(prefixes: Vec<String>) -> Self {
        let rules = prefixes.iter();
        rules.fold(Self::new(), |rules, prefix| rules.strip_prefix(prefix))
    }
}

impl From<PathRules> for Vec<String> {
    fn from(rules: PathRules) -> Self {
        rules.prefixes
    }
}

/// `path` behind `prefix`, unless nothing would be left.
fn without<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    let rest = if prefix.ends_with('/') {
        rest
    } else {
        rest.strip_prefix('/')?
    };
    (!rest.is_empty()).then_some(rest)
}

fn cleaned(path: &str) -> String {
    let mut clean = String::with_capacity(path.len());
    if path.starts_with(['/', '\\']) {
        clean.push('/');
    }
    for part in path.split(['/', '\\']) {
        if part.is_empty() || part == "." {
            continue;
        }
        if !clean.is_empty() && !clean.ends_with('/') {
            clean.push('/');
        }
        clean.push_str(part);
    }
    clean
}

/// The folder of a normalised path; `.` at the top.
pub(crate) fn directory(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((directory, _)) => directory,
        None => ".",
    }
}

/// A path that a report gives relative to `root`.
pub(crate) fn joined(root: &str, path: &str) -> String {
    if is_absolute(path) {
        return path.to_owned();
    }
    format!("{root}/{path}")
}

fn is_absolute(path: &str) -> bool {
    let drive = path
        .get(1..3)
        .is_some_and(|rest| rest == ":\\" || rest == ":/");
    drive || path.starts_with(['/', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        let rules = PathRules::new()
            .strip_prefix("/opt/p/")
            .strip_prefix("C:\\build")
            .strip_prefix("/opt/p/deep");
        for (path, name) in [
            ("src/lib.rs", "src/lib.rs"),
            ("./src//./lib.rs", "src/lib.rs"),
            ("src\\lib.rs", "src/lib.rs"),
            ("C:\\build\\src\\lib.rs", "src/lib.rs"),
            ("/opt/p/src/lib.rs", "src/lib.rs"),
            ("/opt/p/deep/src/lib.rs", "src/lib.rs"),
            ("/opt/pq/src/lib.rs", "/opt/pq/src/lib.rs"),
            ("/opt/p", "/opt/p"),
            ("../a/../b.c", "../a/../b.c"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(&*rules.apply(path), name, "{path}");
        }
        assert_eq!(
            &*PathRules::new().strip_prefix("/").apply("/etc/a.c"),
            "etc/a.c"
        );
    }

    #[test]
    fn rules_are_written_down_as_their_prefixes() {
        let rules = PathRules::new()
            .strip_prefix("a")
            .strip_prefix("b\\c\\")
            .strip_prefix(".");
        let json = serde_json::to_string(&rules).unwrap();
        assert_eq!(json, r#"["b/c","a"]"#);
        assert_eq!(serde_json::from_str::<PathRules>(&json).unwrap(), rules);
    }

    #[test]
    fn what_is_absolute_has_no_root_put_before_it() {
        assert_eq!(joined("/src", "a/b.py"), "/src/a/b.py");
        for path in ["/a.py", "\\\\host\\a.py", "D:\\a.cs", "d:/a.cs"] {
            assert_eq!(joined("/src", path), path);
        }
    }

    #[test]
    fn the_top_is_a_folder_too() {
        assert_eq!(
            ["a.rs", "/a.rs", "src/a.rs"].map(directory),
            [".", "/", "src"]
        );
    }
}
