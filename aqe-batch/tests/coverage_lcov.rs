//! The rules of LCOV, of both generations, and what is refused.

use aqe_batch::coverage::{
    Analysis, AnalyzeOptions, Counted, CoverageError, Format, LineRun, Tally, WarningKind, read,
};

fn options() -> AnalyzeOptions {
    AnalyzeOptions::default().format(Format::Lcov)
}

fn lcov(text: &str) -> Analysis {
    read(text.as_bytes(), "a.info", &options()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &[u8]) -> String {
    let error = read(text, "a.info", &options()).expect_err("this is refused");
    assert!(
        matches!(error, CoverageError::Malformed { .. }),
        "{error:?}"
    );
    error.to_string()
}

fn warnings(analysis: &Analysis) -> Vec<String> {
    analysis.warnings.kept().map(ToString::to_string).collect()
}

#[test]
fn every_key_of_the_first_generation() {
    let analysis = lcov(
        "# a comment\n\
         TN:some test\n\
         SF:src/a.c\n\
         VER:1234\n\
         FN:1,first\nFN:9,14,second,with,commas\n\
         FNDA:3,first\nFNDA:0,second,with,commas\n\
         FNF:2\nFNH:1\n\
         BRDA:2,0,0,3\nBRDA:2,0,1,-\nBRDA:2,e0,2,0\nBRDA:2,U1,0,-\n\
         BRF:3\nBRH:1\n\
         DA:1,3\nDA:2,3,checksum==\nDA:9,0\n\
         LF:3\nLH:2\n\
         MCDC:2,2,t,1,0,a\nMCF:1\nXYZ_NEW:anything: at all\n\
         end_of_record\n",
    );
    assert_eq!(warnings(&analysis), [""; 0]);
    let file = analysis.coverage.file("src/a.c").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(2, 3));
    assert_eq!(file.branches.tally(), Tally::new(1, 3));
    let functions: Vec<_> = file
        .functions
        .named()
        .map(|f| (&*f.name, f.line, f.hits))
        .collect();
    assert_eq!(
        functions,
        [("first", Some(1), 3), ("second,with,commas", Some(9), 0)]
    );
}

#[test]
fn functions_of_the_second_generation_have_aliases() {
    let analysis = lcov(
        "SF:a.cpp\n\
         FNL:0,5,9\nFNA:0,2,f<int, long>\nFNA:0,0,f<char>\n\
         FNL:1,12\nFNA:1,0,g\n\
         FN:0,nowhere\n\
         FNF:2\nFNH:1\n\
         end_of_record\n",
    );
    // The totals count functions, and the list has their names.
    assert_eq!(warnings(&analysis), [""; 0]);
    let file = analysis.coverage.file("a.cpp").unwrap();
    let functions: Vec<_> = file
        .functions
        .named()
        .map(|f| (&*f.name, f.line, f.hits))
        .collect();
    assert_eq!(
        functions,
        [
            ("f<char>", Some(5), 0),
            ("f<int, long>", Some(5), 2),
            ("g", Some(12), 0),
            ("nowhere", None, 0),
        ]
    );
}

#[test]
fn branches_may_have_names_with_commas_and_numbers_of_any_size() {
    let analysis = lcov(
        "SF:a\n\
         BRDA:1,0,jump to line 3, or so,1\nBRDA:1,0,jump to line 4,0\n\
         BRDA:1,99999999999999999999,0,1\nBRDA:1,0,99999999999999999999,-\n\
         BRDA:1,f0,0,1\nBRDA:1,e0,0,1\nBRDA:1,0,0,1\n\
         end_of_record\n",
    );
    let file = analysis.coverage.file("a").unwrap();
    assert_eq!(file.branches.tally(), Tally::new(5, 7));
}

#[test]
fn records_of_one_file_add_up() {
    let analysis = lcov(
        "TN:one\nSF:a.c\nFN:1,f\nFNDA:1,f\nDA:1,1\nDA:2,0\nBRDA:1,0,0,-\nend_of_record\n\
         TN:two\nKF:./a.c\nFN:1,f\nFNDA:2,f\nDA:1,1\nDA:2,5\nDA:2,1\nDA:7,0\nBRDA:1,0,0,2\nend_of_record\n",
    );
    let file = analysis.coverage.file("a.c").unwrap();
    assert_eq!(analysis.coverage.files().len(), 1);
    let runs: Vec<LineRun> = file.lines.runs().collect();
    let runs: Vec<_> = runs
        .iter()
        .map(|run| (run.first, run.last, run.hits))
        .collect();
    assert_eq!(runs, [(1, 1, 2), (2, 2, 6), (7, 7, 0)]);
    assert_eq!(file.branches.tally(), Tally::new(1, 1));
    assert_eq!(file.functions.named().next().unwrap().hits, 3);
}

