//! Which of several queues gets the next operation: nothing but the choice.

use std::cmp::Ordering::Less;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::shared::Glance;

/// How [`Lanes`](crate::Lanes) choose. Whatever the way, a lane that has no room is passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Placement {
    /// Each lane in turn.
    #[default]
    RoundRobin,
    /// The less loaded of two lanes that are drawn at random, wide ones more often: the one that would have fewer
    /// operations, waiting and running, for each of its slots. With many lanes the most loaded is hardly more so than
    /// the others, at the price of looking at two (Mitzenmacher, "The Power of Two Choices in Randomized Load
    /// Balancing", 2001), and producers that choose at the same moment do not all run to the same lane.
    LeastLoaded,
    /// Any lane.
    Random,
}

pub(super) struct Chooser {
    placement: Placement,
    /// Whose turn it is. Relaxed, as its neighbour: each number is given out once, and nothing is read because of it.
    turn: AtomicUsize,
    /// The state of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014). Its steps
    /// are additions, so threads share one sequence without a lock.
    chance: AtomicU64,
}

impl Chooser {
    pub(super) const fn new(placement: Placement, seed: u64) -> Self {
        Self {
            placement,
            turn: AtomicUsize::new(0),
            chance: AtomicU64::new(seed),
        }
    }

    pub(super) const fn placement(&self) -> Placement {
        self.placement
    }

    /// Chooses one of the lanes that are so wide. `None` if none has room.
    pub(super) fn choose(&self, widths: &Widths, look: impl Fn(usize) -> Glance) -> Option<usize> {
        let count = widths.ends.len();
        if count == 0 {
            return None;
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = self.among(turn, widths, &look);
        if look(chosen).room > 0 {
            return Some(chosen);
        }
        // Chosen anew among those that have room, so that a closed lane's share does not all go to its neighbour.
        let open: Vec<_> = (0..count).filter(|lane| look(*lane).room > 0).collect();
        if open.is_empty() {
            return None;
        }
        let widths = open.iter().map(|lane| look(*lane).limit).collect();
        // A lane without room comes up each `count` turns: the rounds are what moves on evenly.
        let chosen = self.among(turn / count, &widths, |index| look(open[index]));
        open.get(chosen).copied()
    }

    fn among(&self, turn: usize, widths: &Widths, look: impl Fn(usize) -> Glance) -> usize {
        let count = widths.ends.len();
        match self.placement {
            Placement::RoundRobin => turn % count,
            Placement::Random => scale(self.draw(), count as u64) as usize,
            Placement::LeastLoaded => {
                let (first, second) = widths.two(|below| scale(self.draw(), below));
                if is_better(look(second), look(first)) {
                    second
                } else {
                    first
                }
            }
        }
    }

    fn draw(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut state = self
            .chance
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        state ^ (state >> 31)
    }
}

/// Maps 64 random bits to a number below `below`.
fn scale(bits: u64, below: u64) -> u64 {
    // The product of two 64-bit numbers, and its upper half.
    ((u128::from(bits) * u128::from(below)) >> 64) as u64
}

/// How wide lanes are, for drawing them in proportion: of a lane with half of all slots, two draws among four lanes as
/// such would find only every second operation a place there (Berenbrink, Brinkmann, Friedetzky and Nagel, "Balls into
/// Non-Uniform Bins", 2010). Widths that have changed since only make the draw less good.
pub(super) struct Widths {
    /// Where each lane ends if they are laid side by side.
    ends: Vec<u64>,
}

impl FromIterator<usize> for Widths {
    fn from_iter<I: IntoIterator<Item = usize>>(limits: I) -> Self {
        let mut end = 0u64;
        let ends = limits.into_iter().map(|limit| {
            end = end.saturating_add(limit.max(1) as u64);
            end
        });
        Self {
            ends: ends.collect(),
        }
    }
}

impl Widths {
    /// Draws two different lanes; the same twice if there is but one. `draw` returns a number below what it is given.
    fn two(&self, draw: impl Fn(u64) -> u64) -> (usize, usize) {
        let total = self.ends.last().copied().unwrap_or(0);
        let first = self.at(draw(total));
        let from = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let width = self.ends[first] - from;
        if width == total {
            return (first, first);
        }
        let second = draw(total - width);
        // What lies behind the first begins where that began.
        let second = if second < from {
            second
        } else {
            second + width
        };
        (first, self.at(second))
    }

