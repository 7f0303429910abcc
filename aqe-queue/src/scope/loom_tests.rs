//! All interleavings of bodies that are dropped and the scope that waits for them.
//!
//! Run with `cargo xtask ci loom`.

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;

/// What bodies have written is there when the scope goes on, and none of them writes later. Loom's cell fails the test
/// at an access that another does not happen before.
#[test]
fn loom_scope_goes_on_after_the_last_body() {
    loom::model(|| {
        let bodies = Arc::new(Bodies::default());
        let borrowed = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
        let threads = [0, 1].map(|index| {
            let (token, borrowed) = (Token::new(&bodies), Arc::clone(&borrowed));
            thread::spawn(move || {
                // SAFETY: nobody else has this one before the token is dropped, which loom checks.
                borrowed[index].with_mut(|value| unsafe { *value = index + 1 });
                drop(token);
            })
        });
        drop(WaitForBodies(Arc::clone(&bodies)));
        for index in 0..2 {
            // SAFETY: the bodies are over, which loom checks.
            let value = borrowed[index].with_mut(|value| unsafe { *value });
            assert_eq!(value, index + 1);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
