//! A status in words.

use std::fmt::Write;

use aqe_core::ByteSize;
use aqe_core::session::{Machine, Status};

use super::document::Part;
use crate::report::style::{Colors, Human, counted};
use crate::report::text::one_line;
use crate::report::{age, short};

/// Tests that are named in an overview; `--queue-status` names all that the session tells of.
const FEW: usize = 5;

/// The lines about one session.
pub(super) fn of(status: &Status, part: Part, colors: Colors) -> String {
    let mut text = String::new();
    push_title(status, colors, &mut text);
    if status.run.is_empty() {
        return text;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  {}", progress(status));
    let _ = writeln!(text, "  {}", queue(status));
    let named = match part {
        Part::Queue => usize::MAX,
        Part::All => FEW,
    };
    push_running(status, named, &mut text);
    if part == Part::Queue {
        return text;
    }
    let _ = writeln!(text, "  {}", outcomes(status, colors));
    for failed in status.failures.iter().take(FEW) {
        let (name, verdict) = (one_line(&failed.name), one_line(&failed.verdict));
        let _ = writeln!(text, "{:>10}  {name} ({verdict})", colors.bad("FAIL"));
    }
    if let Some(machine) = machine(&status.machine) {
        let _ = writeln!(text, "  {machine}");
    }
    text
}

fn push_title(status: &Status, colors: Colors, text: &mut String) {
    let what = match (status.run.is_empty(), status.stopping) {
        (true, _) => "tests are being listed".to_owned(),
        (_, true) => format!("run {} is ending", one_line(&status.run)),
        _ => format!("run {}", one_line(&status.run)),
    };
    let title = colors.strong(what);
    let _ = write!(text, "{title}, process {}", status.pid);
    if !status.run.is_empty() {
        let _ = write!(text, ", for {}", Human(status.elapsed));
    }
    text.push('\n');
}

/// `12 of 450 done, 35/s, 12s left`.
pub(super) fn progress(status: &Status) -> String {
    let mut text = format!(
        "{} of {} done",
        status.done,
        counted(status.planned, "test")
    );
    if let Some(rate) = status.rate {
        let _ = write!(text, ", {}/s", short(rate));
    }
    if let Some(left) = status.left {
        let _ = write!(text, ", {} left", age(left));
    }
    text
}

/// `434 pending, 4 of 4 slots busy`.
pub(super) fn queue(status: &Status) -> String {
    format!(
        "{} pending, {} of {} busy",
        status.pending,
        status.busy,
        counted(status.slots, "slot")
    )
}

/// `10 passed (1 flaky), 2 failed, 3 skipped`.
pub(super) fn outcomes(status: &Status, colors: Colors) -> String {
    let mut text = format!("{} passed", status.passed);
    if status.flaky > 0 {
        let _ = write!(text, " ({} flaky)", status.flaky);
    }
    let failed = format!("{} failed", status.failed);
    let failed = match status.failed {
        0 => colors.plain(failed),
        _ => colors.bad(failed),
    };
    let _ = write!(text, ", {failed}");
    if status.skipped > 0 {
        let _ = write!(text, ", {} skipped", status.skipped);
    }
    text
}

fn push_running(status: &Status, most: usize, text: &mut String) {
    for running in status.running.iter().take(most) {
        let name = one_line(&running.name);
        let _ = writeln!(text, "{:>10}  {name}", age(running.age));
    }
    let named = status.running.len().min(most) as u64;
    if status.busy > named {
        let _ = writeln!(text, "{:>10}  and {} more", "", status.busy - named);
    }
}

/// `machine: processors 87 % busy, memory 43 % of 16.0 GiB; this run: 0.02 processors, 24.0 MiB`.
pub(super) fn machine(machine: &Machine) -> Option<String> {
    let of_memory = |ratio: f64| {
        let total = machine.memory_bytes.map(bytes);
        let total = total.map_or_else(String::new, |total| format!(" of {total}"));
        format!("memory {}{total}", percent(ratio))
    };
    let whole = [
        machine
            .cpu_ratio
            .map(|ratio| format!("processors {} busy", percent(ratio))),
        machine.memory_ratio.map(of_memory),
    ];
    let own = [
        machine
            .process_cpu
            .map(|used| format!("{used:.2} processors")),
        machine.process_bytes.map(bytes),
    ];
    let join = |parts: [Option<String>; 2], name: &str| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| format!("{name}: {}", parts.join(", ")))
    };
    let parts = [join(whole, "machine"), join(own, "aqe run itself")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

pub(super) fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio.clamp(0.0, 1.0) * 100.0)
}

