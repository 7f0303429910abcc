//! Values as a store of test results holds them: the same bytes for the same seed, on every machine.
//!
//! What makes such values hard is in them: identifiers, hashes, times and measurements, which no compressor can
//! shrink by much. What makes them easy is in them as well: field names, paths and messages of one project, most of
//! which return in other values and only some in the same one. So a codec that is good at one value in
//! isolation is not thereby good at these.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The result of one test as JSON, about 2 KB.
    Json,
    /// One `<testcase>` of a JUnit report with its output, about 2 KB.
    Junit,
    /// 2 KB out of this workspace's own source text.
    Source,
    /// A log of a job, 64 KB.
    Log,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Json, Self::Junit, Self::Source, Self::Log];

    /// The name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json-2k",
            Self::Junit => "junit-2k",
            Self::Source => "source-2k",
            Self::Log => "log-64k",
        }
    }
}

/// `count` values of a kind, one by one.
///
/// Two seeds give values of the same project and not one value in common (but for [`Kind::Source`], of which there is
/// only so much: there a seed chooses the order).
pub fn values(kind: Kind, seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut rng = Rng::with_seed(seed);
    let mut sources = if kind == Kind::Source {
        VecDeque::from(pieces_of_source(&mut rng))
    } else {
        VecDeque::new()
    };
    (0..count).map(move |_| match kind {
        Kind::Json => json(&mut rng).into_bytes(),
        Kind::Junit => junit(&mut rng).into_bytes(),
        Kind::Source => next_piece(&mut sources),
        Kind::Log => log(&mut rng).into_bytes(),
    })
}

const LOG_BYTES: usize = 64 << 10;
const SOURCE_BYTES: usize = 2 << 10;

const MODULES: &[&str] = &[
    "checkout",
    "payments",
    "inventory",
    "search",
    "accounts",
    "sessions",
    "catalog",
    "shipping",
    "billing",
    "audit",
    "gateway",
    "notifications",
    "reports",
    "webhooks",
    "pricing",
    "import",
    "scheduler",
    "permissions",
];
const SUBJECTS: &[&str] = &[
    "order",
    "invoice",
    "basket",
    "customer",
    "refund",
    "token",
    "parcel",
    "coupon",
    "ledger entry",
    "subscription",
    "address",
    "price list",
    "stock level",
    "role",
    "upload",
    "export",
    "cursor",
    "rate limit",
    "webhook",
    "index",
];
const VERBS: &[&str] = &[
    "rejects",
    "accepts",
    "retries",
    "expires",
    "keeps",
    "merges",
    "splits",
    "restores",
    "paginates",
    "signs",
    "rounds",
    "locks",
    "releases",
    "validates",
    "normalises",
    "deduplicates",
    "reports",
    "migrates",
];
const CONDITIONS: &[&str] = &[
    "when the connection is lost",
    "after the deadline",
    "with an empty body",
    "for a guest",
    "under load",
    "twice in a row",
    "with a stale token",
    "in another currency",
    "without permission",
    "at midnight in UTC",
    "while a migration runs",
    "on the second attempt",
    "with unicode names",
    "when the disk is full",
];
const STEPS: &[&str] = &[
    "start container postgres:16",
    "apply migrations",
    "seed fixtures",
    "sign in",
    "open page /checkout",
    "fill in the address form",
    "submit",
    "wait for event order.created",
    "poll /api/v2/status",
    "assert totals",
    "compare screenshot",
    "collect traces",
    "reset database",
    "stop container",
    "verify ledger",
    "call webhook",
];
const MESSAGES: &[&str] = &[
    "assertion `left == right` failed",
    "timed out waiting for selector",
    "connection reset by peer",
    "expected status 200, got 503",
    "deadline exceeded",
    "row not found",
    "duplicate key value violates unique constraint",
    "screenshot differs",
    "unexpected event",
    "channel closed",
];
const FUNCTIONS: &[&str] = &[
    "handle_request",
    "poll_next",
    "commit",
    "retry_with_backoff",
    "render_totals",
    "parse_headers",
    "load_fixture",
    "acquire_lock",
    "flush",
    "run_case",
    "wait_for",
    "decode_frame",
    "apply_discount",
    "next_page",
    "verify_signature",
];
const BROWSERS: &[&str] = &["chromium", "firefox", "webkit", "none"];
const RUNNERS: &[&str] = &["linux-x64-large", "linux-arm64", "macos-14", "windows-2022"];
const TAGS: &[&str] = &[
    "slow",
    "smoke",
    "regression",
    "db",
    "ui",
    "api",
    "flaky",
    "nightly",
    "contract",
    "security",
];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

