//! The command line, as clap reads it.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use aqe_core::{AlertMetric, ByteSize};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::examples::{
    ALERTS_EXAMPLES, BATCH_EXAMPLES, COMPLETIONS_EXAMPLES, CONFIG_EXAMPLES, HISTORY_EXAMPLES,
    MEMORY_EXAMPLES, MONITOR_EXAMPLES, PERFORMANCE_EXAMPLES, RUN_EXAMPLES,
};
use crate::exit;

/// Runs your project's tests in parallel and tells you what it saw.
#[derive(Debug, Parser)]
#[command(name = "aqe", version, after_help = exit::HELP)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build the project's tests and run them in parallel
    #[command(visible_alias = "r", after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Apply an operation to many files; a run that was ended goes on where it was
    #[command(after_help = BATCH_EXAMPLES)]
    Batch(Box<BatchArgs>),
    /// Show what became of each test, run after run
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Look into a memory store in a folder, and look after it
    #[command(after_help = MEMORY_EXAMPLES)]
    Memory(MemoryArgs),
    /// Show what a run does at the moment, or what the last one came to
    #[command(after_help = MONITOR_EXAMPLES)]
    Monitor(MonitorArgs),
    /// Show how fast the runs were, what has changed, and export what was measured
    #[command(after_help = PERFORMANCE_EXAMPLES)]
    Performance(PerformanceArgs),
    /// Be told when something goes wrong: rules, messages, silences, drills, and what happened
    #[command(after_help = ALERTS_EXAMPLES)]
    Alerts(AlertsArgs),
    /// Read, check and change qe.config.yaml
    #[command(after_help = CONFIG_EXAMPLES)]
    Config(ConfigArgs),
    /// Print a completion script for your shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run only tests whose name contains one of these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Compare NAME and --skip with the whole test name
    #[arg(long, help_heading = "Which tests")]
    pub(crate) exact: bool,
    /// Leave out tests whose name contains this (repeatable)
    #[arg(long, value_name = "NAME", help_heading = "Which tests")]
    pub(crate) skip: Vec<String>,
    /// Run only the tests marked `#[ignore]`
    #[arg(long, conflicts_with = "include_ignored", help_heading = "Which tests")]
    pub(crate) ignored: bool,
    /// Run the tests marked `#[ignore]` as well
    #[arg(long, help_heading = "Which tests")]
    pub(crate) include_ignored: bool,
    /// Run the documentation tests instead, through cargo; exit code 1 also when they do not build
    #[arg(long, conflicts_with_all = DOC_CONFLICTS, help_heading = "Which tests")]
    pub(crate) doc: bool,

    #[command(flatten)]
    pub(crate) build: BuildArgs,

    /// Tests at once; "auto" is one per processor [default: run.jobs]
    #[arg(short, long, value_name = "N", help_heading = "How they run")]
    pub(crate) jobs: Option<String>,
    /// Run a failed test again up to N times; passing then makes it flaky, not failed
    #[arg(long, value_name = "N", help_heading = "How they run")]
    pub(crate) retries: Option<String>,
    /// End a test that runs longer, with everything it started ("90s", "5m", "off")
    #[arg(long, value_name = "DURATION", help_heading = "How they run")]
    pub(crate) timeout: Option<String>,
    /// Start nothing more after the first failure; what runs is finished
    #[arg(long, overrides_with = "no_fail_fast", help_heading = "How they run")]
    pub(crate) fail_fast: bool,
    /// Run everything, whatever fails and whatever run.failFast says
    #[arg(long, overrides_with = "fail_fast", help_heading = "How they run")]
    pub(crate) no_fail_fast: bool,
    /// One process per test, or batches of tests with failures repeated alone
    #[arg(long, value_enum, value_name = "MODE", help_heading = "How they run")]
    pub(crate) isolation: Option<IsolationArg>,
    /// Let tests write to this terminal, one test at a time
    #[arg(long, visible_alias = "nocapture", conflicts_with_all = ["json", "junit", "jobs", "isolation"], help_heading = "How they run")]
    pub(crate) no_capture: bool,

    /// A block that is redrawn, or a line per test; "auto" chooses
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto, value_name = "STYLE", help_heading = "What you see")]
    pub(crate) progress: ProgressArg,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", help_heading = "What you see")]
    pub(crate) color: ColorArg,
    /// Print a line for every test in the live view, and for ignored ones
    #[arg(short, long, help_heading = "What you see")]
    pub(crate) verbose: bool,
    /// Print one JSON object per event on stdout while the run goes on
    #[arg(long, conflicts_with_all = ["progress", "verbose"], help_heading = "What you see")]
    pub(crate) json: bool,
    /// Write a JUnit XML report when the run ends
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "What you see")]
    pub(crate) junit: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    /// Files, or patterns in quotes, as in 'reports/**/*.info'
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<String>,
    /// What is done with each file
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) operation: OperationArg,

    // All words up to the next option: of `--baseline old/*.info`, which a shell expands, none becomes a FILE unnoticed.
    /// Compare with reports of an earlier run: all words up to the next option
    #[arg(long, num_args = 1.., value_name = "REPORT", value_hint = ValueHint::FilePath, help_heading = "Coverage")]
    pub(crate) baseline: Vec<String>,
    /// End with exit code 1 when fewer percent of the lines are covered
    #[arg(long, value_name = "PERCENT", value_parser = percent, help_heading = "Coverage")]
    pub(crate) fail_under: Option<f64>,
    /// Take this folder, besides the working folder, off paths in reports (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Coverage")]
    pub(crate) strip_prefix: Vec<String>,
    /// The format of all reports; without it, the first bytes of each decide
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Coverage")]
    pub(crate) report_format: Option<ReportFormatArg>,
    /// Refuse reports that take more memory
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1GiB",
        help_heading = "Coverage"
    )]
    pub(crate) max_memory: ByteSize,

    /// Files at once, one per processor at most [default: batch.concurrency]
    #[arg(long, value_name = "N", help_heading = "How they are processed")]
    pub(crate) concurrency: Option<String>,
    /// Process every file, and keep nothing for the next run
    #[arg(
        long,
        conflicts_with = "cache_dir",
        help_heading = "How they are processed"
    )]
    pub(crate) no_cache: bool,
    /// Folder for results of unchanged files [default: see below]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "How they are processed")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Size of that folder; what was not used for longest goes first
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "1GiB",
        help_heading = "How they are processed"
    )]
    pub(crate) cache_size: ByteSize,

    /// A bar, or a line per file; "auto" shows a bar on a terminal
    #[arg(long, value_enum, default_value_t = ProgressArg::Auto, value_name = "STYLE", help_heading = "What you see")]
    pub(crate) progress: ProgressArg,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", help_heading = "What you see")]
    pub(crate) color: ColorArg,
    /// Name every uncovered line on a narrow terminal too, and every warning
    #[arg(short, long, help_heading = "What you see")]
    pub(crate) verbose: bool,
    /// Print one JSON document on stdout
    #[arg(long, conflicts_with = "verbose", help_heading = "What you see")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    /// Show only tests whose name contains one of these
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Compare NAME with the whole test name
    #[arg(long)]
    pub(crate) exact: bool,
    /// Show only tests that passed and failed without a change
    #[arg(long)]
    pub(crate) flaky: bool,

    /// Show every execution of each test
    #[arg(short, long, help_heading = "What you see")]
    pub(crate) verbose: bool,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", help_heading = "What you see")]
    pub(crate) color: ColorArg,
    /// Print one JSON document on stdout
    #[arg(long, conflicts_with = "verbose", help_heading = "What you see")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) store: StorePlace,
    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    #[command(subcommand)]
    pub(crate) command: MemoryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// Print how much the store holds
    Stats {
        /// Go on until Ctrl-C: redrawn on a terminal, a line each time elsewhere
        #[arg(long)]
        real_time: bool,
        /// Time between two looks, with --real-time ("500ms", "2s", "1m"; plain numbers are seconds)
        #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "2s", requires = "real_time")]
        interval: Duration,
        #[command(flatten)]
        common: MemoryCommon,
    },
    /// Print what the store is made of: tiers, namespaces, ages, the largest entries
    Analyze {
        /// Also print how that changes
        #[arg(long)]
        show_trends: bool,
        #[command(flatten)]
        common: MemoryCommon,
    },
    /// Print what is wrong with the store, why, and what to do
    Diagnose {
        /// Also print which entries take the memory and the disk, by namespace, age and tier
        #[arg(long)]
        show_allocations: bool,
        #[command(flatten)]
        common: MemoryCommon,
    },
    /// Make values smaller, in files that would become a tenth smaller
    Optimize {
        /// All values, with dictionaries that are made anew of them
        #[arg(long)]
        aggressive: bool,
        #[command(flatten)]
        common: MemoryCommon,
    },
    /// Give back the memory and the disk space of what is over
    Cleanup {
        /// Also give up the uncompressed copies in memory; nothing on disk goes
        #[arg(long, conflicts_with = "aggressive")]
        cache_only: bool,
        /// Also write every file anew in which anything is dead
        #[arg(long)]
        aggressive: bool,
        #[command(flatten)]
        common: MemoryCommon,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
    /// Show only the queue: what waits, what runs and for how long, what is done
    #[arg(long)]
    pub(crate) queue_status: bool,
    /// Go on until the run ends: redrawn on a terminal, a line each time elsewhere
    #[arg(long)]
    pub(crate) real_time: bool,
    /// Time between two looks, with --real-time ("500ms", "2s", "1m"; plain numbers are seconds)
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "1s", requires = "real_time")]
    pub(crate) interval: Duration,
    /// The run of this process, where several go on
    #[arg(long, value_name = "PID")]
    pub(crate) session: Option<u32>,

    /// Print JSON on stdout; with --real-time an object per line
    #[arg(long, help_heading = "What you see")]
    pub(crate) json: bool,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", help_heading = "What you see")]
    pub(crate) color: ColorArg,

    /// Path to the Cargo.toml of the project
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, help_heading = "Which project")]
    pub(crate) manifest_path: Option<PathBuf>,
    /// The project's target folder, if `aqe run` was told one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Which project")]
    pub(crate) target_dir: Option<PathBuf>,
}

