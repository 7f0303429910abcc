//! `analyze-coverage` on files: each once for its content, and all together as if they had been read in one go.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::fs;
use std::path::{Path, PathBuf};

use aqe_batch::coverage::{
    self, Analysis, AnalyzeOptions, CoverageError, Exceeded, Limits, Merge, PathRules, Summary,
    analysis_of, analyze, read,
};
use aqe_batch::files::FilesReport;
use aqe_batch::{
    BatchConfig, BatchProcessor, FileOperations, FileOptions, FileOutcome, ItemError, find_files,
};
use bytesize::ByteSize;
use parking_lot::Mutex;
use proptest::prelude::*;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/coverage");
    let folder = folder.to_str().unwrap();
    find_files(["*/*.info", "*/*.xml", "*/*.json"].map(|it| format!("{folder}/{it}"))).unwrap()
}

fn processor() -> BatchProcessor {
    BatchProcessor::new(BatchConfig::default().chunk_size(1)).unwrap()
}

fn merged(report: &FilesReport) -> Analysis {
    let files = report.files.iter();
    let results = files.map(|it| (it.path.to_str().unwrap(), it.outcome.value().unwrap()));
    coverage::merge(results, Limits::default()).unwrap()
}

fn is_cached(report: &FilesReport) -> bool {
    let mut files = report.files.iter();
    files.all(|it| matches!(it.outcome, FileOutcome::Cached(_)))
}

#[test]
fn reports_read_one_by_one_come_to_what_they_come_to_together() {
    let cache = tempfile::tempdir().unwrap();
    let options = FileOptions::default()
        .cache_results(true)
        .cache_folder(cache.path());
    let operations = FileOperations::built_in();
    let operation = operations.find("analyze-coverage").unwrap();
    let files = fixtures();
    assert!(files.len() >= 6, "{files:?}");
    let together = analyze(&files, &AnalyzeOptions::default()).unwrap();
    for is_second in [false, true] {
        let report = processor().job("coverage");
        let report = report.process_files(&files, operation, &options).unwrap();
        assert_eq!(is_cached(&report), is_second);
        assert_eq!(merged(&report), together);
        assert_eq!(Summary::of(&merged(&report)), Summary::of(&together));
    }
}

/// Once, a kept result named the file in which it had been found first.
#[test]
fn a_kept_result_has_the_name_of_the_file_that_has_the_content_now() {
    let folder = tempfile::tempdir().unwrap();
    let options = FileOptions::default()
        .cache_results(true)
        .cache_folder(folder.path().join("cache"));
    let operation = coverage::operation(AnalyzeOptions::default());
    let run = |name: &str| {
        let file = folder.path().join(name);
        // A line 0, which is warned of in the name of the report.
        fs::write(&file, "SF:a.c\nDA:0,1\nDA:2,1\nend_of_record\n").unwrap();
        let report = processor().job("coverage");
        let report = report.process_files(&[&file], &operation, &options);
        fs::remove_file(&file).unwrap();
        (file, report.unwrap())
    };
    let (_, first) = run("monday.info");
    let kept = first.files[0].outcome.value().unwrap().to_string();
    assert!(!kept.contains("monday"), "{kept}");
    let (file, second) = run("tuesday.info");
    assert!(is_cached(&second));
    let analysis = merged(&second);
    assert_eq!(&*analysis.reports[0].name, file.to_str().unwrap());
    let warning = analysis.warnings.kept().next().unwrap();
    assert_eq!(&*warning.report, file.to_str().unwrap());
    assert_eq!(
        analysis,
        analyze(
            [write_again(
                &file,
                "SF:a.c\nDA:0,1\nDA:2,1\nend_of_record\n"
            )],
            &AnalyzeOptions::default()
        )
        .unwrap()
    );
}

fn write_again<'a>(file: &'a Path, text: &str) -> &'a Path {
    fs::write(file, text).unwrap();
    file
}

