//! Writing to the two standard streams when nobody may be listening any more.

use std::io::{self, Write};

use crate::exit::Exit;
use crate::failure::Failure;

/// Prints results. A reader that has seen enough and closed the pipe, as `head` does, is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    show(&mut io::stdout().lock(), text).map(|_| ())
}

/// Prints one of many results. Says whether somebody still reads them.
pub(crate) fn show(stdout: &mut impl Write, text: &str) -> Result<bool, Failure> {
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::new(
            Exit::Environment,
            format!("cannot write to standard output: {error}"),
        )),
    }
}

/// Prints a diagnostic; when standard error is gone there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// A stream that may fail without the run failing: after the first error it swallows everything.
///
/// The journal holds what is not shown. An error other than a closed pipe is kept for [`error`](Self::error).
#[derive(Debug)]
pub(crate) struct Patient<W> {
    stream: W,
    is_dead: bool,
    error: Option<io::Error>,
}

impl<W: Write> Patient<W> {
    pub(crate) fn new(stream: W) -> Self {
        Self {
            stream,
            is_dead: false,
            error: None,
        }
    }

    /// Writes all of it and hands it to the system.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.is_dead || bytes.is_empty() {
            return;
        }
        if let Err(error) = self
            .stream
            .write_all(bytes)
            .and_then(|()| self.stream.flush())
        {
            self.is_dead = true;
            self.error = (error.kind() != io::ErrorKind::BrokenPipe).then_some(error);
        }
    }

    /// Why the stream is dead, once.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accepts so many writes, then fails as it is told.
    struct Failing(usize, io::ErrorKind, Vec<u8>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(self.1.into());
            }
            self.0 -= 1;
            self.2.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_that_failed_once_is_left_alone() {
        for (kind, is_told) in [
            (io::ErrorKind::BrokenPipe, false),
            (io::ErrorKind::StorageFull, true),
        ] {
            let mut stream = Patient::new(Failing(1, kind, Vec::new()));
            stream.write(b"one");
            stream.write(b"two");
            stream.stream.0 = 5;
            stream.write(b"three");
            assert_eq!(stream.stream.2, b"one");
            assert_eq!(stream.take_error().is_some(), is_told);
            assert!(stream.take_error().is_none());
        }
    }
}