/// What all commands about a store take.
#[derive(Debug, Args)]
pub(crate) struct MemoryCommon {
    /// Print JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN")]
    pub(crate) color: ColorArg,
    #[command(flatten)]
    pub(crate) store: StorePlace,
    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Print the rules, where their alerts stand, and the silences
    List {
        #[command(flatten)]
        common: AlertsCommon,
    },
    /// Add a rule to the default ones
    Add {
        /// What is watched
        #[arg(long, value_name = "METRIC", value_parser = metric())]
        metric: AlertMetric,
        /// Values above this are an alert: percent, or a time ("85", "30s")
        #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
        threshold: String,
        /// Who is told (repeatable, or with commas between) [default: all that are configured]
        #[arg(long, value_enum, value_name = "ACTION", value_delimiter = ',')]
        action: Vec<ActionArg>,
        /// For how long values are above before anybody is told ("30s", "5m")
        #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "30s")]
        hold: Duration,
        /// Values at or below this end the alert [default: somewhat below the threshold]
        #[arg(long, value_name = "LEVEL", allow_hyphen_values = true)]
        resolve: Option<String>,
        /// How bad it is
        #[arg(long, value_enum, default_value_t = SeverityArg::Warning, value_name = "SEVERITY")]
        severity: SeverityArg,
        #[command(flatten)]
        common: AlertsCommon,
    },
    /// Remove a rule that was added
    Remove {
        /// Its name, as `aqe alerts list` shows it
        #[arg(value_name = "RULE")]
        id: String,
        #[command(flatten)]
        common: AlertsCommon,
    },
    /// Tell nobody for a while; alerts go on in every other way
    Silence {
        /// Only about this metric
        #[arg(long, value_name = "METRIC", value_parser = metric(), conflicts_with = "rule")]
        metric: Option<AlertMetric>,
        /// Only about this rule
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// For how long ("30m", "2h", "7days")
        #[arg(long = "for", value_name = "DURATION", value_parser = duration, required_unless_present = "end")]
        length: Option<Duration>,
        /// Why, for whoever asks
        #[arg(
            long,
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        reason: String,
        /// End the silence of this number instead
        #[arg(long, value_name = "NUMBER", conflicts_with_all = ["metric", "rule", "length", "reason"])]
        end: Option<u64>,
        #[command(flatten)]
        common: AlertsCommon,
    },
    /// Send a real message, marked as a drill, and wait until it has arrived
    #[command(group = ArgGroup::new("about").args(["metric", "rule"]))]
    Test {
        /// As if the default rule of this metric had fired
        #[arg(long, value_name = "METRIC", value_parser = metric(), conflicts_with = "rule")]
        metric: Option<AlertMetric>,
        /// As if this rule had fired
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// With a value just beyond the threshold in the message
        #[arg(long, requires = "about")]
        simulate_threshold: bool,
        /// To whom (repeatable, or with commas between) [default: whom the rule tells]
        #[arg(long, value_enum, value_name = "ACTION", value_delimiter = ',')]
        action: Vec<ActionArg>,
        #[command(flatten)]
        common: AlertsCommon,
    },
    /// Print what happened: alerts that came and went, and messages
    History {
        /// How far back to look ("24h", "30days")
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "7days")]
        period: Duration,
        #[command(flatten)]
        common: AlertsCommon,
    },
}

