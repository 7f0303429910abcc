//! Reports of real tools give the totals that these tools print, in every format that they write.
//!
//! How the reports were made stands in `fixtures/coverage/README.md`.

use std::path::PathBuf;

use aqe_batch::coverage::{
    Analysis, AnalyzeOptions, Counted, Coverage, Format, PathRules, Tally, WarningKind, analyze,
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/coverage")
        .join(name)
}

fn analysis(names: &[&str]) -> Analysis {
    let paths = PathRules::new()
        .strip_prefix("/opt/sample")
        .strip_prefix("/opt/python")
        .strip_prefix("/opt/c");
    let options = AnalyzeOptions::default().paths(paths);
    let analysis = analyze(names.iter().map(|name| fixture(name)), &options);
    analysis.unwrap_or_else(|error| panic!("{error}"))
}

fn figures(coverage: &Coverage) -> Vec<(&str, Tally, Tally, Tally)> {
    let figures = |(path, file): (_, &aqe_batch::coverage::FileCoverage)| {
        let totals = file.totals();
        (path, totals.lines, totals.branches, totals.functions)
    };
    coverage.files().map(figures).collect()
}

fn same_lines(one: &Coverage, other: &Coverage) {
    let lines = |coverage: &Coverage| -> Vec<_> {
        let files = coverage.files();
        files
            .map(|(path, file)| (path.to_owned(), file.lines.clone()))
            .collect()
    };
    assert_eq!(lines(one), lines(other));
}

fn of(covered: u64, total: u64) -> Tally {
    Tally::new(covered, total)
}

#[test]
fn llvm_cov_says_the_same_in_both_formats() {
    let lcov = analysis(&["rust/lcov.info"]);
    let json = analysis(&["rust/export.json"]);
    assert_eq!(lcov.reports[0].format, Format::Lcov);
    assert_eq!(json.reports[0].format, Format::LlvmJson);
    same_lines(&lcov.coverage, &json.coverage);
    // Branches are what `report.txt` says. Lines of lib.rs are one less: it counts line 8 twice.
    // The JSON counts both instances of `largest` as one function, as `report.txt` does; LCOV lists them.
    assert_eq!(
        figures(&json.coverage),
        [
            ("src/lib.rs", of(28, 36), of(2, 2), of(5, 6)),
            ("src/shapes.rs", of(11, 15), of(1, 2), of(3, 4)),
        ]
    );
    assert_eq!(
        figures(&lcov.coverage),
        [
            ("src/lib.rs", of(28, 36), of(2, 2), of(6, 7)),
            ("src/shapes.rs", of(11, 15), of(1, 2), of(3, 4)),
        ]
    );
    let gaps = json.coverage.file("src/lib.rs").unwrap().lines.uncovered();
    let gaps: Vec<String> = gaps.iter().map(ToString::to_string).collect();
    assert_eq!(gaps, ["28", "34-42"]);
}

#[test]
fn totals_that_count_lines_twice_are_told_of() {
    for report in ["rust/lcov.info", "rust/export.json"] {
        let analysis = analysis(&[report]);
        let of_lines = analysis
            .warnings
            .kept()
            .filter_map(|warning| match &warning.kind {
                WarningKind::DeclaredTotals {
                    file,
                    of: Counted::Lines,
                    declared,
                    listed,
                } => Some((file.as_deref(), *declared, *listed)),
                _ => None,
            });
        let expected = (Some("/opt/sample/src/lib.rs"), of(29, 37), of(28, 36));
        assert_eq!(of_lines.collect::<Vec<_>>(), [expected], "{report}");
    }
}

#[test]
fn coverage_py_says_the_same_in_both_formats() {
    let xml = analysis(&["python/coverage.xml"]);
    let lcov = analysis(&["python/lcov.info"]);
    same_lines(&xml.coverage, &lcov.coverage);
    // Statements, misses and branches of `report.txt`.
    let totals = xml.coverage.totals();
    assert_eq!(
        (totals.files, totals.lines, totals.branches),
        (4, of(19, 23), of(7, 12))
    );
    let math = xml.coverage.file("pkg/math.py").unwrap().totals();
    assert_eq!((math.lines, math.branches), (of(13, 17), of(4, 8)));
    let packages: Vec<_> = xml
        .coverage
        .packages()
        .into_iter()
        .map(|(name, totals)| (name, totals.lines))
        .collect();
    assert_eq!(packages, [("pkg", of(13, 17)), ("pkg.sub", of(6, 6))]);
    assert_eq!(lcov.coverage.totals().branches, of(7, 12));
    assert_eq!(lcov.coverage.totals().functions, of(4, 5));
    for analysis in [xml, lcov] {
        assert_eq!(
            analysis.warnings.kept().count(),
            0,
            "{:?}",
            analysis.warnings
        );
    }
}

#[test]
fn gcovr_says_the_same_in_both_formats() {
    let xml = analysis(&["c/cobertura.xml"]);
    let lcov = analysis(&["c/lcov.info"]);
    same_lines(&xml.coverage, &lcov.coverage);
    let expected = [
        ("main.c", of(2, 2), of(2, 4), of(1, 1)),
        ("shape.c", of(4, 9), of(3, 4), of(1, 2)),
        ("shape.h", of(0, 2), of(0, 2), of(0, 1)),
    ];
    assert_eq!(figures(&xml.coverage), expected);
    assert_eq!(figures(&lcov.coverage), expected);
    for analysis in [xml, lcov] {
        assert_eq!(
            analysis.warnings.kept().count(),
            0,
            "{:?}",
            analysis.warnings
        );
    }
}

#[test]
fn both_formats_of_one_run_together_are_that_run() {
    let both = analysis(&["python/coverage.xml", "python/lcov.info"]);
    let [xml, lcov] = ["python/coverage.xml", "python/lcov.info"].map(|name| analysis(&[name]));
    assert_eq!(both.coverage.totals().lines, xml.coverage.totals().lines);
    assert_eq!(
        both.coverage.totals().branches,
        xml.coverage.totals().branches
    );
    assert_eq!(
        both.coverage.totals().functions,
        lcov.coverage.totals().functions
    );
    let rust = analysis(&["rust/export.json", "rust/lcov.info"]);
    assert_eq!(rust.coverage.totals().branches, of(3, 4));
}
