//! `aqe alerts` with receivers that take messages, fail, and are not there.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use aqe_core::alerts::{Alerter, AlerterConfig, Observation, Rule, Secret, verify_signature};
use serde_json::Value;
use tempfile::TempDir;

mod support;
use support::{Ran, aqe};

const KEY: &str = "hunter2-the-key-of-the-signature";

/// A project with nothing but alerts.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        // The search for settings and for the state folder ends here.
        fs::create_dir(place.path(".git")).unwrap();
        place
    }

    /// With a configuration of alerts.
    fn with(alerting: &str) -> Self {
        let place = Self::new();
        let text = format!("monitoring:\n  alerting:\n{alerting}");
        fs::write(place.path("qe.config.yaml"), text).unwrap();
        place
    }

    /// With a webhook, whose address and key are secrets.
    fn with_hook(address: &str) -> Self {
        let place = Self::with("    webhook:\n      url: env:HOOK_ADDRESS\n      key: file:key\n");
        fs::write(place.path("key"), KEY).unwrap();
        fs::write(place.path("address"), address).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn store(&self) -> PathBuf {
        self.path(".aqe/alerts.db")
    }

    fn run(&self, words: &[&str]) -> Ran {
        let mut command = aqe(self.0.path());
        if let Ok(address) = fs::read_to_string(self.path("address")) {
            command.env("HOOK_ADDRESS", address);
        }
        command.arg("alerts").args(words).output().unwrap().into()
    }

    fn line(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn document(&self, line: &str) -> Value {
        let ran = self.line(&format!("{line} --json"));
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// The names of the rules.
    fn rules(&self) -> Vec<String> {
        let list = self.document("list");
        let rules = list["rules"].as_array().unwrap().iter();
        rules
            .map(|rule| rule["rule"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Whether a text is in any file of the state folder.
    fn holds(&self, text: &str) -> bool {
        let files = fs::read_dir(self.path(".aqe")).unwrap();
        files.map(|file| file.unwrap().path()).any(|path| {
            let bytes = fs::read(path).unwrap();
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    }
}

/// A message as it came.
struct Came {
    head: String,
    body: Vec<u8>,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answers one request after the other with these codes, and ends.
fn hook(codes: &'static [u16]) -> (String, mpsc::Receiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook-hunter2", listener.local_addr().unwrap());
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for code in codes {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut head).unwrap(), 0);
            }
            let came = |body| Came {
                head: head.clone(),
                body,
            };
            let length = came(Vec::new()).header("Content-Length").parse().unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer =
                format!("HTTP/1.1 {code} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            send.send(came(body)).unwrap();
        }
    });
    (address, receive)
}

/// Long enough for the busiest machine; nobody waits for it unless the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn rules_are_added_listed_and_removed() {
    let place = Place::new();
    let default = ["cpuUsage", "memoryUsage", "executionTime", "errorRate"];
    assert_eq!(place.rules(), default);
    // Looking creates nothing.
    assert!(!place.path(".aqe").exists());

    let added = place.line("add --metric cpu-usage --threshold 70 --action email,slack");
    assert_eq!(added.code, 0, "{}", added.stderr);
    let said = "cpu-usage-1: cpu-usage above 70% for 30s, until at or below 65% (warning); tells email, slack\n";
    assert_eq!(added.stdout, said);
    assert!(
        added
            .stderr
            .contains("monitoring.alerting.email.server is off"),
        "{}",
        added.stderr
    );
    assert!(
        added
            .stderr
            .contains("monitoring.alerting.slack.webhook is off")
    );
    let slow =
        "add --metric executionTime --threshold 2m --resolve 90s --for 0s --severity critical";
    let rule = place.document(slow);
    assert_eq!(
        (
            &rule["rule"],
            &rule["threshold"],
            &rule["resolve"],
            &rule["hold_seconds"]
        ),
        (
            &"execution-time-1".into(),
            &120.0.into(),
            &90.0.into(),
            &0.0.into()
        )
    );

    let list = place.document("list");
    assert_eq!(
        list["rules"][4]["actions"],
        serde_json::json!(["email", "slack"])
    );
    assert_eq!(list["rules"][4]["own"], true);
    assert_eq!(list["rules"][0]["own"], false);
    let text = place.line("list").stdout;
    let row = text
        .lines()
        .find(|line| line.ends_with("execution-time-1"))
        .unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "120s",
            "0s",
            "90s",
            "critical",
            "nobody",
            "execution-time-1"
        ]
    );

    assert_eq!(
        place.line("remove cpu-usage-1").stdout,
        "cpu-usage-1 is removed\n"
    );
    let again = place.line("remove cpu-usage-1");
    assert_eq!(again.code, 4);
    assert!(
        again.stderr.contains("the rules are cpuUsage, "),
        "{}",
        again.stderr
    );
    assert_eq!(place.rules()[4..], ["execution-time-1"]);
    let default = place.line("remove cpu-usage");
    assert_eq!(default.code, 2);
    assert!(
        default
            .stderr
            .contains("monitoring.alerting.thresholds.cpuUsage")
    );
}

#[test]
fn wrong_words_are_explained() {
    let place = Place::new();
    for (line, said) in [
        (
            "add --metric cpu --threshold 85",
            "cpu-usage, memory-usage, execution-time, error-rate",
        ),
        (
            "add --metric cpu-usage --threshold lots",
            "--threshold: `lots` is not a percentage",
        ),
        (
            "add --metric cpu-usage --threshold 185",
            "0% to 100%, not 185%",
        ),
        (
            "add --metric execution-time --threshold 30",
            "has no unit; write 30s or 30ms",
        ),
        (
            "add --metric cpu-usage --threshold 85 --resolve 90",
            "good side of the threshold",
        ),
        (
            "add --metric cpu-usage --threshold 85 --action phone",
            "email, slack, webhook",
        ),
        (
            "add --metric cpu-usage --threshold 85 --for soon",
            "`soon` is not a duration",
        ),
        ("silence --metric cpu-usage", "--for"),
        ("silence --for 0s", "longer than nothing"),
        ("test --simulate-threshold", "--metric"),
        ("history --period 1month", "month"),
    ] {
        let ran = place.line(line);
        assert_eq!((ran.code, &*ran.stdout), (2, ""), "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{line}: {}", ran.stderr);
    }
    assert_eq!(place.rules().len(), 4);
}

#[test]
fn damaged_rules_are_named_and_left_alone() {
    let place = Place::new();
    place.line("add --metric cpu-usage --threshold 70");
    let path = place.path(".aqe/alert-rules.json");
    fs::write(&path, "{\"format\": 1, \"rules\": [").unwrap();
    for line in [
        "list",
        "add --metric cpu-usage --threshold 71",
        "remove cpu-usage-1",
    ] {
        let ran = place.line(line);
        assert_eq!(ran.code, 5, "{line}");
        assert!(ran.stderr.contains("alert-rules.json") && ran.stderr.contains("move it away"));
    }
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "{\"format\": 1, \"rules\": ["
    );
}

