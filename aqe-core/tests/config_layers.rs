//! What a program relies on when it loads a configuration: which layer wins, where a value came from, and that everything
//! that is wrong is said at once.

use std::fs;
use std::num::NonZeroUsize;
use std::time::Duration;

use aqe_core::ByteSize;
use aqe_core::config::{
    Config, ConfigError, Effect, Environment, Isolation, Jobs, Loader, Machine, OptimizationLevel,
    Origin, Percent, Position, Preset, ProblemKind, Scheduling, Source, keys,
};
use proptest::prelude::*;

/// The guide's own file, all sections together, with its profile.
const GUIDE: &str = r#"
queue:
  maxConcurrent: 10        # Max parallel operations
  batchSize: 5             # Operations per batch
  timeout: 30000           # Operation timeout (ms)
  retryAttempts: 3
  retryDelay: 1000
  priorityLevels: 5
batch:
  chunkSize: 20
  concurrency: 5
  checkpointInterval: 100
  memoryThreshold: 80
  errorThreshold: 5
memory:
  maxSize: "1GB"
  compression: true
  encryption: true
  cacheSize: "256MB"
  retentionPeriod: "7days"
  cleanupInterval: "1h"
  gcThreshold: 80
execution:
  parallel: true
  maxConcurrent: 10
  loadBalancing: "round-robin"
  affinity: true
  scheduling: "adaptive"
  diskCache: true
  connectionPool: 5
monitoring:
  enabled: true
  interval: 5000
  retention: "30days"
  alerting:
    enabled: true
    thresholds:
      cpuUsage: 85
      memoryUsage: 80
      executionTime: 30000
      errorRate: 5
  dashboard:
    enabled: true
    port: 3000
    authentication: false
production:
  queue:
    maxConcurrent: 15
    batchSize: 8
    timeout: 45000
  memory:
    maxSize: "2GB"
    compression: true
    cacheSize: "512MB"
  monitoring:
    enabled: true
    alerting: true
  performance:
    optimizationLevel: "aggressive"
"#;

