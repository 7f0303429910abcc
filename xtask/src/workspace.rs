//! Where things are: the workspace, its target folder, and what cargo knows about its packages.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::Command;
use crate::{Failure, Result};

/// What `cargo metadata` says about this workspace, without its dependencies' own dependencies.
#[derive(Debug, Clone)]
pub struct Workspace {
    metadata: Value,
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo about the workspace that this crate belongs to.
    ///
    /// # Errors
    ///
    /// When cargo cannot read the workspace.
    pub fn load() -> Result<Self> {
        // Cargo runs us with the folder of this crate in the environment; a binary that is started by
        // hand falls back on the folder one stands in.
        let start =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), PathBuf::from);
        let text = Command::cargo("metadata --format-version 1 --no-deps")
            .dir(&start)
            .read()?;
        Self::from_metadata(serde_json::from_str(&text)?)
    }

    fn from_metadata(metadata: Value) -> Result<Self> {
        let root = folder(&metadata, "workspace_root")?;
        let target = folder(&metadata, "target_directory")?;
        Ok(Self {
            metadata,
            root,
            target,
        })
    }

    /// The folder of the root manifest.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that cargo builds into, from `CARGO_TARGET_DIR` or configuration.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The whole of what cargo printed.
    #[must_use]
    pub fn metadata(&self) -> &Value {
        &self.metadata
    }

    /// The members of the workspace, in cargo's order.
    pub fn packages(&self) -> impl Iterator<Item = Package<'_>> {
        let list = self.metadata["packages"].as_array();
        list.into_iter().flatten().map(Package)
    }

    /// The names of the members that may be published.
    #[must_use]
    pub fn publishable(&self) -> Vec<&str> {
        self.packages()
            .filter(Package::is_publishable)
            .map(|package| package.name())
            .collect()
    }
}

fn folder(metadata: &Value, key: &str) -> Result<PathBuf> {
    metadata[key]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new(format!("cargo metadata names no `{key}`")))
}

/// One package of cargo's metadata.
#[derive(Debug, Clone, Copy)]
pub struct Package<'a>(&'a Value);

impl<'a> Package<'a> {
    /// The package's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self) -> &'a str {
        self.0["version"].as_str().unwrap_or_default()
    }

    /// Whether the manifest allows it to be published: `publish = false` is an empty list of registries.
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        self.0["publish"].as_array().is_none_or(|to| !to.is_empty())
    }

    /// Whether this is the package of programs to copy from.
    #[must_use]
    pub fn is_examples(&self) -> bool {
        self.name().ends_with("-examples")
    }

    /// The package's targets of kind `example`.
    pub fn examples(&self) -> impl Iterator<Item = Example<'a>> {
        let targets = self.0["targets"].as_array();
        targets.into_iter().flatten().filter_map(|target| {
            if target["kind"][0] != "example" {
                return None;
            }
            Some(Example {
                name: target["name"].as_str()?,
                source: target["src_path"].as_str()?,
            })
        })
    }
}

/// A target of kind `example`.
#[derive(Debug, Clone, Copy)]
pub struct Example<'a> {
    /// The target's name.
    pub name: &'a str,
    /// The file that it is written in.
    pub source: &'a str,
}
