//! The most hits that any cache could have: Belady, "A study of replacement algorithms" (IBM Systems Journal, 1966).

use std::collections::BTreeSet;

use super::Load;

/// Lets go of what is read again last, or never; what was just read may be that itself.
pub(super) fn hits(load: &Load, capacity: usize) -> usize {
    let next = next_reads(load);
    let mut held: Vec<Option<u32>> = vec![None; load.distinct];
    let mut by_next: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut hits = 0;
    for (read, key) in load.keys.iter().enumerate() {
        if let Some(this) = held[*key as usize].replace(next[read]) {
            hits += 1;
            by_next.remove(&(this, *key));
        }
        by_next.insert((next[read], *key));
        if by_next.len() > capacity
            && let Some((_, last)) = by_next.pop_last()
        {
            held[last as usize] = None;
        }
    }
    hits
}

/// For each read, when its key is read the next time.
fn next_reads(load: &Load) -> Vec<u32> {
    let mut next = vec![u32::MAX; load.keys.len()];
    let mut coming = vec![u32::MAX; load.distinct];
    for (read, key) in load.keys.iter().enumerate().rev() {
        next[read] = std::mem::replace(&mut coming[*key as usize], read as u32);
    }
    next
}