    /// Returns the lane that lies there.
    fn at(&self, slot: u64) -> usize {
        self.ends.partition_point(|end| *end <= slot)
    }
}

/// Whether an operation had better go to `one` than to `other`.
fn is_better(one: Glance, other: Glance) -> bool {
    if one.room == 0 || other.room == 0 {
        return one.room > 0;
    }
    // With the newcomer in it: of two empty lanes the wider is better. Products in place of quotients, which are exact.
    let load = |lane: Glance| lane.load as u128 + 1;
    let slots = |lane: Glance| lane.limit.max(1) as u128;
    (load(one) * slots(other)).cmp(&(load(other) * slots(one))) == Less
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: Glance = Glance {
        load: 0,
        limit: 1,
        room: usize::MAX,
    };

    /// Throws operations at lanes with these limits, where none ever ends. Returns how many each has.
    fn throw(placement: Placement, seed: u64, limits: &[usize], operations: usize) -> Vec<usize> {
        let chooser = Chooser::new(placement, seed);
        let mut loads = vec![0; limits.len()];
        let widths = limits.iter().copied().collect();
        for _ in 0..operations {
            let chosen = chooser.choose(&widths, |lane| Glance {
                load: loads[lane],
                limit: limits[lane],
                ..FREE
            });
            loads[chosen.unwrap()] += 1;
        }
        loads
    }

    #[test]
    fn two_choices_keep_the_most_loaded_lane_close_to_the_mean() {
        for seed in 0..20 {
            let most = |placement| {
                throw(placement, seed, &[1; 1_000], 10_000)
                    .into_iter()
                    .max()
            };
            let (two, random) = (
                most(Placement::LeastLoaded).unwrap(),
                most(Placement::Random).unwrap(),
            );
            // Ten for each lane. At random the fullest of a thousand has twice as many; with two choices it exceeds the
            // mean by about log log 1000 ÷ log 2, which is less than 3.
            assert!(random >= 18, "seed {seed}: {random}");
            assert!(two <= 14, "seed {seed}: {two}");
        }
    }

    #[test]
    fn random_reaches_every_lane_about_as_often() {
        let loads = throw(Placement::Random, 7, &[1; 8], 80_000);
        // The standard deviation of each is below 94.
        assert!(
            loads.iter().all(|it| it.abs_diff(10_000) < 600),
            "{loads:?}"
        );
    }

    #[test]
    fn wide_lanes_get_more_by_load_and_the_same_in_turn() {
        let limits = [1, 2, 4, 9];
        let loads = throw(Placement::LeastLoaded, 3, &limits, 16_000);
        for (load, limit) in loads.iter().zip(limits) {
            assert!(load.abs_diff(1_000 * limit) <= 20, "{loads:?}");
        }
        assert_eq!(throw(Placement::RoundRobin, 3, &limits, 16_000), [4_000; 4]);
    }

    #[test]
    fn the_same_seed_chooses_the_same() {
        for placement in [Placement::Random, Placement::LeastLoaded] {
            let throw = |seed| throw(placement, seed, &[1; 50], 500);
            assert_eq!(throw(5), throw(5));
            assert_ne!(throw(5), throw(6));
        }
    }

    #[test]
    fn lanes_without_room_are_passed_over_and_their_share_is_shared() {
        let widths = |count| std::iter::repeat_n(1, count).collect();
        for placement in [
            Placement::RoundRobin,
            Placement::LeastLoaded,
            Placement::Random,
        ] {
            let chooser = Chooser::new(placement, 1);
            for (count, open) in [(5, vec![0, 3, 4]), (4, vec![0, 2]), (3, vec![2])] {
                let mut counts = vec![0usize; count];
                for _ in 0..12_000 {
                    let chosen = chooser.choose(&widths(count), |lane| Glance {
                        load: counts[lane],
                        room: usize::from(open.contains(&lane)),
                        ..FREE
                    });
                    counts[chosen.unwrap()] += 1;
                }
                for (lane, chosen) in counts.iter().enumerate() {
                    let share = if open.contains(&lane) {
                        12_000 / open.len()
                    } else {
                        0
                    };
                    // Six standard deviations of chance.
                    let is_near = chosen.abs_diff(share) <= if share == 0 { 0 } else { 330 };
                    assert!(is_near, "{placement:?} {counts:?}");
                }
            }
            let full = Glance { room: 0, ..FREE };
            assert_eq!(chooser.choose(&widths(5), |_| full), None);
            assert_eq!(chooser.choose(&widths(0), |_| FREE), None);
            assert_eq!(chooser.choose(&widths(1), |_| FREE), Some(0));
        }
    }
}
