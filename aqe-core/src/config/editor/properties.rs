//! What holds for every edit of every layout.

use proptest::prelude::*;

use super::*;
use crate::config::setting::Raw;
use crate::config::{Config, Loader, Origin};

/// A file with sections, keys, comments, blank lines and quotes as chance has it, and every comment in it.
fn layouts() -> impl Strategy<Value = String> {
    let keys = schema::keys().len();
    (
        proptest::sample::subsequence((0..keys).collect::<Vec<_>>(), 0..12),
        proptest::collection::vec((any::<u8>(), any::<u8>()), 12),
        (
            1_usize..5,
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
        ),
    )
        .prop_map(|(chosen, chance, (step, crlf, profile, last_break, bom))| {
            let mut text = write_layout(&chosen, &chance, step, profile);
            if !last_break {
                text.truncate(text.trim_end().len());
            }
            if bom {
                text.insert(0, '\u{feff}');
            }
            if crlf {
                text.replace('\n', "\r\n")
            } else {
                text
            }
        })
}

/// The same in braces, one line for each section.
fn flow_layouts() -> impl Strategy<Value = String> {
    let keys = (0..schema::keys().len()).collect::<Vec<_>>();
    (proptest::sample::subsequence(keys, 0..12), any::<u8>()).prop_map(|(chosen, chance)| {
        let mut text = String::new();
        let mut rest = &chosen[..];
        while let Some(first) = rest.first() {
            let section = schema::keys()[*first].path().split('.').next().unwrap();
            let inside = |index: &&usize| {
                schema::keys()[**index]
                    .path()
                    .starts_with(&format!("{section}."))
            };
            let count = rest.iter().take_while(inside).count();
            let mut entries = String::new();
            // Subsections are written out one by one below `monitoring`; their keys come in the order of the table.
            write_flow(section, &rest[..count], &mut entries);
            let comment = if chance & 1 == 1 {
                format!(" # {section}")
            } else {
                String::new()
            };
            let blanks = if chance & 2 == 2 { " " } else { "" };
            text.push_str(&format!(
                "{section}: {{{blanks}{entries}{blanks}}}{comment}\n"
            ));
            rest = &rest[count..];
        }
        text
    })
}

fn write_flow(section: &str, chosen: &[usize], text: &mut String) {
    let below = |index: usize| {
        schema::keys()[index].path()[section.len() + 1..]
            .split('.')
            .next()
            .unwrap()
    };
    let mut rest = chosen;
    while let Some(first) = rest.first() {
        let name = below(*first);
        let count = rest
            .iter()
            .take_while(|index| below(**index) == name)
            .count();
        if !text.is_empty() && !text.ends_with('{') {
            text.push_str(", ");
        }
        let path = format!("{section}.{name}");
        match schema::key(&path) {
            Some(key) => text.push_str(&format!("{name}: {}", key.value_in(&Config::default()))),
            None => {
                text.push_str(&format!("{name}: {{"));
                write_flow(&path, &rest[..count], text);
                text.push('}');
            }
        }
        rest = &rest[count..];
    }
}