fn problems(result: Result<aqe_core::config::Loaded, ConfigError>) -> Vec<String> {
    match result {
        Err(ConfigError::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("problems were expected, not {other:?}"),
    }
}

fn machine(cores: usize, gigabytes: u64) -> Machine {
    let cores = NonZeroUsize::new(cores).unwrap_or(NonZeroUsize::MIN);
    Machine::new(cores, Some(ByteSize::gb(gigabytes)))
}

#[test]
fn the_guides_file_is_the_defaults_but_for_what_it_changes() {
    let config = Config::parse(GUIDE, "qe.config.yaml").unwrap();
    let mut expected = Config::default();
    expected.execution.disk_cache = true;
    expected.execution.connection_pool = Some(5.try_into().unwrap());
    assert_eq!(config, expected);
}

#[test]
fn the_guides_profile_overlays_single_values() {
    let loaded = Loader::new()
        .text("qe.config.yaml", GUIDE)
        .profile("production")
        .load()
        .unwrap();
    let config = loaded.config();
    assert_eq!(config.queue.max_concurrent.get(), 15);
    assert_eq!(config.queue.timeout, Duration::from_secs(45));
    assert_eq!(
        config.queue.retry_attempts, 3,
        "what the profile does not name stays"
    );
    assert_eq!(config.memory.max_size, ByteSize::gb(2));
    assert_eq!(
        config.performance.optimization_level,
        OptimizationLevel::Aggressive
    );
    assert!(config.monitoring.alerting.enabled);
    assert_eq!(loaded.profile(), Some("production"));
    assert_eq!(
        loaded
            .origin_of("monitoring.alerting.enabled")
            .unwrap()
            .to_string(),
        "profile production (qe.config.yaml:57)"
    );
    assert_eq!(
        loaded
            .origin_of("memory.retentionPeriod")
            .unwrap()
            .to_string(),
        "qe.config.yaml:20"
    );
}

#[test]
fn each_layer_hides_the_ones_below_it() {
    let loader = Loader::new();
    let value = |loader: &Loader| {
        let loaded = loader.clone().load().unwrap();
        let entry = loaded.get("queue.maxConcurrent").unwrap();
        (entry.value, entry.origin.to_string())
    };
    let expect = |loader: &Loader, text: &str, origin: &str| {
        assert_eq!(value(loader), (text.to_owned(), origin.to_owned()));
    };
    expect(&loader, "10", "default");
    let loader = loader.machine(machine(32, 64));
    expect(&loader, "20", "preset high");
    let loader = loader.text(
        "f.yaml",
        "queue:\n  maxConcurrent: 11\nci:\n  queue:\n    maxConcurrent: 12\n",
    );
    expect(&loader, "11", "f.yaml:2");
    let loader = loader.profile("ci");
    expect(&loader, "12", "profile ci (f.yaml:5)");
    let loader = loader.environment(Environment::from_iter([("AQE_PARALLEL_WORKERS", "13")]));
    expect(&loader, "13", "env AQE_PARALLEL_WORKERS");
    let loader = loader.flag("queue.maxConcurrent", "14");
    expect(&loader, "14", "flag");
    let loader = loader.flag("queue.maxConcurrent", "15");
    expect(&loader, "15", "flag");
}

#[test]
fn every_key_can_be_set_in_every_layer_and_knows_it() {
    for key in keys() {
        let path = key.path();
        // The default is a value of the right form; that it was set shows in the origin.
        let value = key.value_in(&Config::default());
        let mut text = String::new();
        for (level, name) in path.split('.').enumerate() {
            text.push_str(&format!("\n{}{name}:", "  ".repeat(level)));
        }
        let line = text.lines().count();
        text.push_str(&format!(" {value}\n"));
        let loaded = Loader::new().text("f", text.clone()).load().unwrap();
        let origin = Origin::File {
            file: "f".into(),
            line,
        };
        assert_eq!(loaded.origin_of(path), Some(&origin), "{path}");

        let profile = format!("ci:{}", text.replace('\n', "\n  "));
        let loaded = Loader::new()
            .text("f", profile)
            .profile("ci")
            .load()
            .unwrap();
        let origin = Origin::Profile {
            name: "ci".into(),
            file: "f".into(),
            line,
        };
        assert_eq!(loaded.origin_of(path), Some(&origin), "{path}");

        let loaded = Loader::new().flag(path, value).load().unwrap();
        assert_eq!(loaded.origin_of(path), Some(&Origin::Flag), "{path}");
        let others = loaded
            .entries()
            .filter(|entry| *entry.origin != Origin::Default)
            .count();
        assert_eq!(others, 1, "{path}");
        assert_eq!(*loaded.config(), Config::default(), "{path}");
    }
}

#[test]
fn values_arrive_with_their_units() {
    let config = Loader::new()
        .flag("run.jobs", "6")
        .flag("run.timeout", "off")
        .flag("run.isolation", "batch")
        .flag("run.maxOutput", "1MiB")
        .flag("execution.scheduling", "fifo")
        .flag("monitoring.alerting.thresholds.errorRate", "0.5%")
        .flag("monitoring.dashboard", "false")
        .flag("queue.retryDelay", "1m 30s")
        .load()
        .unwrap()
        .into_config();
    assert_eq!(config.run.jobs, Jobs::Count(6.try_into().unwrap()));
    assert_eq!(config.run.timeout, None);
    assert_eq!(config.run.isolation, Isolation::Batch);
    assert_eq!(config.run.max_output, ByteSize::mib(1));
    assert_eq!(config.execution.scheduling, Scheduling::Fifo);
    assert_eq!(
        Some(config.monitoring.alerting.thresholds.error_rate),
        Percent::from_hundredths(50)
    );
    assert!(!config.monitoring.dashboard.enabled);
    assert_eq!(config.queue.retry_delay, Duration::from_secs(90));
}

#[test]
fn the_environment_sets_the_documented_keys() {
    let environment = Environment::from_iter([
        ("AQE_PERFORMANCE_MODE", "true"),
        ("AQE_PARALLEL_WORKERS", "12"),
        ("AQE_MEMORY_LIMIT", "2048"),
        ("AQE_CACHE_SIZE", "512"),
        ("AQE_LOG_LEVEL", "debug"),
        ("AQE_SOMETHING_ELSE", "x"),
    ]);
    let loaded = Loader::new().environment(environment).load().unwrap();
    let found: Vec<String> = loaded
        .entries()
        .filter(|entry| *entry.origin != Origin::Default)
        .map(|entry| format!("{}={} ({})", entry.key.path(), entry.value, entry.origin))
        .collect();
    assert_eq!(
        found,
        [
            "queue.maxConcurrent=12 (env AQE_PARALLEL_WORKERS)",
            "memory.maxSize=2048MB (env AQE_MEMORY_LIMIT)",
            "memory.cacheSize=512MB (env AQE_CACHE_SIZE)",
            "execution.maxConcurrent=12 (env AQE_PARALLEL_WORKERS)",
            "performance.optimizationLevel=aggressive (env AQE_PERFORMANCE_MODE)",
            "run.jobs=12 (env AQE_PARALLEL_WORKERS)",
            "log.level=debug (env AQE_LOG_LEVEL)",
        ]
    );
}

#[test]
fn a_profile_is_chosen_by_the_caller_before_the_environment() {
    let text = "a:\n  log:\n    level: info\nb:\n  log:\n    level: debug\n";
    let environment = Environment::from_iter([("AQE_PROFILE", "a")]);
    let loader = Loader::new().text("f", text).environment(environment);
    assert_eq!(loader.clone().load().unwrap().profile(), Some("a"));
    assert_eq!(loader.profile("b").load().unwrap().profile(), Some("b"));
}

#[test]
fn an_unknown_profile_is_an_error_that_lists_the_known_ones() {
    let text = "production:\nstaging:\n";
    let with = |loader: Loader| problems(loader.load());
    assert_eq!(
        with(Loader::new().text("f", text).profile("prodution")),
        ["command line: no profile is named `prodution`; did you mean `production`?"]
    );
    assert_eq!(
        with(
            Loader::new()
                .text("f", text)
                .environment(Environment::from_iter([("AQE_PROFILE", "ci")]))
        ),
        [
            "environment variable AQE_PROFILE: no profile is named `ci`; profiles in f: production, staging"
        ]
    );
    assert_eq!(
        with(Loader::new().text("f", "queue:\n").profile("ci")),
        ["command line: no profile is named `ci`; f has no profiles"]
    );
    assert_eq!(
        with(Loader::new().profile("ci")),
        ["command line: no profile is named `ci`; no qe.config.yaml was read"]
    );
}

#[test]
fn problems_of_all_layers_come_together() {
    let environment = Environment::from_iter([
        ("AQE_PARALLEL_WORKERS", "0"),
        ("AQE_MEMORY_LIMIT", "lots"),
        ("AQE_LOG_LEVEL", "warning"),
    ]);
    let result = Loader::new()
        .text(
            "f",
            "queue:\n  maxConcurent: 5\nmemory:\n  maxSize: 1elephant\n",
        )
        .environment(environment)
        .flag("run.jobs", "many")
        .flag("run.job", "2")
        .load();
    assert_eq!(
        problems(result),
        [
            "f:2:3: queue.maxConcurent: no such key; did you mean `queue.maxConcurrent`?",
            "f:4:12: memory.maxSize: `1elephant` has the unknown unit `elephant`; write a number of bytes or units such as \
             64kB, 256MB, 1GB, 512MiB",
            "environment variable AQE_PARALLEL_WORKERS: queue.maxConcurrent: must be at least 1, not 0; write 1 or more",
            "environment variable AQE_MEMORY_LIMIT: memory.maxSize: `lots` is not a size; write a number of bytes or units such \
             as 64kB, 256MB, 1GB, 512MiB",
            "environment variable AQE_LOG_LEVEL: log.level: `warning` is not one of the allowed words; did you mean `warn`? allowed: off, error, \
             warn, info, debug, trace",
            "command line: run.jobs: expected a whole number or auto, found `many`; write auto or a number such as 8",
            "command line: run.job: no such key; did you mean `run.jobs`?",
        ]
    );
}

#[test]
fn problems_can_be_told_apart_by_programs() {
    let Err(ConfigError::Invalid(problems)) =
        Loader::new().text("f", "queue:\n  batchSize: 0\n").load()
    else {
        panic!("a problem was expected")
    };
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.kind, ProblemKind::OutOfRange);
    assert_eq!(problem.source, Source::File("f".into()));
    assert!(matches!(
        problem.position,
        Some(Position {
            line: 2,
            column: 14,
            ..
        })
    ));
    assert_eq!(problem.key.as_deref(), Some("queue.batchSize"));
}

