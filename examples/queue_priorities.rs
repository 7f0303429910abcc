//! Who goes first: named priorities, order within one, and a queue that is full.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example queue_priorities
//! ```
//!
//! It prints:
//!
//! ```text
//! no room for "one too many": queue is full
//! ran: roll back the deploy
//! ran: test login
//! ran: test checkout
//! ran: refresh the cache
//! ran: tidy old reports
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use aqe_core::{Config, Engine, OperationHandle, Priority, SubmitError};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // One at a time, so that the order can be seen; room for five, so that it can be full.
    let engine = Engine::builder()
        .config(Config::default())
        .queue(|queue| queue.max_concurrent(1).capacity(5))
        .build()?;

    // Nothing starts while we fill the queue: otherwise the first to come would be the first to run.
    engine.queue().pause();
    let mut handles = Vec::new();
    for (work, priority) in [
        ("tidy old reports", Priority::Background),
        ("test login", Priority::Medium),
        ("test checkout", Priority::Medium),
        ("refresh the cache", Priority::Low),
        ("roll back the deploy", Priority::Critical),
    ] {
        handles.push(submit(&engine, work, priority)?);
    }
    // `submit` would wait for room; `try_submit` hands the operation back.
    if let Err(refused) = submit(&engine, "one too many", Priority::Critical) {
        println!("no room for \"one too many\": {refused}");
    }

    engine.queue().resume();
    for handle in handles {
        handle.await?;
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn submit(
    engine: &Engine,
    work: &'static str,
    priority: Priority,
) -> Result<OperationHandle<(), Infallible>, SubmitError<()>> {
    let operation = engine.queue().future(async move {
        println!("ran: {work}");
        Ok(())
    });
    // The future inside a refusal has a type that cannot be written down; nobody here wants it back.
    operation
        .priority(priority)
        .try_submit()
        .map_err(|refused| refused.map(drop))
}
