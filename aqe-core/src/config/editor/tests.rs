//! What an edit does to layouts that people write, by example; `properties.rs` has the layouts that chance writes.

use std::fs;

use super::*;
use crate::config::Loader;

#[track_caller]
fn set(before: &str, scope: Scope<'_>, key: &str, value: &str) -> String {
    let mut editor = Editor::of_text(before);
    match editor.set(scope, key, value) {
        Ok(change) => assert_eq!(change.after.as_deref(), Some(value)),
        Err(error) => panic!("{error}\n{before}"),
    }
    editor.text
}

#[track_caller]
fn remove(before: &str, scope: Scope<'_>, key: &str) -> String {
    let mut editor = Editor::of_text(before);
    match editor.remove(scope, key) {
        Ok(change) => assert_eq!(change.after, None),
        Err(error) => panic!("{error}\n{before}"),
    }
    editor.text
}

#[test]
fn a_value_is_replaced_where_it_stands() {
    for (before, key, value, after) in [
        (
            "# top\nqueue: # q\n  timeout:   30000   # half a minute\n  batchSize: 5\n",
            "queue.timeout",
            "45s",
            "# top\nqueue: # q\n  timeout:   45s   # half a minute\n  batchSize: 5\n",
        ),
        (
            "memory:\n  maxSize: '1GB'\n",
            "memory.maxSize",
            "2GB",
            "memory:\n  maxSize: '2GB'\n",
        ),
        (
            "memory:\n  maxSize: \"1GB\"\n",
            "memory.maxSize",
            "2GB",
            "memory:\n  maxSize: \"2GB\"\n",
        ),
        (
            "queue: {timeout: 5s, batchSize: 4}",
            "queue.timeout",
            "9s",
            "queue: {timeout: 9s, batchSize: 4}",
        ),
        (
            "queue:\n  batchSize:\n",
            "queue.batchSize",
            "4",
            "queue:\n  batchSize: 4\n",
        ),
        (
            "queue:\n  batchSize: # how many\n",
            "queue.batchSize",
            "4",
            "queue:\n  batchSize: 4 # how many\n",
        ),
        (
            "queue:\n  batchSize: ~\n",
            "queue.batchSize",
            "4",
            "queue:\n  batchSize: 4\n",
        ),
        (
            "queue:\r\n  batchSize: 5\r\n",
            "queue.batchSize",
            "4",
            "queue:\r\n  batchSize: 4\r\n",
        ),
        (
            "\u{feff}queue:\n  batchSize: 5\n",
            "queue.batchSize",
            "4",
            "\u{feff}queue:\n  batchSize: 4\n",
        ),
        (
            "\"queue\":\n  'batchSize' : 5\n",
            "queue.batchSize",
            "4",
            "\"queue\":\n  'batchSize' : 4\n",
        ),
        // A wrong value can be set right, in the right type.
        (
            "queue:\n  batchSize: \"0\"\n",
            "queue.batchSize",
            "4",
            "queue:\n  batchSize: 4\n",
        ),
        (
            "queue:\n  timeout: 5\n    minutes\n",
            "queue.timeout",
            "5m",
            "queue:\n  timeout: 5m\n",
        ),
        // The short form of a section stays short.
        (
            "monitoring:\n  alerting: true # loud\n",
            "monitoring.alerting.enabled",
            "false",
            "monitoring:\n  alerting: false # loud\n",
        ),
        (
            "monitoring:\n  alerting: true\n",
            "monitoring.alerting",
            "false",
            "monitoring:\n  alerting: false\n",
        ),
    ] {
        assert_eq!(set(before, Scope::Base, key, value), after, "{before}");
    }
}

