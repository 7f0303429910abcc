//! Programs that really run, and the pages of their structures that they touch.

use std::collections::VecDeque;

use super::chance::{Chance, Zipf};

/// A search tree of pages that is looked up, walked over ranges, and grows by splitting its pages.
pub(super) fn tree_walks(percent: usize) -> Vec<u64> {
    const FANOUT: usize = 16;
    let mut chance = Chance::new(61);
    let zipf = Zipf::new(1 << 18, 0.7);
    // Two levels of pages above the leaves suffice; the leaves lie in a list that is split where it overflows.
    let mut leaves: Vec<(u64, Vec<u64>)> = vec![(0, Vec::new())];
    let mut pages = 1u64;
    let mut touched = Vec::new();
    while touched.len() < percent * 4_000 {
        let sought = (zipf.rank(&mut chance) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let at = leaves
            .partition_point(|(_, records)| records.first().is_some_and(|first| *first <= sought))
            .saturating_sub(1);
        // The inner pages by position: neighbours share them.
        touched.push(1 << 40 | (at / (FANOUT * FANOUT)) as u64);
        touched.push(1 << 41 | (at / FANOUT) as u64);
        touched.push(leaves[at].0);
        if chance.happens(0.04) {
            let run = 5 + chance.below(60) as usize;
            touched.extend(leaves[at..].iter().skip(1).take(run).map(|leaf| leaf.0));
        }
        let records = &mut leaves[at].1;
        if let Err(place) = records.binary_search(&sought) {
            records.insert(place, sought);
            if records.len() > FANOUT {
                let upper = records.split_off(FANOUT / 2);
                leaves.insert(at + 1, (pages, upper));
                touched.push(pages);
                pages += 1;
            }
        }
    }
    touched.truncate(percent * 4_000);
    touched
}

/// A graph that grew by preferential attachment is searched in breadth from random vertices, page by page of neighbours.
pub(super) fn graph_walk(percent: usize) -> Vec<u64> {
    const VERTICES: usize = 30_000;
    const DEPTH: usize = 3;
    let mut chance = Chance::new(62);
    let mut edges: Vec<Vec<u32>> = vec![Vec::new(); VERTICES];
    let mut ends: Vec<u32> = vec![0];
    for vertex in 1..VERTICES as u32 {
        for _ in 0..2 {
            // Half by popularity, half among those that came shortly before: communities.
            let other = if chance.happens(0.5) {
                ends[chance.below(ends.len() as u64) as usize]
            } else {
                vertex - 1 - chance.below(u64::from(vertex.min(200))) as u32
            };
            edges[vertex as usize].push(other);
            edges[other as usize].push(vertex);
            ends.extend([vertex, other]);
        }
    }
    let mut touched = Vec::new();
    let mut seen = vec![usize::MAX; VERTICES];
    for search in 0.. {
        if touched.len() >= percent * 5_000 {
            break;
        }
        let start = chance.below(VERTICES as u64) as u32;
        let mut queue = VecDeque::from([(start, 0)]);
        seen[start as usize] = search;
        while let Some((vertex, depth)) = queue.pop_front() {
            touched.push(u64::from(vertex));
            if depth == DEPTH {
                continue;
            }
            for next in edges[vertex as usize].iter().take(12) {
                if seen[*next as usize] != search {
                    seen[*next as usize] = search;
                    queue.push_back((*next, depth + 1));
                }
            }
        }
    }
    touched.truncate(percent * 5_000);
    touched
}

/// Rows of a large table are joined with three smaller ones by hash, partition after partition, and summed by group.
pub(super) fn hash_join(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(63);
    let customers = Zipf::new(12_000, 0.6);
    let products = Zipf::new(3_000, 0.9);
    let mut touched = Vec::new();
    let mut row = 0u64;
    while touched.len() < percent * 4_000 {
        // The query comes again over the same 40,000 rows, eight rows on a page.
        touched.push(row % 40_000 / 8);
        let customer = customers.rank(&mut chance) as u64;
        let product = products.rank(&mut chance) as u64;
        touched.push(1_000_000 + customer);
        touched.push(2_000_000 + product / 2);
        touched.push(3_000_000 + customer % 64 * 20 + product % 20);
        row += 1;
    }
    touched.truncate(percent * 4_000);
    touched
}
