//! `aqe config`: reading, checking and changing `qe.config.yaml`.

mod edit;
mod show;

use std::io;
use std::path::PathBuf;

use aqe_core::config::{ConfigError, EditError, Key, Loader, keys};

use crate::args::{ConfigCommand, ConfigPlace, ConfigSource};
use crate::exit::Exit;
use crate::failure::Failure;

/// Runs one of the commands.
pub(crate) fn run(command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Get { key, json, source } => show::get(key, *json, source),
        ConfigCommand::List { json, source } => show::list(*json, source),
        ConfigCommand::Validate { json, place } => show::validate(*json, place),
        ConfigCommand::Set { key, value, place } => edit::set(key, value, place),
        ConfigCommand::Reset {
            key: Some(key),
            place,
            ..
        } => edit::reset_key(key, place),
        ConfigCommand::Reset {
            key: None,
            performance_optimized,
            place,
        } => edit::reset_all(*performance_optimized, place),
    }
}

/// Everything that decides about the configuration of a project: `folder` is where the search for its file begins.
pub(crate) fn loader(source: &ConfigSource, folder: PathBuf) -> Loader {
    let loader = place_loader(&source.place, folder);
    source
        .overrides
        .iter()
        .fold(loader, |loader, (key, value)| loader.flag(key, value))
}

fn place_loader(place: &ConfigPlace, folder: PathBuf) -> Loader {
    let loader = Loader::of_process();
    let loader = match &place.file {
        Some(file) => loader.file(file),
        None => loader.discover(folder),
    };
    match &place.profile {
        Some(profile) => loader.profile(profile),
        None => loader,
    }
}

/// The folder that the program was started in.
pub(crate) fn working_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("cannot tell the working folder: {error}"),
        )
    })
}

/// Refuses the name of a section where a key is asked for, unless the section has a key that it may stand for.
fn refuse_section(key: &str) -> Result<(), Failure> {
    let inside = |path: &&str| {
        path.strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    let below: Vec<&str> = keys().iter().map(Key::path).filter(inside).collect();
    let shorthand = format!("{key}.enabled");
    if key.is_empty() || below.is_empty() || below.contains(&shorthand.as_str()) {
        return Ok(());
    }
    let failure = Failure::new(Exit::Usage, format!("{key} is a section, and no key"));
    Err(failure.hint(format!("its keys: {}", below.join(", "))))
}

/// A configuration that cannot be used, as the user sees it.
pub(crate) fn refused(error: &ConfigError) -> Failure {
    match error {
        ConfigError::Invalid(problems) => {
            let lines: String = problems
                .to_string()
                .lines()
                .map(|line| format!("\n  {line}"))
                .collect();
            Failure::new(
                Exit::Usage,
                format!("the configuration is not valid:{lines}"),
            )
        }
        ConfigError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            Failure::of(Exit::Usage, error)
                .hint("leave --config out to use the nearest qe.config.yaml, or none")
        }
        _ => Failure::of(Exit::Usage, error),
    }
}

/// An edit that was not made, as the user sees it.
fn not_edited(error: &EditError) -> Failure {
    match error {
        EditError::Invalid(_) => Failure::of(Exit::Usage, error)
            .hint("`aqe config validate` shows what is wrong with the file now"),
        EditError::Io { .. } => Failure::of(Exit::Environment, error),
        _ => Failure::of(Exit::Usage, error),
    }
}