#[test]
fn a_new_value_goes_behind_the_others_of_its_section() {
    for (before, key, value, after) in [
        ("", "queue.batchSize", "4", "queue:\n  batchSize: 4\n"),
        (
            "# only a comment",
            "log.level",
            "info",
            "# only a comment\nlog:\n  level: \"info\"\n",
        ),
        (
            "\u{feff}",
            "log.level",
            "info",
            "\u{feff}log:\n  level: \"info\"\n",
        ),
        (
            "---\n",
            "queue.batchSize",
            "4",
            "---\nqueue:\n  batchSize: 4\n",
        ),
        (
            "queue:\n    timeout: 5s # short\n    # batchSize: 9\n\nmemory:\n    compression: true\n",
            "queue.batchSize",
            "4",
            "queue:\n    timeout: 5s # short\n    batchSize: 4\n    # batchSize: 9\n\nmemory:\n    compression: true\n",
        ),
        (
            "queue:\n    timeout: 5s",
            "monitoring.alerting.thresholds.cpuUsage",
            "90",
            "queue:\n    timeout: 5s\nmonitoring:\n    alerting:\n        thresholds:\n            cpuUsage: 90\n",
        ),
        (
            "queue:\r\n  timeout: 5s\r\n",
            "run.timeout",
            "off",
            "queue:\r\n  timeout: 5s\r\nrun:\r\n  timeout: \"off\"\r\n",
        ),
        (
            "queue: # later\nmemory:\n",
            "queue.batchSize",
            "4",
            "queue: # later\n  batchSize: 4\nmemory:\n",
        ),
        (
            "queue: {}\n",
            "queue.batchSize",
            "4",
            "queue: {batchSize: 4}\n",
        ),
        (
            "queue: ~ # none\n",
            "queue.batchSize",
            "4",
            "queue: {batchSize: 4} # none\n",
        ),
        (
            "queue: {timeout: 5s} # x\n",
            "queue.batchSize",
            "4",
            "queue: {timeout: 5s, batchSize: 4} # x\n",
        ),
        (
            "queue: {timeout: 5s,}\n",
            "queue.batchSize",
            "4",
            "queue: {timeout: 5s, batchSize: 4,}\n",
        ),
        (
            "queue: {\n  timeout: 5s # x\n}\n",
            "queue.batchSize",
            "4",
            "queue: {\n  timeout: 5s, batchSize: 4 # x\n}\n",
        ),
        (
            "{queue: {timeout: 5s}}",
            "log.level",
            "info",
            "{queue: {timeout: 5s}, log: {level: \"info\"}}",
        ),
        (
            "{queue: }",
            "queue.batchSize",
            "4",
            "{queue: {batchSize: 4} }",
        ),
        (
            "monitoring: {interval: 5s}\n",
            "monitoring.alerting.thresholds.cpuUsage",
            "90",
            "monitoring: {interval: 5s, alerting: {thresholds: {cpuUsage: 90}}}\n",
        ),
    ] {
        assert_eq!(set(before, Scope::Base, key, value), after, "{before}");
    }
}

#[test]
fn profiles_are_edited_and_created_like_sections() {
    let production = Scope::Profile("production");
    for (before, after) in [
        ("", "production:\n  queue:\n    batchSize: 4\n"),
        (
            "queue:\n  batchSize: 5\nproduction:\n  memory:\n    compression: true\nlog:\n  level: info\n",
            "queue:\n  batchSize: 5\nproduction:\n  memory:\n    compression: true\n  queue:\n    batchSize: 4\nlog:\n  level: info\n",
        ),
        (
            "production:\n  queue:\n    batchSize: 8 # eight\n",
            "production:\n  queue:\n    batchSize: 4 # eight\n",
        ),
        ("production:\n", "production:\n  queue:\n    batchSize: 4\n"),
    ] {
        assert_eq!(
            set(before, production, "queue.batchSize", "4"),
            after,
            "{before}"
        );
    }
    assert_eq!(
        remove(
            "production:\n  queue:\n    batchSize: 8\n",
            production,
            "queue.batchSize"
        ),
        "production:\n",
        "a profile stays when it is empty, because it may be selected"
    );
}

#[test]
fn a_removed_value_takes_its_line_and_an_empty_section_with_it() {
    for (before, key, after) in [
        (
            "queue:\n  # first\n  timeout: 5s # gone\n  # second\n  batchSize: 4\n",
            "queue.timeout",
            "queue:\n  # first\n  # second\n  batchSize: 4\n",
        ),
        (
            "a: {queue: {timeout: 5s}}\nqueue:\n  timeout: 5s\n",
            "queue.timeout",
            "a: {queue: {timeout: 5s}}\n",
        ),
        (
            "queue:\n  timeout: 5s\nlog:\n  level: info\n",
            "queue.timeout",
            "log:\n  level: info\n",
        ),
        (
            "queue:\n  # why\n  timeout: 5s\n",
            "queue.timeout",
            "queue:\n  # why\n",
        ),
        (
            "queue: # why\n  timeout: 5s\n",
            "queue.timeout",
            "queue: # why\n",
        ),
        (
            "monitoring:\n  alerting:\n    thresholds:\n      cpuUsage: 90\n  interval: 5s\n",
            "monitoring.alerting.thresholds.cpuUsage",
            "monitoring:\n  interval: 5s\n",
        ),
        (
            "monitoring:\n  alerting: true\n  interval: 5s\n",
            "monitoring.alerting",
            "monitoring:\n  interval: 5s\n",
        ),
        ("queue: {timeout: 5s}\n", "queue.timeout", "queue: {}\n"),
        (
            "queue: {timeout: 5s, batchSize: 4}\n",
            "queue.timeout",
            "queue: {batchSize: 4}\n",
        ),
        (
            "queue: {timeout: 5s, batchSize: 4}\n",
            "queue.batchSize",
            "queue: {timeout: 5s}\n",
        ),
        (
            "queue:\r\n  timeout: 5s\r\n  batchSize: 4",
            "queue.batchSize",
            "queue:\r\n  timeout: 5s\r\n",
        ),
        (
            "\u{feff}queue:\n  timeout: 5s\n",
            "queue.timeout",
            "\u{feff}",
        ),
        (
            "queue:\n  timeout: 5s\n",
            "queue.batchSize",
            "queue:\n  timeout: 5s\n",
        ),
        ("queue:\n", "queue.batchSize", "queue:\n"),
        ("", "queue.batchSize", ""),
    ] {
        assert_eq!(remove(before, Scope::Base, key), after, "{before}");
    }
}

