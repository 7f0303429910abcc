//! Fetches many pages from a server that fails: the queue tries again what fails, the batch keeps what is done, and when the
//! server is gone for good the run ends, to go on where it was as soon as it is back.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example batch_through_queue
//! ```
//!
//! It prints, after the progress on standard error:
//!
//! ```text
//! first run: more than 2 item(s) failed
//! page 30: failed after 3 attempt(s): server is gone
//! done so far: 30 pages
//! second run: 60 pages, 30 of them from the first, 4 attempts were repeated
//! page 7: 107 bytes, page 35: 135 bytes
//! queue: 30 completed, 0 failed
//! ```
//!
//! The two runs are one program here; in earnest the first ends with its process, by an error, by Ctrl-C or by `kill -9`,
//! and the second is the same program started again. Priority, timeout, retries and limits per host are those of the queue,
//! which other work of the program goes through as well.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aqe_core::batch::{BatchError, ItemError};
use aqe_core::{BatchReport, Checkpoint, Config, Engine, OperationError, Priority, RetryPolicy};

#[derive(Clone, Copy, Debug, thiserror::Error)]
enum FetchError {
    #[error("server is busy")]
    Busy,
    #[error("server is gone")]
    Gone,
}

/// Stands for a server: busy at the first call for every seventh page and, until it is repaired, gone from page 30 on.
#[derive(Default)]
struct Server {
    is_repaired: AtomicBool,
}

impl Server {
    async fn fetch(&self, page: u64, attempt: u32) -> Result<u64, FetchError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if page >= 30 && !self.is_repaired.load(Ordering::Relaxed) {
            return Err(FetchError::Gone);
        }
        match (page % 7, attempt) {
            (0, 1) => Err(FetchError::Busy),
            _ => Ok(100 + page),
        }
    }
}

type Failed = OperationError<FetchError>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("aqe-pages-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let log = folder.join("pages.log");
    let server = Arc::new(Server::default());

    let engine = engine()?;
    let Err(error) = fetch_all(&engine, &server, &log).await else {
        return Err("the server was gone and nobody noticed".into());
    };
    println!("first run: {error}");
    let report = error.report();
    if let Some(first) = report.failed.first()
        && let ItemError::Failed { error, .. } = &first.error
    {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        println!("page {}: {error}: {cause}", first.item);
    }
    println!("done so far: {} pages", report.results.len());
    engine.shutdown(Duration::from_secs(10)).await;

    server.is_repaired.store(true, Ordering::Relaxed);
    let engine = self::engine()?;
    let report = fetch_all(&engine, &server, &log).await?;
    println!(
        "second run: {} pages, {} of them from the first, {} attempts were repeated",
        report.results.len(),
        report.progress.restored,
        report.progress.retried
    );
    if let (Some(early), Some(late)) = (report.results.get(7), report.results.get(35)) {
        println!("page 7: {early} bytes, page 35: {late} bytes");
    }
    engine.shutdown(Duration::from_secs(10)).await;
    let status = engine.queue().status();
    println!(
        "queue: {} completed, {} failed",
        status.completed, status.failed
    );
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What `qe.config.yaml` would say.
fn engine() -> Result<Engine, Box<dyn Error>> {
    let text = "queue: {maxConcurrent: 4, timeout: 5s}\n\
                batch: {chunkSize: 8, concurrency: 1, checkpointInterval: 10, errorThreshold: 2}\n";
    Ok(Engine::new(Config::parse(text, "qe.config.yaml")?)?)
}

async fn fetch_all(
    engine: &Engine,
    server: &Arc<Server>,
    log: &Path,
) -> Result<BatchReport<u64, Failed>, BatchError<u64, Failed>> {
    let server = Arc::clone(server);
    let backoff = RetryPolicy::exponential(2, Duration::from_millis(5), Duration::from_secs(1));
    let fetch = engine
        .through_queue() // each page is an operation of the engine's queue
        .priority(Priority::Low)
        .retry(backoff)
        .operation(move |page: u64, cx| {
            let server = Arc::clone(&server);
            async move { server.fetch(page, cx.attempt()).await }
        });
    engine
        .batch()
        .job("fetch pages/1")
        .checkpoint(Checkpoint::file(log))
        .progress(|progress| eprintln!("{:.0} %", progress.percentage().unwrap_or(0.0)))
        .run(0..60, fetch)
        .await
}