fn write_layout(chosen: &[usize], chance: &[(u8, u8)], step: usize, profile: bool) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    let base = usize::from(profile);
    if profile {
        text.push_str("# a profile\nstaging: # s\n");
    }
    for (place, index) in chosen.iter().enumerate() {
        let (first, second) = chance[place];
        let key = &schema::keys()[*index];
        let path: Vec<&str> = key.path().split('.').collect();
        let (name, sections) = path.split_last().unwrap();
        let shared = open
            .iter()
            .zip(sections)
            .take_while(|(open, section)| *open == *section)
            .count();
        open.truncate(shared);
        for section in &sections[shared..] {
            let indent = " ".repeat(step * (base + open.len()));
            let comment = if first & 1 == 1 {
                format!(" # {section} {place}")
            } else {
                String::new()
            };
            text.push_str(&format!("{indent}{section}:{comment}\n"));
            open.push(section);
        }
        let indent = " ".repeat(step * (base + open.len()));
        if first & 2 == 2 {
            text.push_str(&format!("{indent}# before {place}: \"x\" {{y}}\n"));
        }
        if first & 4 == 4 {
            text.push('\n');
        }
        let value = key.value_in(&Config::default());
        let value = match second % 3 {
            0 if key.quoted() => format!("'{value}'"),
            1 if key.quoted() => format!("\"{value}\""),
            _ => value,
        };
        let gap = " ".repeat(1 + usize::from(second >> 6));
        let comment = if first & 8 == 8 {
            format!("{gap}# behind {place}")
        } else {
            String::new()
        };
        text.push_str(&format!("{indent}{name}:{gap}{value}{comment}\n"));
        if first & 16 == 16 {
            text.push_str(&format!("# after {place}\n"));
        }
    }
    text
}

/// The lines of a text without line breaks and byte-order mark, to compare what an edit must not touch.
fn lines(text: &str) -> Vec<&str> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect()
}

/// Whether `short` is `long` with some elements left out.
fn is_subsequence(short: &[&str], long: &[&str]) -> bool {
    let mut long = long.iter();
    short.iter().all(|line| long.any(|other| other == line))
}

fn samples() -> impl Strategy<Value = (usize, String)> {
    (0..schema::keys().len(), 0_usize..8).prop_map(|(index, sample)| {
        let key = &schema::keys()[index];
        let candidates = ["true", "false", "7", "3", "2h", "32MB", "random", "off"];
        let fits = |text: &str| layouts_value(key, text);
        let rotated = candidates
            .iter()
            .cycle()
            .skip(sample)
            .take(candidates.len());
        let value = rotated.copied().find(|text| fits(text));
        let fallback = key.value_in(&Config::default());
        (index, value.map_or(fallback, str::to_owned))
    })
}

fn layouts_value(key: &schema::Key, text: &str) -> bool {
    stack::read_flag(key.path(), text).is_ok()
}