/// A small number is more likely than a large one, as with names that projects reuse.
fn skewed(rng: &mut Rng, below: usize) -> usize {
    let share = rng.f64();
    ((share * share * share) * below as f64) as usize
}

fn uuid(rng: &mut Rng) -> String {
    let number = rng.u128(..);
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        (number >> 96) as u32,
        (number >> 80) as u16,
        (number >> 68) as u16 & 0xFFF,
        (number >> 56) as u16 & 0xFFF,
        number as u64 & 0xFFFF_FFFF_FFFF,
    )
}

fn hash(rng: &mut Rng, digits: usize) -> String {
    (0..digits).map(|_| rng.digit(16)).collect()
}

/// The clock of one value: it starts somewhere in two months and goes on in small steps, as what a test writes does.
struct Clock {
    milliseconds: u64,
}

impl Clock {
    fn start(rng: &mut Rng) -> Self {
        Self {
            milliseconds: rng.u64(..60 * 24 * 3_600_000),
        }
    }

    /// The moment after at most `step` milliseconds more.
    fn after(&mut self, rng: &mut Rng, step: u64) -> String {
        self.milliseconds += rng.u64(..step);
        let (milliseconds, seconds) = (self.milliseconds % 1_000, self.milliseconds / 1_000);
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        format!(
            "2026-{:02}-{:02}T{:02}:{:02}:{:02}.{milliseconds:03}Z",
            days / 30 + 5,
            days % 30 + 1,
            hours % 24,
            minutes % 60,
            seconds % 60,
        )
    }
}

fn place(rng: &mut Rng) -> String {
    let module = pick(rng, MODULES);
    let file = pick(rng, SUBJECTS).replace(' ', "_");
    format!("services/{module}/tests/{file}_{}.rs", skewed(rng, 9))
}

fn title(rng: &mut Rng) -> String {
    format!(
        "{} {} {}",
        pick(rng, SUBJECTS),
        pick(rng, VERBS),
        pick(rng, CONDITIONS)
    )
}

fn frame(rng: &mut Rng, number: usize) -> String {
    // A function stands in one file at one place, whichever test passes through it.
    let which = skewed(rng, MODULES.len() * FUNCTIONS.len());
    let (module, function) = (
        MODULES[which % MODULES.len()],
        FUNCTIONS[which / MODULES.len()],
    );
    let file = FUNCTIONS[(which * 7 + 3) % FUNCTIONS.len()];
    format!(
        "{number:>4}: {module}::{file}::{function} at services/{module}/src/{file}.rs:{}:{}",
        (which * 37) % 900 + skewed(rng, 40),
        which % 50 + 5,
    )
}

fn log_line(rng: &mut Rng, clock: &mut Clock, request: &str) -> String {
    let level = ["INFO ", "INFO ", "INFO ", "DEBUG", "WARN ", "ERROR"][rng.usize(..6)];
    let module = MODULES[skewed(rng, MODULES.len())];
    let head = format!(
        "{} {level} {module}::{}",
        clock.after(rng, 400),
        pick(rng, FUNCTIONS)
    );
    match rng.u8(..6) {
        0 => format!(
            "{head}: request_id={request} status={} took={:.3}ms",
            [200, 201, 204, 404, 503][skewed(rng, 5)],
            rng.f64() * 900.0
        ),
        1 => format!(
            "{head}: {} {} attempt={} backoff={}ms",
            pick(rng, SUBJECTS),
            pick(rng, VERBS),
            rng.u8(1..4),
            50 << rng.u8(..6)
        ),
        2 => format!(
            "{head}: GET /api/v2/{module}/{} HTTP/1.1 bytes={}",
            rng.u32(1000..99_999),
            rng.u32(100..90_000)
        ),
        3 => format!("{head}: {} (code {})", pick(rng, MESSAGES), rng.u16(1..60)),
        4 => format!(
            "{head}: entering with {} of type {}",
            pick(rng, SUBJECTS),
            pick(rng, SUBJECTS)
        ),
        _ => format!(
            "{head}: {} entries, digest {}",
            rng.u32(..5_000),
            hash(rng, 16)
        ),
    }
}