#[test]
fn values_that_contradict_one_another_are_refused_where_they_were_set() {
    let cache = "the cache is part of the store; lower memory.cacheSize or raise memory.maxSize";
    let load = |text: &str| problems(Loader::new().text("f", text).load());
    assert_eq!(
        load("memory:\n  maxSize: 1GB\n  cacheSize: 2GB\n"),
        [format!(
            "f:3:14: memory.cacheSize: memory.cacheSize (2GB) is larger than memory.maxSize (1GB); memory.maxSize comes from: \
             f:2; {cache}"
        )]
    );
    // In a profile that is not even selected.
    assert_eq!(
        load("memory:\n  cacheSize: 1GB\nsmall:\n  memory:\n    maxSize: 500MB\n"),
        [format!(
            "f:2:14: memory.cacheSize: memory.cacheSize (1GB) is larger than memory.maxSize (500MB); memory.maxSize comes \
             from: profile small (f:5); {cache}"
        )]
    );
    assert_eq!(
        load("monitoring:\n  interval: 5m\n  retention: 1m\n"),
        [
            "f:2:13: monitoring.interval: monitoring.interval (5m) is longer than monitoring.retention (1m); \
          monitoring.retention comes from: f:3; every sample would be dropped before the next; lower monitoring.interval or \
          raise monitoring.retention"
        ]
    );
    let environment = Environment::from_iter([("AQE_CACHE_SIZE", "4000")]);
    assert_eq!(
        problems(Loader::new().environment(environment).load()),
        [format!(
            "environment variable AQE_CACHE_SIZE: memory.cacheSize: memory.cacheSize (4GB) is larger than memory.maxSize (1GB); \
             memory.maxSize comes from: default; {cache}"
        )]
    );
}

