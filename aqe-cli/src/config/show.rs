//! `aqe config get`, `list` and `validate`.

use std::fmt::Write;
use std::path::Path;

use aqe_core::config::{
    ConfigError, Editor, Effect, Entry, Loaded, Origin, Problem, Scope, Source,
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::{loader, place_loader, refuse_section, refused, working_folder};
use crate::args::{ColorArg, ConfigPlace, ConfigSource};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::{Colors, counted};
use crate::report::text::one_line;

/// Values and keys longer than this do not push the next column further; they stick out.
const MAX_COLUMN: usize = 44;

/// Prints one value.
pub(super) fn get(key: &str, json: bool, source: &ConfigSource) -> Result<Exit, Failure> {
    let loaded = load(source)?;
    let entry = find(&loaded, key)?;
    let text = if json {
        pretty(&entry_json(&entry))
    } else {
        format!("{}\n", entry.value)
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

/// Prints all values.
pub(super) fn list(json: bool, source: &ConfigSource) -> Result<Exit, Failure> {
    let loaded = load(source)?;
    let text = if json {
        pretty(&loaded.entries().map(|entry| entry_json(&entry)).collect())
    } else {
        table(&loaded, Colors::choose(ColorArg::Auto, &std::io::stdout()))
    };
    output::print(&text)?;
    Ok(Exit::Success)
}

/// Prints everything that is wrong, or that nothing is.
pub(super) fn validate(json: bool, place: &ConfigPlace) -> Result<Exit, Failure> {
    let (text, exit) = match place_loader(place, working_folder()?).load() {
        Ok(loaded) => {
            let file = loaded.file().map(|file| file.display().to_string());
            let text = match (json, file) {
                (true, file) => pretty(&json!({ "valid": true, "file": file, "problems": [] })),
                (false, Some(file)) => format!("{file}: no problems\n"),
                (false, None) => "no qe.config.yaml here or above; the defaults apply\n".to_owned(),
            };
            (text, Exit::Success)
        }
        Err(ConfigError::Invalid(problems)) if json => {
            let list: Value = problems.iter().map(problem_json).collect();
            (
                pretty(&json!({ "valid": false, "problems": list })),
                Exit::Usage,
            )
        }
        Err(ConfigError::Invalid(problems)) => {
            let count = counted(problems.len() as u64, "problem");
            (format!("{problems}\n{count}\n"), Exit::Usage)
        }
        Err(error) => return Err(refused(&error)),
    };
    output::print(&text)?;
    Ok(exit)
}

fn load(source: &ConfigSource) -> Result<Loaded, Failure> {
    loader(source, working_folder()?)
        .load()
        .map_err(|error| refused(&error))
}

/// The entry of a key; a section with an `enabled` key stands for that one, as it does in the file.
fn find<'a>(loaded: &'a Loaded, key: &str) -> Result<Entry<'a>, Failure> {
    if let Some(entry) = loaded
        .get(key)
        .or_else(|| loaded.get(&format!("{key}.enabled")))
    {
        return Ok(entry);
    }
    refuse_section(key)?;
    // The editor knows which key was probably meant; nothing is edited.
    let message = match Editor::of_text("").remove(Scope::Base, key) {
        Err(error) => error.to_string(),
        Ok(_) => format!("{key}: no such key"),
    };
    Err(Failure::new(Exit::Usage, message).hint("`aqe config list` shows all keys"))
}

fn table(loaded: &Loaded, colors: Colors) -> String {
    let entries: Vec<(Entry<'_>, String)> = loaded
        .entries()
        .map(|entry| {
            let value = one_line(&entry.value);
            (entry, value)
        })
        .collect();
    let widest = |width: &dyn Fn(&(Entry<'_>, String)) -> usize| {
        entries
            .iter()
            .map(width)
            .filter(|width| *width <= MAX_COLUMN)
            .max()
            .unwrap_or_default()
    };
    let keys = widest(&|(entry, _)| entry.key.path().width());
    let values = widest(&|(_, value)| value.width());
    let folder = std::env::current_dir().ok();
    let mut text = String::new();
    let mut waiting = 0;
    for (entry, value) in &entries {
        let mark = match entry.effect {
            Effect::InEffect => ' ',
            _ => {
                waiting += 1;
                '*'
            }
        };
        let value = format!("{value}{:1$}", "", values.saturating_sub(value.width()));
        let origin = origin_text(entry.origin, folder.as_deref());
        // What somebody chose stands out from what is there anyway.
        let (value, origin) = match entry.origin {
            Origin::Default | Origin::Preset { .. } => (colors.plain(value), colors.faint(origin)),
            _ => (colors.strong(value), colors.plain(origin)),
        };
        let _ = writeln!(text, "{:keys$} {mark} {value}  {origin}", entry.key.path());
    }
    if waiting > 0 {
        let _ = writeln!(
            text,
            "\n* read and checked, and not yet in effect; --json says why"
        );
    }
    text
}

/// The origin, with the file as seen from the working folder.
fn origin_text(origin: &Origin, folder: Option<&Path>) -> String {
    let shown = |file: &Path| {
        let near = folder.and_then(|folder| file.strip_prefix(folder).ok());
        one_line(&near.unwrap_or(file).display().to_string())
    };
    match origin {
        Origin::File { file, line } => format!("{}:{line}", shown(file)),
        Origin::Profile { name, file, line } => format!("profile {name} ({}:{line})", shown(file)),
        other => other.to_string(),
    }
}

fn entry_json(entry: &Entry<'_>) -> Value {
    let mut object = json!({
        "key": entry.key.path(),
        "value": entry.value,
        "origin": origin_json(entry.origin),
        "in_effect": entry.effect == Effect::InEffect,
        "summary": entry.key.summary(),
    });
    if let Effect::NotYet(reason) = entry.effect {
        object["not_in_effect_because"] = reason.into();
    }
    object
}

fn origin_json(origin: &Origin) -> Value {
    match origin {
        Origin::Flag => json!({ "layer": "flag" }),
        Origin::Env { var } => json!({ "layer": "env", "variable": var }),
        Origin::Profile { name, file, line } => {
            json!({ "layer": "profile", "profile": name, "file": file.display().to_string(), "line": line })
        }
        Origin::File { file, line } => {
            json!({ "layer": "file", "file": file.display().to_string(), "line": line })
        }
        Origin::Preset { name } => json!({ "layer": "preset", "preset": name }),
        Origin::Default => json!({ "layer": "default" }),
        other => json!({ "layer": other.to_string() }),
    }
}

fn problem_json(problem: &Problem) -> Value {
    let (layer, place) = match &problem.source {
        Source::File(path) => ("file", Some(path.display().to_string())),
        Source::Env(variable) => ("env", Some(variable.clone())),
        other => (
            if *other == Source::Flag {
                "flag"
            } else {
                "other"
            },
            None,
        ),
    };
    json!({
        "message": problem.to_string(),
        "source": layer,
        "place": place,
        "line": problem.position.map(|position| position.line),
        "column": problem.position.map(|position| position.column),
        "key": problem.key,
        "reason": problem.reason,
        "help": problem.help,
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
