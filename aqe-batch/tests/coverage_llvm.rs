//! The rules of llvm-cov's JSON, and what is refused.

use aqe_batch::coverage::{Analysis, AnalyzeOptions, CoverageError, Format, Tally, read};

fn try_json(text: &str) -> Result<Analysis, CoverageError> {
    let options = AnalyzeOptions::default().format(Format::LlvmJson);
    read(text.as_bytes(), "l.json", &options)
}

fn refused(text: &str) -> String {
    let error = try_json(text).expect_err("this is refused");
    assert!(
        matches!(error, CoverageError::Malformed { .. }),
        "{error:?}"
    );
    error.to_string()
}

/// A report of these files.
fn report(files: &str) -> String {
    format!(
        r#"{{"data":[{{"files":[{files}],"functions":[],"totals":{{}}}}],"type":"llvm.coverage.json.export","version":"2.0.1"}}"#
    )
}

const SEGMENTS: &str = "[[1,1,3,true,true,false],[4,2,0,false,false,false]]";

fn file(name: &str, more: &str) -> String {
    format!(r#"{{"filename":"{name}","segments":{SEGMENTS}{more}}}"#)
}

#[test]
fn members_may_come_in_any_order_and_others_are_read_past() {
    let text = format!(
        r#"{{"version":"3.0.1","cargo_llvm_cov":{{"version":"0.8"}},"type":"llvm.coverage.json.export",
            "data":[{{"functions":[{{"name":"\u0066","regions":[[1,1,2,2,0]],"x":[null,1.5,-3,{{}}]}}],
            "files":[{{"summary":{{"lines":{{"count":4,"covered":4,"percent":100}},"functions":{{"covered":1,"count":2}}}},
            "mcdc_records":[[1,2,[true]]],"segments":{SEGMENTS},"filename":"a.rs",
            "branches":[[2,5,2,9,3,0,0,0,4],[2,5,2,9,1,0,1,0,4]]}}]}}]}}"#
    );
    let analysis = try_json(&text).unwrap();
    let file = analysis.coverage.file("a.rs").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(4, 4));
    // Two instances of one expression.
    assert_eq!(file.branches.tally(), Tally::new(1, 2));
    assert_eq!(file.functions.tally(), Tally::new(1, 2));
    assert_eq!(analysis.warnings.kept().len(), 0);
}

#[test]
fn segments_of_the_first_version_have_no_gaps() {
    let text = report(r#"{"filename":"a","segments":[[1,1,3,true,true],[2,2,0,false,false]]}"#);
    assert_eq!(
        try_json(&text).unwrap().coverage.totals().lines,
        Tally::new(2, 2)
    );
}

#[test]
fn exports_of_several_programs_add_up() {
    let one = file("a.rs", "");
    let text = report(&one).replace("\"data\":[", &format!("\"data\":[{{\"files\":[{one}]}},"));
    let analysis = try_json(&text).unwrap();
    assert_eq!(
        analysis.coverage.file("a.rs").unwrap().lines.hits(1),
        Some(6)
    );
}

#[test]
fn totals_that_are_not_those_of_the_list_are_told_of() {
    let text = report(&file(
        "a.rs",
        r#","summary":{"lines":{"count":5,"covered":4}}"#,
    ));
    let analysis = try_json(&text).unwrap();
    let warnings: Vec<_> = analysis.warnings.kept().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["l.json: a.rs declares lines 80.0 % (4 of 5) and lists 100.0 % (4 of 4)"]
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let segments = |segments: &str| report(&format!(r#"{{"filename":"a","segments":{segments}}}"#));
    let whole = report(&file("a", ""));
    for (text, said) in [
        ("{".to_owned(), "l.json:1:1: the report ends in the middle"),
        (
            whole[..whole.len() - 1].to_owned(),
            "the report ends in the middle",
        ),
        (format!("{whole}{whole}"), "trailing characters"),
        ("{}".to_owned(), "it says no type"),
        (
            r#"{"type":"x","version":"2.0.1","data":[]}"#.to_owned(),
            "its type is \"x\"",
        ),
        (
            whole.replace("2.0.1", "1.0.0"),
            "version \"1.0.0\" of the format is not known",
        ),
        (whole.replace("2.0.1", "20.0"), "is not known"),
        (
            r#"{"type":"llvm.coverage.json.export","version":"2.0.1"}"#.to_owned(),
            "there is no `data` in it",
        ),
        (
            r#"{"meta":{"version":"7.1"},"files":{"a.py":{}}}"#.to_owned(),
            "not of `llvm-cov export`",
        ),
        ("[]".to_owned(), "expected the report, which is an object"),
        (report("[]"), "expected a file, which is an object"),
        (report(r#"{"segments":[]}"#), "a file without its name"),
        (
            report(r#"{"filename":"a","summary":{}}"#),
            "export again without -summary-only",
        ),
        (
            report(r#"{"filename":"a","segments":[],"segments":[]}"#),
            "two lists of segments",
        ),
        (segments("[[1,1,1,true]]"), "a segment is a line from 1"),
        (
            segments("[[0,1,1,true,true]]"),
            "a segment is a line from 1",
        ),
        (segments("[[-1,1,1,true,true]]"), "l.json:1:"),
        (segments("[[1,1,-1,true,true]]"), "expected u64"),
        (segments("[[1,1,1,1,true]]"), "expected a boolean"),
        (segments("[[4294967296,1,1,true,true]]"), "expected u32"),
        (
            segments("[[2,1,1,true,true],[1,1,1,true,true]]"),
            "the segment at 1:1 stands behind the one at 2:1",
        ),
        (
            report(&file("a", ",\"branches\":[[1,2,3]]")),
            "a branch is two lines with columns",
        ),
        (report("{\"filename\":\"\\ud800\"}"), "l.json:1:"),
        (
            whole.replace("[]", &"[".repeat(200)),
            "recursion limit exceeded",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(said), "{error}, not {said}");
    }
    let options = AnalyzeOptions::default();
    assert!(read(&b"{\"a\":\"\xff\"}"[..], "l.json", &options).is_err());
}
