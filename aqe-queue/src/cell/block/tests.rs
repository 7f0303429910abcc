use std::sync::atomic::AtomicUsize as Count;

use super::super::{CancelSignal, OpRef, Owned, Waited};
use super::*;
use crate::body::Ending;

/// A home that nobody calls.
struct Nowhere;

impl Home for Nowhere {
    fn schedule(&self, _: OpRef) {}

    fn withdrawn(&self, _: Owned, _: Waited, _: Ending) {}

    fn set_level(&self, _: &OpRef, _: u8) -> bool {
        false
    }

    fn levels(&self) -> u8 {
        0
    }

    fn signal(&self, _: &OpRef) -> CancelSignal {
        CancelSignal::new()
    }

    fn is_stopping(&self) -> bool {
        false
    }

    fn end_signal(&self, _: u64, _: bool) {}
}

const SMALL: Layout = Layout::new::<[u64; 10]>();

fn let_go(place: &Place<Nowhere>) {
    // SAFETY: each place of these tests is let go once.
    unsafe { Block::release(place.block(), 1) }
}

#[test]
fn every_place_is_aligned_and_nobody_elses() {
    let nursery = Nursery::new(Arc::new(Nowhere));
    let mut places = Vec::new();
    for number in 0..500_usize {
        let layout = Layout::from_size_align(8 + number * 7 % 700, 1 << (number % 8)).unwrap();
        let place = nursery.place((number % 3) as u8, layout);
        assert_eq!(place.at.as_ptr() as usize % layout.align(), 0);
        // SAFETY: the memory is for so many bytes.
        unsafe { place.at.write_bytes(number as u8, layout.size()) };
        places.push((place, layout));
    }
    for (number, (place, layout)) in places.iter().enumerate() {
        // SAFETY: written above.
        let bytes = unsafe { std::slice::from_raw_parts(place.at.as_ptr(), layout.size()) };
        assert!(bytes.iter().all(|byte| *byte == number as u8), "{number}");
    }
    places.iter().for_each(|(place, _)| let_go(place));
}

#[test]
#[cfg(not(aqe_single))]
fn levels_lie_apart_and_blocks_grow_to_a_page() {
    let nursery = Nursery::new(Arc::new(Nowhere));
    let places: Vec<_> = (0..400_u32)
        .map(|n| nursery.place((n % 2) as u8, SMALL))
        .collect();
    let mut blocks: Vec<(NonNull<Block>, u8, usize)> = Vec::new();
    for (number, place) in places.iter().enumerate() {
        let (block, level) = (place.block(), (number % 2) as u8);
        match blocks.iter_mut().find(|(known, ..)| *known == block) {
            Some((_, of, count)) => {
                assert_eq!(*of, level, "two levels in one block");
                *count += 1;
            }
            None => blocks.push((block, level, 1)),
        }
    }
    let of_one: Vec<usize> = blocks
        .iter()
        .filter(|it| it.1 == 0)
        .map(|it| it.2)
        .collect();
    assert_eq!(of_one[..3], [1, 2, 5]);
    assert_eq!(of_one[of_one.len() - 2], (LARGEST - 40) / 80);
    places.iter().for_each(let_go);
}

#[test]
#[cfg(not(aqe_single))]
fn block_in_which_nothing_is_left_is_used_again() {
    let nursery = Nursery::new(Arc::new(Nowhere));
    let mut seen = std::collections::HashSet::new();
    for _ in 0..10_000 {
        let place = nursery.place(0, SMALL);
        seen.insert(place.at);
        let_go(&place);
    }
    assert_eq!(seen.len(), 1);
}

#[test]
fn blocks_go_with_the_last_that_needs_them() {
    let home = Arc::new(Nowhere);
    let nursery = Nursery::new(Arc::clone(&home));
    let places: Vec<_> = (0..200).map(|_| nursery.place(0, SMALL)).collect();
    drop(nursery);
    for place in &places {
        assert!(Arc::strong_count(&home) > 1, "a block is gone too early");
        let_go(place);
    }
    assert_eq!(Arc::strong_count(&home), 1, "a block has been leaked");
}

#[test]
fn threads_lay_and_let_go_side_by_side() {
    let nursery = Nursery::new(Arc::new(Nowhere));
    let home = Arc::clone(&nursery.home);
    let laid = Count::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (nursery, laid) = (&nursery, &laid);
            scope.spawn(move || {
                let mut kept = Vec::new();
                for number in 0..5_000_usize {
                    let place = nursery.place((number % 2) as u8, SMALL);
                    // SAFETY: the memory is for ten numbers.
                    unsafe { place.at.cast::<usize>().write(thread * 10_000 + number) };
                    kept.push((place, thread * 10_000 + number));
                    laid.fetch_add(1, Ordering::Relaxed);
                    if number % 3 == 0 {
                        for (place, mark) in kept.drain(..) {
                            // SAFETY: written above.
                            assert_eq!(unsafe { place.at.cast::<usize>().read() }, mark);
                            let_go(&place);
                        }
                    }
                }
                kept.iter().for_each(|(place, _)| let_go(place));
            });
        }
    });
    assert_eq!(laid.into_inner(), 20_000);
    drop(nursery);
    assert_eq!(Arc::strong_count(&home), 1, "a block has been leaked");
}
