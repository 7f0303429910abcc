//! Tests with their figures, a line each.

use std::fmt::Write;
use std::time::Duration;

use aqe_runner::history::{Execution, Flake, Outcome, TestHistory};
use aqe_runner::model::UnixMillis;

use crate::report::style::{Colors, Human, counted};
use crate::report::text::one_line;

/// Executions that a line shows.
const LAST: usize = 10;

/// How the table looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) colors: Colors,
    /// Whether every execution has a line below its test.
    pub(super) executions: bool,
    /// When it is shown, for ages.
    pub(super) now: UnixMillis,
}

/// The table. Names come last in a line, so that long ones push nothing aside.
pub(super) fn of(tests: &[TestHistory], look: Look) -> String {
    let mut text = format!(
        "Runs  Passed  Failed  Flaky   Median  {:<LAST$}  Test\n",
        "Last"
    );
    for history in tests {
        push_test(history, look, &mut text);
    }
    push_sum(tests, look, &mut text);
    text
}

fn push_test(history: &TestHistory, look: Look, text: &mut String) {
    let colors = look.colors;
    let (failures, flaky) = (history.failures(), history.flaky());
    let failures = match failures {
        0 => colors.plain(failures),
        _ => colors.bad(failures),
    };
    let flaky = match flaky {
        0 => colors.plain(flaky),
        _ => colors.odd(flaky),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{:>4}  {:>6}  {failures:>6}  {flaky:>5}  {:>7}  {}  {} {}",
        history.executions.len(),
        history.passes(),
        Human(history.median()),
        last(history, colors),
        colors.faint(one_line(history.test.binary.as_str())),
        one_line(history.test.name.as_str()),
    );
    if look.executions {
        for (execution, flake) in history.executions.iter().zip(history.flakes()) {
            push_execution(execution, flake, look, text);
        }
    }
}

/// One sign per execution, padded to [`LAST`] cells.
fn last(history: &TestHistory, colors: Colors) -> String {
    let executions = &history.executions;
    let shown = &executions[executions.len().saturating_sub(LAST)..];
    let mut text = String::new();
    for execution in shown {
        let _ = match execution.outcome {
            Outcome::Passed => write!(text, "{}", colors.good('+')),
            Outcome::Leaked => write!(text, "{}", colors.odd('L')),
            Outcome::Flaky => write!(text, "{}", colors.odd('~')),
            Outcome::Failed => write!(text, "{}", colors.bad('F')),
            Outcome::TimedOut => write!(text, "{}", colors.bad('T')),
            _ => write!(text, "?"),
        };
    }
    text + &" ".repeat(LAST - shown.len())
}

fn push_execution(execution: &Execution, flake: Option<Flake>, look: Look, text: &mut String) {
    let age = look.now.0.saturating_sub(execution.started.0);
    let attempts = match execution.attempts {
        0 | 1 => String::new(),
        more => format!(", {more} attempts"),
    };
    let flake = match flake {
        Some(Flake::Changed) => ", same binary as before",
        _ => "",
    };
    let _ = writeln!(
        text,
        "      {:>7} ago  {:<9}  {:>7}  {}{attempts}{flake}",
        Age(Duration::from_millis(age)),
        execution.outcome.label(),
        Human(execution.duration),
        look.colors.faint(format!("run {}", execution.run)),
    );
}

fn push_sum(tests: &[TestHistory], look: Look, text: &mut String) {
    let flaky = tests.iter().filter(|history| history.flaky() > 0).count();
    let executions: usize = tests.iter().map(|history| history.executions.len()).sum();
    let first = tests
        .iter()
        .filter_map(|history| history.executions.first());
    let oldest = first.map(|one| one.started).min().unwrap_or(look.now);
    let age = Duration::from_millis(look.now.0.saturating_sub(oldest.0));
    let _ = writeln!(
        text,
        "{} with {} in the last {}; {} flaky",
        counted(tests.len() as u64, "test"),
        counted(executions as u64, "execution"),
        Age(age),
        flaky,
    );
}

/// An age in its two largest units: `12s`, `3m05s`, `2h07m`, `5d03h`.
pub(crate) struct Age(pub(crate) Duration);

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        let text = match (seconds / 86_400, seconds / 3600 % 24) {
            (0, 0) if seconds < 60 => format!("{seconds}s"),
            (0, 0) => format!("{}m{:02}s", seconds / 60, seconds % 60),
            (0, hours) => format!("{hours}h{:02}m", seconds / 60 % 60),
            (days, hours) => format!("{days}d{hours:02}h"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m00s"),
            (3_599, "59m59s"),
            (7_620, "2h07m"),
            (86_400 * 5 + 3 * 3600 + 59, "5d03h"),
        ] {
            assert_eq!(Age(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