#[test]
fn silences_begin_and_end() {
    let place = Place::new();
    place.line("add --metric cpu-usage --threshold 70");
    let begun = place.run(&[
        "silence",
        "--metric",
        "cpu-usage",
        "--for",
        "2h",
        "--reason",
        "load test",
    ]);
    assert_eq!(begun.code, 0, "{}", begun.stderr);
    assert_eq!(
        begun.stdout,
        "silence 1: cpuUsage for 2h00m\nsilence 2: cpu-usage-1 for 2h00m\n"
    );
    let all = place.document("silence --for 1days");
    assert_eq!(
        (&all[0]["silence"], &all[0]["rule"]),
        (&3.into(), &Value::Null)
    );
    let list = place.document("list");
    let silences = list["silences"].as_array().unwrap();
    assert_eq!(silences.len(), 3);
    assert_eq!(silences[0]["reason"], "load test");
    let left = silences[0]["remaining_seconds"].as_u64().unwrap();
    assert!(left <= 7200 && left > 7200 - PATIENCE.as_secs(), "{left}");

    assert_eq!(
        place.line("silence --end 1").stdout,
        "silence 1 has ended\n"
    );
    assert_eq!(place.line("silence --end 1").code, 4);
    let unknown = place.line("silence --rule nothing --for 1h");
    assert_eq!(unknown.code, 4);
    let left = place.document("list")["silences"].as_array().unwrap().len();
    assert_eq!(left, 2);
    assert!(place.line("list").stdout.contains("cpu-usage-1"));
}

