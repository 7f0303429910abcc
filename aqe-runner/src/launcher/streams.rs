//! Both output streams of a running process, and who looks at them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::launch::{Launch, OutputMode, Tap};
use super::output::{Output, Sink};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    #[cfg(target_os = "linux")]
    pub(super) const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];
}

pub(super) struct Streams {
    /// `None` when output is inherited.
    sinks: Option<[Sink; 2]>,
    tap: Option<Tap>,
    tap_panicked: bool,
}

impl Streams {
    /// Takes the launch's tap.
    pub(super) fn of(launch: &mut Launch) -> Self {
        let sinks = match &launch.output {
            OutputMode::Capture(capture) => {
                Some([Sink::new(capture.clone()), Sink::new(capture.clone())])
            }
            OutputMode::Inherit => None,
        };
        Self {
            sinks,
            tap: launch.on_stdout.take(),
            tap_panicked: false,
        }
    }

    pub(super) fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(sinks) = &mut self.sinks {
            sinks[stream as usize].push(bytes);
        }
        if stream == Stream::Stdout
            && let Some(tap) = &mut self.tap
            // The closure is dropped after a panic, so nobody sees what state it is in.
            && catch_unwind(AssertUnwindSafe(|| tap(bytes))).is_err()
        {
            self.tap_panicked = true;
            self.tap = None;
        }
    }

    /// Gives the tap back for a launch that has to be tried again; nothing has been written yet.
    pub(super) fn into_tap(self) -> Option<Tap> {
        self.tap
    }

    pub(super) fn finish(self) -> ([Output; 2], bool) {
        let outputs = self
            .sinks
            .map_or_else(<[Output; 2]>::default, |sinks| sinks.map(Sink::finish));
        (outputs, self.tap_panicked)
    }
}
