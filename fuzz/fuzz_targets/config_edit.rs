//! Edits of any text: `KEY NUL VALUE NUL PROFILE NUL TEXT`, where a `-` in front of the key removes it.
//!
//! An edit either fails and changes nothing, or the text is valid, says what was asked for, and everything else in it
//! is as it was: lines, comments, values.

#![no_main]

use std::collections::HashMap;

use aqe_core::config::{Config, Editor, Loaded, Loader, Origin, Scope};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "qe.config.yaml";

fuzz_target!(|data: &[u8]| {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    let mut parts = data.splitn(4, '\0');
    if let (Some(key), Some(value), Some(profile), Some(text)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    {
        let scope = if profile.is_empty() {
            Scope::Base
        } else {
            Scope::Profile(profile)
        };
        match key.strip_prefix('-') {
            Some(key) => remove(scope, key, text),
            None => set(scope, key, value, text),
        }
    }
});

fn set(scope: Scope<'_>, key: &str, value: &str, text: &str) {
    let mut editor = Editor::of_text(text);
    match editor.set(scope, key, value) {
        Err(error) => is_untouched(&editor, text, &error.to_string()),
        Ok(change) => {
            assert_eq!(change.after.as_deref(), Some(value.trim()));
            let loaded = valid(editor.text(), scope);
            let meant = Loader::new().flag(key, value).load();
            let meant =
                meant.unwrap_or_else(|error| panic!("an accepted value is refused: {error}"));
            let path = changed_key(&change.path, scope);
            assert_eq!(value_of(&loaded, path), value_of(&meant, path));
            assert!(matches!(
                loaded.origin_of(path),
                Some(Origin::File { .. } | Origin::Profile { .. })
            ));
            rest_is_kept(text, editor.text(), scope, path);
            let once = editor.text().to_owned();
            let again = editor.set(scope, key, value).map(|change| change.is_noop());
            assert!(again.is_ok_and(|is_noop| is_noop) && editor.text() == once);
        }
    }
}

fn remove(scope: Scope<'_>, key: &str, text: &str) {
    let mut editor = Editor::of_text(text);
    match editor.remove(scope, key) {
        Err(error) => is_untouched(&editor, text, &error.to_string()),
        Ok(change) if change.is_noop() => assert_eq!(editor.text(), text),
        Ok(change) => {
            assert_eq!(change.after, None);
            if let Scope::Base = scope {
                let loaded = valid(editor.text(), scope);
                let path = changed_key(&change.path, scope);
                assert_eq!(loaded.origin_of(path), Some(&Origin::Default));
            }
            assert!(Config::parse(editor.text(), NAME).is_ok());
        }
    }
}

fn is_untouched(editor: &Editor, text: &str, message: &str) {
    assert_eq!(editor.text(), text);
    assert!(!message.is_empty());
}

fn load(text: &str, scope: Scope<'_>) -> Option<Loaded> {
    let loader = Loader::new().text(NAME, text);
    let loader = match scope {
        Scope::Profile(name) => loader.profile(name),
        _ => loader,
    };
    loader.load().ok()
}

fn valid(text: &str, scope: Scope<'_>) -> Loaded {
    load(text, scope).unwrap_or_else(|| panic!("the edited text is not valid:\n{text}"))
}

/// The key behind the path of a change: without the profile, and with the word that a shorthand stands for.
fn changed_key<'a>(path: &'a str, scope: Scope<'_>) -> &'a str {
    let path = match scope {
        Scope::Profile(name) => path
            .strip_prefix(name)
            .and_then(|path| path.strip_prefix('.')),
        _ => None,
    }
    .unwrap_or(path);
    match path {
        "monitoring.alerting" => "monitoring.alerting.enabled",
        "monitoring.dashboard" => "monitoring.dashboard.enabled",
        other => other,
    }
}

fn value_of(loaded: &Loaded, key: &str) -> String {
    loaded.get(key).map(|entry| entry.value).unwrap_or_default()
}

fn rest_is_kept(before: &str, after: &str, scope: Scope<'_>, changed: &str) {
    assert!(
        lost_lines(before, after) <= 1,
        "{before:?} became {after:?}"
    );
    // A profile that did not exist has nothing to compare with, and a text that was wrong may be so no longer.
    let Some(old) = load(before, scope) else {
        return;
    };
    let new = valid(after, scope);
    for entry in old.entries() {
        let key = entry.key.path();
        // The size of the cache follows the size of the whole.
        let follows = changed == "memory.maxSize" && key == "memory.cacheSize";
        if key != changed && !follows {
            assert_eq!(entry.value, value_of(&new, key), "{key} after {changed}");
        }
    }
}

/// How many lines of one text are not in the other.
fn lost_lines(before: &str, after: &str) -> usize {
    let mut counts: HashMap<&str, isize> = HashMap::new();
    before
        .lines()
        .for_each(|line| *counts.entry(line).or_default() += 1);
    after
        .lines()
        .for_each(|line| *counts.entry(line).or_default() -= 1);
    let lost: isize = counts.values().filter(|&&count| count > 0).sum();
    lost.unsigned_abs()
}