fn bytes(bytes: u64) -> String {
    ByteSize::b(bytes).to_string()
}

/// A status on one line, for pipes.
pub(super) fn line(status: &Status, part: Part) -> String {
    if status.run.is_empty() {
        return "tests are being listed\n".to_owned();
    }
    let mut text = format!("{}; {}", progress(status), queue(status));
    match part {
        Part::Queue => {
            if let Some(oldest) = status.running.first() {
                let _ = write!(text, "; {} {}", age(oldest.age), one_line(&oldest.name));
            }
        }
        Part::All => {
            let _ = write!(text, "; {}", outcomes(status, Colors::Off));
            let Machine {
                cpu_ratio,
                memory_ratio,
                ..
            } = status.machine;
            if let (Some(cpu), Some(memory)) = (cpu_ratio, memory_ratio) {
                let _ = write!(
                    text,
                    "; processors {}, memory {}",
                    percent(cpu),
                    percent(memory)
                );
            }
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
pub(super) mod samples {
    use std::time::Duration;

    use aqe_core::session::{Failed, Running, Status};

    /// The status of a run in its middle.
    pub(in crate::monitor) fn status() -> Status {
        let mut status = Status::default();
        (status.pid, status.run) = (4711, "0198".to_owned());
        status.elapsed = Duration::from_secs(12);
        (status.planned, status.done, status.passed, status.flaky) = (450, 20, 17, 1);
        (status.failed, status.skipped, status.pending) = (3, 4, 427);
        (status.slots, status.busy) = (4, 3);
        (status.rate, status.left) = (Some(1.666), Some(Duration::from_secs(258)));
        status.running = vec![
            Running::new("suite it::hangs\u{1b}[2J", Duration::from_millis(4_200)),
            Running::new("suite it::reads", Duration::from_millis(90)),
        ];
        status.failures = vec![Failed::new("suite it::fails", "failed: exit code 101")];
        status.machine.cpu_ratio = Some(0.871);
        status.machine.memory_ratio = Some(0.43);
        status.machine.memory_bytes = Some(16 << 30);
        status.machine.process_cpu = Some(0.021);
        status.machine.process_bytes = Some(24 << 20);
        status
    }
}

#[cfg(test)]
mod tests {
    use super::samples::status;
    use super::*;

    #[test]
    fn an_overview_has_all_and_a_queue_what_waits_and_runs() {
        let overview = "run 0198, process 4711, for 12.00s\n  \
            20 of 450 tests done, 1.7/s, 4m18s left\n  \
            427 pending, 3 of 4 slots busy\n      \
            4.2s  suite it::hangs␛[2J\n      \
            0.1s  suite it::reads\n            and 1 more\n";
        let more = "  17 passed (1 flaky), 3 failed, 4 skipped\n      \
            FAIL  suite it::fails (failed: exit code 101)\n  \
            machine: processors 87 % busy, memory 43 % of 16.0 GiB; aqe run itself: 0.02 processors, 24.0 MiB\n";
        assert_eq!(of(&status(), Part::Queue, Colors::Off), overview);
        let all = format!("{overview}{more}");
        assert_eq!(of(&status(), Part::All, Colors::Off), all);
    }

    #[test]
    fn a_line_has_the_same_figures() {
        let begin = "20 of 450 tests done, 1.7/s, 4m18s left; 427 pending, 3 of 4 slots busy";
        assert_eq!(
            line(&status(), Part::Queue),
            format!("{begin}; 4.2s suite it::hangs␛[2J\n")
        );
        assert_eq!(
            line(&status(), Part::All),
            format!(
                "{begin}; 17 passed (1 flaky), 3 failed, 4 skipped; processors 87 %, memory 43 %\n"
            )
        );
    }

    #[test]
    fn what_is_not_known_yet_is_left_out() {
        let mut status = Status::default();
        status.pid = 7;
        assert_eq!(
            of(&status, Part::All, Colors::Off),
            "tests are being listed, process 7\n"
        );
        status.run = "id".to_owned();
        status.stopping = true;
        assert_eq!(
            of(&status, Part::All, Colors::Off),
            "run id is ending, process 7, for 0µs\n  0 of 0 tests done\n  0 pending, 0 of 0 slots busy\n  \
             0 passed, 0 failed\n"
        );
    }
}