#[test]
fn what_cannot_be_edited_alone_is_refused_and_left_alone() {
    for (before, key, value, message) in [
        (
            "monitoring:\n  alerting: true\n",
            "monitoring.alerting.thresholds.cpuUsage",
            "90",
            "qe.config.yaml:2: `alerting` holds a value, and a key has to go below it; write it as a section, with the \
             value behind `enabled:` below it",
        ),
        (
            "? queue\n: timeout: 5s\n",
            "log.level",
            "info",
            "qe.config.yaml:1: this place is written in a form in which one value cannot be changed alone; write it as \
             `key: value` on a line of its own, or edit it by hand",
        ),
        (
            "queue:\n  timeout: |\n    5s\n",
            "queue.timeout",
            "6s",
            "qe.config.yaml:3: this place is written in a form in which one value cannot be changed alone; write it as \
             `key: value` on a line of its own, or edit it by hand",
        ),
        // Behind the end of the document, a line would start another one.
        (
            "---\n...\n",
            "queue.batchSize",
            "4",
            "qe.config.yaml:3: this place is written in a form in which one value cannot be changed alone; write it as \
             `key: value` on a line of its own, or edit it by hand",
        ),
        (
            "- a\n- b\n",
            "queue.batchSize",
            "4",
            "qe.config.yaml:1: `the file` holds a value, and a key has to go below it; write it as a section with keys \
             below it",
        ),
    ] {
        let mut editor = Editor::of_text(before);
        let error = editor.set(Scope::Base, key, value).unwrap_err();
        assert_eq!(error.to_string(), message, "{before}");
        assert_eq!(editor.text(), before);
    }
}

/// Between the braces stand two comments, of which only one can belong to the value.
#[test]
fn a_removal_that_would_lose_a_comment_is_refused() {
    let before = "queue: {\n  timeout: 5s, # short\n  # few\n  batchSize: 4\n}\n";
    let mut editor = Editor::of_text(before);
    let error = editor.remove(Scope::Base, "queue.timeout").unwrap_err();
    assert!(
        matches!(error, EditError::Unsupported { line: 2, .. }),
        "{error:?}"
    );
    assert_eq!(editor.text(), before);
}

#[test]
fn wrong_keys_values_and_profiles_are_rejected() {
    let mut editor = Editor::of_text("");
    for (scope, key, value, message) in [
        (
            Scope::Base,
            "queue.maxConcurent",
            "5",
            "command line: queue.maxConcurent: no such key; did you mean `queue.maxConcurrent`?",
        ),
        (
            Scope::Base,
            "queue",
            "5",
            "command line: queue: is a section; name one of its keys, such as `queue.maxConcurrent`",
        ),
        (
            Scope::Base,
            "queue.batchSize",
            "0",
            "command line: queue.batchSize: must be at least 1, not 0; write 1 or more",
        ),
        (
            Scope::Base,
            "queue.timeout",
            "5s\nmemory: 1",
            "command line: queue.timeout: `5s\\nmemory: 1` is not a duration; write a number of milliseconds or units such as \
             500ms, 30s, 5m, 1h 30m, 7days",
        ),
        (
            Scope::Profile("queue"),
            "queue.batchSize",
            "4",
            "command line: `queue` is a section and cannot be a profile; a profile's name starts with a letter and goes on \
             with letters, digits, `-` and `_`",
        ),
        (
            Scope::Profile("a: b"),
            "queue.batchSize",
            "4",
            "command line: `a: b` cannot be the name of a profile; a profile's name starts with a letter and goes on with \
             letters, digits, `-` and `_`",
        ),
    ] {
        let error = editor.set(scope, key, value).unwrap_err();
        assert!(matches!(error, EditError::Rejected(_)), "{error:?}");
        assert_eq!(error.to_string(), message);
        assert_eq!(editor.text(), "");
    }
}

