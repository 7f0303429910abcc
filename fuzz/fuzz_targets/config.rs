//! Any bytes as a configuration file.
//!
//! Nothing panics, every problem has a place that exists, and what was understood can be written down and read again.
//! A first line `#NAME` selects the profile NAME.

#![no_main]

use aqe_core::config::{Config, ConfigError, Loaded, Loader, Problems};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "qe.config.yaml";

fuzz_target!(|text: &[u8]| {
    let parsed = Config::parse(text, NAME);
    let loaded = Loader::new().text(NAME, text).load();
    match (&parsed, &loaded) {
        (Ok(config), Ok(loaded)) => {
            assert_eq!(config, loaded.config());
            values_are_read_back(loaded);
        }
        (Err(problems), Err(ConfigError::Invalid(again))) => {
            assert_eq!(problems, again);
            problems_have_places(problems, text);
        }
        _ => panic!("two ways to read one text differ: {parsed:?} and {loaded:?}"),
    }
    if let Some(profile) = selected(text) {
        match Loader::new().text(NAME, text).profile(profile).load() {
            Ok(loaded) => values_are_read_back(&loaded),
            Err(ConfigError::Invalid(problems)) => problems_have_places(&problems, text),
            Err(other) => panic!("a text cannot fail like this: {other}"),
        }
    }
});

fn selected(text: &[u8]) -> Option<&str> {
    let first = text.split(|&byte| byte == b'\n').next()?;
    std::str::from_utf8(first.strip_prefix(b"#")?).ok()
}

fn values_are_read_back(loaded: &Loaded) {
    let all = loaded.entries().fold(Loader::new(), |loader, entry| {
        loader.flag(entry.key.path(), entry.value)
    });
    match all.load() {
        Ok(again) => assert_eq!(loaded.config(), again.config()),
        Err(error) => panic!("a value that was accepted is refused: {error}"),
    }
}

fn problems_have_places(problems: &Problems, text: &[u8]) {
    assert!((1..=Problems::LIMIT).contains(&problems.len()));
    // Lines end as YAML has it: in LF, CR LF, or CR alone.
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    let lines: Vec<&str> = text.split(['\n', '\r']).collect();
    for problem in problems.iter() {
        let shown = problem.to_string();
        assert!(
            !problem.reason.is_empty() && !shown.contains('\n'),
            "{shown:?}"
        );
        if let Some(position) = problem.position {
            let Some(line) = lines.get(position.line - 1) else {
                panic!("{shown}: there is no such line");
            };
            // One past the end is where something is missing.
            let columns = line.chars().count() + 1;
            assert!((1..=columns).contains(&position.column), "{shown}");
        }
    }
}
