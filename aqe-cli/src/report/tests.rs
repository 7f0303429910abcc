//! What people and programs see of a run, from the events alone.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_runner::journal::RunCounts;
use aqe_runner::model::{
    Attempt, AttemptResult, Excerpt, ExcerptLimit, Failure, OutputExcerpt, TestId, UnixMillis,
    Verdict,
};
use aqe_runner::run::{Event, Reporter, StopReason};
use unicode_width::UnicodeWidthChar;

use super::ledger::MAX_NAMED;
use super::*;

/// A stream that a test can look into.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that knows the few sequences that we use, and refuses all others.
struct Terminal {
    rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    width: usize,
    is_cursor_shown: bool,
}

/// Stands in the second cell of a wide character.
const WIDE: char = '\u{fffe}';

impl Terminal {
    fn new(width: usize) -> Self {
        Self {
            rows: vec![Vec::new()],
            row: 0,
            column: 0,
            width,
            is_cursor_shown: true,
        }
    }

    fn feed(&mut self, text: &str) {
        let mut symbols = text.chars();
        while let Some(symbol) = symbols.next() {
            match symbol {
                '\n' => self.line_feed(),
                '\r' => self.column = 0,
                '\x1b' => {
                    assert_eq!(symbols.next(), Some('['));
                    let sequence: String = symbols
                        .by_ref()
                        .take_while_inclusive(|c| !c.is_ascii_alphabetic());
                    self.obey(&sequence);
                }
                symbol => self.put(symbol),
            }
        }
    }

    fn obey(&mut self, sequence: &str) {
        match sequence {
            "?25l" => self.is_cursor_shown = false,
            "?25h" => self.is_cursor_shown = true,
            "J" => {
                self.rows.truncate(self.row + 1);
                self.rows[self.row].truncate(self.column);
            }
            _ if sequence.ends_with('m') => {}
            _ => {
                let rows: usize = sequence
                    .strip_suffix('A')
                    .expect("a sequence we know")
                    .parse()
                    .unwrap();
                assert!(rows <= self.row, "the block is taken away above the top");
                self.row -= rows;
            }
        }
    }

    fn put(&mut self, symbol: char) {
        assert!(!symbol.is_control(), "{symbol:?} reached the terminal");
        let width = symbol.width().unwrap();
        if self.column + width > self.width {
            self.line_feed();
        }
        let row = &mut self.rows[self.row];
        row.truncate(self.column);
        row.push(symbol);
        row.extend(std::iter::repeat_n(WIDE, width.saturating_sub(1)));
        self.column += width;
    }

    fn line_feed(&mut self) {
        self.row += 1;
        self.column = 0;
        if self.row == self.rows.len() {
            self.rows.push(Vec::new());
        }
    }

    /// The lines on the screen, without the empty ones at the end.
    fn lines(&self) -> Vec<String> {
        let text = |row: &Vec<char>| row.iter().filter(|cell| **cell != WIDE).collect::<String>();
        let mut lines: Vec<String> = self.rows.iter().map(text).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }
}

trait TakeWhileInclusive {
    /// All up to and with the first that is refused.
    fn take_while_inclusive(self, keep: impl Fn(char) -> bool) -> String;
}

impl<I: Iterator<Item = char>> TakeWhileInclusive for I {
    fn take_while_inclusive(self, keep: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        for symbol in self {
            taken.push(symbol);
            if !keep(symbol) {
                break;
            }
        }
        taken
    }
}

fn look() -> Look {
    Look {
        colors: Colors::Off,
        verbose: false,
        max_attempts: 3,
        rerun: Rerun::default(),
    }
}

fn plan(tests: u64) -> Plan {
    Plan {
        tests,
        binaries: 2,
        ignored: 1,
        filtered_out: 4,
        jobs: 2,
        isolation: "process".to_owned(),
        journal: Some(PathBuf::from("target/aqe/runs/7/journal")),
    }
}

