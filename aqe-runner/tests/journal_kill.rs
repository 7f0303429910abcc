//! A run that is killed at any moment leaves a journal with every verdict that was shown.

#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use aqe_runner::journal::{Entry, JournalReader, JournalWriter, Record, RunId};
use aqe_runner::model::{TestId, Verdict};

const WRITER: &str = "JOURNAL_KILL_WRITER";

/// What the process that is killed does: journal a few verdicts, flush, then show them. It never ends by itself.
fn write_for_ever(path: PathBuf) {
    let mut journal = JournalWriter::create(path).unwrap();
    journal
        .append(&Record::run_started(RunId::new(), Vec::new(), None))
        .unwrap();
    let mut stdout = std::io::stdout().lock();
    for number in 0u64.. {
        journal.push(&verdict(number)).unwrap();
        // Flushes of one, two and three records.
        if number % 6 == 0 || number % 6 == 2 || number % 6 == 5 {
            journal.flush().unwrap();
            writeln!(stdout, "shown up to {number}").unwrap();
        }
    }
}

fn verdict(number: u64) -> Record {
    Record::Verdict {
        test: TestId::new("binary", format!("test {number}")),
        verdict: Verdict::Passed,
        duration: Duration::from_micros(number),
    }
}

#[test]
fn every_verdict_that_was_shown_is_in_the_journal() {
    if let Some(path) = std::env::var_os(WRITER) {
        return write_for_ever(path.into());
    }
    let folder = tempfile::tempdir().unwrap();
    for lines in [0, 1, 2, 3, 5, 8, 13, 34, 89, 233, 610, 1597] {
        let path = folder.path().join(lines.to_string());
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "every_verdict_that_was_shown_is_in_the_journal",
                "--nocapture",
            ])
            .env(WRITER, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(writer.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut shown: Vec<u64> = Vec::new();
        let number = |line: String| {
            line.split_once("shown up to ")
                .and_then(|(_, number)| number.parse::<u64>().ok())
        };
        while shown.len() <= lines {
            shown.extend(stdout.next().and_then(number));
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        // What was still in the pipe had been shown too; its last line may be cut.
        shown.extend(stdout.filter_map(number));
        let last = shown
            .len()
            .checked_sub(2)
            .map_or(shown[0], |index| shown[index]);

        let mut seen = 0;
        let mut on_entry = |entry: &Entry| {
            if let Entry::Record(record @ Record::Verdict { .. }) = entry {
                assert_eq!(record, &verdict(seen));
                seen += 1;
            }
        };
        let mut reader = JournalReader::open(&path).unwrap();
        reader.by_ref().for_each(|entry| on_entry(&entry.unwrap()));
        assert!(reader.report().is_whole(), "{:?}", reader.report());
        assert!(
            seen > last,
            "{seen} verdicts in the journal, shown up to {last}"
        );

        // The run can be continued.
        let (mut journal, report) = JournalWriter::reopen(&path, |_| {}).unwrap();
        journal.append(&verdict(seen)).unwrap();
        assert_eq!(report.next_sequence, seen + 1);
        let mut reader = JournalReader::open(&path).unwrap();
        assert_eq!(reader.by_ref().count() as u64, seen + 2);
        assert_eq!(reader.report().torn_bytes, 0);
    }
}
