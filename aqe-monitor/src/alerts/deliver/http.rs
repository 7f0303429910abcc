//! One `POST`, and the head of what comes back. Nothing is followed, nothing is kept open, and no body is read:
//! the status says all that matters.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::ClientConfig;

use super::Outcome;
use super::connection::{Connection, too_much};
use super::retry::retry_after;
use super::tls;
use super::url::Url;

/// What is to be posted.
pub(crate) struct Post<'a> {
    pub(crate) url: &'a str,
    /// Names and values without line breaks: ours, and hex or digits.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The head of a reply, as far as it is of use.
struct Head {
    status: u16,
    retry_after: Option<Duration>,
}

/// Bytes of a line of a reply, lines of its head, and heads before the last ("100 Continue") at most.
const MAX_LINE: usize = 8 * 1024;
const MAX_LINES: usize = 100;
const MAX_INTERIM: usize = 5;

/// Posts, and says what became of it.
pub(crate) fn post(
    post: &Post<'_>,
    tls: &Arc<ClientConfig>,
    timeout: Duration,
    now: SystemTime,
) -> Outcome {
    let url = match Url::parse(post.url) {
        Ok(url) => url,
        Err(what) => return Outcome::never(format!("the address {what}")),
    };
    match exchange(&url, post, tls, Instant::now() + timeout, now) {
        Ok(head) => judge(&head),
        Err(error) => Outcome::later(tls::describe(&error)),
    }
}

fn judge(head: &Head) -> Outcome {
    let why = format!("status {}", head.status);
    match head.status {
        200..=299 => Outcome::Delivered(why),
        300..=399 => Outcome::never(format!("{why}: redirects are not followed")),
        429 | 500..=599 => Outcome::Later {
            why,
            after: head.retry_after,
        },
        _ => Outcome::never(why),
    }
}

fn exchange(
    url: &Url<'_>,
    post: &Post<'_>,
    tls: &Arc<ClientConfig>,
    deadline: Instant,
    now: SystemTime,
) -> io::Result<Head> {
    let mut connection = Connection::open(url.host, url.port, deadline)?;
    if url.tls {
        connection.start_tls(tls, url.host)?;
    }
    let mut request = request_head(url, post).into_bytes();
    request.extend_from_slice(post.body);
    let sent = connection.send(&request);
    // A receiver may refuse and close before it has read all: its answer says more than our failed write.
    match (read_head(&mut connection, now), sent) {
        (Ok(head), _) => Ok(head),
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
    }
}

fn request_head(url: &Url<'_>, post: &Post<'_>) -> String {
    let slash = if url.target.starts_with('/') { "" } else { "/" };
    let mut head = format!(
        "POST {slash}{} HTTP/1.1\r\nHost: {}\r\nUser-Agent: aqe/{}\r\nConnection: close\r\n\
         Content-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\n",
        url.target,
        url.authority,
        env!("CARGO_PKG_VERSION"),
        post.body.len(),
    );
    for (name, value) in post.headers {
        // Writing to a string cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head
}

fn read_head(connection: &mut Connection, now: SystemTime) -> io::Result<Head> {
    for _ in 0..=MAX_INTERIM {
        let status = status(&connection.line(MAX_LINE)?).ok_or(io::ErrorKind::InvalidData)?;
        let mut head = Head {
            status,
            retry_after: None,
        };
        for lines in 0.. {
            let line = connection.line(MAX_LINE)?;
            if line.is_empty() {
                break;
            }
            if lines == MAX_LINES {
                return Err(too_much());
            }
            let line = String::from_utf8_lossy(&line);
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("retry-after")
            {
                head.retry_after = retry_after(value, now);
            }
        }
        if !(100..=199).contains(&status) {
            return Ok(head);
        }
    }
    Err(too_much())
}

/// The number in "HTTP/1.1 200 OK".
pub(super) fn status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line.get(..12)?).ok()?;
    let number = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let status = number.parse().ok()?;
    (100..=599).contains(&status).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_has_a_status() {
        assert_eq!(status(b"HTTP/1.1 200 OK"), Some(200));
        assert_eq!(status(b"HTTP/1.0 503"), Some(503));
        for bad in [
            "",
            "HTTP/1.1 ",
            "HTTP/1.1 099 x",
            "HTTP/1.1 +20 OK",
            "HTTP/2 200 OK",
            "220 smtp ready here",
        ] {
            assert_eq!(status(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_tried_again_is_what_may_pass() {
        let judged = |status| {
            judge(&Head {
                status,
                retry_after: None,
            })
        };
        for status in [200, 204] {
            assert!(matches!(judged(status), Outcome::Delivered(_)), "{status}");
        }
        for status in [429, 500, 503, 599] {
            assert!(matches!(judged(status), Outcome::Later { .. }), "{status}");
        }
        for status in [301, 307, 400, 401, 404, 408, 410] {
            assert!(matches!(judged(status), Outcome::Never { .. }), "{status}");
        }
    }
}
