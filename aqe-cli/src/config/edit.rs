//! `aqe config set` and `reset`.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aqe_core::config::{
    Change, Editor, Effect, FILE_NAME, Machine, Origin, Preset, Scope, find, keys,
};

use super::{not_edited, place_loader, refuse_section, refused, working_folder};
use crate::args::ConfigPlace;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::text::one_line;

/// Backups that are kept beside a file before the user has to clear them away.
const MAX_BACKUPS: u32 = 100;

/// Writes one key.
pub(super) fn set(key: &str, value: &str, place: &ConfigPlace) -> Result<Exit, Failure> {
    refuse_section(key)?;
    let mut editor = open(place)?;
    let change = editor
        .set(scope(place), key, value)
        .map_err(|error| not_edited(&error))?;
    editor.save().map_err(|error| not_edited(&error))?;
    output::print(&format!("{}{}\n", told(&change), in_file(&editor)))?;
    warn_if_without_effect(key, place, editor.path());
    Ok(Exit::Success)
}

/// Removes one key.
pub(super) fn reset_key(key: &str, place: &ConfigPlace) -> Result<Exit, Failure> {
    refuse_section(key)?;
    let mut editor = open(place)?;
    let change = editor
        .remove(scope(place), key)
        .map_err(|error| not_edited(&error))?;
    editor.save().map_err(|error| not_edited(&error))?;
    output::print(&format!("{}{}\n", told(&change), in_file(&editor)))?;
    Ok(Exit::Success)
}

/// Removes everything, or everything in a profile, and keeps what was there in a backup.
pub(super) fn reset_all(performance_optimized: bool, place: &ConfigPlace) -> Result<Exit, Failure> {
    let mut editor = open(place)?;
    let mut said = String::new();
    if editor.original().is_none() && !performance_optimized {
        output::print(&format!(
            "nothing to reset: there is no {}\n",
            editor.path().display()
        ))?;
        return Ok(Exit::Success);
    }
    match scope(place) {
        Scope::Base => editor.reset(),
        profile @ Scope::Profile(_) => {
            for key in keys() {
                editor
                    .remove(profile, key.path())
                    .map_err(|error| not_edited(&error))?;
            }
        }
        // There is no other part of a file.
        _ => {}
    }
    if performance_optimized {
        let machine = Machine::detect();
        let preset = Preset::of(&machine);
        let changes = editor
            .set_preset(scope(place), preset)
            .map_err(|error| not_edited(&error))?;
        let cores = machine.cores;
        let memory = machine
            .memory
            .map_or_else(String::new, |size| format!(" and {size} of memory"));
        said.push_str(&format!(
            "this machine has {cores} cores{memory}: preset {preset}\n"
        ));
        for change in &changes {
            let value = change.after.as_deref().unwrap_or_default();
            said.push_str(&format!("{}: {value}\n", change.path));
        }
    }
    if let Some(original) = editor
        .original()
        .filter(|original| *original != editor.text())
    {
        let backup = back_up(editor.path(), original)?;
        said.push_str(&format!("the old settings are in {}\n", backup.display()));
    }
    editor.save().map_err(|error| not_edited(&error))?;
    let part = place
        .profile
        .as_deref()
        .map_or_else(String::new, |name| format!("profile {name} of "));
    said.push_str(&format!("reset {part}{}\n", editor.path().display()));
    output::print(&said)?;
    Ok(Exit::Success)
}

/// Opens the file that is named, or the one of this project, or one that will be created in the working folder.
fn open(place: &ConfigPlace) -> Result<Editor, Failure> {
    let path = match &place.file {
        Some(file) => file.clone(),
        None => {
            let folder = working_folder()?;
            find(&folder)
                .map_err(|error| refused(&error))?
                .unwrap_or_else(|| folder.join(FILE_NAME))
        }
    };
    Editor::open(path).map_err(|error| not_edited(&error))
}

fn scope(place: &ConfigPlace) -> Scope<'_> {
    place.profile.as_deref().map_or(Scope::Base, Scope::Profile)
}

fn in_file(editor: &Editor) -> String {
    format!(" in {}", editor.path().display())
}

/// `queue.timeout: 30s -> 45s`.
fn told(change: &Change) -> String {
    let shown = |value: &Option<String>| {
        value
            .as_deref()
            .map_or_else(|| "not set".to_owned(), one_line)
    };
    if change.is_noop() {
        format!("{}: stays {}", change.path, shown(&change.after))
    } else {
        format!(
            "{}: {} -> {}",
            change.path,
            shown(&change.before),
            shown(&change.after)
        )
    }
}

/// Says so when what was written is not what counts: people look for the fault in their file otherwise.
fn warn_if_without_effect(key: &str, place: &ConfigPlace, file: &Path) {
    let place = ConfigPlace {
        file: Some(file.to_owned()),
        profile: place.profile.clone(),
    };
    let Ok(loaded) = place_loader(&place, PathBuf::new()).load() else {
        return;
    };
    let Some(entry) = loaded.get(key) else {
        return;
    };
    if let Effect::NotYet(reason) = entry.effect {
        output::complain(&format!("note: {key} is not yet in effect: {reason}\n"));
    }
    let is_what_was_set = match entry.origin {
        Origin::File { .. } => place.profile.is_none(),
        Origin::Profile { .. } => place.profile.is_some(),
        _ => false,
    };
    if !is_what_was_set {
        output::complain(&format!(
            "note: {key} is {} because of {}\n",
            entry.value, entry.origin
        ));
    }
}

/// Writes the old text beside the file, under a name that was not taken.
fn back_up(path: &Path, text: &str) -> Result<PathBuf, Failure> {
    let failed = |backup: &Path, error: &io::Error| {
        Failure::new(
            Exit::Environment,
            format!(
                "cannot keep the old settings in {}: {error}; nothing was reset",
                backup.display()
            ),
        )
    };
    let mut backup = path.as_os_str().to_owned();
    backup.push(".bak");
    let base = PathBuf::from(backup);
    for number in 1..=MAX_BACKUPS {
        let mut name = base.clone().into_os_string();
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let backup = PathBuf::from(name);
        match OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&backup)
        {
            Ok(mut file) => {
                return file
                    .write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
                    .map_err(|error| failed(&backup, &error))
                    .map(|()| backup);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&backup, &error)),
        }
    }
    Err(Failure::new(
        Exit::Environment,
        format!(
            "{MAX_BACKUPS} backups are beside {} already; nothing was reset",
            path.display()
        ),
    )
    .hint(format!(
        "delete the ones you do not need: {}*",
        base.display()
    )))
}