fn id(name: &str) -> TestId {
    TestId::new("store::it", name)
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn started(name: &str) -> Event {
    Event::AttemptStarted {
        test: id(name),
        number: 1,
    }
}

fn panicked() -> AttemptResult {
    AttemptResult::Failed(Failure::ExitCode { code: 101 })
}

fn attempt(number: u32, result: AttemptResult, stdout: &str, stderr: &str) -> Attempt {
    let excerpt = |text: &str| Excerpt::of(text.as_bytes(), ExcerptLimit { head: 20, tail: 20 });
    let summary =
        (!stderr.is_empty()).then(|| format!("panicked: {}", stderr.lines().next().unwrap()));
    Attempt::new(number, result)
        .lasting(millis(7))
        .summary(summary)
        .output(Some(OutputExcerpt::new(excerpt(stdout), excerpt(stderr))))
}

fn ended(name: &str, attempt: Attempt, will_retry: bool) -> Event {
    Event::AttemptFinished {
        test: id(name),
        attempt,
        will_retry,
    }
}

fn finished(name: &str, verdict: Verdict) -> Event {
    Event::TestFinished {
        test: id(name),
        verdict,
        duration: millis(12),
    }
}

fn passed(name: &str) -> [Event; 3] {
    let attempt = Attempt::new(1, AttemptResult::Passed).lasting(millis(12));
    [
        started(name),
        ended(name, attempt, false),
        finished(name, Verdict::Passed),
    ]
}

fn failed(name: &str, stdout: &str, stderr: &str) -> [Event; 3] {
    let attempt = attempt(1, panicked(), stdout, stderr);
    let verdict = Verdict::Failed(Failure::ExitCode { code: 101 });
    [
        started(name),
        ended(name, attempt, false),
        finished(name, verdict),
    ]
}

fn over(events: &[Event], stopped: Option<StopReason>) -> Event {
    let mut counts = RunCounts::default();
    for event in events {
        if let Event::TestFinished { verdict, .. } = event {
            counts.add(verdict);
        }
    }
    Event::RunFinished {
        finished: UnixMillis(9),
        duration: millis(1240),
        counts,
        stopped,
    }
}

/// One run with something of everything.
fn eventful() -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(passed("fine"));
    events.extend(failed(
        "broken",
        "\x1b[2Jhello\n",
        "assertion failed\nleft: 1",
    ));
    events.extend([
        started("shaky"),
        ended("shaky", attempt(1, panicked(), "", "not yet"), true),
        ended("shaky", attempt(2, AttemptResult::Passed, "", ""), false),
        finished("shaky", Verdict::Flaky { attempts: 2 }),
        started("slow"),
        ended(
            "slow",
            attempt(
                3,
                AttemptResult::TimedOut {
                    after: millis(1500),
                },
                "",
                "",
            ),
            false,
        ),
        finished(
            "slow",
            Verdict::TimedOut {
                after: millis(1500),
            },
        ),
        finished("daemon", Verdict::Leaked),
        finished(
            "later",
            Verdict::Ignored {
                reason: Some("needs a printer".to_owned()),
            },
        ),
        Event::Warning {
            message: "the disk is\nalmost full".to_owned(),
        },
        Event::Stopping {
            reason: StopReason::FirstFailure,
        },
        started("held"),
        ended("held", attempt(1, AttemptResult::Cancelled, "", ""), false),
        finished("held", Verdict::Cancelled),
        finished("never", Verdict::Cancelled),
    ]);
    events.push(over(&events, Some(StopReason::FirstFailure)));
    events
}

fn plain(look: Look, plan: Plan, events: &[Event]) -> (String, String) {
    let (results, messages) = (Captured::default(), Captured::default());
    let mut reporter = Plain::new(look, results.clone(), messages.clone());
    reporter.begin(plan);
    for event in events {
        reporter.event(event);
    }
    reporter.flush();
    (results.text(), messages.text())
}

