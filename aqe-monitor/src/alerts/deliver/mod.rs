//! Messages on their way: one attempt, to one receiver, within one timeout. Nothing here waits for another try.

mod connection;
mod http;
mod mail;
pub(crate) mod receiver;
pub(crate) mod retry;
pub(crate) mod secret;
mod slack;
mod smtp;
pub(crate) mod tls;
mod url;
pub(crate) mod webhook;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;

use self::http::Post;
use self::receiver::{Channel, Receiver, ReceiverError};
use self::tls::Roots;
use super::notification::{Notification, unix_ms};

/// What became of an attempt. The texts go into the history: they hold nothing that a receiver said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered(String),
    /// It may work later; `after` is what the receiver asks for.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// It will not work as it is.
    Never {
        why: String,
    },
}

impl Outcome {
    fn later(why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Later { why, after: None }
    }

    fn never(why: impl Into<String>) -> Self {
        Self::Never { why: why.into() }
    }
}

/// A receiver, ready to be written to.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) receiver: Receiver,
    tls: Arc<ClientConfig>,
}

impl Sender {
    /// Prepares what can be prepared. `system` is asked only if a receiver needs TLS.
    pub(crate) fn new(
        receiver: Receiver,
        system: &mut Option<Roots>,
    ) -> Result<Self, ReceiverError> {
        let name = || receiver.name.clone();
        let mut roots = Roots::default();
        if receiver.needs_tls() {
            roots = system.get_or_insert_with(Roots::of_system).clone();
        }
        if let Some(pem) = &receiver.roots_pem {
            let all = roots.and_pem(pem);
            roots = all.ok_or_else(|| ReceiverError::Certificates(name()))?;
        }
        if receiver.needs_tls() && roots.is_empty() {
            return Err(ReceiverError::NoRoots(name()));
        }
        let tls = roots
            .client()
            .map_err(|_| ReceiverError::Certificates(name()))?;
        Ok(Self { receiver, tls })
    }

    /// Tries once. `id` is the idempotency key; `last` says that there will be no further attempt.
    pub(crate) fn send(
        &self,
        notification: &Notification,
        id: &str,
        wall: SystemTime,
        last: bool,
    ) -> Outcome {
        let timeout = self.receiver.timeout;
        match &self.receiver.channel {
            Channel::Webhook(webhook) => {
                let Ok(body) = webhook::body(notification, id) else {
                    return Outcome::never("the message has no form in JSON");
                };
                let timestamp = (unix_ms(wall) / 1000).to_string();
                let signature = webhook
                    .key
                    .as_ref()
                    .map(|key| webhook::sign(key, &timestamp, &body));
                let mut headers = vec![("Idempotency-Key", id), ("X-Aqe-Timestamp", &timestamp)];
                if let Some(signature) = &signature {
                    headers.push(("X-Aqe-Signature", signature));
                }
                let post = Post {
                    url: webhook.url.expose(),
                    headers: &headers,
                    body: &body,
                };
                http::post(&post, &self.tls, timeout, wall)
            }
            Channel::Slack(slack) => {
                let post = Post {
                    url: slack.url.expose(),
                    headers: &[],
                    body: &slack::body(notification),
                };
                http::post(&post, &self.tls, timeout, wall)
            }
            Channel::Email(email) => match mail::message(email, notification, id) {
                Some(mail) => smtp::send(email, &mail, &self.tls, timeout, last),
                None => Outcome::never("an address is not one"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_that_comes_or_is_set_makes_a_parser_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            text in "(https?://)?\\PC{0,40}",
        ) {
            super::http::status(&bytes);
            super::smtp::parse(&bytes);
            super::retry::retry_after(&text, std::time::SystemTime::UNIX_EPOCH);
            if let Ok(url) = super::url::Url::parse(&text) {
                prop_assert!(!url.host.is_empty() && text.contains(url.authority));
            }
        }
    }
}