/// One test's result, as a reporter writes it.
fn json(rng: &mut Rng) -> String {
    let mut text = String::with_capacity(3_000);
    let mut clock = Clock::start(rng);
    let failed = rng.u8(..4) == 0;
    let status = if failed { "failed" } else { "passed" };
    let request = uuid(rng);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"schema":"https://schemas.example.org/test-result/v3","id":"{}","suite":"{}","title":"{}","file":"{}","line":{},"status":"{status}","expected_status":"passed","started_at":"{}","duration_ms":{:.3},"attempt":{},"retries":{},"worker_index":{},"parallel_index":{},"#,
        uuid(rng),
        pick(rng, MODULES),
        title(rng),
        place(rng),
        rng.u16(10..900),
        clock.after(rng, 10),
        rng.f64() * 5_000.0,
        skewed(rng, 3) + 1,
        skewed(rng, 3),
        rng.u8(..16),
        rng.u8(..16),
    );
    let _ = write!(
        text,
        r#""environment":{{"os":"linux","arch":"x86_64","runner":"{}","browser":"{}","viewport":{{"width":1280,"height":720}},"locale":"en-US","timezone":"Etc/UTC","commit":"{}","branch":"{}","seed":{},"host":"ip-10-{}-{}.eu-central-1.compute.internal"}},"#,
        pick(rng, RUNNERS),
        pick(rng, BROWSERS),
        hash(rng, 40),
        ["main", "main", "release/2026.06", "feature/totals"][rng.usize(..4)],
        rng.u32(..),
        rng.u8(..),
        rng.u8(..),
    );
    let _ = write!(
        text,
        r#""metrics":{{"cpu_seconds":{:.6},"peak_rss_bytes":{},"io_read_bytes":{},"io_write_bytes":{},"context_switches":{},"coverage":{:.4},"flakiness":{:.4}}},"annotations":[],"attachments":[],"steps":["#,
        rng.f64() * 10.0,
        rng.u32(10_000..900_000) * 1_024,
        rng.u32(..9_000) * 512,
        rng.u32(..900) * 512,
        rng.u16(..5_000),
        rng.f64(),
        rng.f64() / 10.0,
    );
    for step in 0..rng.usize(2..5) {
        let comma = if step == 0 { "" } else { "," };
        let _ = write!(
            text,
            r#"{comma}{{"index":{step},"category":"test.step","name":"{}","status":"passed","started_at":"{}","duration_ms":{:.3},"location":{{"file":"{}","line":{},"column":{}}},"error":null}}"#,
            pick(rng, STEPS),
            clock.after(rng, 800),
            rng.f64() * 800.0,
            place(rng),
            rng.u16(10..900),
            skewed(rng, 60),
        );
    }
    text.push_str(r#"],"stdout":["#);
    for line in 0..rng.usize(1..5) {
        let comma = if line == 0 { "" } else { "," };
        let _ = write!(text, r#"{comma}"{}""#, log_line(rng, &mut clock, &request));
    }
    text.push_str(r#"],"stderr":[],"#);
    if failed {
        let _ = write!(
            text,
            r#""error":{{"type":"AssertionError","message":"{}","expected":"{}","actual":"{}","stack":["#,
            pick(rng, MESSAGES),
            rng.u32(..10_000),
            rng.u32(..10_000)
        );
        for number in 0..rng.usize(4..9) {
            let comma = if number == 0 { "" } else { "," };
            let _ = write!(text, r#"{comma}"{}""#, frame(rng, number));
        }
        text.push_str("]}");
    } else {
        text.push_str(r#""error":null"#);
    }
    let (first, second) = (pick(rng, TAGS), pick(rng, TAGS));
    let _ = write!(
        text,
        r#","tags":["{first}","{second}"],"owner":"team-{}","trace_id":"{}","finished_at":"{}"}}"#,
        pick(rng, MODULES),
        hash(rng, 32),
        clock.after(rng, 200),
    );
    text
}

/// One test case of a report that other tools read.
fn junit(rng: &mut Rng) -> String {
    let mut text = String::with_capacity(2_600);
    let mut clock = Clock::start(rng);
    let (module, request) = (pick(rng, MODULES), uuid(rng));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        r#"    <testcase name="{}" classname="{module}.{}" time="{:.3}" timestamp="{}" file="{}">"#,
        title(rng),
        pick(rng, FUNCTIONS),
        rng.f64() * 30.0,
        clock.after(rng, 10),
        place(rng),
    );
    if rng.u8(..3) == 0 {
        let message = pick(rng, MESSAGES);
        let _ = writeln!(
            text,
            r#"      <failure message="{message}" type="AssertionError"><![CDATA["#
        );
        for number in 0..rng.usize(5..9) {
            let _ = writeln!(text, "{}", frame(rng, number));
        }
        text.push_str("]]></failure>\n");
    }
    text.push_str("      <system-out><![CDATA[\n");
    while text.len() < 1_800 {
        let _ = writeln!(text, "{}", log_line(rng, &mut clock, &request));
    }
    text.push_str("]]></system-out>\n      <properties>\n");
    for name in ["session", "correlation"] {
        let _ = writeln!(
            text,
            r#"        <property name="{name}" value="{}"/>"#,
            uuid(rng)
        );
    }
    text.push_str("      </properties>\n    </testcase>\n");
    text
}

fn log(rng: &mut Rng) -> String {
    let mut text = String::with_capacity(LOG_BYTES + 256);
    let mut clock = Clock::start(rng);
    let mut request = uuid(rng);
    while text.len() < LOG_BYTES {
        if rng.u8(..8) == 0 {
            request = uuid(rng);
        }
        text.push_str(&log_line(rng, &mut clock, &request));
        text.push('\n');
    }
    text.truncate(LOG_BYTES);
    text
}

/// The source text of this workspace in pieces, in an order that the seed chooses.
fn pieces_of_source(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    list_source(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        0,
        &mut files,
    );
    // A folder is listed in whatever order its file system likes.
    files.sort();
    let mut pieces: Vec<Vec<u8>> = files
        .iter()
        .filter_map(|file| fs::read(file).ok())
        .flat_map(|text| {
            text.chunks_exact(SOURCE_BYTES)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect();
    rng.shuffle(&mut pieces);
    pieces
}

/// Adds the `.rs` files below the crates' folders, which is deep enough for a module in a module in a module.
fn list_source(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && depth < 5 && (depth > 0 || name.starts_with("aqe-")) {
            list_source(&path, depth + 1, files);
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
}

/// Round and round, when more is asked for than there is.
fn next_piece(pieces: &mut VecDeque<Vec<u8>>) -> Vec<u8> {
    let piece = pieces.pop_front().unwrap_or_default();
    pieces.push_back(piece.clone());
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_values_again_and_another_seed_others() {
        for kind in Kind::ALL {
            let first: Vec<_> = values(kind, 1, 20).collect();
            assert!(
                first
                    .iter()
                    .eq(values(kind, 1, 20).collect::<Vec<_>>().iter())
            );
            assert!(
                first
                    .iter()
                    .ne(values(kind, 2, 20).collect::<Vec<_>>().iter()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn values_are_as_long_as_their_kind_says() {
        for kind in Kind::ALL {
            let count = 200;
            let bytes: usize = values(kind, 3, count).map(|value| value.len()).sum();
            let usual = if kind == Kind::Log { 64 << 10 } else { 2 << 10 };
            assert!(
                (bytes / count).abs_diff(usual) < usual / 4,
                "{kind:?}: {}",
                bytes / count
            );
        }
    }

    #[test]
    fn json_values_are_json() {
        for value in values(Kind::Json, 4, 50) {
            assert!(serde_json::from_slice::<serde_json::Value>(&value).is_ok());
        }
    }
}
