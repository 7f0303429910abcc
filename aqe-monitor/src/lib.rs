//! Metrics that cost nothing, a history that people can query, alerts and advice.
//!
//! Most applications use this through `aqe-core`.

#[cfg(feature = "alerts")]
pub mod alerts;
#[cfg(feature = "bottlenecks")]
pub mod bottlenecks;
#[cfg(feature = "compare")]
pub mod compare;
#[cfg(feature = "history")]
pub mod history;
#[cfg(feature = "profile")]
pub mod profile;
pub mod registry;
#[cfg(feature = "sampler")]
pub mod sampler;
