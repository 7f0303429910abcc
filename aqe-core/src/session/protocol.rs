//! Requests and replies, from bytes and to bytes. No input, no output, no clock.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Status;

/// The version of the protocol.
pub const VERSION: u64 = 1;

/// Bytes of a request at most, with its line end. The longest one that has a meaning takes a hundred.
pub const MAX_REQUEST_BYTES: usize = 4096;

/// Bytes of a reply at most. A status with all names at their longest, escaped as badly as can be, takes a tenth.
pub(super) const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The status, once.
    Status,
    /// The status now and whenever the interval has passed, until the session ends. It takes the place of an earlier
    /// subscription of this client.
    Subscribe {
        /// Time between two of them.
        interval: Duration,
    },
}

/// Why a request was not granted, in a word for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refusal {
    /// `syntax`, `version`, `unknown-request`, `interval`, `too-long` or `busy`; there may be more.
    pub kind: Cow<'static, str>,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }
}

/// The fields that requests have.
#[derive(Debug, Serialize, Deserialize)]
struct Fields<'a> {
    aqe: Option<u64>,
    #[serde(borrow)]
    request: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval_ms: Option<u64>,
}

impl Request {
    /// The shortest interval of a subscription.
    pub const MIN_INTERVAL: Duration = Duration::from_millis(100);
    /// The longest interval of a subscription.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);

    /// Reads a request from a line, with or without its end.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that says what is wrong with it.
    ///
    /// # Examples
    ///
    /// ```
    /// use aqe_core::session::Request;
    ///
    /// assert_eq!(Request::parse(br#"{"aqe":1,"request":"status"}"#), Ok(Request::Status));
    /// let refusal = Request::parse(br#"{"aqe":2,"request":"status"}"#).unwrap_err();
    /// assert_eq!(refusal.kind, "version");
    /// ```
    pub fn parse(line: &[u8]) -> Result<Self, Refusal> {
        let no_object = |why: &str| {
            let message = format!("a request is a JSON object on a line of its own{why}");
            Refusal::new("syntax", shortened(&message, 300))
        };
        // A list of the fields' values would be read as well.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(no_object(""));
        }
        let fields: Fields<'_> =
            serde_json::from_slice(line).map_err(|error| no_object(&format!(": {error}")))?;
        // First: what the other fields mean hangs on it.
        match fields.aqe {
            Some(VERSION) => {}
            Some(other) => {
                let message = format!("this is version {VERSION} of the protocol, and not {other}");
                return Err(Refusal::new("version", message));
            }
            None => {
                let message = format!("the version is missing: \"aqe\":{VERSION}");
                return Err(Refusal::new("version", message));
            }
        }
        match fields.request.as_deref() {
            Some("status") => Ok(Self::Status),
            Some("subscribe") => interval(fields.interval_ms),
            other => {
                let what = match other {
                    Some(other) => format!("there is no request {:?}", shortened(other, 40)),
                    None => "the request is missing".to_owned(),
                };
                let message = format!("{what}; there are \"status\" and \"subscribe\"");
                Err(Refusal::new("unknown-request", message))
            }
        }
    }

    /// The request as a line.
    #[must_use]
    pub fn line(&self) -> String {
        let (request, interval) = match self {
            Self::Status => ("status", None),
            Self::Subscribe { interval } => ("subscribe", Some(*interval)),
        };
        let fields = Fields {
            aqe: Some(VERSION),
            request: Some(request.into()),
            interval_ms: interval.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        };
        line(&fields)
    }
}

/// A subscription without an interval is one for every second.
fn interval(millis: Option<u64>) -> Result<Request, Refusal> {
    let interval = millis.map_or(Duration::from_secs(1), Duration::from_millis);
    if (Request::MIN_INTERVAL..=Request::MAX_INTERVAL).contains(&interval) {
        return Ok(Request::Subscribe { interval });
    }
    let (min, max) = (
        Request::MIN_INTERVAL.as_millis(),
        Request::MAX_INTERVAL.as_millis(),
    );
    let message = format!("interval_ms is a number from {min} to {max}");
    Err(Refusal::new("interval", message))
}

