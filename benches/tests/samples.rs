//! Samples as `compare` takes them, each in a process of its own: only there the memory is the sample's.

#![cfg(target_os = "linux")]

use std::process::Command;

use serde_json::Value;

/// The readings of one small sample of the area `queue`, or `None` when there are none to be read.
fn sample(workload: &str, contender: &str) -> Option<Vec<(String, f64)>> {
    let output = Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["sample", "queue", workload, contender, "quick"])
        .output()
        .ok()?;
    let readings: Value = serde_json::from_slice(&output.stdout).ok()?;
    let reading = |it: &Value| Some((it[0].as_str()?.to_owned(), it[2].as_f64()?));
    readings.as_array()?.iter().map(reading).collect()
}

#[test]
fn a_backlog_is_its_futures_and_where_their_results_go() {
    for contender in ["aqe", "kanal-pool", "flume-pool", "tokio-semaphore-joinset"] {
        let readings = sample("memory-1M-pending", contender).unwrap();
        let [(metric, bytes), (peak, _)] = readings.as_slice() else {
            panic!("{contender}: {readings:?}");
        };
        assert_eq!(
            (metric.as_str(), peak.as_str()),
            ("pending-memory", "peak-memory")
        );
        // 16 bytes are the future's own, at least as many are for its result; a kilobyte would be a leak.
        assert!((32.0..1024.0).contains(bytes), "{contender}: {readings:?}");
    }
}
