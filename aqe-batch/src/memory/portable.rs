//! Elsewhere than on Linux: not known.

pub(super) struct System;

impl System {
    pub(super) fn find() -> Self {
        Self
    }

    pub(super) fn used(&mut self) -> Option<f64> {
        None
    }
}
