//! What is done with reports that were read: merging, keeping, summing up, files.

use std::io::Write;

use aqe_batch::coverage::{
    Analysis, AnalyzeOptions, CoverageError, Exceeded, Limits, Summary, Tally, analyze,
    analyze_file, read,
};
use bytesize::ByteSize;
use proptest::prelude::*;

fn lcov(name: &str, text: &str) -> Analysis {
    let analysis = read(text.as_bytes(), name, &AnalyzeOptions::default());
    analysis.unwrap_or_else(|error| panic!("{error}"))
}

const MIXED: &str = "SF:src/deep/a.rs\nFN:3,f\nFNDA:0,f\nFN:9,g\nFNDA:2,g\n\
    BRDA:9,0,0,1\nBRDA:9,0,1,0\nBRDA:3,0,0,-\n\
    DA:3,0\nDA:5,0\nDA:9,2\nDA:10,2\nLF:5\nend_of_record\n\
    SF:top.rs\nDA:1,1\nend_of_record\n";

#[test]
fn a_summary_has_this_shape() {
    let summary = Summary::of(&lcov("a.info", MIXED));
    let json = serde_json::to_value(&summary).unwrap();
    let none = serde_json::json!({"covered": 0, "total": 0, "percent": null});
    let one = serde_json::json!({"covered": 1, "total": 1, "percent": 100.0});
    let deep = serde_json::json!({
        "files": 1,
        "lines": {"covered": 2, "total": 4, "percent": 50.0},
        "branches": {"covered": 1, "total": 3, "percent": 100.0 / 3.0},
        "functions": {"covered": 1, "total": 2, "percent": 50.0},
    });
    let top = serde_json::json!({"files": 1, "lines": one, "branches": none, "functions": none});
    let totals = serde_json::json!({
        "files": 2,
        "lines": {"covered": 3, "total": 5, "percent": 60.0},
        "branches": deep["branches"],
        "functions": deep["functions"],
    });
    let expected = serde_json::json!({
        "totals": totals,
        "packages": [{"name": ".", "totals": top}, {"name": "src/deep", "totals": deep}],
        "files": [
            {
                "path": "src/deep/a.rs",
                "package": "src/deep",
                "totals": deep,
                "uncovered_lines": [{"first": 3, "last": 5, "lines": 2}],
                // Line 3 was not executed at all, which its gap says already.
                "partial_branches": [{"line": 9, "outcomes": {"covered": 1, "total": 2, "percent": 50.0}}],
                "uncovered_functions": [{"name": "f", "line": 3}],
            },
            {
                "path": "top.rs",
                "package": ".",
                "totals": top,
                "uncovered_lines": [],
                "partial_branches": [],
                "uncovered_functions": [],
            },
        ],
        "reports": [{"name": "a.info", "format": "lcov", "totals": totals}],
        "warnings": {
            "kept": [{
                "report": "a.info",
                "position": {"line": 14},
                "kind": "declared-totals",
                "file": "src/deep/a.rs",
                "of": "lines",
                "declared": {"covered": 2, "total": 5, "percent": 40.0},
                "listed": {"covered": 2, "total": 4, "percent": 50.0},
            }],
            "more": 0,
        },
    });
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_value::<Summary>(json).unwrap(), summary);
}

#[test]
fn what_is_kept_has_this_shape() {
    let mut analysis = lcov(
        "a.info",
        "SF:a.rs\nFN:3,f\nBRDA:9,0,1,2\nBRDA:9,e0,x,-\nDA:3,0\nDA:4,0\nDA:9,2\nend_of_record\n",
    );
    let xml = "<coverage><package name='p'><class filename='a.rs'><line number='9' hits='1' condition-coverage='(1/2)'/>\
        </class></package></coverage>";
    analysis.merge(lcov("a.xml", xml));
    let json = serde_json::to_value(&analysis).unwrap();
    assert_eq!(
        json["coverage"],
        serde_json::json!({
            "a.rs": {
                "package": "p",
                "lines": [[3, 4, 0], [9, 9, 3]],
                "branches": {
                    "outcomes": [
                        [9, 0, {"n": 1}, 2],
                        [9, 0, {"t": "e0,x"}, null],
                    ],
                    "counted": [{"line": 9, "outcomes": {"covered": 1, "total": 2, "percent": 50.0}}],
                },
                "functions": {
                    "named": [{"name": "f", "line": 3, "hits": 0}],
                    "counted": {"covered": 0, "total": 0, "percent": null},
                },
            },
        })
    );
}

#[test]
fn a_summary_is_displayed_in_a_few_lines() {
    let text = Summary::of(&lcov("a.info", MIXED)).to_string();
    assert_eq!(
        text,
        "lines 60.0 % (3 of 5), branches 33.3 % (1 of 3), functions 50.0 % (1 of 2) in 2 files\n  \
         src/deep/a.rs: lines 50.0 % (2 of 4), not covered: 3-5\n\
         warning: a.info:14: src/deep/a.rs declares lines 40.0 % (2 of 5) and lists 50.0 % (2 of 4)"
    );
}

