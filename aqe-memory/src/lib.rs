//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod codec;
#[cfg(not(feature = "internals"))]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the store that puts values through it is being built beside it"
    )
)]
#[expect(
    unreachable_pub,
    unused_imports,
    reason = "benches and fuzzing reach all of it with the feature `internals`"
)]
mod codec;