#[test]
fn totals_that_are_not_those_of_the_list_are_told_of() {
    let analysis = lcov("SF:a.c\nDA:1,1\nLF:2\nLH:1\nBRF:1\nFNF:1\nend_of_record\n");
    let kinds: Vec<_> = analysis
        .warnings
        .kept()
        .map(|warning| &warning.kind)
        .collect();
    let declares = |counted, declared, listed| WarningKind::DeclaredTotals {
        file: Some("a.c".into()),
        of: counted,
        declared,
        listed,
    };
    assert_eq!(
        kinds,
        [
            &declares(Counted::Lines, Tally::new(1, 2), Tally::new(1, 1)),
            &declares(Counted::Branches, Tally::new(0, 1), Tally::new(0, 0)),
            &declares(Counted::Functions, Tally::new(0, 1), Tally::new(0, 0)),
        ]
    );
    assert_eq!(
        analysis.warnings.kept().next().unwrap().to_string(),
        "a.info:7: a.c declares lines 50.0 % (1 of 2) and lists 100.0 % (1 of 1)"
    );
}

#[test]
fn what_some_tools_write_is_taken_with_a_warning() {
    let analysis = lcov(
        "SF:a.c\r\nDA:0,3\r\nDA:1,-2\r\nBRDA:1,0,0,-5\r\nBRDA:0,0,0,1\r\nend_of_record\r\n\r\n",
    );
    let kinds: Vec<_> = analysis
        .warnings
        .kept()
        .map(|warning| (warning.position.unwrap().line, &warning.kind))
        .collect();
    assert_eq!(
        kinds,
        [
            (2, &WarningKind::LineZero),
            (3, &WarningKind::NegativeCount),
            (4, &WarningKind::NegativeCount),
            (5, &WarningKind::LineZero),
        ]
    );
    let file = analysis.coverage.file("a.c").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(0, 1));
    assert_eq!(file.branches.tally(), Tally::new(0, 1));
}

#[test]
fn counts_at_the_end_of_64_bits_stay_there() {
    let max = u64::MAX;
    let analysis = lcov(&format!(
        "SF:a\nDA:1,{max}\nDA:1,{max}\nDA:4294967295,1\nend_of_record\n"
    ));
    let lines = &analysis.coverage.file("a").unwrap().lines;
    assert_eq!(lines.hits(1), Some(max));
    assert_eq!(lines.hits(u32::MAX), Some(1));
}

#[test]
fn a_report_without_files_is_told_of() {
    for text in ["TN:\n", "end_of_record\n", "# nothing\n"] {
        assert_eq!(warnings(&lcov(text)), ["a.info: no file is listed"]);
    }
}

#[test]
fn a_list_of_warnings_has_an_end() {
    let analysis = lcov(&format!(
        "SF:a\n{}end_of_record\n",
        "DA:0,1\n".repeat(1_000)
    ));
    assert_eq!(analysis.warnings.kept().len(), 100);
    assert_eq!(analysis.warnings.more(), 900);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, said) in [
        (
            &b"SF:a\nDA:1,1\n"[..],
            "a.info:3: the report ends inside the record of \"a\"",
        ),
        (
            b"SF:a\nSF:b\n",
            "a.info:2: a record begins inside the record of \"a\"",
        ),
        (b"DA:1,1\n", "a.info:1: DA before the SF of a file"),
        (b"LF:1\n", "a.info:1: a total before the SF of a file"),
        (b"SF:\n", "a.info:1: SF without the path of a file"),
        (
            b"SF:a\nDA:1\n",
            "a.info:2: DA:\"1\" instead of DA:line,count",
        ),
        (b"SF:a\nDA:x,1\n", "a.info:2: \"x\" is not a line number"),
        (
            b"SF:a\nDA:4294967296,1\n",
            "\"4294967296\" is not a line number",
        ),
        (
            b"SF:a\nDA:1,18446744073709551616\n",
            "\"18446744073709551616\" is not a count",
        ),
        (b"SF:a\nDA:1,\n", "\"\" is not a count"),
        (b"SF:a\nDA:1,1.5\n", "\"1.5\" is not a count"),
        (
            b"SF:a\nBRDA:1,0,1\n",
            "instead of BRDA:line,block,branch,taken",
        ),
        (
            b"SF:a\nBRDA:1,x,0,1\n",
            "\"x\" is not the number of a block",
        ),
        (b"SF:a\nFN:f\n", "FN:\"f\" instead of FN:line,name"),
        (b"SF:a\nFNDA:f\n", "FNDA:\"f\" instead of FNDA:count,name"),
        (
            b"SF:a\nFNA:1,1,f\n",
            "names a function that no FNL before it declares",
        ),
        (b"SF:a\nFNL:x,1\n", "instead of FNL:index,line"),
        (b"SF:a\nLF:many\n", "\"many\" is not a number of lines"),
        (b"SF:\xff\n", "the path of a file is not UTF-8"),
        (b"SF:a\nFN:1,\xff\n", "the name of a function is not UTF-8"),
        (
            b"hello\n",
            "a.info:1: \"hello\" is no line of LCOV (read as lcov)",
        ),
        (b"mode: set\n", "\"mode: set\" is no line of LCOV"),
        (b"\0\0\0\n", "is no line of LCOV"),
    ] {
        let error = refused(text);
        assert!(error.contains(said), "{error}, not {said}");
    }
}
