//! The text of an e-mail.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};

use super::receiver::Email;
use crate::alerts::notification::Notification;

/// The mail as it goes over the line, but for dots; `None` when an address is none, which was checked before.
///
/// `id` is the idempotency key. It makes the `Message-ID`, by which mail systems tell copies.
pub(crate) fn message(email: &Email, notification: &Notification, id: &str) -> Option<Vec<u8>> {
    let from: lettre::Address = email.from.parse().ok()?;
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(notification.at_ms.min(YEAR_9999_MS));
    let mut builder = Message::builder()
        .message_id(Some(format!("<{id}@{}>", from.domain())))
        .from(Mailbox::new(None, from))
        .subject(notification.title())
        .date(at)
        // Answering machines leave such mail alone (RFC 3834).
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Aqe-Id", id));
    for to in &email.to {
        builder = builder.to(Mailbox::new(None, to.parse().ok()?));
    }
    if notification.drill {
        builder = builder.raw_header(header("X-Aqe-Drill", "yes"));
    }
    let mut text = String::new();
    for line in notification.lines() {
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
        text.push_str("\r\n");
    }
    let message = builder.header(ContentType::TEXT_PLAIN).body(text).ok()?;
    Some(message.formatted())
}

/// Later dates cannot be written in a mail.
const YEAR_9999_MS: u64 = 253_370_764_800_000;

fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// Doubles dots at the beginning of lines and ends with the line that has one alone (RFC 5321, section 4.5.2).
pub(crate) fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 64);
    let mail = mail.strip_suffix(b"\n").unwrap_or(mail);
    for line in mail.split(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_alone_does_not_end_the_mail_early() {
        assert_eq!(
            stuffed(b"a\r\n.\r\n..b\nc"),
            b"a\r\n..\r\n...b\r\nc\r\n.\r\n"
        );
        assert_eq!(stuffed(b"a\r\n"), b"a\r\n.\r\n");
    }

    #[test]
    fn hostile_labels_make_no_headers() {
        let email = Email::new(
            "localhost",
            "a@example.org",
            ["b@example.org", "c@example.org"],
        );
        let mut note = Notification::drill(1, SystemTime::UNIX_EPOCH);
        note.alerts[0].rule = "x\r\nBcc: d@example.org\r\n\r\n.\r\n\u{e9}".repeat(50);
        note.at_ms = u64::MAX;
        let mail = String::from_utf8(message(&email, &note, "id-1").unwrap()).unwrap();
        assert!(mail.is_ascii());
        assert!(
            !mail
                .lines()
                .any(|line| line.starts_with("Bcc") || line == "."),
            "{mail}"
        );
        assert!(
            mail.contains("Message-ID: <id-1@example.org>\r\n"),
            "{mail}"
        );
        assert!(mail.contains("X-Aqe-Drill: yes\r\n"), "{mail}");
        assert!(mail.lines().all(|line| line.len() <= 998));
    }
}
