//! What is done with a file, by name.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

/// Why an operation failed for a file.
pub type FileError = Box<dyn Error + Send + Sync>;

type Run = dyn Fn(&Path) -> Result<Value, FileError> + Send + Sync;

/// Something that can be done with a file. Clones share it.
///
/// Its result must follow from the content of the file, and from the operation's name and version: results are kept under
/// these three.
#[derive(Clone)]
pub struct FileOperation {
    name: String,
    version: String,
    run: Arc<Run>,
}

impl FileOperation {
    /// An operation of this name. A version that gives other results has another `version`.
    pub fn new<T, E>(
        name: impl Into<String>,
        version: impl Into<String>,
        run: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
    ) -> Self
    where
        T: Serialize,
        E: Into<FileError>,
    {
        let run = move |path: &Path| {
            let result = run(path).map_err(Into::into)?;
            Ok(serde_json::to_value(result)?)
        };
        Self {
            name: name.into(),
            version: version.into(),
            run: Arc::new(run),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Applies it to a file.
    ///
    /// # Errors
    ///
    /// What the operation returns, or that its result cannot be written as JSON.
    pub fn run(&self, path: &Path) -> Result<Value, FileError> {
        (self.run)(path)
    }
}

impl fmt::Debug for FileOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileOperation")
            .field("name", &self.name)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Operations by name, for those who are told by a command line or a file what to do.
#[derive(Clone, Debug, Default)]
pub struct FileOperations {
    operations: BTreeMap<String, FileOperation>,
}

impl FileOperations {
    /// No operations.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The operations that come with this crate, with their default options: `analyze-coverage` with the feature `coverage`,
    /// and else none.
    ///
    /// ```
    /// # #[cfg(feature = "coverage")] {
    /// let operations = aqe_batch::FileOperations::built_in();
    /// assert!(operations.find(aqe_batch::coverage::OPERATION).is_ok());
    /// # }
    /// ```
    #[must_use]
    pub fn built_in() -> Self {
        let operations: [FileOperation; _] = [
            #[cfg(feature = "coverage")]
            crate::coverage::operation(crate::coverage::AnalyzeOptions::default()),
        ];
        let named = operations.into_iter().map(|it| (it.name.clone(), it));
        Self {
            operations: named.collect(),
        }
    }

    /// Adds an operation.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] when there is one of this name.
    pub fn register(&mut self, operation: FileOperation) -> Result<(), RegisterError> {
        let name = operation.name.clone();
        if self.operations.contains_key(&name) {
            return Err(RegisterError { name });
        }
        self.operations.insert(name, operation);
        Ok(())
    }

    /// Finds an operation.
    ///
    /// # Errors
    ///
    /// [`UnknownOperation`], which says what there is.
    pub fn find(&self, name: &str) -> Result<&FileOperation, UnknownOperation> {
        self.operations.get(name).ok_or_else(|| UnknownOperation {
            name: name.to_owned(),
            known: self.names().map(str::to_owned).collect(),
        })
    }

    /// The names, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }
}

/// There is an operation of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operation `{name}` is registered already")]
pub struct RegisterError {
    /// The name.
    pub name: String,
}

/// There is no operation of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation `{name}`; there are: {}", list(.known))]
pub struct UnknownOperation {
    /// The name.
    pub name: String,
    /// The names that are known, in alphabetical order.
    pub known: Vec<String>,
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_name() {
        let mut operations = FileOperations::new();
        let length = |version: &str| {
            FileOperation::new("length", version, |path| {
                std::fs::metadata(path).map(|it| it.len())
            })
        };
        let error = operations.find("length").unwrap_err().to_string();
        assert_eq!(error, "there is no operation `length`; there are: none");
        operations.register(length("1")).unwrap();
        let error = operations.register(length("2")).unwrap_err().to_string();
        assert_eq!(error, "an operation `length` is registered already");
        assert_eq!(operations.find("length").unwrap().version(), "1");
        let error = operations.find("width").unwrap_err().to_string();
        assert_eq!(error, "there is no operation `width`; there are: length");
    }
}
