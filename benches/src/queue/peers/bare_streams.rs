//! Streams of futures without any queue: one caller, no handles, nothing runs while the caller is busy.

use std::future::Future;
use std::pin::pin;

use futures_buffered::BufferedStreamExt;
use futures_util::stream::{self, Stream, StreamExt};

use crate::queue::contender::StreamForm;

/// `buffer_unordered` of the futures crate, straight over the operations.
#[derive(Debug)]
pub struct BareBufferUnordered(usize);

/// `buffered` of the futures crate, which keeps the order.
#[derive(Debug)]
pub struct BareBuffered(usize);

/// `buffered_unordered` of the futures-buffered crate: its slots are allocated once, for all operations.
#[derive(Debug)]
pub struct FuturesBuffered(usize);

impl StreamForm for BareBufferUnordered {
    fn start(concurrency: usize) -> Self {
        Self(concurrency)
    }

    async fn sum<I, F>(&self, operations: I) -> Option<u64>
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        add_up(stream::iter(operations).buffer_unordered(self.0)).await
    }
}

impl StreamForm for BareBuffered {
    fn start(concurrency: usize) -> Self {
        Self(concurrency)
    }

    async fn sum<I, F>(&self, operations: I) -> Option<u64>
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        add_up(stream::iter(operations).buffered(self.0)).await
    }
}

impl StreamForm for FuturesBuffered {
    fn start(concurrency: usize) -> Self {
        Self(concurrency)
    }

    async fn sum<I, F>(&self, operations: I) -> Option<u64>
    where
        I: Iterator<Item = F> + Send + 'static,
        F: Future<Output = u64> + Send + 'static,
    {
        add_up(stream::iter(operations).buffered_unordered(self.0)).await
    }
}

/// These cannot lose a result; one that did would be missing in the sum.
async fn add_up(results: impl Stream<Item = u64> + Send) -> Option<u64> {
    let mut results = pin!(results);
    let mut sum = 0;
    while let Some(value) = results.next().await {
        sum += value;
    }
    Some(sum)
}