/// What all commands about alerts take.
#[derive(Debug, Args)]
pub(crate) struct AlertsCommon {
    /// Print one JSON document on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN")]
    pub(crate) color: ColorArg,
    #[command(flatten)]
    pub(crate) config: ConfigSource,
}

/// The ways that a message can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ActionArg {
    Email,
    Slack,
    Webhook,
}

/// How bad an alert is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    // Worth knowing.
    Info,
    // Worth a look today.
    Warning,
    // Worth getting up for.
    Critical,
}

/// Reads the name of a metric, and completes it.
fn metric() -> impl TypedValueParser<Value = AlertMetric> {
    let names =
        AlertMetric::ALL.map(|metric| PossibleValue::new(metric.typed_name()).alias(metric.name()));
    PossibleValuesParser::new(names)
        .try_map(|name| AlertMetric::of_name(&name).ok_or("not a metric"))
}

/// Reads a duration as the configuration does.
fn duration(text: &str) -> Result<Duration, String> {
    aqe_core::config::parse_duration(text)
}

/// Which store: that of a folder, or the one that holds the history of a project's tests.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which store")]
pub(crate) struct StorePlace {
    /// The store's folder [default: aqe/history in the project's target folder]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with_all = ["manifest_path", "target_dir"])]
    pub(crate) folder: Option<PathBuf>,
    /// Path to the Cargo.toml of the project
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) manifest_path: Option<PathBuf>,
    /// The project's target folder, if `aqe run` was told one
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) target_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_required = false)]
#[command(arg_required_else_help = true)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["queue_analysis", "analyze_bottlenecks"]))]
pub(crate) struct PerformanceArgs {
    #[command(subcommand)]
    pub(crate) command: Option<PerformanceCommand>,

