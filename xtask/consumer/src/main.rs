//! A program outside of the workspace that runs one operation through the engine.

use std::error::Error;
use std::time::Duration;

use aqe_core::{Engine, HandlerError, Loader, Priority};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let loaded = Loader::new()
        .text("qe.config.yaml", "queue:\n  retryDelay: 1ms\n")
        .load()?;
    let engine = Engine::new(loaded.into_config())?;
    let operation = engine.queue().operation(|attempt| async move {
        match attempt.attempt() {
            1 => Err(HandlerError::new("not yet")),
            number => Ok(number),
        }
    });
    let attempts = operation.priority(Priority::High).submit().await?.await?;
    let report = engine.shutdown(Duration::from_secs(5)).await;
    println!(
        "an operation of a consumer succeeded at attempt {attempts}, {} cut",
        report.cut.len()
    );
    Ok(())
}
