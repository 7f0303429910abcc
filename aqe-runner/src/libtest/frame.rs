//! What a test itself wrote, of the standard output of a harness that ran it alone.

/// Takes away what libtest writes around the one test that it was asked to run: announcement, name, outcome, list of
/// failures and summary. What it replays of the test's output, and what it remarks on a `should_panic` test, stays.
///
/// Text that does not look like that is returned as it is, and so is text of which a part is missing.
///
/// # Examples
///
/// ```
/// use aqe_runner::libtest::own_output;
///
/// let text = "\nrunning 1 test\ntest a::b ... a line\nFAILED\n\nfailures:\n\nfailures:\n    a::b\n\n\
///             test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\n";
/// assert_eq!(own_output(text, "a::b"), "a line\n");
/// ```
#[must_use]
pub fn own_output(stdout: &str, test: &str) -> String {
    between(stdout, test).map_or_else(|| stdout.to_owned(), |(own, replayed)| own + &replayed)
}

/// The test's own writes, and what the harness replays.
fn between(stdout: &str, test: &str) -> Option<(String, String)> {
    let rest = stdout.strip_prefix("\nrunning 1 test\n")?;
    let rest = rest.strip_prefix("test ")?.strip_prefix(test)?;
    let rest = rest.strip_prefix(" - should panic").unwrap_or(rest);
    let rest = rest.strip_prefix(" ... ")?;
    let end = rest.rfind(&format!("\nfailures:\n    {test}\n\ntest result: FAILED. "))?;
    let (own, replayed) = rest[..end].rsplit_once("FAILED\n\nfailures:\n")?;
    let header = format!("\n---- {test} stdout ----\n");
    let replayed = replayed.strip_prefix(&header).unwrap_or(replayed);
    Some((
        own.to_owned(),
        replayed.trim_end_matches('\n').to_owned() + line_end(replayed),
    ))
}

fn line_end(text: &str) -> &'static str {
    if text.trim_end_matches('\n').is_empty() {
        ""
    } else {
        "\n"
    }
}

/// The line in which libtest says why a `should_panic` test failed although it panicked, or because it did not.
#[must_use]
pub fn should_panic_remark(stdout: &str) -> Option<&str> {
    let remark = |line: &&str| {
        line.starts_with("note: test did not panic as expected")
            || line.starts_with("note: panic did not contain expected string")
    };
    stdout
        .lines()
        .rev()
        .find(remark)
        .and_then(|line| line.strip_prefix("note: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str = "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\n";

    fn framed(own: &str, replayed: &str) -> String {
        format!(
            "\nrunning 1 test\ntest m::t ... {own}FAILED\n\nfailures:\n{replayed}\nfailures:\n    m::t\n\n{SUMMARY}"
        )
    }

    #[test]
    fn only_what_the_test_wrote_stays() {
        let held = "\n---- m::t stdout ----\nreplayed\n\n";
        let table = [
            (framed("", ""), ""),
            (framed("one\ntwo\n", ""), "one\ntwo\n"),
            (framed("no line end", ""), "no line end"),
            (framed("", held), "replayed\n"),
            (framed("FAILED\n\nfailures:\n", ""), "FAILED\n\nfailures:\n"),
        ];
        for (text, own) in table {
            assert_eq!(own_output(&text, "m::t"), own, "{text:?}");
        }
    }

    #[test]
    fn a_should_panic_test_keeps_its_remark() {
        let remark =
            "\n---- m::t stdout ----\nnote: test did not panic as expected at src/lib.rs:3:4\n";
        let text = framed("", remark).replace("m::t ...", "m::t - should panic ...");
        assert_eq!(
            own_output(&text, "m::t"),
            "note: test did not panic as expected at src/lib.rs:3:4\n"
        );
        assert_eq!(
            should_panic_remark(&text),
            Some("test did not panic as expected at src/lib.rs:3:4")
        );
    }

    #[test]
    fn anything_else_is_left_alone() {
        for text in [
            "",
            "words\n",
            "\nrunning 1 test\ntest m::t ... dies here",
            "\nrunning 2 tests\n",
        ] {
            assert_eq!(own_output(text, "m::t"), text);
        }
        assert_eq!(own_output(&framed("x", ""), "m::other"), framed("x", ""));
    }
}
