//! The rules of Cobertura, and what is refused.

use aqe_batch::coverage::{
    Analysis, AnalyzeOptions, BranchLine, CoverageError, Exceeded, Format, Limits, Tally,
    WarningKind, read,
};

fn try_cobertura(text: &[u8]) -> Result<Analysis, CoverageError> {
    let options = AnalyzeOptions::default().format(Format::Cobertura);
    read(text, "c.xml", &options)
}

fn cobertura(text: &str) -> Analysis {
    try_cobertura(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &[u8]) -> String {
    let error = try_cobertura(text).expect_err("this is refused");
    assert!(
        matches!(error, CoverageError::Malformed { .. }),
        "{error:?}"
    );
    error.to_string()
}

/// A report of one class.
fn class(inside: &str) -> String {
    format!(
        r#"<coverage><packages><package name="p"><classes><class name="C" filename="c.py">{inside}</class></classes></package></packages></coverage>"#
    )
}

fn branch(line: u32, covered: u64, total: u64) -> (u32, Tally) {
    (line, Tally::new(covered, total))
}

#[test]
fn lines_under_methods_repeat_those_of_the_class() {
    let analysis = cobertura(&class(
        r#"<methods>
             <method name="f" signature="(I)V"><lines>
               <line number="3" hits="2"/>
               <line number="4" hits="0" branch="true" condition-coverage="50% (1/2)"/>
             </lines></method>
             <method name="g"><lines><line number="8" hits="0"/></lines></method>
           </methods>
           <lines>
             <line number="1" hits="1"/>
             <line number="3" hits="2"/>
             <line number="4" hits="0" branch="true" condition-coverage="50% (1/2)"/>
           </lines>"#,
    ));
    let file = analysis.coverage.file("c.py").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(2, 3));
    assert_eq!(file.lines.hits(3), Some(2));
    assert_eq!(file.lines.hits(8), None);
    let branches: Vec<BranchLine> = file.branches.lines().collect();
    let branches: Vec<_> = branches
        .iter()
        .map(|line| (line.line, line.outcomes))
        .collect();
    assert_eq!(branches, [branch(4, 1, 2)]);
    let functions: Vec<_> = file
        .functions
        .named()
        .map(|f| (&*f.name, f.line, f.hits))
        .collect();
    assert_eq!(functions, [("C.f(I)V", Some(3), 2), ("C.g", Some(8), 0)]);
    assert_eq!(file.package.as_deref(), Some("p"));
}

#[test]
fn lines_under_methods_count_where_the_class_has_none() {
    let analysis = cobertura(&class(
        r#"<methods>
             <method name="f"><lines>
               <line number="3" hits="2" condition-coverage="50% (1/2)"/><line number="4" hits="0"/>
             </lines></method>
             <method name="g"><lines><line number="4" hits="1"/></lines></method>
           </methods><lines/>"#,
    ));
    let file = analysis.coverage.file("c.py").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(2, 2));
    assert_eq!(file.branches.tally(), Tally::new(1, 2));
    assert_eq!(file.functions.tally(), Tally::new(2, 2));
}

#[test]
fn classes_of_one_file_add_up() {
    let analysis = cobertura(
        r#"<coverage><packages>
             <package name="z"><classes>
               <class name="A" filename="a.java"><lines><line number="1" hits="1"/><line number="2" hits="0"/></lines></class>
             </classes></package>
             <package name="y"><classes>
               <class name="A$B" filename="a.java"><lines><line number="2" hits="3"/><line number="9" hits="0"/></lines></class>
             </classes></package>
           </packages></coverage>"#,
    );
    let file = analysis.coverage.file("a.java").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(2, 3));
    assert_eq!(file.package.as_deref(), Some("y"));
}

#[test]
fn one_source_folder_is_where_relative_paths_start() {
    let with = |sources: &str| {
        class("<lines/>").replace(
            "<packages>",
            &format!("<sources>{sources}</sources><packages>"),
        )
    };
    for (sources, path) in [
        ("", "c.py"),
        ("<source></source><source> </source>", "c.py"),
        ("<source>.</source>", "c.py"),
        ("<source>/opt/src</source>", "/opt/src/c.py"),
        (
            "<source>\n  /a&amp;b&#47;<![CDATA[c<d]]>\n</source>",
            "/a&b/c<d/c.py",
        ),
        ("<source>/opt/src</source><source>/lib</source>", "c.py"),
    ] {
        let analysis = cobertura(&with(sources));
        let paths: Vec<_> = analysis
            .coverage
            .files()
            .map(|(path, _)| path.to_owned())
            .collect();
        assert_eq!(paths, [path], "{sources}");
    }
    let two = cobertura(&with("<source>/opt/src</source><source>/lib</source>"));
    assert_eq!(
        two.warnings.kept().next().unwrap().kind,
        WarningKind::SeveralSources { sources: 2 }
    );
    // Whatever comes first in the text.
    let behind = class("<lines/>").replace(
        "</packages>",
        "</packages><sources><source>/opt/src</source></sources>",
    );
    assert!(cobertura(&behind).coverage.file("/opt/src/c.py").is_some());
}

#[test]
fn totals_that_are_not_those_of_the_list_are_told_of() {
    let text = class(r#"<lines><line number="1" hits="1"/></lines>"#).replace(
        "<coverage>",
        r#"<coverage lines-valid="5" lines-covered="1" branches-valid="0">"#,
    );
    let analysis = cobertura(&text);
    let warnings: Vec<_> = analysis.warnings.kept().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        ["c.xml: the report declares lines 20.0 % (1 of 5) and lists 100.0 % (1 of 1)"]
    );
}

