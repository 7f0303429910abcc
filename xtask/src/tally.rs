//! Counts tests by the lines that libtest prints: `test result: ok. 3 passed; 0 failed; …`.
//!
//! A failing test may itself have run tests and shown their lines, so a result line counts only when its
//! parts add up to the number that the section's `running N tests` announced.

/// How many tests passed, failed and were left out.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed, and binaries that ended without a result.
    pub failed: u64,
    /// Tests marked `#[ignore]`.
    pub ignored: u64,
}

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// The closing line of a test run.
    #[must_use]
    pub fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

/// Reads the lines of a run and keeps the tally.
#[derive(Debug, Default)]
pub(crate) struct TallyReader {
    tally: Tally,
    section: Option<Section>,
}

/// One test binary between `running N tests` and its result.
#[derive(Debug)]
struct Section {
    announced: u64,
    /// Past `failures:`, where a test's own output is shown.
    shows_output: bool,
}

impl TallyReader {
    /// Takes the next line, without its line ending.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(announced) = announcement(line) {
            if self.section.as_ref().is_none_or(|open| !open.shows_output) {
                self.section = Some(Section {
                    announced,
                    shows_output: false,
                });
            }
            return;
        }
        let Some(section) = &mut self.section else {
            return;
        };
        if line == "failures:" {
            section.shows_output = true;
        } else if let Some((tally, total)) = result(line)
            && total == section.announced
        {
            self.tally.add(tally);
            self.section = None;
        }
    }

    /// Ends the reading. A run that went wrong though every result it printed was good (a binary crashed,
    /// the build broke) counts as one failure, so that the closing line cannot read as a success.
    pub(crate) fn finish(self, success: bool) -> Tally {
        let mut tally = self.tally;
        if !success && tally.failed == 0 {
            tally.failed = 1;
        }
        tally
    }
}

/// The `N` of `running N tests`.
fn announcement(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("running ")?;
    let number = rest
        .strip_suffix(" tests")
        .or_else(|| rest.strip_suffix(" test"))?;
    number.parse().ok()
}

/// The parts of a result line, and the number of tests that were to run.
fn result(line: &str) -> Option<(Tally, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    let mut tally = Tally::default();
    let mut total = 0;
    for part in counts.split("; ") {
        let Some((number, what)) = part.split_once(' ') else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else {
            continue;
        };
        match what {
            "passed" => tally.passed = number,
            "failed" => tally.failed = number,
            "ignored" => tally.ignored = number,
            "measured" => {}
            // Filtered-out tests are not among those announced.
            _ => continue,
        }
        total += number;
    }
    Some((tally, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally_of(lines: &str, success: bool) -> Tally {
        let mut reader = TallyReader::default();
        lines.lines().for_each(|line| reader.line(line));
        reader.finish(success)
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let tally = tally_of(
            "running 3 tests\n\
             test a ... ok\n\
             test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s\n\
             running 1 test\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            true,
        );
        let expected = Tally {
            passed: 3,
            failed: 0,
            ignored: 1,
        };
        assert_eq!(tally, expected);
        assert_eq!(tally.closing_line(), "3 passed, 0 failed");
    }

    #[test]
    fn a_result_line_inside_a_failing_tests_output_does_not_count() {
        let tally = tally_of(
            "running 2 tests\n\
             failures:\n\
             ---- outer stdout ----\n\
             running 9 tests\n\
             test result: ok. 9 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             failures:\n    outer\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            false,
        );
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: 1,
                ignored: 0
            }
        );
    }

    #[test]
    fn a_binary_that_crashes_is_a_failure_and_does_not_hide_the_next_one() {
        let tally = tally_of(
            "running 5 tests\n\
             test a ... ok\n\
             running 1 test\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
            false,
        );
        assert_eq!(
            tally,
            Tally {
                passed: 1,
                failed: 1,
                ignored: 0
            }
        );
    }
}
