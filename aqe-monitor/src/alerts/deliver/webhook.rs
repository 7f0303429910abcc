//! JSON for programs, with a signature they can check.

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use serde::Serialize;

use super::secret::Secret;
use crate::alerts::notification::Notification;

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    title: String,
    #[serde(flatten)]
    notification: &'a Notification,
}

/// The body of a webhook: the same for every attempt.
pub(crate) fn body(notification: &Notification, id: &str) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Body {
        id,
        title: notification.title(),
        notification,
    })
}

/// The value of `X-Aqe-Signature`.
pub(crate) fn sign(key: &Secret, timestamp: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = "sha256=".to_owned();
    for byte in context.sign().as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Checks a signature, for programs that receive webhooks.
///
/// `timestamp` and `signature` are the values of the headers `X-Aqe-Timestamp` and `X-Aqe-Signature`, `body` is what
/// came, byte for byte. Refuse time stamps that are more than a few minutes old, too: a signature alone does not
/// stop somebody who recorded a message from sending it again.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::{Secret, verify_signature};
///
/// let key = Secret::new("key");
/// let signature = "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae";
/// assert!(verify_signature(&key, "1700000000", b"{}", signature));
/// ```
#[must_use]
pub fn verify_signature(key: &Secret, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let expected = sign(key, timestamp, body);
    aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_bytes(), signature.as_bytes())
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_hmac_of_time_and_body() {
        // From Python: hmac.new(b"key", b'1700000000.{"a":1}', "sha256").hexdigest()
        let key = Secret::new("key");
        let signature = sign(&key, "1700000000", br#"{"a":1}"#);
        assert_eq!(signature, EXPECTED);
        assert!(verify_signature(
            &key,
            "1700000000",
            br#"{"a":1}"#,
            &signature
        ));
        assert!(!verify_signature(
            &key,
            "1700000001",
            br#"{"a":1}"#,
            &signature
        ));
        assert!(!verify_signature(
            &Secret::new("kez"),
            "1700000000",
            br#"{"a":1}"#,
            &signature
        ));
        assert!(!verify_signature(&key, "1700000000", br#"{"a":1}"#, ""));
    }

    const EXPECTED: &str =
        "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
}
