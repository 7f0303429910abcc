//! Recency: what was read a moment ago is read again, and then never more.

use super::chance::{Chance, Zipf};

/// Every key is read two or three times soon after it appeared, and then never: as of a ledger's transactions.
pub(super) fn soon_again(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(31);
    // Reads that are due, by the request at which they are: a calendar that wraps.
    const HORIZON: usize = 1 << 16;
    let mut calendar: Vec<Vec<u64>> = vec![Vec::new(); HORIZON];
    let mut keys = Vec::new();
    for now in 0.. {
        if keys.len() >= percent * 5_000 {
            break;
        }
        keys.append(&mut calendar[now % HORIZON]);
        let fresh = now as u64;
        keys.push(fresh);
        let soon = 1 + chance.exponential(150.0) as usize;
        calendar[(now + soon.min(HORIZON - 1)) % HORIZON].push(fresh);
        if chance.happens(0.5) {
            let later = soon + 1 + chance.exponential(1_500.0) as usize;
            calendar[(now + later.min(HORIZON - 1)) % HORIZON].push(fresh);
        }
    }
    keys.truncate(percent * 5_000);
    keys
}

/// How far down the stack of the most recently read keys a request reaches is log-normal; a fifth is new.
pub(super) fn stack_distances(percent: usize) -> Vec<u64> {
    let mut chance = Chance::new(32);
    let requests = percent * 4_000;
    let mut stack = Stack::new(requests);
    let mut fresh = 0;
    (0..requests)
        .map(|_| {
            let distance = (6.0 + 2.0 * chance.normal()).exp() as usize;
            let again = if chance.happens(0.2) {
                None
            } else {
                stack.take(distance)
            };
            let key = again.unwrap_or_else(|| {
                fresh += 1;
                fresh
            });
            stack.push(key);
            key
        })
        .collect()
}

/// Users come, read and re-read some dozen objects of their own for a while, and go; some metadata everybody reads.
pub(super) fn sessions(percent: usize) -> Vec<u64> {
    struct Session {
        first: u64,
        objects: u64,
        left: u64,
    }
    let mut chance = Chance::new(33);
    let metadata = Zipf::new(2_000, 0.9);
    let mut fresh = 1_000_000;
    let mut begin = |chance: &mut Chance| {
        let objects = 5 + chance.below(40);
        fresh += objects;
        Session {
            first: fresh - objects,
            objects,
            left: objects * (2 + chance.below(3)),
        }
    };
    let mut sessions: Vec<Session> = (0..60).map(|_| begin(&mut chance)).collect();
    let favours = Zipf::new(sessions.len(), 0.5);
    (0..percent * 5_000)
        .map(|_| {
            if chance.happens(0.15) {
                return metadata.rank(&mut chance) as u64;
            }
            let session = &mut sessions[favours.rank(&mut chance)];
            // An object leads to one near it: reads advance over the session's objects with some jumps back.
            let done = session.left % session.objects;
            let back = (chance.exponential(3.0) as u64).min(session.objects - 1);
            let key = session.first
                + (session.objects - 1 - done + session.objects - back) % session.objects;
            session.left -= 1;
            if session.left == 0 {
                *session = begin(&mut chance);
            }
            key
        })
        .collect()
}

/// The keys by when they were read last: a Fenwick tree over the requests that are some key's last one.
struct Stack {
    counts: Vec<u32>,
    keys: Vec<u64>,
    live: usize,
}

impl Stack {
    fn new(requests: usize) -> Self {
        Self {
            counts: vec![0; requests + 1],
            keys: Vec::with_capacity(requests),
            live: 0,
        }
    }

    fn push(&mut self, key: u64) {
        self.keys.push(key);
        self.live += 1;
        self.add(self.keys.len(), 1);
    }

    /// Takes the key with `distance` more recently read ones, if there are so many.
    fn take(&mut self, distance: usize) -> Option<u64> {
        let nth = self.live.checked_sub(distance + 1)?;
        let at = self.find(nth as u32);
        self.add(at + 1, u32::MAX);
        self.live -= 1;
        Some(self.keys[at])
    }

    fn add(&mut self, mut at: usize, by: u32) {
        while at < self.counts.len() {
            self.counts[at] = self.counts[at].wrapping_add(by);
            at += at & at.wrapping_neg();
        }
    }

    /// The request, counted from 0, that has `nth` live ones before it.
    fn find(&self, mut nth: u32) -> usize {
        let mut at = 0;
        let mut step = self.counts.len().next_power_of_two();
        while step > 0 {
            if at + step < self.counts.len() && self.counts[at + step] <= nth {
                at += step;
                nth -= self.counts[at];
            }
            step /= 2;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stack_gives_the_key_at_a_distance() {
        let mut stack = Stack::new(10);
        for key in [10, 20, 30, 40] {
            stack.push(key);
        }
        assert_eq!(stack.take(1), Some(30));
        stack.push(30);
        assert_eq!(stack.take(0), Some(30));
        assert_eq!(stack.take(2), Some(10));
        assert_eq!(stack.take(2), None);
    }
}
