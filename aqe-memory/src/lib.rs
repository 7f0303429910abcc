//! A compressed and encrypted store, in memory and on disk, whose entries expire on time.

// Not part of the interface: public for the comparison of hit ratios, which drives the policy without a store around it.
#[doc(hidden)]
pub mod policy;
