//! Placeholder of the base commit.