    /// Print how runs used their slots
    #[arg(long)]
    pub(crate) queue_analysis: bool,
    /// Print what limited the newest run, and which setting to change
    #[arg(long)]
    pub(crate) analyze_bottlenecks: bool,
    /// Also print each formula with its inputs
    #[arg(long, requires = "analyze_bottlenecks")]
    pub(crate) detailed: bool,
    /// How far back to look ("1h", "30days")
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30days")]
    pub(crate) period: Duration,
    #[command(flatten)]
    pub(crate) common: PerformanceCommon,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PerformanceCommand {
    /// Print how long an operation takes, in all its spread
    Diagnose {
        /// "test-execution", or a series of times in seconds
        #[arg(long, value_name = "NAME")]
        operation: String,
        /// How far back to look ("1h", "30days")
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30days")]
        period: Duration,
        #[command(flatten)]
        common: PerformanceCommon,
    },
    /// Print what runs came to, one after the other, and where that changed for good
    Trends {
        /// What to look at
        #[arg(long, value_enum, default_value_t = MetricArg::Execution)]
        metric: MetricArg,
        /// How far back to look ("24h", "30days")
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30days")]
        period: Duration,
        #[command(flatten)]
        common: PerformanceCommon,
    },
    /// Print whether one version's runs take longer than another's
    Compare {
        /// The version to compare with
        #[arg(long, value_name = "VERSION")]
        baseline: String,
        /// The version that is compared
        #[arg(long, value_name = "VERSION")]
        current: String,
        /// What to look at
        #[arg(long, value_enum, default_value_t = MetricArg::Execution)]
        metric: MetricArg,
        #[command(flatten)]
        common: PerformanceCommon,
    },
    /// Write all samples of a period as CSV or as JSON, one object a line
    Export {
        /// The format
        #[arg(long, value_enum, default_value_t = ExportFormatArg::Csv)]
        format: ExportFormatArg,
        /// How far back to look ("24h", "90days")
        #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "30days")]
        period: Duration,
        /// A file that is not there yet [default: standard output]
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
        #[command(flatten)]
        common: PerformanceCommon,
    },
}

/// What all commands about the history of measurements take.
#[derive(Debug, Args)]
pub(crate) struct PerformanceCommon {
    /// Print JSON on stdout
    #[arg(long)]
    pub(crate) json: bool,
    /// When to use colours; "auto" heeds CARGO_TERM_COLOR and NO_COLOR
    #[arg(long, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN")]
    pub(crate) color: ColorArg,
    /// The monitor's file [default: monitor.db in the project's .aqe]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricArg {
    // From the first test's start to the last one's end.
    #[value(name = "execution-time")]
    Execution,
    // Of all tests, on all processors.
    #[value(name = "cpu-time")]
    Cpu,
    // Of the tests' times.
    #[value(name = "median-test-time")]
    MedianTest,
    // The 95th percentile of the tests' times.
    #[value(name = "slow-test-time")]
    SlowTest,
}

/// The formats of exported samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormatArg {
    Csv,
    Json,
}

