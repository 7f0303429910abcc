//! What `--help` prints below the options.

pub(crate) const RUN_EXAMPLES: &str = "\
Examples:
  aqe run                               every test of this workspace or package
  aqe run parser::                      tests whose name contains `parser::`
  aqe run -p my-crate --retries 2       one package; a failed test gets two more chances
  aqe run --isolation batch             several tests per process: fastest on small tests
  aqe run --json > events.jsonl         one JSON object per event, while it runs
  aqe run --junit target/junit.xml      a report for CI
  aqe run --manifest-path ../x/Cargo.toml

Progress is live when standard output and standard error are a terminal and CI is not set, else plain.
Results go to standard output, messages to standard error. Settings that no flag gives come from
qe.config.yaml; `aqe config list` shows them.
The exit code is 0 when every test passed, 1 when one failed, 3 when the tests do not build;
`aqe --help` lists them all.";

pub(crate) const BATCH_EXAMPLES: &str = "\
Examples:
  aqe batch --operation analyze-coverage lcov.info
  aqe batch --operation analyze-coverage 'shards/**/*.xml' --fail-under 80
  aqe batch --operation analyze-coverage lcov.info --baseline main.info
  aqe batch --operation analyze-coverage --json lcov.info > coverage.json

analyze-coverage reads LCOV, Cobertura XML and the JSON of `llvm-cov export`, of any size, adds
them up, and prints totals for each file, each package and the run, and the lines that nothing has
executed. With --baseline it says what has changed; where the earlier run was in another folder,
name that with --strip-prefix.

Results are kept by content: a file that has not changed is not read again, and a run that was
ended, by Ctrl-C or kill -9, goes on where it was. They are in aqe/batch-cache in cargo's target
folder (CARGO_TARGET_DIR, or that of the nearest package from here up), else in .aqe/batch-cache
here. A result larger than an eighth of --cache-size is not kept. The folder may be deleted at any
time.

Results go to standard output, messages to standard error. Section batch of qe.config.yaml says
how many files are read at once and how many may fail; `aqe config list` shows it.
The exit code is 0 when every file was processed, 1 when one failed or --fail-under was not met,
4 when no file matched, 130 after Ctrl-C; `aqe --help` lists them all.";

pub(crate) const HISTORY_EXAMPLES: &str = "\
Examples:
  aqe history                           every test of the history, a line each
  aqe history --flaky                   those that passed and failed without a change
  aqe history parser:: --verbose        all executions of tests whose name contains `parser::`
  aqe history --json > history.json     every execution with its run, verdict and duration

`aqe run` keeps the last 50 executions of each test for as long as memory.retentionPeriod says. Runs
that were killed are added by the next one.
Flaky counts executions that passed only when they were repeated, and those that came to something
else than the one before with the same binary. Last has the newest at its right: + passed, F failed,
T timed out, ~ passed when repeated, L passed and left a process behind.
The exit code is 0 when there was something to show, 4 when there is no history or no test matched;
`aqe --help` lists them all.";

pub(crate) const MEMORY_EXAMPLES: &str = "\
Examples:
  aqe memory stats                      how much the history of this project's tests holds
  aqe memory stats --real-time          the same, again and again
  aqe memory analyze --show-trends      what it is made of, and how that changes
  aqe memory diagnose --folder cache/   what is wrong with the store in `cache/`
  aqe memory cleanup --aggressive       give back all that can be given back
  aqe memory optimize --json            what was made smaller, as JSON

Without --folder these are about the store in which `aqe run` keeps what became of the project's
tests. One process at a time has a store open; a run has it for a moment at its beginning and end.
Results go to standard output, messages to standard error. Section memory of qe.config.yaml says how
large a store in --folder may be; `aqe config list` shows it.
The exit code is 0 when it was done, 1 when diagnose finds lost entries, 4 when there is no store,
5 when it cannot be opened or optimize does not come to its end; `aqe --help` lists them all.";

pub(crate) const MONITOR_EXAMPLES: &str = "\
Examples:
  aqe monitor                           how far the run is, what failed, how busy the machine is
  aqe monitor --queue-status            what waits, and every test that runs with its age
  aqe monitor --real-time               the same as a picture that is redrawn; `q` leaves it
  aqe monitor --real-time --json        a JSON object every second until the run ends
  aqe monitor --session 4711            the run of process 4711, where several go on

A run of the project, by the same user on the same machine, is found through the folder .aqe, which
`aqe run` makes in the root of the project once everything is built. When no run goes on, this shows
what the last one came to. With --real-time, where several go on, it watches the newest.
Results go to standard output, messages to standard error.
The exit code is 0 when there was something to show, 4 when there is no run, 130 after Ctrl-C;
`aqe --help` lists them all.";

pub(crate) const PERFORMANCE_EXAMPLES: &str = "\
Examples:
  aqe performance --queue-analysis --period 1h
  aqe performance --analyze-bottlenecks --detailed
  aqe performance diagnose --operation test-execution
  aqe performance trends --period 30days --metric execution-time
  aqe performance compare --baseline v1.0.0 --current v2.0.0
  aqe performance export --format csv --period 90days > samples.csv

`aqe run` keeps what each run came to, and what machine and tests did meanwhile, for as long as
monitoring.retention says. A run's version is what `git describe --always --dirty` says of it.
Only runs of the same tests are compared with each other: those with the same arguments as the
newest. A change is told when it is larger than the noise and improbable by chance; it takes some
runs to be sure. The file is SQLite: `sqlite3 -readonly .aqe/monitor.db '.schema'` shows its views.
The exit code is 0 when there was something to show, 4 when there is no history or no such run;
`aqe --help` lists them all.";

pub(crate) const ALERTS_EXAMPLES: &str = "\
Examples:
  aqe alerts list
  aqe alerts add --metric cpu-usage --threshold 85 --action email
  aqe alerts add --metric execution-time --threshold 2m --for 5m --severity critical
  aqe alerts remove cpu-usage-1
  aqe alerts silence --metric cpu-usage --for 2h --reason \"load test\"
  aqe alerts silence --end 1
  aqe alerts test --metric cpu-usage --simulate-threshold
  aqe alerts history --period 7days

While `aqe run` runs, it watches four metrics: cpu-usage and memory-usage of the machine or its
cgroup, and of the tests of the last minute execution-time (95th percentile) and error-rate. Each
has a rule of its own, with the threshold of monitoring.alerting.thresholds; `add` adds others,
which are kept in .aqe/alert-rules.json. Section monitoring.alerting of qe.config.yaml says who is
told; passwords and addresses that are as good as passwords stay where it says: in the environment
(env:NAME) or in a file (file:PATH).

What happens is kept in .aqe/alerts.db, which one program at a time changes. While a run goes on,
`test` has to wait for its end, and `silence` takes effect when the run looks at its metrics next,
every monitoring.interval; rules that are added count from the next run on.
Results go to standard output, messages to standard error.
The exit code is 0 when it was done, 1 when a drill did not arrive, 4 when there is no such rule,
silence or receiver, 5 when the store is in use or broken; `aqe --help` lists them all.";

pub(crate) const CONFIG_EXAMPLES: &str = "\
Examples:
  aqe config list                       every key, its value and where it came from
  aqe config get queue.maxConcurrent
  aqe config set run.timeout 90s
  aqe config set --profile production queue.maxConcurrent 15
  aqe config validate
  aqe config reset --performance-optimized";

pub(crate) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  aqe completions bash > ~/.local/share/bash-completion/completions/aqe
  aqe completions fish > ~/.config/fish/completions/aqe.fish
  aqe completions zsh > \"${fpath[1]}/_aqe\"";