#[test]
fn what_some_tools_write_is_taken_with_a_warning() {
    let analysis = cobertura(&class(
        "<lines>\n<line number=\"0\" hits=\"1\"/>\n<line number=\"1\" hits=\"-1\"/>\n\
         <line number=\"2\" hits=\"1\" branch=\"true\"/>\n\
         <line number=\"3\" hits=\"1\" branch=\"True\" condition-coverage=\"50%\"/>\n\
         <line number=\"4\" hits=\"1\" branch=\"false\" condition-coverage=\"\"/></lines>",
    ));
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
            (4, &WarningKind::UncountedBranch),
            (5, &WarningKind::UncountedBranch),
        ]
    );
    let file = analysis.coverage.file("c.py").unwrap();
    assert_eq!(file.lines.tally(), Tally::new(3, 4));
    assert_eq!(file.branches.tally(), Tally::new(0, 0));
}

#[test]
fn nothing_expands() {
    let bomb = format!(
        r#"<?xml version="1.0"?>
<!DOCTYPE coverage [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY file SYSTEM "file:///etc/passwd">]>
{}"#,
        class("<lines/>")
    );
    // What is declared does no harm, and what is used is refused: in an attribute, in a text.
    assert_eq!(cobertura(&bomb).coverage.files().len(), 1);
    for (from, to) in [
        ("name=\"p\"", "name=\"&b;\""),
        ("c.py", "&file;"),
        (
            "<packages>",
            "<sources><source>&b;</source></sources><packages>",
        ),
        ("<packages>", "&file;<packages>"),
    ] {
        let error = refused(bomb.replacen(from, to, 1).as_bytes());
        assert!(error.starts_with("c.xml:"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let line = |attributes: &str| class(&format!("<lines>\n<line {attributes}/></lines>"));
    for (text, said) in [
        (
            "<coverage>".to_owned(),
            "c.xml:1: the report ends before its root element does",
        ),
        (
            class("<lines>").replace("</class>", ""),
            "c.xml:1: not well-formed XML",
        ),
        (
            "<?xml version=\"1.0\"?>\n".to_owned(),
            "there is no element in it",
        ),
        (
            "<html/>".to_owned(),
            "the root element is \"html\", not coverage",
        ),
        ("<report name=\"x\"/>".to_owned(), "JaCoCo"),
        (
            "<coverage generated=\"1\"><project/></coverage>".to_owned(),
            "Clover",
        ),
        (
            "<coverage/>\n<coverage/>".to_owned(),
            "c.xml:2: a second document",
        ),
        (
            "<coverage/>\nmore".to_owned(),
            "\"more\" stands outside of the root element",
        ),
        (
            "<coverage lines-valid=\"many\"/>".to_owned(),
            "\"many\" is not a number of lines",
        ),
        (
            "<coverage a=\"1\" a=\"2\"/>".to_owned(),
            "not well-formed XML",
        ),
        ("<coverage a=b/>".to_owned(), "not well-formed XML"),
        (
            "<coverage><line number=\"1\" hits=\"1\"/></coverage>".to_owned(),
            "a line outside of a class",
        ),
        (
            "<coverage><method name=\"f\"/></coverage>".to_owned(),
            "a method outside of a class",
        ),
        (class("<class filename=\"d\"/>"), "a class inside a class"),
        (
            class("<method name=\"f\"><method name=\"g\"/></method>"),
            "a method inside a method",
        ),
        (
            class("").replace(" filename=\"c.py\"", ""),
            "a class without the name of its file",
        ),
        (
            line("hits=\"1\""),
            "c.xml:2: a line without its number or without its hits",
        ),
        (
            line("number=\"1\""),
            "a line without its number or without its hits",
        ),
        (
            line("number=\"-1\" hits=\"1\""),
            "\"-1\" is not a line number",
        ),
        (
            line("number=\"1\" hits=\"18446744073709551616\""),
            "is not a count",
        ),
        (
            line("number=\"1\" hits=\"1\" condition-coverage=\"50% (1/\""),
            "is not a coverage of conditions",
        ),
        (
            line("number=\"1\" hits=\"1\" condition-coverage=\"50% (3/2)\""),
            "is not a coverage of conditions",
        ),
        (
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><coverage/>".to_owned(),
            "convert it to UTF-8",
        ),
    ] {
        let error = refused(text.as_bytes());
        assert!(error.contains(said), "{error}, not {said}");
    }
    refused(b"<coverage><source>\xff</source></coverage>");
    let name = class("").replace("c.py", "\u{1}").into_bytes();
    refused(
        &name
            .iter()
            .map(|byte| if *byte == 1 { 0xff } else { *byte })
            .collect::<Vec<_>>(),
    );
}

#[test]
fn elements_are_not_nested_without_end() {
    let deep = |levels: usize| {
        format!(
            "<coverage>{}{}</coverage>",
            "<a>".repeat(levels),
            "</a>".repeat(levels)
        )
    };
    let options = AnalyzeOptions::default().limits(Limits::default().depth(5));
    read(deep(4).as_bytes(), "c.xml", &options).unwrap();
    let error = read(deep(5).as_bytes(), "c.xml", &options).unwrap_err();
    assert!(
        matches!(
            error,
            CoverageError::LimitExceeded {
                exceeded: Exceeded::Depth(5),
                ..
            }
        ),
        "{error:?}"
    );
}
