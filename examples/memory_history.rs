//! Keeps what each test of a project did, in a folder, and tells which tests are slow or fail at times.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example memory_history
//! ```
//!
//! It prints:
//!
//! ```text
//! 60 runs of 200 tests: 12000 results
//! on disk in less than half of the bytes: true
//! opened again: 12000 results, none damaged
//! slowest: profile::case_167
//! fails at times: checkout::case_13, profile::case_91, search::case_52
//! ```
//!
//! A result is put under `RUN/TEST` and is forgotten after thirty days. The folder is a temporary one here; with one of its own, a
//! program finds everything again when it is started the next time, however it ended.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use aqe_core::memory::{MemoryConfig, Store};

const RUNS: u32 = 60;
const TESTS: u32 = 200;
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let config = MemoryConfig::default().max_size(64 << 20);

    let store = Store::open(folder.path(), config.clone())?;
    let history = store.namespace("history")?;
    let mut bytes = 0;
    for run in 0..RUNS {
        for test in 0..TESTS {
            let key = format!("{run:04}/{}", name(test));
            let result = result(run, test);
            bytes += key.len() + result.len();
            history.put_for(key.as_bytes(), result.as_bytes(), MONTH)?;
        }
        if run == RUNS / 5 {
            // A store does this by itself. Here it is done now, so that the figures are always the same.
            store.cleanup();
        }
    }
    // Written results survive the end of the process; from here on they survive the end of the machine.
    history.flush()?;
    println!("{RUNS} runs of {TESTS} tests: {} results", RUNS * TESTS);
    let on_disk = store.stats().disk_bytes as usize;
    println!(
        "on disk in less than half of the bytes: {}",
        on_disk * 2 < bytes
    );
    drop((history, store));

    let store = Store::open(folder.path(), config)?;
    let history = store.namespace("history")?;
    let (mut took, mut failed) = (BTreeMap::new(), BTreeMap::new());
    let (mut found, mut after) = (0, None::<Box<[u8]>>);
    loop {
        let page = history.keys(b"", after.as_deref(), 1000);
        let Some(last) = page.last().cloned() else {
            break;
        };
        for key in &page {
            let Some(result) = history.get(key) else {
                continue;
            };
            let result = String::from_utf8(result.to_vec())?;
            let name = String::from_utf8_lossy(key)[5..].to_owned();
            *took.entry(name.clone()).or_insert(0) += number(&result, "\"duration_ms\": ");
            *failed.entry(name).or_insert(0) += u64::from(result.contains("\"failed\""));
            found += 1;
        }
        after = Some(last);
    }
    let damage = if store.damage().is_empty() {
        "none"
    } else {
        "some"
    };
    println!("opened again: {found} results, {damage} damaged");
    if let Some((name, _)) = took.iter().max_by_key(|(_, took)| **took) {
        println!("slowest: {name}");
    }
    let flaky = failed
        .iter()
        .filter(|(_, times)| (1..u64::from(RUNS)).contains(*times));
    let flaky: Vec<_> = flaky.map(|(name, _)| name.as_str()).collect();
    println!("fails at times: {}", flaky.join(", "));
    Ok(())
}

/// The name of a test.
fn name(test: u32) -> String {
    let group = ["search", "checkout", "payments", "profile"][(test % 4) as usize];
    format!("{group}::case_{test}")
}

/// What a run says of a test: the same as long as nothing is random.
fn result(run: u32, test: u32) -> String {
    let mix = |salt: u32| (run * 7919 + test * 104_729 + salt).wrapping_mul(2_654_435_761) >> 12;
    let took = mix(1) % 40 + if test == 167 { 900 } else { 20 };
    let fails = matches!(test, 13 | 52 | 91) && run % 9 == test % 9;
    let status = if fails { "failed" } else { "passed" };
    let steps: Vec<_> = (0..5)
        .map(|step| {
            format!(
                r#"{{"step": "page {step}", "trace": "{:08x}", "ms": {}}}"#,
                mix(step + 5),
                mix(step) % 90
            )
        })
        .collect();
    format!(
        r#"{{"test": "{}", "status": "{status}", "duration_ms": {took}, "steps": [{}]}}"#,
        name(test),
        steps.join(", ")
    )
}

/// The number behind a name in a result.
fn number(result: &str, name: &str) -> u64 {
    let digits = result.split(name).nth(1).unwrap_or_default();
    let end = digits.find(|digit: char| !digit.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0)
}