#[test]
fn a_default_gives_way_to_a_value_that_somebody_set() {
    let environment = Environment::from_iter([("AQE_MEMORY_LIMIT", "128")]);
    let loaded = Loader::new().environment(environment).load().unwrap();
    assert_eq!(loaded.config().memory.cache_size, ByteSize::mb(32));
    assert_eq!(loaded.origin_of("memory.cacheSize"), Some(&Origin::Default));
    let config = Config::parse("memory:\n  maxSize: 4GB\n", "f").unwrap();
    assert_eq!(config.memory.cache_size, ByteSize::mb(256));
}

#[test]
fn the_preset_sets_three_keys_that_anything_else_may_change() {
    let loaded = Loader::new()
        .machine(machine(4, 8))
        .text("f", "queue:\n  timeout: 10s\n")
        .load()
        .unwrap();
    assert_eq!(loaded.preset(), Some(Preset::Constrained));
    let queue = &loaded.config().queue;
    assert_eq!((queue.max_concurrent.get(), queue.batch_size.get()), (5, 3));
    assert_eq!(queue.timeout, Duration::from_secs(10));
    let preset = Origin::Preset {
        name: "constrained",
    };
    let from_preset: Vec<&str> = loaded
        .entries()
        .filter(|entry| *entry.origin == preset)
        .map(|entry| entry.key.path())
        .collect();
    assert_eq!(from_preset, ["queue.maxConcurrent", "queue.batchSize"]);
}

