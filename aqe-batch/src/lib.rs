//! Batch processing: so far, the analysis of coverage reports.

pub mod coverage;
