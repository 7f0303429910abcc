//! The ratios of the area `queue`.

use crate::bars::{Against, Bar, bar, limit, wall};

/// Every bar, workload by workload.
pub const BARS: &[Bar] = &[
    wall("noop-1M-submit-all", Against::Peer("kanal-pool"), 0.60),
    wall(
        "noop-1M-submit-all",
        Against::Peer("async-priority-channel-pool"),
        0.35,
    ),
    wall(
        "noop-1M-submit-all",
        Against::Peer("async-priority-limiter"),
        0.12,
    ),
    wall(
        "noop-1M-submit-all",
        Against::Peer("bare-buffer-unordered"),
        2.6,
    ),
    wall("noop-1M-window-1024", Against::BestPeer, 0.70),
    wall("stream-1M", Against::Peer("bare-buffer-unordered"), 1.0),
    wall("stream-1M", Against::Peer("bare-futures-buffered"), 2.0),
    wall(
        "stream-ordered-1M",
        Against::Peer("bare-buffer-unordered"),
        1.0,
    ),
    wall(
        "stream-ordered-1M",
        Against::Peer("bare-futures-buffered"),
        2.0,
    ),
    wall("yield2-100k", Against::Peer("flume-pool"), 0.75),
    wall("yield2-100k", Against::Peer("kanal-pool"), 0.75),
    wall("yield2-100k", Against::Peer("bare-buffer-unordered"), 1.0),
    wall(
        "five-priorities-200k",
        Against::Peer("async-priority-channel-pool"),
        0.40,
    ),
    wall("five-priorities-200k", Against::Peer("kanal-pool"), 0.9),
    limit("five-priorities-200k", "rank-top", 0.101),
    // Counted from the end, a mean rank of the bottom level of 0.90. Perfect order gives 0.1000, not quite the tenth
    // itself because levels differ by a few operations in size, so there is as much room as at the top.
    limit("five-priorities-200k", "rank-bottom-from-end", 0.101),
    wall(
        "retry1pct-200k",
        Against::Peer("mpsc-to-buffer-unordered"),
        0.45,
    ),
    wall(
        "retry1pct-yield1-200k",
        Against::Peer("mpsc-to-buffer-unordered"),
        0.45,
    ),
    limit("own-cost-200k", "added-wall", 30.0),
    limit("own-cost-yield1-200k", "added-wall", 30.0),
    wall("eight-producers-1M", Against::Peer("kanal-pool"), 0.60),
    wall(
        "eight-producers-1M",
        Against::Peer("tower-buffer-limit"),
        0.15,
    ),
    wall("cpu-4us-100k", Against::Peer("2-bare-threads"), 1.04),
    wall("sleep1ms-10k-c100", Against::Peer("100-bare-loops"), 1.01),
    bar(
        "sleep1ms-10k-c100",
        "cpu",
        Against::Peer("bare-buffer-unordered"),
        1.3,
    ),
    bar(
        "memory-1M-pending",
        "pending-memory",
        Against::BestPeer,
        0.95,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars;
    use crate::cli::Request;
    use crate::queue;

    #[test]
    fn every_bar_names_a_pairing_that_is_taken() {
        let request = Request::parse(&["queue".to_owned()]).unwrap();
        let pairings = queue::pairings(&request);
        bars::tests::every_bar_names_a_pairing_that_is_taken(BARS, &pairings);
    }
}