/// The beginning of what somebody has sent.
fn shortened(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

/// What a session answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) aqe: u64,
    #[serde(flatten)]
    pub(super) body: Body,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Body {
    Status(Box<Status>),
    Error(Refusal),
    /// The session is over, and why.
    End(String),
}

/// Only a server answers, and it needs Unix sockets.
#[cfg(any(unix, test))]
impl Body {
    pub(super) fn line(self) -> String {
        let reply = Reply {
            aqe: VERSION,
            body: self,
        };
        line(&reply)
    }
}

fn line(value: &impl Serialize) -> String {
    // Numbers, texts and lists of them have a form as JSON always; should that change, the other end says what it misses.
    let mut line = serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (text, kind, said) in [
            ("", "syntax", "JSON object"),
            ("status", "syntax", "JSON object"),
            (r#"[1,"status",null]"#, "syntax", "JSON object"),
            (r#"{"aqe":1"#, "syntax", "EOF"),
            (r#"{"aqe":"1"}"#, "syntax", "invalid type"),
            (r#"{"request":"status"}"#, "version", "\"aqe\":1"),
            (r#"{"aqe":2,"request":"status"}"#, "version", "not 2"),
            (r#"{"aqe":1}"#, "unknown-request", "missing"),
            (
                r#"{"aqe":1,"request":"stop"}"#,
                "unknown-request",
                "no request \"stop\"",
            ),
            (
                r#"{"aqe":1,"request":"subscribe","interval_ms":99}"#,
                "interval",
                "from 100",
            ),
            (
                r#"{"aqe":1,"request":"subscribe","interval_ms":-1}"#,
                "syntax",
                "invalid value",
            ),
        ] {
            let refusal = Request::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.kind, kind, "{text}: {}", refusal.message);
            assert!(
                refusal.message.contains(said),
                "{text}: {}",
                refusal.message
            );
        }
        assert!(Request::parse(&[b'['; MAX_REQUEST_BYTES]).is_err());
    }

    #[test]
    fn fields_of_later_versions_are_passed_over() {
        let text = br#"{"aqe":1,"colour":{"x":[null]},"request":"status"}"#;
        assert_eq!(Request::parse(text), Ok(Request::Status));
        let text = br#"{"aqe":1,"request":"subscribe"}"#;
        let interval = Duration::from_secs(1);
        assert_eq!(Request::parse(text), Ok(Request::Subscribe { interval }));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused_on_one_line(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            check(&bytes);
        }

        #[test]
        fn anything_that_looks_like_a_request_too(
            aqe in prop_oneof![Just("1".to_owned()), "[0-9]{1,25}", "\"?[ -~]{0,5}"],
            request in prop_oneof![Just("status".to_owned()), Just("subscribe".to_owned()), ".{0,60}"],
            interval in "-?[0-9]{0,22}(e[0-9]{1,3})?",
        ) {
            let text = format!("{{\"aqe\":{aqe},\"request\":\"{request}\",\"interval_ms\":{interval}}}");
            check(text.as_bytes());
        }

        #[test]
        fn what_is_written_is_read_back(millis in 100u64..=86_400_000) {
            let interval = Duration::from_millis(millis);
            for request in [Request::Status, Request::Subscribe { interval }] {
                prop_assert_eq!(Request::parse(request.line().as_bytes()), Ok(request));
            }
        }
    }

    /// A refusal fits a line, and a request is written as it is read.
    fn check(line: &[u8]) {
        match Request::parse(line) {
            Ok(request) => assert_eq!(Request::parse(request.line().as_bytes()), Ok(request)),
            Err(refusal) => {
                let reply = Body::Error(refusal).line();
                assert!(reply.len() < 1000, "{reply}");
                assert_eq!(reply.find('\n'), Some(reply.len() - 1));
            }
        }
    }
}
