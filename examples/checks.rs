//! The program of the README: checks with priorities, retries and typed results.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example checks
//! ```
//!
//! It prints:
//!
//! ```text
//! /: 1 bytes at attempt 1
//! /basket: 7 bytes at attempt 2
//! /gone: failed after 3 attempt(s)
//! /login: 6 bytes at attempt 1
//! ```

use std::time::Duration;

use aqe_core::{Engine, Loader, Priority};

/// Checks one page; the basket answers at the second attempt.
async fn check(page: &str, attempt: u32) -> Result<usize, String> {
    match (page, attempt) {
        ("/basket", 1) => Err("503".to_owned()),
        ("/gone", _) => Err("404".to_owned()),
        _ => Ok(page.len()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // `Loader::of_process().discover(".")` reads the project's qe.config.yaml, the environment and the machine instead.
    let text = "queue: {maxConcurrent: 4, timeout: 5s, retryAttempts: 2, retryDelay: 10ms}";
    let engine = Engine::new(
        Loader::new()
            .text("qe.config.yaml", text)
            .load()?
            .into_config(),
    )?;

    let mut checks = Vec::new();
    for page in ["/", "/basket", "/gone", "/login"] {
        let priority = if page == "/login" {
            Priority::Critical
        } else {
            Priority::Medium
        };
        let operation = engine
            .queue()
            .operation(move |cx| check(page, cx.attempt()));
        checks.push((page, operation.priority(priority).submit().await?));
    }
    for (page, check) in checks {
        let done = check.completion().await;
        match done.result {
            Ok(bytes) => println!("{page}: {bytes} bytes at attempt {}", done.attempts),
            Err(error) => println!("{page}: {error}"), // "/gone: failed after 3 attempt(s)"
        }
    }
    let report = engine.shutdown(Duration::from_secs(10)).await;
    assert!(report.cut.is_empty());
    Ok(())
}