#[test]
fn keys_without_a_component_say_so() {
    let loaded = Loader::new().load().unwrap();
    for entry in loaded.entries() {
        let has_queue = cfg!(feature = "queue");
        let path = entry.key.path();
        let is_queues = path.starts_with("queue.")
            || matches!(
                path,
                "execution.scheduling" | "execution.affinity" | "execution.loadBalancing"
            );
        let is_batches = cfg!(feature = "batch") && path.starts_with("batch.");
        let is_stores = cfg!(feature = "memory")
            && matches!(
                path,
                "memory.maxSize"
                    | "memory.cacheSize"
                    | "memory.compression"
                    | "memory.retentionPeriod"
                    | "memory.cleanupInterval"
                    | "memory.gcThreshold"
            );
        let has_history = cfg!(feature = "monitor-history");
        let is_monitors = cfg!(feature = "monitor")
            && matches!(path, "monitoring.enabled" | "monitoring.interval")
            || has_history && path == "monitoring.retention";
        let is_alerts = cfg!(feature = "alerts") && path.starts_with("monitoring.alerting.");
        let in_effect = is_queues && has_queue
            || is_batches
            || is_stores
            || is_monitors
            || is_alerts
            || path.starts_with("run.");
        assert_eq!(
            entry.effect == Effect::InEffect,
            in_effect,
            "{}",
            entry.key.path()
        );
    }
    assert_eq!(
        loaded
            .get("monitoring.dashboard.port")
            .unwrap()
            .effect
            .to_string(),
        "not yet in effect: there is no dashboard yet"
    );
    assert!(loaded.get("memory.colour").is_none());
    assert!(loaded.origin_of("memory").is_none());
}

#[test]
fn files_are_found_and_read() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a/b");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir(root.path().join(".git")).unwrap();
    let path = root.path().join("qe.config.yaml");

    let loaded = Loader::new().discover(&folder).load().unwrap();
    assert_eq!(loaded.file(), None);

    fs::write(&path, "queue:\n  batchSize: 4\n").unwrap();
    let loaded = Loader::new().discover(&folder).load().unwrap();
    assert_eq!(loaded.file(), Some(&*path));
    assert_eq!(loaded.config().queue.batch_size.get(), 4);

    let missing = Loader::new()
        .file(folder.join("none.yaml"))
        .load()
        .unwrap_err();
    assert!(matches!(missing, ConfigError::Io { .. }));
    assert!(missing.to_string().starts_with("cannot read "), "{missing}");

    fs::write(&path, b"queue: \xff\n").unwrap();
    let invalid = problems(Loader::new().discover(&folder).load());
    assert_eq!(
        invalid,
        [format!(
            "{}:1:8: byte 0xff is not UTF-8; save the file as UTF-8",
            path.display()
        )]
    );

    fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    let invalid = problems(Loader::new().discover(&folder).load());
    assert!(invalid[0].contains("is larger than 1 MiB"), "{invalid:?}");
}

#[test]
fn a_megabyte_of_nonsense_is_answered_with_a_bounded_list() {
    for line in [
        "k{n}: {q: 1}\n",
        "a: b: c\n",
        "queue: [\n",
        "a{n}:\n",
        "? [a]\n: b\n",
        "a: 1\n",
        "- &a *b\n",
        "{a: {b: [",
        "# {n}\n",
    ] {
        let mut text = String::new();
        let mut count = 0;
        while text.len() < (1 << 20) - 32 {
            text.push_str(&line.replace("{n}", &count.to_string()));
            count += 1;
        }
        if let Err(problems) = Config::parse(&text, "f") {
            assert!(problems.iter().count() <= 100);
            assert!(problems.to_string().len() < 100 * 400, "{line}");
        }
    }
}

/// Pieces of which broken and unbroken files are made.
const PIECES: &str = "(queue|production|monitoring|alerting|timeout|maxConcurrent|: |:\n|\n|\n  |\n    |[{}\\[\\],#'\"&*!|>?%@`~-]|\t\
                      |5s|10|true|1GB|\\\\|\u{feff}|\u{0}|é|---\n|\\.\\.\\.\n|\r|<<){0,40}";

proptest! {
    // Without this, proptest looks for a `src` folder beside this file to keep failures in.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::parse(bytes, "f");
    }

    #[test]
    fn no_text_panics_and_every_problem_has_a_place(text in PIECES) {
        if let Err(problems) = Config::parse(&text, "f") {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                let position = problem.position.unwrap();
                let lines = text.split(['\n', '\r']).count();
                prop_assert!(position.line >= 1 && position.line <= lines + 1, "{problem}: {text:?}");
                prop_assert!(position.column >= 1);
            }
        }
    }

    #[test]
    fn no_flag_panics(key in "[a-zA-Z.]{0,20}", value in ".{0,20}") {
        let _ = Loader::new().flag(key, value).load();
    }
}
