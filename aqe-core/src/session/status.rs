//! What a session tells.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a run of tests has come to at one moment. As JSON, times are in milliseconds.
///
/// Fields that a session does not tell have their default, so that programs of different ages understand each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// The process.
    pub pid: u32,
    /// The run; empty until it is known what will run.
    pub run: String,
    /// When the session began, by the wall clock, since the Unix epoch.
    #[serde(rename = "started_ms", with = "millis")]
    pub started: Duration,
    /// How long ago the first test could start. Zero while tests are being listed.
    #[serde(rename = "elapsed_ms", with = "millis")]
    pub elapsed: Duration,
    /// Whether the run was told to end; what runs is being ended or finished.
    pub stopping: bool,
    /// Tests that are to run.
    pub planned: u64,
    /// Of those, tests that passed, at whatever attempt.
    pub passed: u64,
    /// Of those that passed, tests that needed more than one attempt.
    pub flaky: u64,
    /// Tests that failed or ran out of time.
    pub failed: u64,
    /// Tests that were passed over, because of a mark or because the run is ending.
    pub skipped: u64,
    /// Tests that are over. With several tests in a process this counts those that its harness has spoken of, before
    /// they have a verdict.
    pub done: u64,
    /// Tests that nothing was done about yet.
    pub pending: u64,
    /// Processes at once.
    pub slots: u64,
    /// How many processes run tests now.
    pub busy: u64,
    /// What they run, the longest first, and no more than sixty-four of them.
    pub running: Vec<Running>,
    /// The last tests that failed, the newest first, and no more than eight of them.
    pub failures: Vec<Failed>,
    /// Tests a second since the first one; unknown at the beginning.
    pub rate: Option<f64>,
    /// How long it will take if those that are left take as long on average as those that are done; unknown at the
    /// beginning and at the end.
    #[serde(rename = "left_ms", with = "some_millis")]
    pub left: Option<Duration>,
    /// The machine, and the program that runs the tests.
    pub machine: Machine,
}

/// A process with tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Running {
    /// The binary and the test; of a process with several tests, the binary, how many are over, and the present one.
    /// Cut where it is longer than 256 characters.
    pub name: String,
    /// For how long.
    #[serde(rename = "age_ms", with = "millis")]
    pub age: Duration,
}

/// A test that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Failed {
    /// The binary and the test, cut as in [`Running::name`].
    pub name: String,
    /// The verdict, in a few words.
    pub verdict: String,
}

/// What the machine and a process do since somebody asked the time before. What the system does not tell is `None`, and so
/// are shares of time when nobody has asked before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Machine {
    /// The share of the processors' time in which they had something to do, 0–1.
    pub cpu_ratio: Option<f64>,
    /// The share of the memory that is in use, 0–1.
    pub memory_ratio: Option<f64>,
    /// Memory of the machine, in bytes.
    pub memory_bytes: Option<u64>,
    /// How many processors the process that runs the tests uses itself; the tests have processes of their own.
    pub process_cpu: Option<f64>,
    /// Memory of that process, in bytes.
    pub process_bytes: Option<u64>,
}

impl Running {
    /// A process with tests; the name is cut where it is too long.
    pub fn new(name: &str, age: Duration) -> Self {
        Self {
            name: cut(name),
            age,
        }
    }
}

impl Failed {
    /// A test that failed; the words are cut where they are too long.
    pub fn new(name: &str, verdict: &str) -> Self {
        Self {
            name: cut(name),
            verdict: cut(verdict),
        }
    }
}

impl Status {
    /// Entries of [`running`](Self::running) at most.
    pub const MAX_RUNNING: usize = 64;
    /// Entries of [`failures`](Self::failures) at most.
    pub const MAX_FAILURES: usize = 8;
}

/// Characters of a name at most. Names of tests that a macro makes may be of any length.
const MAX_NAME: usize = 256;

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Durations as whole milliseconds.
mod millis {
    use super::{Deserialize, Duration};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// Durations that may be unknown.
mod some_millis {
    use super::{Deserialize, Duration, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        millis.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_or_an_earlier_program_tells_is_understood() {
        let text = r#"{"pid":7,"left_ms":1500,"colour":"red","running":[{"name":"a","more":[1]}]}"#;
        let status: Status = serde_json::from_str(text).unwrap();
        assert_eq!((status.pid, status.planned), (7, 0));
        assert_eq!(status.left, Some(Duration::from_millis(1500)));
        assert_eq!(status.running, [Running::new("a", Duration::ZERO)]);
        let again = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&again).unwrap(), status);
    }

    #[test]
    fn names_are_cut_between_characters() {
        assert_eq!(Running::new("größe", Duration::ZERO).name, "größe");
        let long = Running::new(&"ö".repeat(300), Duration::ZERO).name;
        assert_eq!(long, format!("{}…", "ö".repeat(MAX_NAME)));
    }
}