#[test]
fn plain_shows_every_test_and_each_output_once() {
    let (results, messages) = plain(look(), plan(7), &eventful());
    let expected = "\
running 7 tests of 2 binaries, 2 at once, isolation process
     PASS [  12.0ms] store::it fine
     FAIL [  12.0ms] store::it broken
          panicked: assertion failed
  --- stdout ---
    ␛[2Jhello
  --- stderr ---
    assertion failed
    left: 1
  TRY 1/3 [   7.0ms] store::it shaky
          panicked: not yet
FLAKY 2/3 [  12.0ms] store::it shaky
  TIMEOUT [  12.0ms] store::it slow
          still running after 1.50s, and killed
     LEAK [  12.0ms] store::it daemon
   CANCEL [   7.0ms] store::it held

flaky:
    FLAKY store::it shaky
          passed at attempt 2; before: panicked: not yet

left processes behind:
     LEAK store::it daemon
          passed, and left a process behind that held its output open

failed:
     FAIL store::it broken
          panicked: assertion failed
          aqe run -p store --test it --exact broken
  TIMEOUT store::it slow
          still running after 1.50s, and killed
          aqe run -p store --test it --exact slow

5 tests run: 3 passed (1 flaky, 1 leaky), 2 failed (1 timed out); 1 ignored in 1.24s
2 of 7 tests have no result: the run was to end with the first failure
journal: target/aqe/runs/7/journal
";
    assert_eq!(results, expected);
    assert_eq!(
        messages,
        "warning: the disk is …\nstopping after the first failure; what runs is finished\n"
    );
}

#[test]
fn ignored_tests_have_lines_when_asked_for() {
    let verbose = Look {
        verbose: true,
        ..look()
    };
    let (results, _) = plain(verbose, plan(7), &eventful());
    assert!(
        results.contains("\n   IGNORE [        ] store::it later  needs a printer\n"),
        "{results}"
    );
}

#[test]
fn cut_output_says_how_much_is_missing_and_where_it_is() {
    let text = "x".repeat(100);
    let excerpt = Excerpt::of(text.as_bytes(), ExcerptLimit { head: 3, tail: 2 })
        .spilled_to("output/1.stdout");
    let attempt =
        Attempt::new(1, panicked()).output(Some(OutputExcerpt::new(excerpt, Excerpt::default())));
    let events = [
        ended("big", attempt, false),
        finished("big", Verdict::Failed(Failure::ExitedEarly)),
    ];
    let (results, _) = plain(look(), plan(1), &events);
    let expected = "    xxx\n    ... 95 bytes are not shown; all of it is in target/aqe/runs/7/output/1.stdout ...\n    xx\n";
    assert!(results.contains(expected), "{results}");
}

#[test]
fn names_of_tests_cannot_act_on_the_terminal() {
    let events: Vec<Event> = failed("a\x1b[2J\nb", "", "\u{9b}2J\x07").into();
    let (results, _) = plain(
        look(),
        plan(1),
        &[events.as_slice(), &[over(&events, None)]].concat(),
    );
    assert!(
        results
            .lines()
            .all(|line| !line.chars().any(char::is_control)),
        "{results:?}"
    );
    assert!(results.contains("a␛[2J b"), "{results}");
}

#[test]
fn a_summary_names_a_bounded_number_of_tests() {
    let mut events: Vec<Event> = (0..MAX_NAMED + 5)
        .flat_map(|number| failed(&format!("t{number}"), "", ""))
        .collect();
    events.push(over(&events, None));
    let (results, _) = plain(look(), plan(2000), &events);
    assert_eq!(results.matches("aqe run -p").count(), MAX_NAMED);
    assert!(
        results.contains("and 5 more, which the journal names\n"),
        "the rest is counted"
    );
}

#[test]
fn a_run_without_tests_has_no_summary() {
    assert_eq!(
        plain(look(), plan(0), &[over(&[], None)]),
        (String::new(), String::new())
    );
}

#[test]
fn json_is_one_object_per_event_and_nothing_else() {
    let stream = Captured::default();
    let mut reporter = Json::new(stream.clone());
    let events = eventful();
    for event in &events {
        reporter.event(event);
    }
    assert_eq!(stream.text(), "", "events are gathered until there is time");
    reporter.flush();
    let text = stream.text();
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), events.len());
    assert_eq!(objects[2]["event"], "test-finished");
    assert_eq!(objects[2]["test"], "fine");
    assert_eq!(objects[2]["verdict"]["status"], "passed");
    assert_eq!(objects.last().unwrap()["counts"]["failed"], 1);
}

/// A live view with a terminal of its own and a clock that stands still.
struct Watched {
    live: Live,
    bytes: Captured,
    terminal: Terminal,
    now: Arc<Mutex<Duration>>,
}

