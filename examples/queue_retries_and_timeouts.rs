//! What happens to an operation that does not succeed at once: retries with a growing delay, errors that are not worth
//! one, timeouts, deadlines, and a panic that harms nobody else.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example queue_retries_and_timeouts
//! ```
//!
//! It prints:
//!
//! ```text
//! flaky: ready at attempt 3
//! wrong address: failed after 1 attempt(s): no such host
//! hangs: attempt 2 took longer than its timeout of 20ms
//! never done: deadline passed after 1 attempt(s)
//! broken: panicked: index 7 of 3
//! retries: 3, attempts that timed out: 2
//! ```

use std::error::Error;
use std::fmt::Display;
use std::future::pending;
use std::time::Duration;

use aqe_core::{Config, Engine, OperationError, OperationHandle, RetryPolicy};

#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("connection refused")]
    Refused,
    #[error("no such host")]
    NoSuchHost,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // What every operation gets unless it says otherwise: two retries, after 5 ms and after 10 ms, each delay
    // cut by chance so that operations that failed together do not come back together.
    let growing = RetryPolicy::exponential(2, Duration::from_millis(5), Duration::from_secs(1));
    let engine = Engine::builder()
        .config(Config::default())
        .queue(move |queue| queue.retry(growing.full_jitter()))
        .build()?;
    let queue = engine.queue();

    // The closure is called once for each attempt.
    let flaky = queue.operation(|attempt| async move {
        match attempt.attempt() {
            1 | 2 => Err(ProbeError::Refused),
            number => Ok(format!("ready at attempt {number}")),
        }
    });
    report("flaky", flaky.submit().await?).await;

    // A mistake in the address stays one, however often we try.
    let wrong = queue
        .operation(|_| async { Err::<String, _>(ProbeError::NoSuchHost) })
        .retry_if(|error| matches!(error, ProbeError::Refused));
    report("wrong address", wrong.submit().await?).await;

    // The timeout is for one attempt: the second one has as long as the first.
    let hangs = queue
        .operation(|_| pending::<Result<String, ProbeError>>())
        .timeout(Duration::from_millis(20))
        .retry(RetryPolicy::fixed(1, Duration::ZERO));
    report("hangs", hangs.submit().await?).await;

    // The deadline is for all of it: waiting in the queue, attempts, and the delays between them.
    let never = queue
        .operation(|_| pending::<Result<String, ProbeError>>())
        .deadline_in(Duration::from_millis(200));
    report("never done", never.submit().await?).await;

    // The panic's message also goes to standard error, as always. It is a defect, so it is not retried.
    let broken = queue.operation(|_| async {
        let ports = [80, 443, 8080];
        let wanted = 7;
        match ports.get(wanted) {
            Some(port) => Ok::<_, ProbeError>(format!("port {port}")),
            None => panic!("index {wanted} of {}", ports.len()),
        }
    });
    report("broken", broken.submit().await?).await;

    engine.shutdown(Duration::from_secs(5)).await;
    let status = queue.status();
    println!(
        "retries: {}, attempts that timed out: {}",
        status.retried, status.attempts_timed_out
    );
    Ok(())
}

async fn report<T: Display>(name: &str, handle: OperationHandle<T, ProbeError>) {
    match handle.await {
        Ok(value) => println!("{name}: {value}"),
        // The error of the operation itself is the source of the queue's.
        Err(failed @ OperationError::Failed { .. }) => {
            let cause = failed.source().map(ToString::to_string);
            println!("{name}: {failed}: {}", cause.unwrap_or_default());
        }
        Err(other) => println!("{name}: {other}"),
    }
}
