//! Base.
fn main() {}
