//! From `qe.config.yaml` to a running engine: a profile, a flag, where each value came from, and what a slip looks like.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example engine_from_config
//! ```
//!
//! It prints:
//!
//! ```text
//! queue.maxConcurrent = 15      # profile production (qe.config.yaml:8)
//! queue.batchSize     = 5       # default
//! queue.timeout       = 45s     # qe.config.yaml:3
//! queue.retryAttempts = 1       # flag
//! monitoring.interval = 10s     # qe.config.yaml:5
//! the queue runs 15 at once, with 1 retry
//! and with a slip:
//! qe.config.yaml:2:3: queue.timout: no such key; did you mean `queue.timeout`?
//! qe.config.yaml:3:18: queue.maxConcurrent: must be at least 1, not 0; write 1 or more
//! ```

use std::error::Error;
use std::time::Duration;

use aqe_core::{Engine, Loader};

/// A program reads the real file, environment and machine with `Loader::of_process().discover(".")`. Here everything is
/// in the program, so that its output is the same on every machine.
const FILE: &str = "\
queue:
  maxConcurrent: 10
  timeout: 45s
monitoring:
  interval: 10s
production:
  queue:
    maxConcurrent: 15
";

const SLIP: &str = "\
queue:
  timout: 45s
  maxConcurrent: 0
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let loaded = Loader::new()
        .text("qe.config.yaml", FILE)
        .profile("production")
        .flag("queue.retryAttempts", "1")
        .load()?;
    for key in [
        "queue.maxConcurrent",
        "queue.batchSize",
        "queue.timeout",
        "queue.retryAttempts",
        "monitoring.interval",
    ] {
        let entry = loaded.get(key).ok_or("the key is gone")?;
        // `in effect` goes without saying; the rest is worth a word.
        let effect = match entry.effect.to_string() {
            effect if effect == "in effect" => String::new(),
            effect => format!(", {effect}"),
        };
        println!("{key:<19} = {:<7} # {}{effect}", entry.value, entry.origin);
    }

    let engine = Engine::new(loaded.into_config())?;
    let queue = engine.queue();
    println!(
        "the queue runs {} at once, with {} retry",
        queue.status().max_concurrent,
        queue.config().retry_attempts
    );
    engine.shutdown(Duration::from_secs(5)).await;

    // Everything that is wrong comes at once, each with its place and what to do about it.
    println!("and with a slip:");
    if let Err(error) = Loader::new().text("qe.config.yaml", SLIP).load() {
        println!("{error}");
    }
    Ok(())
}
