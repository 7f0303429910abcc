//! Which test binaries a Cargo workspace has, and how cargo would start each.
//!
//! [`find_test_binaries`] runs `cargo test --no-run` with the user's [`Selection`] and, at the same time, `cargo
//! metadata`; cargo's own words to the user go straight to standard error. The result is a [`Workspace`] of
//! [`TestBinary`]s with the variables, working folder and runner that `cargo test` gives to a test process.
//!
//! The variables equal those of cargo 1.95, which an end-to-end test compares one by one, with these exceptions:
//!
//! * the search path of the dynamic linker (`LD_LIBRARY_PATH` on Linux) is set for the binaries that need it, see
//!   [`LibraryPath`], since it makes every process start slower;
//! * `RUST_RECURSION_COUNT` and `RUSTUP_TOOLCHAIN_SOURCE`, bookkeeping of rustup's own, are not set.
//!
//! `CARGO_TARGET_TMPDIR` is no variable of a running test: cargo sets it for the compiler only. The folder that it
//! names is created, as cargo does.

mod binary;
mod built;
mod cfg_expr;
mod config;
mod environment;
mod error;
mod find;
#[cfg(fuzzing)]
pub mod fuzzing;
mod layout;
mod library_path;
mod messages;
mod metadata;
mod selection;
mod toolchain;

pub use binary::{TargetKind, TestBinary, Variables};
pub use error::CargoError;
pub use find::{Workspace, find_target_directory, find_test_binaries};
pub use library_path::LibraryPath;
pub use metadata::Package;
pub use selection::Selection;