#[test]
fn files_of_any_format_become_one_analysis() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        path
    };
    let lcov = path("one", "\u{feff}SF:a.c\nDA:1,1\nDA:2,0\nend_of_record\n");
    let xml = path(
        "two",
        "\u{feff}<coverage><class filename=\"a.c\"><line number=\"2\" hits=\"1\"/></class></coverage>",
    );
    let analysis = analyze([&lcov, &xml], &AnalyzeOptions::default()).unwrap();
    assert_eq!(analysis.coverage.totals().lines, Tally::new(2, 2));
    assert_eq!(analysis.reports.len(), 2);

    let missing = folder.path().join("three");
    let error = analyze([&lcov, &missing], &AnalyzeOptions::default()).unwrap_err();
    assert!(matches!(error, CoverageError::Io { .. }), "{error:?}");
    assert!(error.report().ends_with("three"));
    // A folder opens and cannot be read.
    let error = analyze_file(folder.path(), &AnalyzeOptions::default()).unwrap_err();
    assert!(matches!(error, CoverageError::Io { .. }), "{error:?}");
    let empty = path("four", "");
    let error = analyze_file(&empty, &AnalyzeOptions::default()).unwrap_err();
    assert!(
        error.to_string().contains("there is nothing in it"),
        "{error}"
    );
}

#[test]
fn what_many_reports_hold_together_has_a_limit_too() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..20)
        .map(|number| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, format!("SF:{number}.c\nDA:1,1\nend_of_record\n")).unwrap();
            path
        })
        .collect();
    let limit = ByteSize::kib(2);
    let options = AnalyzeOptions::default().limits(Limits::default().memory(limit));
    for path in &paths {
        analyze_file(path, &options).unwrap();
    }
    let error = analyze(&paths, &options).unwrap_err();
    let CoverageError::LimitExceeded { exceeded, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(exceeded, Exceeded::Memory(limit));
}

#[test]
fn options_tell_one_job_from_another() {
    let default = serde_json::to_string(&AnalyzeOptions::default()).unwrap();
    assert_eq!(
        default,
        r#"{"format":null,"paths":[],"limits":{"token":1048576,"memory":1073741824,"depth":64}}"#
    );
    assert_eq!(
        serde_json::from_str::<AnalyzeOptions>("{}").unwrap(),
        AnalyzeOptions::default()
    );
}

/// Reports of a few files that overlap in every way.
fn report() -> impl Strategy<Value = Analysis> {
    let line = (1..12_u32, 0..3_u64).prop_map(|(line, hits)| format!("DA:{line},{hits}\n"));
    let branch = (1..4_u32, 0..3_u32, 0..3_u64).prop_map(|(line, arm, taken)| match taken {
        0 => format!("BRDA:{line},0,{arm},-\n"),
        taken => format!("BRDA:{line},0,{arm},{}\n", taken - 1),
    });
    let function = (1..4_u32, 0..3_u64)
        .prop_map(|(name, hits)| format!("FN:{name},{name}\nFNDA:{hits},{name}\n"));
    let items = proptest::collection::vec(prop_oneof![line, branch, function], 0..12);
    let record = ("[abc]", items)
        .prop_map(|(name, items)| format!("SF:{name}\n{}end_of_record\n", items.concat()));
    let lcov_report =
        proptest::collection::vec(record, 1..4).prop_map(|records| lcov("lcov", &records.concat()));
    let line = (1..12_u32, 0..3_u64, 0..3_u64).prop_map(|(line, hits, covered)| {
        format!(r#"<line number="{line}" hits="{hits}" condition-coverage="({covered}/2)"/>"#)
    });
    let class = ("[abc]", "[pq]", proptest::collection::vec(line, 0..6)).prop_map(
        |(name, package, lines)| {
            format!(
                r#"<package name="{package}"><class filename="{name}">{}</class></package>"#,
                lines.concat()
            )
        },
    );
    let xml_report = proptest::collection::vec(class, 1..4)
        .prop_map(|classes| lcov("xml", &format!("<coverage>{}</coverage>", classes.concat())));
    prop_oneof![lcov_report, xml_report]
}

proptest! {
    #[test]
    fn reports_may_be_merged_in_any_grouping_and_order(one in report(), two in report(), three in report()) {
        let merged = |reports: &[&Analysis]| {
            let mut merged = Analysis::default();
            for report in reports {
                merged.merge((*report).clone());
            }
            merged
        };
        let all = merged(&[&one, &two, &three]);
        let grouped = merged(&[&one, &merged(&[&two, &three])]);
        prop_assert_eq!(&all, &grouped);
        let turned = merged(&[&three, &one, &two]);
        prop_assert_eq!(&all.coverage, &turned.coverage);
    }

    #[test]
    fn what_is_kept_is_read_back_as_it_was(one in report(), two in report()) {
        let mut analysis = one;
        analysis.merge(two);
        let json = serde_json::to_string(&analysis).unwrap();
        let again: Analysis = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(again, analysis);
    }
}