#[test]
fn other_options_do_not_get_the_results_of_these() {
    let folder = tempfile::tempdir().unwrap();
    let options = FileOptions::default()
        .cache_results(true)
        .cache_folder(folder.path().join("cache"));
    let file = folder.path().join("a.info");
    write_again(&file, "SF:/p/a.c\nDA:1,1\nend_of_record\n");
    for (rules, path) in [
        (PathRules::new(), "/p/a.c"),
        (PathRules::new().strip_prefix("/p"), "a.c"),
    ] {
        let operation = coverage::operation(AnalyzeOptions::default().paths(rules));
        let report = processor().job("coverage");
        let report = report.process_files(&[&file], &operation, &options);
        let analysis = merged(&report.unwrap());
        assert!(analysis.coverage.file(path).is_some(), "{path}");
    }
}

#[test]
fn results_are_taken_as_they_come_and_what_is_too_much_fails_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<PathBuf> = (0..20)
        .map(|number| {
            let file = folder.path().join(format!("{number:02}.info"));
            write_again(&file, &format!("SF:{number}.c\nDA:1,1\nend_of_record\n"));
            file
        })
        .collect();
    let operation = coverage::operation(AnalyzeOptions::default());
    let run = |limits| {
        let merge = Mutex::new(Merge::new(limits));
        let job = processor().job("coverage");
        let report = job.process_files_each(
            &files,
            &operation,
            &FileOptions::default().parallel(false),
            |place, result| {
                let analysis = analysis_of(&files[place].to_string_lossy(), &result)?;
                Ok(merge.lock().add(place, analysis)?)
            },
        );
        (report, merge.into_inner())
    };
    let (report, merge) = run(Limits::default());
    let report = report.unwrap();
    let mut outcomes = report.files.iter().map(|it| it.outcome.value());
    assert!(outcomes.all(|it| it.is_some_and(serde_json::Value::is_null)));
    let together = analyze(&files, &AnalyzeOptions::default()).unwrap();
    assert_eq!(merge.finish(), together);

    let limit = ByteSize::kib(2);
    let (report, _) = run(Limits::default().memory(limit));
    let aqe_batch::files::FilesError::Stopped { report, .. } = report.unwrap_err() else {
        panic!("the limit holds for all together");
    };
    let failed = report.files.iter().find_map(|it| match &it.outcome {
        FileOutcome::Failed(ItemError::Failed { error, .. }) => Some((&it.path, error)),
        _ => None,
    });
    let (path, error) = failed.unwrap();
    let error: &CoverageError = error.downcast_ref().unwrap();
    assert_eq!(error.report(), path.to_str().unwrap());
    let CoverageError::LimitExceeded { exceeded, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(*exceeded, Exceeded::Memory(limit));
}

/// A report with lines that others have too, and with so many warnings.
fn report() -> impl Strategy<Value = String> {
    let lines = proptest::collection::vec((1..9_u32, 0..3_u64), 1..9);
    ("[abc]", lines, 0..70_usize).prop_map(|(name, lines, warnings)| {
        let lines: String = lines
            .iter()
            .map(|(line, hits)| format!("DA:{line},{hits}\nBRDA:{line},0,{hits},{hits}\n"))
            .collect();
        format!(
            "SF:{name}\n{lines}{}end_of_record\n",
            "DA:0,1\n".repeat(warnings)
        )
    })
}

proptest! {
    #[test]
    fn analyses_may_come_in_any_order(
        (reports, order) in proptest::collection::vec(report(), 1..7).prop_flat_map(|reports| {
            let order = Just((0..reports.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(reports), order)
        })
    ) {
        let read = |place: usize| {
            let analysis = read(reports[place].as_bytes(), &place.to_string(), &AnalyzeOptions::default());
            analysis.unwrap()
        };
        let mut in_order = Analysis::default();
        for place in 0..reports.len() {
            in_order.merge(read(place));
        }
        let mut merge = Merge::new(Limits::default());
        for place in order {
            merge.add(place, read(place)).unwrap();
        }
        prop_assert_eq!(merge.finish(), in_order);
    }
}
