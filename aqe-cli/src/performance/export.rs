//! `aqe performance export`: all samples of a period, for other programs.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use aqe_core::monitor::history::{HistoryError, Timestamp};

use super::{Opened, failure};
use crate::args::ExportFormatArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// Writes the samples to a new file, or to standard output.
pub(super) fn run(
    opened: &Opened,
    format: ExportFormatArg,
    period: Duration,
    file: Option<&Path>,
) -> Result<Exit, Failure> {
    let Some(path) = file else {
        let mut stdout = Watched::new(io::stdout().lock());
        let done = write(opened, format, period, &mut stdout);
        return match stdout.is_closed {
            // Whoever reads has seen enough.
            true => Ok(Exit::Success),
            false => done,
        };
    };
    // What is there already is somebody's.
    let created = OpenOptions::new().write(true).create_new(true).open(path);
    let created = created.map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("cannot create {}: {error}", path.display()),
        )
    })?;
    let mut file = BufWriter::new(created);
    let exit = write(opened, format, period, &mut file)?;
    file.flush().map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("cannot write {}: {error}", path.display()),
        )
    })?;
    Ok(exit)
}

fn write(
    opened: &Opened,
    format: ExportFormatArg,
    period: Duration,
    to: &mut impl Write,
) -> Result<Exit, Failure> {
    let now = Timestamp::now();
    // The newest tick may be of this very millisecond.
    let range = now.before(period)..now.after(Duration::from_secs(1));
    let done = match format {
        ExportFormatArg::Csv => opened.reader.export_csv(range, to),
        ExportFormatArg::Json => opened.reader.export_json(range, to),
    };
    let exported = done.map_err(|error: HistoryError| failure(&error))?;
    if exported.damaged > 0 {
        output::complain(&format!(
            "warning: {} damaged rows were left out\n",
            exported.damaged
        ));
    }
    Ok(Exit::Success)
}

/// Notices when nobody reads any more.
struct Watched<W> {
    stream: W,
    is_closed: bool,
}

impl<W> Watched<W> {
    fn new(stream: W) -> Self {
        Self {
            stream,
            is_closed: false,
        }
    }

    fn see<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        let is_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        self.is_closed |= result.as_ref().is_err_and(is_pipe);
        result
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes);
        self.see(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.stream.flush();
        self.see(flushed)
    }
}
