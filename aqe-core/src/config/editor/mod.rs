//! Changing one value of a file and nothing else.
//!
//! People keep comments, order and layout in their settings for a reason, so an edit replaces, inserts or removes one
//! stretch of text ([`splice`](self::splice)) instead of writing the file anew. YAML has many forms, and a stretch that
//! looks right may mean something else; so after each edit both texts are parsed and compared ([`verify`](self::verify)):
//! unless exactly the one value changed and no comment went missing, the edit is refused. What is left to do is then to
//! write the file without ever leaving half of it ([`save`](self::save)).

mod save;
mod splice;
mod verify;

use std::fmt;
use std::path::{Path, PathBuf};

use self::splice::{Refused, Token};
use self::verify::Expected;
use super::problem::excerpt;
use super::yaml::{self, Content, Document};
use super::{ConfigError, EditError, Position, Preset, Problem, ProblemKind, Problems, Source};
use super::{discover, layers, schema, stack};

/// What a file holds after everything in it was reset.
const EMPTY: &str =
    "# Settings of aqe. Every key has a default; `aqe config list` shows all of them.\n";

/// Which part of a file an edit concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope<'a> {
    /// What applies unless a profile says otherwise.
    Base,
    /// The profile of this name; it is created when a value is set in it.
    Profile(&'a str),
}

/// What an edit did to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The dotted path of the key, with the profile in front if it stands in one.
    pub path: String,
    /// The text of the value before, without quotes; `None` if the file did not set the key.
    pub before: Option<String>,
    /// The text of the value now, without quotes; `None` if the file does not set the key.
    pub after: Option<String>,
}

impl Change {
    /// Whether the file says the same as before.
    #[must_use]
    pub fn is_noop(&self) -> bool {
        self.before == self.after
    }
}

/// Edits the text of a configuration file, one key at a time.
///
/// Comments, order, blank lines, quotes, indentation and line endings of everything else stay as they are. A removed key
/// takes the comment on its own line with it. Nothing is written before [`save`](Self::save).
///
/// ```
/// use aqe_core::config::{Editor, Scope};
///
/// let mut editor = Editor::of_text("queue:\n  timeout: 30000 # half a minute\n");
/// editor.set(Scope::Base, "queue.timeout", "45s")?;
/// editor.set(Scope::Profile("production"), "memory.maxSize", "2GB")?;
/// assert_eq!(
///     editor.text(),
///     "queue:\n  timeout: 45s # half a minute\nproduction:\n  memory:\n    maxSize: \"2GB\"\n"
/// );
/// # Ok::<(), aqe_core::config::EditError>(())
/// ```
#[derive(Clone)]
pub struct Editor {
    /// Where the text came from and goes to.
    path: PathBuf,
    /// The text on disk when it was opened; `None` if there was no file.
    original: Option<String>,
    text: String,
}