/// The operations by name, as [`FileOperations::built_in`](aqe_core::batch::FileOperations::built_in) lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OperationArg {
    // Totals and gaps of coverage reports.
    AnalyzeCoverage,
}

/// The formats of coverage reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormatArg {
    Lcov,
    Cobertura,
    LlvmJson,
}

/// Reads the time between two looks.
fn interval(text: &str) -> Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, *seconds)))
        .unwrap_or((text, 1.0));
    match number.trim_end().parse::<f64>().map(|number| number * unit) {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write a time from 100ms to 24h, as in 500ms, 2s or 1m".to_owned()),
    }
}

/// Reads a percentage.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        _ => Err("write a number from 0 to 100".to_owned()),
    }
}

/// What cargo builds; the flags mean what they mean to `cargo test`.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is built")]
pub(crate) struct BuildArgs {
    /// Path to the Cargo.toml of the project
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) manifest_path: Option<PathBuf>,
    /// Test this package only (repeatable)
    #[arg(short, long, value_name = "SPEC")]
    pub(crate) package: Vec<String>,
    /// Test every package of the workspace
    #[arg(long, visible_alias = "all")]
    pub(crate) workspace: bool,
    /// Leave this package out, with --workspace (repeatable)
    #[arg(long, value_name = "SPEC", requires = "workspace")]
    pub(crate) exclude: Vec<String>,
    /// Only the library's own tests
    #[arg(long)]
    pub(crate) lib: bool,
    /// Only the tests inside all binaries
    #[arg(long)]
    pub(crate) bins: bool,
    /// Only the tests inside this binary (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Vec<String>,
    /// Only the tests inside all examples
    #[arg(long)]
    pub(crate) examples: bool,
    /// Only the tests inside this example (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) example: Vec<String>,
    /// Only all test targets
    #[arg(long)]
    pub(crate) tests: bool,
    /// Only this integration test (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) test: Vec<String>,
    /// Only the tests inside all benches
    #[arg(long)]
    pub(crate) benches: bool,
    /// Only the tests inside this bench (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) bench: Vec<String>,
    /// Every target, benches included
    #[arg(long)]
    pub(crate) all_targets: bool,
    /// Features to switch on, separated by commas or spaces (repeatable)
    #[arg(short = 'F', long, value_name = "FEATURES")]
    pub(crate) features: Vec<String>,
    /// Switch all features on
    #[arg(long)]
    pub(crate) all_features: bool,
    /// Leave the default feature off
    #[arg(long)]
    pub(crate) no_default_features: bool,
    /// Build with optimisations
    #[arg(short, long, conflicts_with = "cargo_profile")]
    pub(crate) release: bool,
    /// Build with this cargo profile
    #[arg(long, value_name = "NAME")]
    pub(crate) cargo_profile: Option<String>,
    /// Build for this target triple
    #[arg(long, value_name = "TRIPLE")]
    pub(crate) target: Option<String>,
    /// Folder for everything that is built
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) target_dir: Option<PathBuf>,
    /// Fail if Cargo.lock would change
    #[arg(long)]
    pub(crate) locked: bool,
    /// Do not use the network
    #[arg(long)]
    pub(crate) offline: bool,
    /// --locked and --offline
    #[arg(long)]
    pub(crate) frozen: bool,
    /// Compile this many crates at once
    #[arg(long, value_name = "N")]
    pub(crate) build_jobs: Option<NonZeroUsize>,
    /// Hand another argument to cargo, as it is (repeatable)
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) cargo_arg: Vec<OsString>,
}

