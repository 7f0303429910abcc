//! `compare AREA`: aqe beside what people use today.

use std::process::ExitCode;

use aqe_benches::cli::{self, Request, View};
use aqe_benches::memory::{codec, hits, store};
use aqe_benches::rounds::{self, SAMPLE, Scale};
use aqe_benches::{
    bars, batch, measure, monitor, monitor_history, queue, report, runner, verdicts,
};
use xtask::Result;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [SAMPLE, area, workload, contender, scale] => sample(area, workload, contender, scale),
        [] | ["--help" | "-h" | "help"] => {
            print!("{}", cli::USAGE);
            Ok(())
        }
        _ => Request::parse(&args).and_then(|request| compare(&request)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(request: &Request) -> Result<()> {
    let rows = match request.area.as_str() {
        queue::AREA => rounds::run(queue::AREA, &queue::pairings(request), request.plan)?,
        batch::AREA => rounds::run(batch::AREA, &batch::pairings(request), request.plan)?,
        store::AREA => rounds::run(store::AREA, &store::pairings(request), request.plan)?,
        codec::AREA => rounds::run(codec::AREA, &codec::pairings(request), request.plan)?,
        monitor::AREA => rounds::run(monitor::AREA, &monitor::pairings(request), request.plan)?,
        monitor_history::AREA => rounds::run(
            monitor_history::AREA,
            &monitor_history::pairings(request),
            request.plan,
        )?,
        runner::AREA => runner::compare(request)?,
        runner::LAUNCHER => runner::compare_launcher(request)?,
        verdicts::AREA => verdicts::compare(request)?,
        hits::AREA => hits::compare(request)?,
        other => return Err(cli::wrong(&format!("there is no area `{other}`"))),
    };
    if rows.is_empty() {
        return Err(cli::wrong(
            "no sample was taken: nothing matches `--only`, or every one failed",
        ));
    }
    let text = match request.view {
        View::Tables if request.area == hits::AREA => hits::to_text(&rows),
        View::Tables => report::to_text(&rows),
        View::Json => report::to_json(&rows),
        View::Bars if request.area == store::AREA => bars::to_text(store::bars::BARS, &rows),
        View::Bars => bars::to_text(queue::bars::BARS, &rows),
    };
    println!("{}", text.trim_end());
    Ok(())
}

/// Takes one sample in this process and prints its readings.
fn sample(area: &str, workload: &str, contender: &str, scale: &str) -> Result<()> {
    let scale =
        Scale::parse(scale).ok_or_else(|| cli::wrong(&format!("unknown scale `{scale}`")))?;
    let mut readings = match area {
        queue::AREA => queue::sample(workload, contender, scale)?,
        batch::AREA => batch::sample(workload, contender, scale)?,
        store::AREA => store::sample(workload, contender, scale)?,
        codec::AREA => codec::sample(workload, contender, scale)?,
        monitor::AREA => monitor::sample(workload, contender, scale)?,
        monitor_history::AREA => monitor_history::sample(workload, contender, scale)?,
        runner::AREA => runner::sample(workload, contender, scale)?,
        other => return Err(cli::wrong(&format!("there is no area `{other}`"))),
    };
    if [queue::AREA, batch::AREA].contains(&area) {
        readings.extend(measure::own_peak_memory());
    }
    println!("{}", rounds::encode(&readings));
    Ok(())
}