#[test]
fn a_drill_arrives_signed_and_marked_and_is_in_the_history() {
    let (address, came) = hook(&[200, 200]);
    let place = Place::with_hook(&address);
    let ran = place.line("test --metric cpu-usage --simulate-threshold");
    assert_eq!(
        (ran.code, &*ran.stdout),
        (0, "webhook: delivered\n"),
        "{}",
        ran.stderr
    );
    let came_first = came.recv_timeout(PATIENCE).unwrap();
    let message = came_first.json();
    assert_eq!(message["drill"], true);
    let alert = &message["alerts"][0];
    assert_eq!(
        (&alert["rule"], &alert["threshold"]),
        (&"cpuUsage".into(), &85.0.into())
    );
    assert!(alert["value"].as_f64().unwrap() > 85.0);
    let (time, signature) = (
        came_first.header("X-Aqe-Timestamp"),
        came_first.header("X-Aqe-Signature"),
    );
    let is_signed =
        |key: &str| verify_signature(&Secret::new(key), time, &came_first.body, signature);
    assert!(is_signed(KEY) && !is_signed("another"));

    // Without a value it says no more than that it is a drill.
    let plain = place.document("test");
    assert_eq!(
        plain,
        serde_json::json!([{"action": "webhook", "delivered": true, "why": null}])
    );
    assert_eq!(
        came.recv_timeout(PATIENCE).unwrap().json()["alerts"][0]["rule"],
        "drill"
    );

    let history = place.document("history --period 7days");
    let attempts = history["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (&attempts[0]["outcome"], &attempts[0]["receiver"]),
        (&"delivered".into(), &"webhook".into())
    );
    let title = attempts[0]["title"].as_str().unwrap();
    assert!(
        title.starts_with("[DRILL] ") && title.contains("cpuUsage"),
        "{title}"
    );
    let text = place.line("history").stdout;
    assert!(
        text.contains("[DRILL] firing (warning): cpuUsage"),
        "{text}"
    );
    // A period that is over.
    assert_eq!(
        place.line("history --period 0s").stdout,
        "Nothing happened in this period.\n"
    );
    for secret in [KEY, "hook-hunter2"] {
        assert!(!place.holds(secret), "{secret}");
        for line in ["list", "list --json", "history", "history --json"] {
            assert!(!place.line(line).stdout.contains(secret), "{line}");
        }
    }
}

#[test]
fn a_receiver_that_fails_is_told_by_the_exit_code() {
    let (address, came) = hook(&[500, 200]);
    let place = Place::with_hook(&address);
    let failed = place.line("test --metric error-rate --simulate-threshold --action webhook");
    assert_eq!(failed.code, 1);
    assert!(
        failed.stdout.starts_with("webhook: failed: "),
        "{}",
        failed.stdout
    );
    assert!(failed.stdout.contains("500"), "{}", failed.stdout);
    assert!(!format!("{failed:?}").contains("hunter2"));
    let again = place.line("test --metric error-rate --simulate-threshold --action webhook");
    assert_eq!(again.code, 0);
    // A message of its own, and not the first once more.
    let ids = [(); 2].map(|()| {
        let came = came.recv_timeout(PATIENCE).unwrap();
        came.header("Idempotency-Key").to_owned()
    });
    assert_ne!(ids[0], ids[1]);
    let history = place.document("history");
    let attempts = history["attempts"].as_array().unwrap().iter();
    let outcomes: Vec<_> = attempts
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["given up", "delivered"]);
}

#[test]
fn a_receiver_that_is_not_there_is_told_without_its_address() {
    let address = {
        // Nobody listens there once it is dropped.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/hook-hunter2", listener.local_addr().unwrap())
    };
    let place = Place::with_hook(&address);
    let ran = place.line("test");
    assert_eq!(ran.code, 1);
    assert!(
        ran.stdout.contains("the drill did not reach \"webhook\": "),
        "{}",
        ran.stdout
    );
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    assert!(!place.holds("hunter2"));
}

