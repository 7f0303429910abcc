//! What `cargo metadata` says, as far as it is needed.

use std::io::Read;
use std::path::PathBuf;

use serde::Deserialize;

/// A package, as its manifest describes it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, as written.
    pub version: String,
    /// Cargo's identifier for it, unique in a build.
    pub id: String,
    /// Its manifest.
    pub manifest_path: PathBuf,
    /// Its authors.
    #[serde(default)]
    pub authors: Vec<String>,
    /// Its description.
    pub description: Option<String>,
    /// Its home page.
    pub homepage: Option<String>,
    /// Its repository.
    pub repository: Option<String>,
    /// Its licence expression.
    pub license: Option<String>,
    /// Its licence file, relative to the manifest.
    pub license_file: Option<String>,
    /// Its read-me file, relative to the manifest.
    pub readme: Option<String>,
    /// The oldest compiler that it supports.
    pub rust_version: Option<String>,
}

/// The answer of `cargo metadata`, without what is not used.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_root: PathBuf,
    pub(super) target_directory: PathBuf,
    /// Where intermediate artifacts go; older versions of cargo have no such distinction.
    pub(super) build_directory: Option<PathBuf>,
}

/// Reads the answer without holding its text. Dependencies, features and targets, which make up most of it, are
/// skipped while reading.
pub(super) fn read(input: impl Read) -> serde_json::Result<Metadata> {
    serde_json::from_reader(std::io::BufReader::with_capacity(
        16 * 1024,
        input.take(MAX_BYTES),
    ))
}

/// Far above what the largest known workspaces print (rust-lang/rust with all dependencies: about 10 MB).
const MAX_BYTES: u64 = 512 * 1024 * 1024;

#[cfg(test)]
impl Package {
    pub(crate) fn sample() -> Self {
        Self {
            name: "sample".to_owned(),
            version: "1.2.3-rc.1+b5".to_owned(),
            id: "path+file:///src/sample#1.2.3-rc.1+b5".to_owned(),
            manifest_path: "/src/sample/Cargo.toml".into(),
            authors: vec!["A <a@x>".to_owned(), "B".to_owned()],
            description: Some("a sample".to_owned()),
            homepage: None,
            repository: None,
            license: None,
            license_file: None,
            readme: None,
            rust_version: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_are_used_are_read_and_others_ignored() {
        let text = r#"{"packages":[{"name":"p","version":"0.1.0","id":"i","license":null,"manifest_path":"/p/Cargo.toml",
            "dependencies":[{"x":[1,2,{"y":null}]}],"authors":["A"],"later":{}}],"workspace_root":"/p","target_directory":"/t","version":1,"resolve":null}"#;
        let metadata = read(text.as_bytes()).unwrap();
        assert_eq!(
            (
                metadata.packages[0].name.as_str(),
                metadata.packages[0].authors.len()
            ),
            ("p", 1)
        );
        assert_eq!(metadata.build_directory, None);
        assert!(read(&text.as_bytes()[..100]).is_err());
        assert!(read(&b"{}"[..]).is_err());
    }
}
