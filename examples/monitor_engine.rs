//! Watches an engine while it works, counts something of its own, and reads both back from the history.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example monitor_engine
//! ```
//!
//! It prints:
//!
//! ```text
//! aqe_queue_operations_total{outcome="completed",queue="engine"} 97
//! aqe_queue_operations_total{outcome="failed",queue="engine"} 3
//! checks_total{kind="fast"} 50
//! checks_total{kind="slow"} 50
//! in the history: 100 operations ran, half of them for 4 ms or longer: true
//! night shift, version v1.2: checks = 100, broken = 3
//! problems: 0
//! ```
//!
//! The history is an SQLite file; any program that reads such files can ask it, also while it is being written.

use std::error::Error;
use std::time::Duration;

use aqe_core::monitor::history::{HistoryReader, Timestamp};
use aqe_core::{Engine, Loader};

const SETTINGS: &str = "
queue:
  maxConcurrent: 8
  retryAttempts: 0
monitoring:
  interval: 1s
  retention: 7days
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("monitor.db");
    let config = Loader::new().text("qe.config.yaml", SETTINGS).load()?;
    let engine = Engine::builder()
        .config(config.into_config())
        .monitor_history(&file)
        .build()?;
    let monitor = engine.monitor().ok_or("monitoring is switched off")?;
    let checks = monitor.registry().counters("checks_total")?;
    let run = monitor.run("night shift").version("v1.2").begin();

    let mut handles = Vec::new();
    for number in 0..100_u64 {
        let kind = if number % 2 == 0 { "fast" } else { "slow" };
        // Kept, a handle costs next to nothing to count with.
        let check = checks.with(&[("kind", kind)]).clone();
        let operation = async move {
            tokio::time::sleep(Duration::from_millis(if kind == "fast" { 1 } else { 5 })).await;
            check.increment();
            if number % 40 == 7 {
                Err("broken")
            } else {
                Ok(())
            }
        };
        handles.push(engine.queue().future(operation).submit().await?);
    }
    let mut broken = 0;
    for handle in handles {
        broken += u32::from(handle.await.is_err());
    }
    run.result("checks", 100.0);
    run.result("broken", f64::from(broken));
    run.end();
    // The monitor's last tick has all of it.
    engine.shutdown(Duration::from_secs(10)).await;

    // What a scraper would get.
    let text = monitor.registry().to_openmetrics();
    let is_shown = |line: &&str| line.contains("_total{") && !line.ends_with(" 0");
    for line in text.lines().filter(is_shown) {
        if line.starts_with("aqe_queue_operations_total") || line.starts_with("checks_total") {
            println!("{line}");
        }
    }

    let reader = HistoryReader::open(&file)?;
    let runs = reader.series_named("aqe_queue_run_seconds")?;
    let series = runs.first().ok_or("the queue is not in the history")?;
    let day = Timestamp::now().after(Duration::from_secs(60));
    let day = day.last(Duration::from_secs(24 * 3600));
    let all = reader.histogram(series.id, day, 1)?;
    let times = &all.points.first().ok_or("there were no ticks")?.buckets;
    // Buckets of seconds count nanoseconds.
    let half = times.quantile(0.51).unwrap_or_default() / 1e6;
    println!(
        "in the history: {} operations ran, half of them for 4 ms or longer: {}",
        times.count(),
        half >= 4.0
    );
    let result = |name| reader.results("night shift", Some("v1.2"), name);
    let (checks, broken) = (result("checks")?, result("broken")?);
    println!(
        "{}, version {}: checks = {}, broken = {}",
        checks[0].run.name, checks[0].run.version, checks[0].value, broken[0].value
    );
    println!("problems: {}", monitor.problems().len());
    Ok(())
}