#[test]
fn an_edit_that_leaves_the_file_invalid_is_refused() {
    for (before, key, value, problem) in [
        // Somewhere else is something wrong.
        (
            "queue:\n  batchSize: 0\n",
            "queue.timeout",
            "5s",
            "must be at least 1",
        ),
        // The new value contradicts another one.
        (
            "memory:\n  maxSize: 1GB\n",
            "memory.cacheSize",
            "2GB",
            "is larger than memory.maxSize",
        ),
        (
            "production:\n  memory:\n    cacheSize: 600MB\n",
            "memory.maxSize",
            "500MB",
            "is larger than memory.maxSize",
        ),
        (
            "memory: &m\n  maxSize: 1GB\n",
            "queue.timeout",
            "5s",
            "anchors",
        ),
        (
            "queue:\n  timeout: 5s\n  timeout: 6s\n",
            "log.level",
            "info",
            "a second time",
        ),
        (
            "queue:\n  timeout: 5s\n  timeout: 6s\n",
            "queue.timeout",
            "7s",
            "a second time",
        ),
    ] {
        let mut editor = Editor::of_text(before);
        let error = editor.set(Scope::Base, key, value).unwrap_err();
        let refused = matches!(&error, EditError::Invalid(problems) if problems.to_string().contains(problem));
        assert!(refused, "{error:?}");
        assert_eq!(editor.text(), before);
    }
    let error = Editor::of_text("queue: [\n")
        .set(Scope::Base, "log.level", "info")
        .unwrap_err();
    assert!(matches!(error, EditError::Invalid(_)), "{error:?}");
}

#[test]
fn a_preset_is_written_with_the_rest_kept() {
    let mut editor = Editor::of_text("queue:\n  # hand-tuned\n  timeout: 5s\n");
    editor.set_preset(Scope::Base, Preset::High).unwrap();
    assert_eq!(
        editor.text(),
        "queue:\n  # hand-tuned\n  timeout: 1m\n  maxConcurrent: 20\n  batchSize: 10\n"
    );
    editor.reset();
    editor.set_preset(Scope::Base, Preset::Constrained).unwrap();
    assert_eq!(
        editor.text(),
        format!("{EMPTY}queue:\n  maxConcurrent: 5\n  batchSize: 3\n  timeout: \"45s\"\n")
    );
}

#[test]
fn saving_replaces_the_file_and_keeps_its_mode_and_link() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("real.yaml");
    fs::write(&file, "queue:\n  timeout: 5s # five\n").unwrap();
    let path = folder.path().join("qe.config.yaml");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.yaml", &path).unwrap();
    }
    #[cfg(not(unix))]
    fs::copy(&file, &path).unwrap();

    let mut editor = Editor::open(&path).unwrap();
    editor.set(Scope::Base, "queue.timeout", "6s").unwrap();
    editor.save().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "queue:\n  timeout: 6s # five\n"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert!(path.symlink_metadata().unwrap().is_symlink());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    }
    // The editor goes on from what it saved.
    editor.set(Scope::Base, "queue.timeout", "7s").unwrap();
    editor.save().unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "queue:\n  timeout: 7s # five\n"
    );
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn a_missing_file_is_created() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qe.config.yaml");
    let mut editor = Editor::open(&path).unwrap();
    assert_eq!(editor.original(), None);
    editor.set(Scope::Base, "queue.batchSize", "4").unwrap();
    editor.save().unwrap();
    let loaded = Loader::new().file(&path).load().unwrap();
    assert_eq!(loaded.config().queue.batch_size.get(), 4);
}

#[test]
fn somebody_elses_change_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qe.config.yaml");
    let opened = |text: Option<&str>| {
        let _ = fs::remove_file(&path);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let mut editor = Editor::open(&path).unwrap();
        editor.set(Scope::Base, "queue.batchSize", "4").unwrap();
        editor
    };
    let conflict = |mut editor: Editor| {
        let error = editor.save().unwrap_err();
        assert!(
            matches!(error, EditError::ChangedMeanwhile { .. }),
            "{error:?}"
        );
    };

    let editor = opened(Some(""));
    fs::write(&path, "log:\n  level: info\n").unwrap();
    conflict(editor);
    assert_eq!(fs::read_to_string(&path).unwrap(), "log:\n  level: info\n");

    let editor = opened(Some(""));
    fs::remove_file(&path).unwrap();
    conflict(editor);

    let editor = opened(None);
    fs::write(&path, "").unwrap();
    conflict(editor);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_file_that_is_marked_read_only_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qe.config.yaml");
    fs::write(&path, "").unwrap();
    let mut permissions = path.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    let mut editor = Editor::open(&path).unwrap();
    editor.set(Scope::Base, "queue.batchSize", "4").unwrap();
    let error = editor.save().unwrap_err();
    let EditError::Io { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(fs::read_to_string(&path).unwrap(), "");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut editor = Editor::open(folder.path().join("missing/qe.config.yaml")).unwrap();
    editor.set(Scope::Base, "queue.batchSize", "4").unwrap();
    let error = editor.save().unwrap_err();
    assert!(matches!(error, EditError::Io { .. }), "{error:?}");
}