impl Watched {
    fn new(width: usize, height: usize, results: Results) -> Self {
        let (bytes, now) = (Captured::default(), Arc::new(Mutex::new(Duration::ZERO)));
        let clock = Arc::clone(&now);
        let live = Live::with_clock(
            look(),
            Box::new(bytes.clone()),
            results,
            Size { width, height },
            Box::new(move || *clock.lock().unwrap()),
        );
        Self {
            live,
            bytes,
            terminal: Terminal::new(width),
            now,
        }
    }

    fn events(&mut self, events: &[Event]) {
        for event in events {
            self.live.event(event);
        }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn screen(&mut self) -> Vec<String> {
        self.terminal.feed(&self.bytes.take());
        self.terminal.lines()
    }
}

#[test]
fn live_shows_what_runs_and_keeps_only_problems() {
    let mut view = Watched::new(80, 24, Results::Screen);
    view.live.begin(plan(20));
    for name in ["a", "b", "c", "d"] {
        view.events(&passed(name));
    }
    view.events(&[started("older")]);
    view.pass(millis(1500));
    view.events(&[started("younger")]);
    view.pass(millis(500));
    view.live.flush();
    assert_eq!(
        view.screen(),
        [
            "running 20 tests of 2 binaries, 2 at once, isolation process",
            "[====>                   ] 4/20  2.0/s  8.0s left",
            "    2.0s  store::it older",
            "    0.5s  store::it younger",
        ]
    );
    assert!(!view.terminal.is_cursor_shown);

    view.pass(millis(1000));
    view.events(&failed("younger", "", "no"));
    view.live.flush();
    assert_eq!(
        view.screen(),
        [
            "running 20 tests of 2 binaries, 2 at once, isolation process",
            "     FAIL [  12.0ms] store::it younger",
            "          panicked: no",
            "  --- stderr ---",
            "    no",
            "[======>                 ] 5/20  1.7/s  9.0s left  1 failed",
            "    3.0s  store::it older",
        ]
    );

    view.events(&passed("older"));
    view.events(&[over(&passed("older"), None)]);
    let lines = view.screen();
    assert_eq!(lines[4], "    no", "the block is gone: {lines:?}");
    assert_eq!(lines.last().unwrap(), "journal: target/aqe/runs/7/journal");
    assert!(view.terminal.is_cursor_shown);
}

#[test]
fn frames_are_few_however_many_events_there_are() {
    let mut view = Watched::new(80, 24, Results::Screen);
    view.live.begin(plan(10_000));
    let mut frames = 0;
    for number in 0..10_000 {
        view.pass(Duration::from_micros(100));
        view.events(&passed(&number.to_string()));
        view.live.flush();
        frames += usize::from(!view.bytes.take().is_empty());
    }
    assert!((10..=13).contains(&frames), "{frames} frames in one second");
}

#[test]
fn a_quiet_run_is_drawn_again_for_the_ages() {
    let mut view = Watched::new(80, 24, Results::Screen);
    view.live.begin(plan(2));
    view.events(&[started("slow")]);
    assert_eq!(view.live.tick_after(), Some(Duration::ZERO));
    view.live.tick();
    assert!(view.live.tick_after().unwrap() > millis(100));
    view.pass(Duration::from_secs(75));
    view.live.tick();
    assert_eq!(view.screen().last().unwrap(), "   1m15s  store::it slow");
}

#[test]
fn wide_names_and_narrow_terminals_do_not_break_the_block() {
    for width in [2, 9, 20, 33, 60] {
        let mut view = Watched::new(width, 24, Results::Screen);
        view.live.begin(plan(3));
        view.live.flush();
        let before = view.screen();
        view.events(&[
            started("測試測試測試測試測試測試測試測試測試測試測試測試測試測試測試"),
            started(&"x".repeat(300)),
        ]);
        for _ in 0..5 {
            view.pass(millis(100));
            view.live.tick();
        }
        let header = before.len() - 1;
        assert_eq!(
            view.screen().len(),
            header + 3,
            "at width {width}: {:?}",
            view.terminal.lines()
        );
        drop(view.live);
        view.terminal.feed(&view.bytes.take());
        assert_eq!(view.terminal.lines().len(), header, "at width {width}");
    }
}

#[test]
fn the_block_is_never_higher_than_the_terminal() {
    let mut view = Watched::new(80, 6, Results::Screen);
    view.live.begin(plan(100));
    for number in 0..50 {
        view.events(&[started(&format!("t{number:02}"))]);
    }
    view.live.tick();
    let lines = view.screen();
    assert_eq!(lines.len(), 1 + 5, "{lines:?}");
    assert_eq!(lines.last().unwrap(), "          and 47 more");
}

#[test]
fn a_terminal_that_became_narrower_is_cleaned_up() {
    let mut view = Watched::new(60, 24, Results::Screen);
    view.live.begin(plan(9));
    view.events(&[started(&"y".repeat(100))]);
    view.live.tick();
    assert_eq!(view.screen().len(), 3);
    // The terminal wraps what is too wide by itself.
    let mut narrow = Terminal::new(30);
    narrow.feed(&view.terminal.lines().join("\n"));
    view.terminal = narrow;
    view.live.handle().resize(Size {
        width: 30,
        height: 24,
    });
    let lines = view.screen();
    assert_eq!(
        lines.len(),
        4,
        "two lines of the header and two of the block: {lines:?}"
    );
}

#[test]
fn a_suspended_view_gives_the_terminal_back() {
    let mut view = Watched::new(80, 24, Results::Screen);
    view.live.begin(plan(9));
    view.events(&[started("held")]);
    view.live.tick();
    let handle = view.live.handle();
    handle.say("interrupted\n");
    assert_eq!(view.screen()[1], "interrupted");
    assert_eq!(view.screen().len(), 4, "and the block below");
    handle.suspend();
    assert_eq!(view.screen().len(), 2);
    assert!(view.terminal.is_cursor_shown);
    // Whoever waits for an event now, and for ever, would not see that the view was resumed, and draw no more ages.
    assert!(view.live.tick_after().is_some());
    view.live.tick();
    assert_eq!(view.screen().len(), 2, "nothing is drawn meanwhile");
    handle.resume(Size {
        width: 80,
        height: 24,
    });
    assert_eq!(view.screen().last().unwrap(), "    0.0s  store::it held");
}

#[test]
fn batches_count_what_their_harness_has_spoken_of() {
    let mut view = Watched::new(80, 24, Results::Screen);
    view.live.begin(plan(50));
    view.events(&[
        Event::BatchStarted {
            batch: 1,
            binary: "store::it".into(),
            tests: 40,
        },
        Event::BatchProgress {
            batch: 1,
            tests: 30,
            running: Some("deep".into()),
        },
        Event::BatchProgress {
            batch: 1,
            tests: 5,
            running: Some("deeper".into()),
        },
        // A harness that counts wrong, and a batch that nobody knows.
        Event::BatchProgress {
            batch: 2,
            tests: 7,
            running: None,
        },
    ]);
    view.live.tick();
    let lines = view.screen();
    assert_eq!(
        lines[1..],
        [
            "[================>       ] 35/50",
            "    0.0s  store::it [35/40] deeper"
        ]
    );
    view.pass(millis(100));
    view.events(&[Event::BatchFinished {
        batch: 1,
        duration: millis(9),
        alone: Vec::new(),
    }]);
    for number in 0..38 {
        view.events(&[finished(&number.to_string(), Verdict::Passed)]);
    }
    view.live.tick();
    assert_eq!(view.screen()[1..], ["[==================>     ] 38/50"]);
}

#[test]
fn results_go_elsewhere_when_they_are_sent_there() {
    let results = Captured::default();
    let mut view = Watched::new(80, 24, Results::Elsewhere(Box::new(results.clone())));
    view.live.begin(plan(2));
    view.events(&failed("broken", "", "no"));
    view.events(&[Event::Warning {
        message: "careful".to_owned(),
    }]);
    view.live.flush();
    assert!(results.text().contains("FAIL [  12.0ms] store::it broken"));
    assert_eq!(
        view.screen(),
        [
            "warning: careful",
            "[============>           ] 1/2  1 failed"
        ]
    );
}

/// The reader of `aqe run | head -1` is gone after one line.
#[test]
fn a_closed_stream_does_not_end_the_run() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let messages = Captured::default();
    let mut reporter = Plain::new(look(), Closed, messages.clone());
    reporter.begin(plan(7));
    for event in eventful() {
        reporter.event(&event);
        reporter.flush();
    }
    assert!(
        messages.text().starts_with("warning: the disk"),
        "{}",
        messages.text()
    );
}
