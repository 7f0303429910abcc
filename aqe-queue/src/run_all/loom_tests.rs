//! All interleavings of operations that end and the one who gathers their results.
//!
//! Run with `cargo xtask ci loom`.

use loom::thread;

use super::*;
use crate::sync::block_on;

/// Whoever sleeps on the tally hears of every end, however the ends and the looks fall.
#[test]
fn loom_no_end_is_missed() {
    loom::model(|| {
        let tally = Arc::new(Tally::default());
        let ends = [(); 2].map(|()| {
            let waker = waker(Arc::clone(&tally));
            thread::spawn(move || waker.wake())
        });
        let mut heard = 0;
        block_on(std::future::poll_fn(|cx| {
            // As `poll_next`: left before counting.
            tally.attach(cx.waker());
            heard += tally.take();
            if heard == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        for end in ends {
            end.join().unwrap();
        }
        assert_eq!(tally.take(), 0);
    });
}