/// Which file, and which part of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigPlace {
    /// Use this file instead of looking for qe.config.yaml here and above
    #[arg(long = "config", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    /// The profile of the file to use; for reading, AQE_PROFILE names one as well
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

/// Where settings come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct ConfigSource {
    #[command(flatten)]
    pub(crate) place: ConfigPlace,
    /// Set one key for this call, as in run.jobs=4 (repeatable)
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = assignment)]
    pub(crate) overrides: Vec<(String, String)>,
}

/// Splits `KEY=VALUE`; whether there is such a key, and what it takes, is for the configuration to say.
fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write KEY=VALUE, as in run.jobs=4".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the value of one key, and nothing else
    Get {
        /// Dotted key, as in queue.maxConcurrent
        key: String,
        /// Print value and origin as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Write one key into the file; comments and order stay
    Set {
        /// Dotted key, as in queue.maxConcurrent
        key: String,
        /// The value, as it would stand in the file
        #[arg(allow_hyphen_values = true)]
        value: String,
        #[command(flatten)]
        place: ConfigPlace,
    },
    /// Print every key with its value and where it came from
    List {
        /// Print an array of JSON objects
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: ConfigSource,
    },
    /// Check the file and report every problem in it
    Validate {
        /// Print the problems as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: ConfigPlace,
    },
    /// Take one key, or all of them, back to the default
    Reset {
        /// Dotted key; without it the whole file is reset
        key: Option<String>,
        /// Write the settings that fit this machine
        #[arg(long, conflicts_with = "key")]
        performance_optimized: bool,
        #[command(flatten)]
        place: ConfigPlace,
    },
}

/// How tests are kept apart. Values have no help of their own: with it, clap would spread every option over three lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArg {
    // One process per test.
    Process,
    // Several tests of a binary per process; what does not pass is run again alone.
    Batch,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressArg {
    // Live on a terminal, plain elsewhere and in CI.
    Auto,
    // A status block that is redrawn, with problems printed above it.
    Live,
    // One line per test, nothing redrawn.
    Plain,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    // On a terminal, unless the environment says otherwise.
    Auto,
    Always,
    Never,
}

/// What has no meaning for documentation tests: rustdoc runs them, in its own way.
const DOC_CONFLICTS: [&str; 18] = [
    "isolation",
    "retries",
    "timeout",
    "junit",
    "json",
    "jobs",
    "progress",
    "verbose",
    "lib",
    "bins",
    "bin",
    "examples",
    "example",
    "tests",
    "test",
    "benches",
    "bench",
    "all_targets",
];