proptest! {
    #[test]
    fn setting_a_key_changes_exactly_its_value(
        text in prop_oneof![3 => layouts(), 1 => flow_layouts()],
        (index, value) in samples(),
        in_profile in any::<bool>(),
    ) {
        let key = &schema::keys()[index];
        let scope = if in_profile { Scope::Profile("staging") } else { Scope::Base };
        let mut editor = Editor::of_text(text.clone());
        match editor.set(scope, key.path(), &value) {
            Ok(_) => {}
            // Values that contradict another one are the only reason to refuse such a layout.
            Err(EditError::Invalid(problems)) => {
                prop_assert!(problems.iter().all(|problem| problem.kind == ProblemKind::Conflict), "{problems}\n{text}");
                prop_assert_eq!(editor.text(), &text);
                return Ok(());
            }
            Err(error) => panic!("{error}\n{text}"),
        }
        let edited = editor.text().to_owned();

        let load = |text: &str| {
            let loader = Loader::new().text("f", text);
            if in_profile { loader.profile("staging").load() } else { loader.load() }
        };
        let after = load(&edited).unwrap();
        let mut expected = Config::default();
        let raw = Raw { text: &value, quoted: false };
        key.read_into(&mut expected, raw).unwrap();
        prop_assert_eq!(after.get(key.path()).unwrap().value, key.value_in(&expected));
        // Every layout holds defaults only, so every other key still has its default.
        for other in schema::keys().iter().filter(|other| other.path() != key.path() && other.path() != "memory.cacheSize") {
            let default = other.value_in(&Config::default());
            prop_assert_eq!(after.get(other.path()).unwrap().value, default, "{} after {}", other.path(), key.path());
        }

        // All lines before and behind one place stay; there, at most one was replaced, by itself or by a few new ones.
        let (old, new) = (lines(&text), lines(&edited));
        let front = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
        let back = old[front..].iter().rev().zip(new[front..].iter().rev()).take_while(|(old, new)| old == new).count();
        prop_assert!(old.len() - front - back <= 1, "{text}\n{edited}");
        prop_assert!(new.len() - front - back <= 5, "{text}\n{edited}");
        let comments = |text: &str| text.matches('#').count();
        prop_assert_eq!(comments(&text), comments(&edited));
        let has_crlf = |text: &str| text.matches("\r\n").count() == text.matches('\n').count();
        prop_assert!(!text.contains("\r\n") || has_crlf(&edited));
    }

    #[test]
    fn removing_a_key_keeps_all_other_lines(text in layouts(), index in 0..schema::keys().len(), in_profile in any::<bool>()) {
        let key = &schema::keys()[index];
        let scope = if in_profile { Scope::Profile("staging") } else { Scope::Base };
        let mut editor = Editor::of_text(text.clone());
        let change = editor.remove(scope, key.path()).unwrap();
        let edited = editor.text().to_owned();
        let (old, new) = (lines(&text), lines(&edited));
        prop_assert!(is_subsequence(&new, &old), "{text}\n{edited}");
        // One line for the value and at most three for sections that are empty now; blank lines in them go as well.
        let filled = |lines: &[&str]| lines.iter().filter(|line| !line.is_empty()).count();
        let gone = filled(&old) - filled(&new);
        prop_assert!(gone <= if change.is_noop() { 0 } else { 4 }, "{text}\n{edited}");
        let own_line = |text: &str| lines(text).iter().filter(|line| line.trim_start().starts_with('#')).count();
        prop_assert_eq!(own_line(&text), own_line(&edited));
        // What was there is gone, and can be put back.
        prop_assert_eq!(editor.remove(scope, key.path()).unwrap().before, None);
        if let Some(before) = change.before {
            editor.set(scope, key.path(), &before).unwrap();
        }
    }

    #[test]
    fn removing_a_key_between_braces_keeps_the_others(text in flow_layouts(), index in 0..schema::keys().len()) {
        let key = &schema::keys()[index];
        let set_keys = |text: &str| -> Vec<&str> {
            let loaded = Loader::new().text("f", text).load().unwrap();
            let set = loaded.entries().filter(|entry| *entry.origin != Origin::Default);
            set.map(|entry| entry.key.path()).collect()
        };
        let before = set_keys(&text);
        let mut editor = Editor::of_text(text.clone());
        let change = editor.remove(Scope::Base, key.path()).unwrap();
        prop_assert_eq!(change.is_noop(), !before.contains(&key.path()), "{}", text);
        let expected: Vec<&str> = before.into_iter().filter(|path| *path != key.path()).collect();
        prop_assert_eq!(set_keys(editor.text()), expected, "{}", text);
        prop_assert_eq!(text.matches('#').count(), editor.text().matches('#').count());
    }

    /// Whatever the text, an edit either does what it should or leaves the text alone.
    #[test]
    fn no_text_is_corrupted(
        text in "(queue|log|timeout|level|[{}:,#'\"&*!|>?~-]|[ \n]|\n  |: |5s|info|---|\\.\\.\\.){0,25}",
        removed in any::<bool>(),
    ) {
        let mut editor = Editor::of_text(text.clone());
        let result = if removed {
            editor.remove(Scope::Base, "queue.timeout")
        } else {
            editor.set(Scope::Base, "queue.timeout", "5s")
        };
        match result {
            Err(_) => prop_assert_eq!(editor.text(), &text),
            Ok(change) if !change.is_noop() => {
                let loaded = Loader::new().text("f", editor.text()).load().unwrap();
                let set = matches!(loaded.origin_of("queue.timeout"), Some(Origin::File { .. }));
                prop_assert_eq!(set, !removed);
            }
            Ok(_) => {}
        }
    }
}
