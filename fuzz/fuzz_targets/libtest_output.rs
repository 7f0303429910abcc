//! Any bytes as the output of a test harness; the first two are lengths of the chunks that it is cut into.
//!
//! Where a stream is cut makes no difference, and no test counts as passed unless somebody said so.

#![no_main]

use aqe_runner::libtest::{
    BatchEnd, BatchJudge, BatchVerdict, Event, Outcome, OutputParser, completion, panic_summary,
};
use aqe_runner::model::Exit;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [first, second, stream @ ..] = data else {
        return;
    };
    cuts_make_no_difference(stream, usize::from(*first) + 1, usize::from(*second) + 1);
    a_batch_is_judged(stream);
    for code in [0, 101] {
        let middle = stream.len() / 2;
        let _ = completion(Exit::Code(code), &stream[..middle], &stream[middle..]);
    }
    let _ = panic_summary(stream, None);
    let _ = panic_summary(stream, Some("a"));
});

fn cuts_make_no_difference(stream: &[u8], first: usize, second: usize) {
    let (mut whole, mut cut) = (OutputParser::new(), OutputParser::new());
    let (mut expected, mut events) = (Vec::new(), Vec::new());
    whole.feed(stream, &mut |event| expected.push(format!("{event:?}")));
    let mut rest = stream;
    for length in [first, second].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, after) = rest.split_at(length.min(rest.len()));
        cut.feed(chunk, &mut |event| events.push(format!("{event:?}")));
        rest = after;
    }
    assert_eq!(events, expected);
    assert_eq!(cut.running(), whole.running());
}

fn a_batch_is_judged(stream: &[u8]) {
    let names = names(stream);
    for end in [
        BatchEnd::Exited(Exit::Code(0)),
        BatchEnd::Exited(Exit::Code(101)),
        BatchEnd::TimedOut,
        BatchEnd::Lost,
    ] {
        let mut judge = BatchJudge::new(&names);
        let mut said_ok = vec![false; names.len()];
        let mut summarised = false;
        OutputParser::new().feed(stream, &mut |event| {
            let position = judge.event(&event);
            summarised |= matches!(event, Event::Summary(_));
            if let (Some(position), Event::Verdict { outcome, .. }) = (position, event) {
                said_ok[position] |= !matches!(outcome, Outcome::Failed | Outcome::Ignored { .. });
            }
        });
        let verdicts = judge.finish(end);
        assert_eq!(verdicts.len(), names.len());
        for (verdict, said_ok) in verdicts.iter().zip(said_ok) {
            let passed = *verdict == BatchVerdict::Passed;
            assert!(!passed || said_ok || summarised, "passed without a word");
        }
    }
}

/// Names to have asked for: those that the stream mentions, and one that it does not.
fn names(stream: &[u8]) -> Vec<String> {
    let mut names = vec!["nobody::speaks::of::this".to_owned()];
    OutputParser::new().feed(stream, &mut |event| {
        if let Event::Verdict { name, .. } = event
            && names.len() < 64
        {
            names.push(name.to_owned());
        }
    });
    // With and without the one that has no outcome, in turn.
    if stream.len().is_multiple_of(2) {
        names.remove(0);
    }
    names
}
