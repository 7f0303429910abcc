//! Reports as streams: where they are cut makes no difference, nothing is too long, and garbage is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read};

use aqe_batch::coverage::{
    Analysis, AnalyzeOptions, CoverageError, Exceeded, Format, Limits, read,
};
use bytesize::ByteSize;
use proptest::prelude::*;

const FORMATS: [Format; 3] = [Format::Lcov, Format::Cobertura, Format::LlvmJson];

const REPORTS: [&str; 6] = [
    include_str!("fixtures/coverage/rust/lcov.info"),
    include_str!("fixtures/coverage/rust/export.json"),
    include_str!("fixtures/coverage/python/coverage.xml"),
    include_str!("fixtures/coverage/python/lcov.info"),
    include_str!("fixtures/coverage/c/cobertura.xml"),
    include_str!("fixtures/coverage/c/lcov.info"),
];

/// An input that comes in pieces of these lengths, again and again.
struct Pieces<'a> {
    rest: &'a [u8],
    lengths: Vec<usize>,
    turn: usize,
    /// What is left of the present piece.
    piece: usize,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a [u8], lengths: Vec<usize>) -> Self {
        Self {
            rest: text,
            lengths,
            turn: 0,
            piece: 0,
        }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece == 0 {
            self.piece = self.lengths[self.turn % self.lengths.len()];
            self.turn += 1;
            // As signals do.
            if self.turn.is_multiple_of(7) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(&self.rest[..self.piece.min(self.rest.len())])
    }

    fn consume(&mut self, length: usize) {
        self.rest = &self.rest[length..];
        self.piece -= length;
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let buffer = self.fill_buf()?;
        let length = buffer.len().min(into.len());
        into[..length].copy_from_slice(&buffer[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// The result as something that can be compared.
fn told(result: Result<Analysis, CoverageError>) -> Result<Analysis, String> {
    result.map_err(|error| error.to_string())
}

fn read_in(text: &[u8], lengths: Vec<usize>, options: &AnalyzeOptions) -> Result<Analysis, String> {
    told(read(Pieces::new(text, lengths), "report", options))
}

#[test]
fn real_reports_may_come_byte_by_byte() {
    for report in REPORTS {
        let whole = told(read(
            report.as_bytes(),
            "report",
            &AnalyzeOptions::default(),
        ));
        assert!(whole.is_ok());
        assert_eq!(
            read_in(report.as_bytes(), vec![1], &AnalyzeOptions::default()),
            whole
        );
    }
}

#[test]
fn a_real_report_cut_anywhere_is_refused_or_complete() {
    for report in REPORTS {
        let complete = report.trim_end().len();
        // Every place would do too, and take five times as long.
        for end in (0..complete).step_by(5) {
            let cut = read(
                &report.as_bytes()[..end],
                "report",
                &AnalyzeOptions::default(),
            );
            // Records of LCOV are complete one by one; nothing else is, before its end.
            let between_records = report[..end].trim_end().ends_with("end_of_record");
            let before_any = !report[..end].contains("SF:") && report.contains("SF:");
            assert!(
                cut.is_err() || between_records || before_any,
                "cut at {end}: {cut:?}"
            );
        }
    }
}

/// `before`, then `again` for ever.
struct Endless {
    before: io::Cursor<Vec<u8>>,
    again: Vec<u8>,
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let begun = self.before.read(into)?;
        if begun > 0 {
            return Ok(begun);
        }
        for byte in &mut *into {
            *byte = self.again[self.at % self.again.len()];
            self.at += 1;
        }
        Ok(into.len())
    }
}

fn endless(before: &str, again: &str) -> impl BufRead {
    BufReader::new(Endless {
        before: io::Cursor::new(before.as_bytes().to_vec()),
        again: again.as_bytes().to_vec(),
        at: 0,
    })
}

/// Without a bound, each of these would fill the memory and never end.
#[test]
fn whatever_goes_on_for_ever_is_refused_at_a_limit() {
    let limits = Limits::default()
        .token(ByteSize::kib(64))
        .memory(ByteSize::mib(1));
    let options = AnalyzeOptions::default().limits(limits);
    let (token, memory) = (
        Exceeded::Token(limits.token),
        Exceeded::Memory(limits.memory),
    );
    let class = "<coverage><class filename=\"a\">";
    for (before, again, expected) in [
        ("SF:", "a", token),
        ("TN:", "a", token),
        ("TN:\n", " ", token),
        ("SF:a\nDA:1,", "0", token),
        ("SF:a\n", "FN:1,f\n", memory),
        ("SF:a\n", "FNDA:1,f\n", memory),
        ("SF:a\n", "FNL:1,1\n", memory),
        ("SF:a\n", "BRDA:1,0,some name,1\n", memory),
        ("SF:a\n", "DA:1,0\nDA:2,0\nDA:1,1\n", memory),
        ("<", "a", token),
        ("<!--", "a", token),
        ("<![CDATA[", "a", token),
        ("<!DOCTYPE a [", "<!ENTITY a 'b'>", token),
        ("<?", "a", token),
        ("<coverage a='", "a", token),
        ("<coverage ", "a='a' ", token),
        ("<coverage>", " ", token),
        ("<coverage>", "a", token),
        ("<coverage>&", "a", token),
        ("<coverage><source>", "some text &amp; ", token),
        (
            "<coverage><source>",
            "some text <class filename='a'/>",
            token,
        ),
        ("<coverage>", "<a>", Exceeded::Depth(64)),
        (
            class,
            "<line number='1' hits='1'/><line number='3' hits='1'/>",
            memory,
        ),
        (
            class,
            "<line number='1' hits='1' condition-coverage='(1/2)'/>",
            memory,
        ),
        (class, "<method name='f'></method>", memory),
        (
            "<coverage>",
            "<class filename='a'><method name='f'></method></class><class filename='b'><method name='g'>",
            token,
        ),
        ("{\"a\":\"", "a", token),
        ("{\"", "a", token),
        ("{", " ", token),
        ("{\"a\":1", "1", token),
        ("{\"a\":0.", "1", token),
        ("{\"data\":[{\"files\":[{\"filename\":\"", "a", token),
        (
            "{\"data\":[{\"files\":[{\"segments\":[[1,1,1,true,true,true,",
            "[[",
            token,
        ),
        (
            "{\"data\":[{\"files\":[{\"branches\":[[1,1,1,1,1,1],",
            "[1,1,1,1,1,1],",
            memory,
        ),
    ] {
        // This one is malformed before it is long.
        if again.contains("filename='b'") {
            assert!(read(endless(before, again), "endless", &options).is_err());
            continue;
        }
        let error = read(endless(before, again), "endless", &options).expect_err(before);
        let CoverageError::LimitExceeded { exceeded, .. } = error else {
            panic!("{before}{again}: {error:?}");
        };
        assert_eq!(exceeded, expected, "{before}{again}");
    }
}

#[test]
fn tokens_have_a_limit_and_reports_have_none() {
    let short = AnalyzeOptions::default().limits(Limits::default().token(ByteSize::b(400)));
    for report in REPORTS {
        let whole = told(read(
            report.as_bytes(),
            "report",
            &AnalyzeOptions::default(),
        ));
        assert_eq!(told(read(report.as_bytes(), "report", &short)), whole);
    }
    // What is read past is no token as a whole.
    let functions = r#"{"name":"f","regions":[[1,1,2,2,0]]},"#.repeat(1_000);
    let text = format!(
        r#"{{"data":[{{"functions":[{functions}0],"files":[]}}],"type":"llvm.coverage.json.export","version":"2.0.1"}}"#
    );
    read(text.as_bytes(), "report", &short).unwrap();
}

/// What has been put away counts as much as what is being read.
#[test]
fn many_small_files_come_to_a_limit_together() {
    let numbers = || (0..2_000).map(|number| format!("file{number}"));
    let lcov: String = numbers()
        .map(|name| format!("SF:{name}\nDA:1,1\nend_of_record\n"))
        .collect();
    let classes: String = numbers()
        .map(|name| format!("<class filename=\"{name}\"/>"))
        .collect();
    let files: Vec<String> = numbers()
        .map(|name| format!(r#"{{"filename":"{name}","segments":[]}}"#))
        .collect();
    let json = format!(
        r#"{{"data":[{{"files":[{}]}}],"type":"llvm.coverage.json.export","version":"2.0.1"}}"#,
        files.join(",")
    );
    let limit = ByteSize::kib(64);
    let options = AnalyzeOptions::default().limits(Limits::default().memory(limit));
    for text in [lcov, format!("<coverage>{classes}</coverage>"), json] {
        let whole = read(text.as_bytes(), "many", &AnalyzeOptions::default()).unwrap();
        assert_eq!(whole.coverage.files().len(), 2_000);
        let error = read(text.as_bytes(), "many", &options).unwrap_err();
        let CoverageError::LimitExceeded { exceeded, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(exceeded, Exceeded::Memory(limit));
    }
}

/// A report that says the same for ever needs no more room for it.
#[test]
fn repetition_costs_no_memory() {
    let limits = Limits::default().memory(ByteSize::kib(8));
    let options = AnalyzeOptions::default().limits(limits);
    let record = "SF:a\nFN:1,f\nFNDA:1,f\nBRDA:1,0,0,1\nDA:1,1\nDA:3,0\nend_of_record\n";
    let times = 20_000;
    let input = endless("", record).take(record.len() as u64 * times);
    let analysis = read(BufReader::new(input), "long", &options).unwrap();
    assert_eq!(
        analysis.coverage.file("a").unwrap().lines.hits(1),
        Some(times)
    );

    let class = "<class filename=\"a\"><line number=\"1\" hits=\"1\"/></class>";
    let text = format!("<coverage>{}</coverage>", class.repeat(2_000));
    read(text.as_bytes(), "long", &options).unwrap();

    // Lines that follow one another with the same count are one run.
    let mut text = "SF:a\n".to_owned();
    for line in 1..50_000 {
        writeln!(text, "DA:{line},7").unwrap();
    }
    text.push_str("end_of_record\n");
    read(text.as_bytes(), "long", &options).unwrap();
}

/// What is written into a report, as a model.
#[derive(Debug, Clone)]
struct Written {
    lines: BTreeMap<u32, u64>,
    branches: BTreeMap<(u32, u32, u32), Option<u64>>,
    functions: BTreeMap<String, (u32, u64)>,
}

fn written() -> impl Strategy<Value = BTreeMap<String, Written>> {
    let count = prop_oneof![Just(0), 0..4_u64, any::<u64>()];
    let lines = proptest::collection::btree_map(1..100_u32, count.clone(), 0..40);
    let name = (1..50_u32, 0..3_u32, 0..3_u32);
    let taken = proptest::option::of(count.clone());
    let branches = proptest::collection::btree_map(name, taken, 0..10);
    let functions =
        proptest::collection::btree_map("[a-z<>, ]{1,8}[a-z]", (1..50_u32, count), 0..6);
    let file = (lines, branches, functions).prop_map(|(lines, branches, functions)| Written {
        lines,
        branches,
        functions,
    });
    // Names as they are after normalisation.
    proptest::collection::btree_map("[a-zé,:][a-z ,:]{0,6}(/[a-z]{1,4}){0,2}", file, 1..5)
}

/// A writer of LCOV.
fn lcov(files: &BTreeMap<String, Written>) -> String {
    let records = files.iter().map(|(path, file)| record(path, file));
    format!("TN:\n{}", records.collect::<String>())
}

fn record(path: &str, file: &Written) -> String {
    let functions = file.functions.iter();
    let functions =
        functions.map(|(name, (line, hits))| format!("FN:{line},{name}\nFNDA:{hits},{name}\n"));
    let branches = file.branches.iter().map(|((line, block, branch), taken)| {
        let taken = taken.map_or_else(|| "-".to_owned(), |taken| taken.to_string());
        format!("BRDA:{line},{block},{branch},{taken}\n")
    });
    let lines = file
        .lines
        .iter()
        .map(|(line, hits)| format!("DA:{line},{hits}\n"));
    let items: String = functions.chain(branches).chain(lines).collect();
    let hit = file.lines.values().filter(|&&hits| hits > 0).count();
    format!(
        "SF:{path}\n{items}LF:{}\nLH:{hit}\nend_of_record\n",
        file.lines.len()
    )
}

/// Pieces of all three formats in any order: much nearer to a report than any bytes are.
fn garbled() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "SF:a\n", "DA:1,1\n", "DA:2,0\n", "BRDA:1,0,0,-\n", "FN:1,f\n", "FNDA:1,f\n", "FNL:0,1\n",
            "FNA:0,1,f\n", "end_of_record\n", "LF:1\n", "<coverage>", "</coverage>", "<class filename='a'>",
            "</class>", "<line number='1' hits='1'/>", "<method name='m'>", "</method>", "<source>", "</source>",
            "&amp;", "&x;", "<!--", "-->", "{\"data\":", "[", "]", "{", "}", ",", "\"files\":", "\"filename\":\"a\"",
            "\"segments\":", "[1,1,1,true,true,false]", "\"branches\":", "1", "\"", "\\", "\n",
            "\"type\":\"llvm.coverage.json.export\"", "\"version\":\"2.0.1\"",
        ]).prop_map(|text: &str| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_was_written_is_read(files in written(), lengths in proptest::collection::vec(1..50_usize, 1..5)) {
        let text = lcov(&files);
        let analysis = read_in(text.as_bytes(), lengths, &AnalyzeOptions::default()).unwrap();
        prop_assert_eq!(analysis.warnings.kept().len(), 0);
        let paths: Vec<&str> = analysis.coverage.files().map(|(path, _)| path).collect();
        let expected: Vec<&str> = files.keys().map(String::as_str).collect();
        prop_assert_eq!(paths, expected);
        for (path, written) in &files {
            let file = analysis.coverage.file(path).unwrap();
            let lines = file.lines.runs().flat_map(|run| (run.first..=run.last).map(move |line| (line, run.hits)));
            prop_assert_eq!(&lines.collect::<BTreeMap<_, _>>(), &written.lines);
            let taken = written.branches.values().filter(|taken| taken.is_some_and(|taken| taken > 0)).count();
            let branches = file.branches.tally();
            prop_assert_eq!((branches.covered, branches.total), (taken as u64, written.branches.len() as u64));
            let functions = file.functions.named().map(|function| {
                (function.name.to_string(), (function.line.unwrap(), function.hits))
            });
            prop_assert_eq!(&functions.collect::<BTreeMap<_, _>>(), &written.functions);
        }
    }

    #[test]
    fn real_reports_may_be_cut_into_any_pieces(
        report in prop::sample::select(REPORTS.to_vec()),
        lengths in proptest::collection::vec(1..200_usize, 1..6),
    ) {
        let whole = told(read(report.as_bytes(), "report", &AnalyzeOptions::default()));
        prop_assert_eq!(read_in(report.as_bytes(), lengths, &AnalyzeOptions::default()), whole);
    }

    #[test]
    fn garbage_is_told_of_alike_in_any_pieces(
        text in garbled(),
        format in prop::option::of(prop::sample::select(FORMATS.to_vec())),
        lengths in proptest::collection::vec(1..9_usize, 1..4),
    ) {
        let mut options = AnalyzeOptions::default();
        options.format = format;
        let whole = told(read(&text[..], "report", &options));
        prop_assert_eq!(read_in(&text, lengths, &options), whole);
    }

    #[test]
    fn a_real_report_with_any_byte_changed_does_no_harm(
        report in prop::sample::select(REPORTS.to_vec()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut text = report.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(text.len());
            text[place] = byte;
        }
        // Which of both it is depends on the place; that it is one of them, and no panic, does not.
        if let Ok(analysis) = read(&text[..], "report", &AnalyzeOptions::default()) {
            let totals = analysis.coverage.totals();
            prop_assert!(totals.lines.covered <= totals.lines.total);
            prop_assert!(totals.branches.covered <= totals.branches.total);
            prop_assert!(totals.functions.covered <= totals.functions.total);
        }
    }
}
