//! `aqe history`: what the archive of the project's tests holds.

mod document;
mod table;

use aqe_runner::history::{Archive, HistoryError, TestHistory};
use aqe_runner::model::{TestId, UnixMillis};

use crate::args::HistoryArgs;
use crate::config::working_folder;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::report::style::Colors;
use crate::store_place::{self, Place};

pub(crate) use self::table::Age;

/// Shows the tests that were asked for.
pub(crate) fn run(arguments: &HistoryArgs) -> Result<Exit, Failure> {
    let place = store_place::find(&arguments.store, &arguments.config, &working_folder()?)?;
    let archive = Archive::open(&place.folder, &place.settings).map_err(|error| match &error {
        HistoryError::Open(error) => store_place::not_opened(error),
        error => Failure::of(Exit::Environment, error),
    })?;
    let mut tests = Vec::new();
    archive.each(
        |test| is_wanted(test, arguments),
        |history| {
            if !arguments.flaky || history.flaky() > 0 {
                tests.push(history);
            }
        },
    );
    if arguments.json {
        let document = document::of(&place.folder, &archive.runs(), &tests);
        output::print(&document.text()?)?;
    } else if !tests.is_empty() {
        let look = table::Look {
            colors: Colors::choose(arguments.color, &std::io::stdout()),
            executions: arguments.verbose,
            now: UnixMillis::now(),
        };
        output::print(&table::of(&tests, look))?;
    }
    if tests.is_empty() {
        return Err(nothing(arguments, &place, &archive));
    }
    Ok(Exit::Success)
}

/// Names are compared as `aqe run` compares them.
fn is_wanted(test: &TestId, arguments: &HistoryArgs) -> bool {
    let matches = |name: &String| match arguments.exact {
        true => test.name.as_str() == name,
        false => test.name.as_str().contains(name.as_str()),
    };
    arguments.names.is_empty() || arguments.names.iter().any(matches)
}

fn nothing(arguments: &HistoryArgs, place: &Place, archive: &Archive) -> Failure {
    let mut known = 0;
    let take = |_: TestHistory| known += 1;
    archive.each(|_| true, take);
    let folder = place.folder.display();
    if known == 0 {
        return Failure::new(
            Exit::NoTests,
            format!("there are no tests in the history in {folder}"),
        )
        .hint("`aqe run` adds what it runs; what is older than memory.retentionPeriod is gone");
    }
    let which = if arguments.flaky {
        "no flaky test"
    } else {
        "no test"
    };
    let named = match &arguments.names[..] {
        [] => String::new(),
        names => format!(" named {}", names.join(", ")),
    };
    Failure::new(
        Exit::NoTests,
        format!("{which}{named} among the {known} tests in the history in {folder}"),
    )
}
