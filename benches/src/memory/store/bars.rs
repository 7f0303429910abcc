//! The ratios of the area `memory`. What is to be so many times faster or smaller than a peer is a ratio below 1 here.

use crate::bars::{Against, Bar, bar, limit, wall};

/// Every bar, workload by workload.
pub const BARS: &[Bar] = &[
    bar("hit-1-thread", "cpu", Against::Peer("quick_cache"), 1.1),
    bar(
        "hit-1-thread",
        "cpu",
        Against::Peer("moka-foldhash"),
        1.0 / 3.9,
    ),
    bar("hit-2-threads", "cpu", Against::Peer("quick_cache"), 1.1),
    bar(
        "hit-2-threads",
        "cpu",
        Against::Peer("moka-foldhash"),
        1.0 / 3.9,
    ),
    bar(
        "mix-90-10-2-threads",
        "cpu",
        Against::Peer("quick_cache"),
        1.1,
    ),
    limit("hit-allocations", "allocations", 0.0),
    bar(
        "insert-fresh",
        "cpu",
        Against::Peer("moka-foldhash"),
        1.0 / 3.4,
    ),
    bar(
        "insert-at-capacity",
        "cpu",
        Against::Peer("moka-foldhash"),
        0.1,
    ),
    bar(
        "insert-at-capacity",
        "cpu",
        Against::Peer("quick_cache-ttl"),
        1.1,
    ),
    // Entries in the same memory are the inverse of the memory of an entry.
    bar(
        "artefacts-json",
        "resident",
        Against::Peer("moka"),
        1.0 / 3.5,
    ),
    bar(
        "artefacts-json",
        "resident-optimized",
        Against::Peer("moka"),
        1.0 / 4.5,
    ),
    bar(
        "artefacts-json",
        "once-cpu",
        Against::Peer("moka-lz4"),
        0.75,
    ),
    bar(
        "artefacts-json-sealed",
        "resident-optimized",
        Against::Peer("moka-lz4-aes"),
        0.25,
    ),
    bar(
        "artefacts-json-sealed",
        "once-cpu",
        Against::Peer("moka-lz4-aes"),
        0.85,
    ),
    limit("overhead-uncompressed", "overhead", 32.0),
    limit("overhead-compressed", "overhead", 32.0),
    limit("bound", "worst-growth", 1.05),
    limit("expiry-busy", "memory-back", 250.0),
    limit("expiry-busy", "early", 0.0),
    bar(
        "expiry-busy",
        "worst-call",
        Against::Peer("aqe-no-ttl"),
        1.0,
    ),
    limit("expiry-idle", "memory-back", 250.0),
    wall("put-written", Against::Peer("sqlite-wal-normal"), 1.0 / 8.0),
    wall("put-written", Against::Peer("fjall"), 1.0 / 1.5),
    wall(
        "put-synced-1-writer",
        Against::Peer("append-fdatasync"),
        1.0 / 0.9,
    ),
    wall(
        "put-synced-8-writers",
        Against::Peer("sqlite-wal-full"),
        0.25,
    ),
    // Three percent more time for each put.
    wall("put-beside-a-reader", Against::Peer("aqe-alone"), 1.03),
    limit("folder-1GB", "open", 50.0),
    limit("folder-1GB", "disk", 0.3),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bars;
    use crate::cli::Request;

    #[test]
    fn every_bar_names_a_pairing_that_is_taken() {
        let request = Request::parse(&["memory".to_owned()]).unwrap();
        let pairings = super::super::pairings(&request);
        bars::tests::every_bar_names_a_pairing_that_is_taken(BARS, &pairings);
    }
}
