//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

#[cfg(feature = "encryption")]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the store that seals its segments with it is being built beside it"
    )
)]
pub mod crypt;
