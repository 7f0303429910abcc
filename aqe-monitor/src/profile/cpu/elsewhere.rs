//! Where samples cannot be taken.

use std::convert::Infallible;

use super::super::error::ProfileError;
use super::super::stacks::Profile;
use super::CpuOptions;

/// There is none.
#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Session {
    pub(super) fn start(_: CpuOptions) -> Result<Self, ProfileError> {
        Err(ProfileError::Unsupported)
    }

    pub(super) fn stop(self) -> Profile {
        match self.0 {}
    }
}
