//! Operations with a name: data that a registered handler runs, so that the same one can come from elsewhere as bytes.
//!
//! ```sh
//! cargo run -q -p aqe-examples --example named_operations
//! ```
//!
//! It prints:
//!
//! ```text
//! typed: 6 words, the longest is "reproducible"
//! from bytes: {"words":3,"longest":"first"}
//! refused: no handler is registered for operation `text/translate/1`; registered are: text/count/1
//! failed: failed after 1 attempt(s): there are no words in it
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use aqe_core::queue::named::Payload;
use aqe_core::{Engine, HandlerError, Operation, Registry};
use serde::{Deserialize, Serialize};

/// Counts the words of a text. The name is a contract: its version changes when the payload does.
#[derive(Serialize, Deserialize)]
struct Count {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Counted {
    words: usize,
    longest: String,
}

impl Operation for Count {
    const NAME: &'static str = "text/count/1";
    type Output = Counted;
}

/// Nobody here knows how to do this.
#[derive(Serialize, Deserialize)]
struct Translate {
    text: String,
}

impl Operation for Translate {
    const NAME: &'static str = "text/translate/1";
    type Output = String;
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.register(|count: Arc<Count>, _attempt| async move { run(&count) })?;
    let engine = Engine::builder().registry(registry).build()?;
    let queue = engine.queue();

    // Here the operation is handed over as it is, and its output comes back with its type: nothing is serialized.
    let text = "a good test is a reproducible".to_owned();
    let counted = queue.submit(Count { text }).await?.await?;
    println!(
        "typed: {} words, the longest is {:?}",
        counted.words, counted.longest
    );

    // From a socket, a file or another process it comes as a name and JSON, and leaves as JSON.
    let payload = Payload::bytes(Count::NAME, r#"{"text":"first in, ..."}"#.into());
    let output = queue.submit_payload(payload).await?.await?;
    let bytes = output.into_bytes()?;
    println!("from bytes: {}", String::from_utf8_lossy(&bytes));

    // A name that nobody knows is refused at once, and the operation handed back.
    let text = "bonjour".to_owned();
    if let Err(refused) = queue.submit(Translate { text }).await {
        println!("refused: {refused}");
    }

    // A permanent error is not retried, although the queue would retry three times.
    let empty = Count {
        text: String::new(),
    };
    if let Err(failed) = queue.submit(empty).await?.await {
        let cause = failed.source().map(ToString::to_string);
        println!("failed: {failed}: {}", cause.unwrap_or_default());
    }

    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn run(count: &Count) -> Result<Counted, HandlerError> {
    let words: Vec<&str> = count.text.split_whitespace().collect();
    // Of several that are equally long the first counts, hence the search from behind.
    let longest = words.iter().rev().max_by_key(|word| word.len());
    match longest {
        Some(longest) => Ok(Counted {
            words: words.len(),
            longest: (*longest).to_owned(),
        }),
        None => Err(HandlerError::permanent("there are no words in it")),
    }
}
