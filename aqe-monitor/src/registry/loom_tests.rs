//! Every interleaving of threads that count, end, hand their cells on and read, as loom finds them.
//!
//! Run with `cargo xtask ci loom`.

use std::sync::Arc;

use loom::thread;

use super::buckets::Dense;
use super::cells::{Arena, Block, PAGE_CELLS, add_owned};
use super::sync::Mutex;
use super::tree::{FULL, Recorded, Tree};

/// What a thread does that counts `n` times: it leases a slab, adds to its own cells, and gives the slab back.
fn count(arena: &Arena, block: &Block, n: usize) {
    let index = block.index(0);
    let Some(slab) = arena.lease_slab() else {
        (0..n).for_each(|_| block.add_shared(index, 1));
        return;
    };
    let page = slab.open_page(index as usize / PAGE_CELLS).expect("a page");
    (0..n).for_each(|_| add_owned(&page[index as usize % PAGE_CELLS], 1));
    arena.release_slab(slab);
}

fn join<const COUNT: usize>(threads: [thread::JoinHandle<()>; COUNT]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn explore(check: impl Fn(Arc<Arena>) + Send + Sync + 'static) {
    loom::model(move || check(Arc::new(Arena::new())));
}

#[test]
fn loom_totals_are_exact_when_threads_have_ended() {
    explore(|arena| {
        let block = Arc::new(arena.lease_block());
        let threads = [1, 2].map(|n| {
            let (arena, block) = (Arc::clone(&arena), Arc::clone(&block));
            thread::spawn(move || count(&arena, &block, n))
        });
        // Meanwhile, a reader sees no more than was counted, and never less than before.
        let (first, second) = (block.total(block.index(0)), block.total(block.index(0)));
        assert!(first <= second && second <= 3, "{first} {second}");
        join(threads);
        assert_eq!(block.total(block.index(0)), 3);
        assert_eq!(block.totals()[0], 3);
    });
}

#[test]
fn loom_slab_that_changes_hands_loses_nothing() {
    explore(|arena| {
        let block = Arc::new(arena.lease_block());
        // One that counts before the others and whose slab one of them, or both in turn, may take over.
        count(&arena, &block, 1);
        let threads = [1, 1].map(|n| {
            let (arena, block) = (Arc::clone(&arena), Arc::clone(&block));
            thread::spawn(move || count(&arena, &block, n))
        });
        join(threads);
        assert_eq!(block.total(block.index(0)), 3);
    });
}

#[test]
fn loom_thread_without_a_slab_counts_too() {
    explore(|arena| {
        let block = Arc::new(arena.lease_block());
        // The bound of slabs is two here: the threads find at most one, or none.
        let held = arena.lease_slab().unwrap();
        let threads = [1, 1].map(|n| {
            let (arena, block) = (Arc::clone(&arena), Arc::clone(&block));
            thread::spawn(move || count(&arena, &block, n))
        });
        join(threads);
        arena.release_slab(held);
        assert_eq!(block.total(block.index(0)), 2);
    });
}

#[test]
fn loom_cells_that_are_leased_again_begin_at_zero() {
    explore(|arena| {
        let block = Arc::new(arena.lease_block());
        let counting = {
            let (arena, block) = (Arc::clone(&arena), Arc::clone(&block));
            thread::spawn(move || count(&arena, &block, 1))
        };
        // The last of the two handles resets the cells, whichever it is.
        drop(block);
        let next = arena.lease_block();
        count(&arena, &next, 1);
        assert_eq!(next.total(next.index(0)), 1);
        counting.join().unwrap();
        assert_eq!(next.total(next.index(0)), 1);
    });
}

#[test]
fn loom_full_cell_is_read_in_one_place_or_the_other() {
    let mut model = loom::model::Builder::new();
    // A reader looks at each cell of an octave.
    model.max_branches = 20_000;
    model.check(|| {
        let shared = Arc::new((Tree::new(), Mutex::new(Dense::default())));
        shared.0.open(1_000);
        shared.0.fill(1_000, FULL - 1);
        let recording = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (tree, wide) = &*shared;
                assert_eq!(tree.record(1_000), Recorded::Full);
                tree.empty(1_000, &mut wide.lock());
                assert_eq!(tree.record(1_000), Recorded::Yes);
            })
        };
        let count = || {
            let (tree, wide) = &*shared;
            let wide = wide.lock();
            let mut all = wide.clone();
            tree.add_to(&mut all);
            drop(wide);
            all.snapshot().count() - u64::from(FULL - 1)
        };
        let (first, second) = (count(), count());
        assert!(first <= second && second <= 2, "{first} {second}");
        recording.join().unwrap();
        assert_eq!(count(), 2);
    });
}
