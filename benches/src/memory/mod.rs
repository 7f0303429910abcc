//! What the store of `aqe-memory` is made of, beside what people use for the same.
//!
//! - [`artefacts`]: the values that everything here is measured with.
//! - [`codec`]: how small they become, and how fast.

pub mod artefacts;
pub mod codec;