impl Editor {
    /// Opens a file; one that does not exist is empty and is created by [`save`](Self::save).
    ///
    /// The file need not be valid, so that a wrong value can be set right; it has to be YAML for that.
    ///
    /// # Errors
    ///
    /// [`EditError::Io`] when the file cannot be read, [`EditError::Invalid`] when it is too large or not UTF-8.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, EditError> {
        let path = path.into();
        let bytes = match discover::read(&path) {
            Ok(bytes) => bytes,
            Err(ConfigError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(Self {
                    path,
                    original: None,
                    text: String::new(),
                });
            }
            Err(ConfigError::Io {
                path,
                action,
                source,
            }) => {
                return Err(EditError::Io {
                    path,
                    action,
                    source,
                });
            }
            Err(ConfigError::Invalid(problems)) => return Err(EditError::Invalid(problems)),
            Err(ConfigError::Misnamed { path }) => {
                return Err(EditError::Io {
                    path,
                    action: "read",
                    source: std::io::ErrorKind::NotFound.into(),
                });
            }
        };
        let text = yaml::decode(&bytes, &path)
            .map_err(EditError::Invalid)?
            .to_owned();
        Ok(Self {
            path,
            original: Some(text.clone()),
            text,
        })
    }

    /// Edits a text that is in memory. [`save`](Self::save) would create `qe.config.yaml` in the working folder.
    #[must_use]
    pub fn of_text(text: impl Into<String>) -> Self {
        Self {
            path: PathBuf::from(super::FILE_NAME),
            original: None,
            text: text.into(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text with all edits so far.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text that the file had when it was opened, for a backup; `None` if there was no file.
    #[must_use]
    pub fn original(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// Sets a key, creating its sections when they are missing.
    ///
    /// A value that stands there keeps its kind of quotes. A new one stands behind the others of its section.
    ///
    /// # Errors
    ///
    /// [`EditError::Rejected`] when the key does not exist or does not take this value, [`EditError::Invalid`] when the file
    /// would have problems after the edit, [`EditError::Unsupported`] when the place is written in a form that cannot be
    /// edited. The text is then as it was.
    pub fn set(&mut self, scope: Scope<'_>, key: &str, value: &str) -> Result<Change, EditError> {
        let known = stack::read_flag(key, value).map_err(EditError::Rejected)?;
        let value = value.trim();
        let document = self.parse()?;
        let path = path_in(scope, known.path(), &document)?;
        let token = Token {
            text: value,
            quoted: known.quoted(),
        };
        let splice = splice::set(&self.text, document.root.as_ref(), &path, token)
            .map_err(|refused| self.unsupported(refused))?;
        self.apply(&document, &splice, &path, Some(value))
    }

    /// Removes a key, so that what is below it counts: the preset or the default.
    ///
    /// A section that would be left empty goes with its last key, unless there are comments in it. Removing what does
    /// not stand there changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set).
    pub fn remove(&mut self, scope: Scope<'_>, key: &str) -> Result<Change, EditError> {
        let Some(known) = schema::key(key).or_else(|| schema::shorthand(key)) else {
            return Err(EditError::Rejected(unknown_key(key).into()));
        };
        let document = self.parse()?;
        let path = path_in(scope, known.path(), &document)?;
        let removal = splice::remove(
            &self.text,
            document.root.as_ref(),
            &path,
            &document.comments,
        )
        .map_err(|refused| self.unsupported(refused))?;
        match removal {
            Some(splice) => self.apply(&document, &splice, &path, None),
            None => Ok(Change {
                path: path.join("."),
                before: None,
                after: None,
            }),
        }
    }

    /// Removes everything, comments included, so that presets and defaults count.
    pub fn reset(&mut self) {
        EMPTY.clone_into(&mut self.text);
    }

    /// Writes the settings of a preset: `queue.maxConcurrent`, `queue.batchSize` and `queue.timeout`.
    ///
    /// # Errors
    ///
    /// As for [`set`](Self::set); the text is then as it was before the first of them.
    pub fn set_preset(
        &mut self,
        scope: Scope<'_>,
        preset: Preset,
    ) -> Result<Vec<Change>, EditError> {
        let mut edited = self.clone();
        let changes = preset
            .settings()
            .iter()
            .map(|(key, value)| edited.set(scope, key, value))
            .collect::<Result<_, _>>()?;
        *self = edited;
        Ok(changes)
    }

    /// Writes the file in one step: whoever reads it, or a crash, meets the old text or the new one.
    ///
    /// Permissions stay, and a symbolic link still points to the file. The text is on disk when this returns, as far as the
    /// file system can promise that. A text that is as it was on disk is not written.
    ///
    /// # Errors
    ///
    /// [`EditError::ChangedMeanwhile`] when the file is not as it was when it was opened, [`EditError::Io`] when it cannot be
    /// written or is marked read-only. The file is then as it was.
    pub fn save(&mut self) -> Result<(), EditError> {
        if self.original.as_ref() != Some(&self.text) {
            save::replace(&self.path, self.original.as_deref(), &self.text)?;
            self.original = Some(self.text.clone());
        }
        Ok(())
    }

    /// Parses the text as it is; wrong keys and values do not matter yet, because the edit may set them right.
    fn parse(&self) -> Result<Document, EditError> {
        match yaml::parse(&self.text, &self.path) {
            (Some(document), problems) if problems.is_empty() => Ok(document),
            (_, problems) => Err(EditError::Invalid(problems)),
        }
    }

    /// Applies a splice, if it does what it should and the result is valid.
    fn apply(
        &mut self,
        before: &Document,
        splice: &splice::Splice,
        path: &[&str],
        value: Option<&str>,
    ) -> Result<Change, EditError> {
        let text = splice.apply(&self.text);
        let (settings, problems) = layers::parse(text.as_bytes(), &self.path);
        drop(settings);
        let expected = Expected {
            path,
            value,
            splice,
        };
        let (after, _) = yaml::parse(&text, &self.path);
        let previous = after
            .as_ref()
            .and_then(|after| verify::change((before, &self.text), (after, &text), &expected));
        let Some(previous) = previous else {
            return Err(self.unsupported(Refused::entangled(splice.line(&self.text))));
        };
        if !problems.is_empty() {
            return Err(EditError::Invalid(problems));
        }
        self.text = text;
        Ok(Change {
            path: path.join("."),
            before: previous,
            after: value.map(str::to_owned),
        })
    }

    fn unsupported(&self, refused: Refused) -> EditError {
        EditError::Unsupported {
            path: self.path.clone(),
            line: refused.line,
            reason: refused.reason,
            help: refused.help,
        }
    }
}

/// Leaves out the text, which may be long.
impl fmt::Debug for Editor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Editor")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The names that lead to a key in the text: the profile in front, and the section itself where it stands as a shorthand.
fn path_in<'a>(
    scope: Scope<'a>,
    key: &'static str,
    document: &Document,
) -> Result<Vec<&'a str>, EditError> {
    let mut path: Vec<&str> = Vec::new();
    if let Scope::Profile(name) = scope {
        check_profile_name(name).map_err(EditError::Rejected)?;
        path.push(name);
    }
    path.extend(key.split('.'));
    if let Some(section) = key.strip_suffix(".enabled") {
        let length = path.len() - 1;
        let written = document
            .root
            .as_ref()
            .and_then(|root| splice::value_at(root, &path[..length]));
        if schema::shorthand(section).is_some()
            && written.is_some_and(|node| matches!(node.content, Content::Scalar { .. }))
        {
            path.truncate(length);
        }
    }
    Ok(path)
}

fn check_profile_name(name: &str) -> Result<(), Problems> {
    let is_word = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|symbol| symbol.is_ascii_alphanumeric() || matches!(symbol, '-' | '_'));
    let reason = if schema::is_section(name) {
        "is a section and cannot be a profile"
    } else if !is_word {
        "cannot be the name of a profile"
    } else {
        return Ok(());
    };
    Err(Problems::from(Problem {
        kind: ProblemKind::UnknownProfile,
        source: Source::Flag,
        position: None::<Position>,
        key: None,
        reason: format!("`{}` {reason}", excerpt(name)),
        help: Some(
            "a profile's name starts with a letter and goes on with letters, digits, `-` and `_`"
                .to_owned(),
        ),
    }))
}

fn unknown_key(key: &str) -> Problem {
    Problem {
        kind: ProblemKind::UnknownKey,
        source: Source::Flag,
        position: None,
        key: Some(excerpt(key)),
        reason: "no such key".to_owned(),
        help: Some(schema::help_for_unknown(key)),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