#[test]
fn nobody_to_send_to_and_missing_secrets_are_explained() {
    let place = Place::new();
    let ran = place.line("test");
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr.contains("monitoring.alerting.webhook.url"),
        "{}",
        ran.stderr
    );
    let ran = place.line("test --action slack");
    assert_eq!(ran.code, 4);
    assert!(
        ran.stderr
            .contains("set monitoring.alerting.slack.webhook first"),
        "{}",
        ran.stderr
    );
    assert_eq!(place.line("history").code, 4);
    assert!(!place.path(".aqe").exists());

    let place = Place::with("    webhook: {url: env:NOT_SET_ANYWHERE}\n");
    let ran = place.line("test");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("monitoring.alerting.webhook.url"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("NOT_SET_ANYWHERE"), "{}", ran.stderr);
    // Who sends nothing needs no secret.
    assert_eq!(place.line("silence --for 1h").code, 0);

    let place = Place::with("    webhook: {url: hunter2}\n");
    let ran = place.line("list");
    assert_eq!(ran.code, 2);
    assert!(
        ran.stderr.contains("env:NAME") && !ran.stderr.contains("hunter2"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_program_that_has_the_store_can_be_looked_at_and_takes_orders() {
    let place = Place::new();
    assert_eq!(place.line("silence --for 1h").code, 0);
    let mut rules = Rule::defaults();
    rules[0] = rules[0].clone().hold(Duration::ZERO);
    let config = AlerterConfig::new(place.store()).rules(rules);
    let alerter = Alerter::open(config).unwrap();
    alerter.observe(&Observation::new("cpuUsage", 97.5));
    alerter.tick().unwrap();

    let list = place.document("list");
    assert_eq!(
        (&list["alerts"][0]["phase"], &list["alerts"][0]["on"]),
        (&"firing".into(), &true.into())
    );
    let text = place.line("list").stdout;
    let row = text.lines().find(|line| line.contains("firing")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["97.5%", "1", "firing", "cpuUsage"]);
    let history = place.document("history");
    assert_eq!(history["transitions"][0]["to"], "firing");
    assert!(place.line("history").stdout.contains("97.5%"));
    let refused = place.line("silence --for 0s");
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    // The program that has the store takes it up when it looks next, and this one never does.
    let ordered = place.line("silence --rule cpu-usage --for 2h");
    assert_eq!((ordered.code, &*ordered.stderr), (0, ""));
    assert!(
        ordered
            .stdout
            .starts_with("silence: cpuUsage for 2h00m, from the next look")
    );
    assert_eq!(place.line("silence --end 9").code, 4);
    assert!(
        place
            .line("silence --end 1")
            .stdout
            .starts_with("silence 1 ends from the next")
    );
    let hook = "monitoring.alerting.webhook.url=http://127.0.0.1:1/";
    let refused = place.line(&format!("test --set {hook}"));
    assert_eq!(refused.code, 5);
    assert!(
        refused.stderr.contains("in use by another process"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("a run that goes on has it"),
        "{}",
        refused.stderr
    );
}

/// A package with these tests. Names differ, since cargo may build all of them in one folder.
fn package(folder: &Path, name: &str, tests: &str) {
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    fs::create_dir(folder.join("src")).unwrap();
    fs::write(folder.join("src/lib.rs"), tests).unwrap();
}

#[test]
fn a_run_that_goes_on_takes_up_silences() {
    let place = Place::new();
    // It lasts until this test lets it go.
    let tests = "#[test] fn lasts() {
        use std::io::Read;
        let gate = std::net::TcpStream::connect(std::env::var(\"GATE\").unwrap());
        let _ = gate.unwrap().read(&mut [0]);
    }";
    package(place.0.path(), "alerts-lasts", tests);
    let gate = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = aqe(place.0.path());
    command.env("GATE", gate.local_addr().unwrap().to_string());
    command.args(["run", "--offline", "--set", "monitoring.interval=100ms"]);
    let run = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (held, _) = gate.accept().unwrap();
    // Sooner or later the run has the store, and takes orders.
    let reason = (1..).find_map(|number: u32| {
        let reason = format!("attempt-{number}");
        let said = place.line(&format!("silence --for 2h --reason {reason}"));
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stdout.contains("from the next look").then_some(reason)
    });
    let reason = Value::from(reason.unwrap());
    let has_begun = || {
        let list = place.document("list");
        let silences = list["silences"].as_array().unwrap();
        silences.iter().any(|one| one["reason"] == reason)
    };
    while !has_begun() {}
    drop(held);
    let ran = Ran::from(run.wait_with_output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stderr.contains("alerts:"), "{}", ran.stderr);
    assert!(has_begun());
}

#[test]
fn a_run_raises_alerts_and_delivers_them_before_it_ends() {
    let (address, came) = hook(&[200]);
    let place = Place::with_hook(&address);
    let tests = "#[test] fn passes() {}\n#[test] fn fails() { panic!() }\n";
    package(place.0.path(), "alerts-slow", tests);
    let add = "add --metric execution-time --threshold 1ms --resolve 1ms --for 0s --severity critical --action webhook";
    // A start of a process takes longer than a millisecond.
    assert_eq!(place.line(add).code, 0);
    let run = |more: &[&str]| -> Ran {
        let mut command = aqe(place.0.path());
        command.env(
            "HOOK_ADDRESS",
            fs::read_to_string(place.path("address")).unwrap(),
        );
        command
            .args(["run", "--offline"])
            .args(more)
            .output()
            .unwrap()
            .into()
    };
    let off = run(&["--set", "monitoring.alerting.enabled=false"]);
    assert_eq!(off.code, 1, "{}", off.stderr);
    assert!(!place.store().exists());

    let ran = run(&[]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(!ran.stderr.contains("alerts:"), "{}", ran.stderr);
    let message = came.recv_timeout(PATIENCE).unwrap().json();
    assert_eq!(
        (&message["drill"], &message["severity"]),
        (&false.into(), &"critical".into())
    );
    assert_eq!(message["alerts"][0]["rule"], "execution-time-1");
    let history = place.document("history");
    assert_eq!(history["attempts"][0]["outcome"], "delivered");
    assert!(!place.holds(KEY) && !place.holds("hook-hunter2"));
    assert_eq!(
        fs::read_to_string(place.path(".aqe/.gitignore")).unwrap(),
        "*\n"
    );
}
