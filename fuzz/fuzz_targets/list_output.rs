//! Any bytes as what a test binary lists: all tests, then after a NUL those that are ignored.
//!
//! A listing is refused with its line, or read: each name once, every ignored test among them, and the same again
//! when it is printed.

#![no_main]

use std::collections::HashSet;

use aqe_runner::list::{CaseKind, ListedTest, MAX_NAME_BYTES, merge, parse_list};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut halves = data.splitn(2, |&byte| byte == 0);
    let (Some(all), Some(ignored)) = (read(halves.next()), read(halves.next())) else {
        return;
    };
    let marked: HashSet<String> = names(&ignored);
    let known: HashSet<String> = names(&all).union(&marked).cloned().collect();
    let listing = merge(all, ignored);
    assert_eq!(names(&listing.tests), known);
    assert_eq!(listing.tests.len(), known.len());
    for test in &listing.tests {
        assert_eq!(test.ignored, marked.contains(test.name.as_str()));
    }
    let twice: HashSet<&str> = listing
        .duplicates
        .iter()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(twice.len(), listing.duplicates.len());
});

fn read(text: Option<&[u8]>) -> Option<Vec<ListedTest>> {
    match parse_list(text.unwrap_or_default()) {
        Ok(tests) => {
            assert!(
                tests
                    .iter()
                    .all(|test| test.name.as_str().len() <= MAX_NAME_BYTES)
            );
            assert_eq!(
                parse_list(print(&tests).as_bytes()).ok().as_ref(),
                Some(&tests)
            );
            Some(tests)
        }
        Err(fault) => {
            let shown = fault.to_string();
            assert!(shown.len() < 4_096, "{shown}");
            None
        }
    }
}

fn print(tests: &[ListedTest]) -> String {
    tests
        .iter()
        .map(|test| match test.kind {
            CaseKind::Benchmark => format!("{}: benchmark\n", test.name.as_str()),
            _ => format!("{}: test\n", test.name.as_str()),
        })
        .collect()
}

fn names(tests: &[ListedTest]) -> HashSet<String> {
    tests
        .iter()
        .map(|test| test.name.as_str().to_owned())
        .collect()
}
