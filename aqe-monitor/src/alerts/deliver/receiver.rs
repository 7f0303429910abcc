//! Who gets messages, and how: as the application says it, and checked.

use std::fmt;
use std::time::Duration;

use super::retry::Retry;
use super::secret::Secret;
use super::url::Url;
use crate::alerts::rule::Severity;

/// Who gets messages.
///
/// # Examples
///
/// ```
/// use aqe_monitor::alerts::{Email, Encryption, Receiver, Secret, Severity, Webhook};
///
/// let pager = Receiver::new("pager", Webhook::new(Secret::new("https://example.org/hook"))
///     .key(Secret::new("shared with the receiver")))
///     .min_severity(Severity::Critical);
/// let post = Receiver::new("post", Email::new("mail.example.org", "aqe@example.org", ["ops@example.org"])
///     .encryption(Encryption::StartTls)
///     .login("aqe", Secret::new("password")));
/// assert!(pager.check().is_ok() && post.check().is_ok());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Receiver {
    /// Unique among the receivers; it stands in the history.
    pub name: String,
    /// Messages less severe than this are not for it. Drills are.
    pub min_severity: Severity,
    /// For how long one attempt may take in all, but for the system's resolver of names, which keeps its own time.
    pub timeout: Duration,
    /// How often to try.
    pub retry: Retry,
    /// How to reach it.
    pub channel: Channel,
    /// Certificates in PEM that are trusted beside those of the system.
    pub roots_pem: Option<Vec<u8>>,
}

/// How to reach a receiver.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Channel {
    /// JSON to an address of your own.
    Webhook(Webhook),
    /// An incoming webhook of Slack, or of what understands the same.
    Slack(Slack),
    /// E-mail by SMTP.
    Email(Email),
}

/// JSON by HTTP `POST`, signed if there is a key.
///
/// The body is the [`Notification`](crate::alerts::Notification) with `id` and `title` beside it. The headers:
/// `Idempotency-Key` is the same for each attempt to deliver one message and equals `id`; `X-Aqe-Timestamp` is the
/// time of the attempt in seconds since 1970; `X-Aqe-Signature` is `sha256=` and the HMAC-SHA256 of
/// timestamp, full stop and body in hex. [`verify_signature`](crate::alerts::verify_signature) checks it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Webhook {
    /// The address, which may hold a token.
    pub url: Secret,
    /// The key of the signature.
    pub key: Option<Secret>,
}

/// An incoming webhook of Slack.
///
/// Slack knows no idempotency keys: a message whose answer was lost appears twice.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Slack {
    /// The address; who knows it can post.
    pub url: Secret,
}

/// E-mail by SMTP.
///
/// The `Message-ID` is made from the idempotency key: mail systems that honour it show a repeated message once.
#[derive(Clone)]
#[non_exhaustive]
pub struct Email {
    /// The server's name or address.
    pub host: String,
    /// Its port; `None` for 465, 587 or 25, as the encryption says.
    pub port: Option<u16>,
    /// How the connection is protected.
    pub encryption: Encryption,
    /// User name and password.
    pub login: Option<(String, Secret)>,
    /// The sender.
    pub from: String,
    /// Who gets it, at most [`Self::MAX_RECIPIENTS`].
    pub to: Vec<String>,
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encryption {
    /// Not at all.
    Plain,
    /// It begins plain and must become TLS before anything is said.
    StartTls,
    /// TLS from the first byte.
    Tls,
}

/// A receiver that is refused. It never says the address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiverError {
    /// No name, too long a name, or one that is there twice.
    #[error("receivers have different names of 1 to {max} bytes: {0:?}", max = Receiver::MAX_NAME)]
    Name(String),
    /// Too many.
    #[error("{0} receivers where at most {max} are served", max = Receiver::MAX)]
    TooMany(usize),
    /// An address that cannot be used.
    #[error("receiver {name:?}: its address {what}")]
    Address {
        /// The receiver.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A number out of bounds.
    #[error("receiver {name:?}: {what}")]
    Setting {
        /// The receiver.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A password that would travel in the clear.
    #[error("receiver {0:?}: a password needs StartTls or Tls, unless the server is this machine")]
    PlainLogin(String),
    /// Certificates that cannot be read.
    #[error("receiver {0:?}: its certificates are not PEM, or there are none")]
    Certificates(String),
    /// Nobody to vouch for an encrypted connection.
    #[error("receiver {0:?}: this system has no root certificates; give some")]
    NoRoots(String),
}

impl Receiver {
    /// Receivers of one alerter at most: each has a thread.
    pub const MAX: usize = 32;
    /// Bytes of a name at most.
    pub const MAX_NAME: usize = 64;

    /// Gets all messages through `channel`, each attempt within 30 s.
    #[must_use]
    pub fn new(name: impl Into<String>, channel: impl Into<Channel>) -> Self {
        Self {
            name: name.into(),
            min_severity: Severity::Info,
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
            channel: channel.into(),
            roots_pem: None,
        }
    }

    /// Sets which messages are severe enough.
    #[must_use]
    pub fn min_severity(mut self, severity: Severity) -> Self {
        self.min_severity = severity;
        self
    }

    /// Sets for how long one attempt may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how often to try.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Adds certificates in PEM that are trusted: those of a company's own authority, say.
    #[must_use]
    pub fn roots_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots_pem = Some(pem.into());
        self
    }

    /// Checks this receiver alone.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), ReceiverError> {
        let name = || self.name.clone();
        let setting = |what| Err(ReceiverError::Setting { name: name(), what });
        if !(1..=Self::MAX_NAME).contains(&self.name.len()) {
            return Err(ReceiverError::Name(self.name.chars().take(80).collect()));
        }
        if !(MIN_TIMEOUT..=MAX_TIMEOUT).contains(&self.timeout) {
            return setting("the timeout of an attempt is between 10 ms and 5 min");
        }
        if !(1..=100).contains(&self.retry.attempts) {
            return setting("there are between 1 and 100 attempts");
        }
        if self.retry.cap > MAX_CAP {
            return setting("the cap of waits is at most a day");
        }
        let address = |what| ReceiverError::Address { name: name(), what };
        match &self.channel {
            Channel::Webhook(webhook) => {
                if webhook
                    .key
                    .as_ref()
                    .is_some_and(|key| key.expose().is_empty())
                {
                    return setting("its key is empty");
                }
                Url::parse(webhook.url.expose()).map(drop).map_err(address)
            }
            Channel::Slack(slack) => Url::parse(slack.url.expose()).map(drop).map_err(address),
            Channel::Email(email) => {
                if email.login.is_some()
                    && email.encryption == Encryption::Plain
                    && !is_loopback(&email.host)
                {
                    return Err(ReceiverError::PlainLogin(name()));
                }
                email.check().map_err(address)
            }
        }
    }

    /// Checks receivers that are to be served together.
    ///
    /// # Errors
    ///
    /// What is wrong with the first bad one, or two of one name.
    pub fn check_all(receivers: &[Self]) -> Result<(), ReceiverError> {
        if receivers.len() > Self::MAX {
            return Err(ReceiverError::TooMany(receivers.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for receiver in receivers {
            receiver.check()?;
            if !names.insert(receiver.name.as_str()) {
                return Err(ReceiverError::Name(receiver.name.clone()));
            }
        }
        Ok(())
    }

    pub(crate) fn needs_tls(&self) -> bool {
        match &self.channel {
            Channel::Webhook(Webhook { url, .. }) | Channel::Slack(Slack { url }) => {
                Url::parse(url.expose()).is_ok_and(|url| url.tls)
            }
            Channel::Email(email) => email.encryption != Encryption::Plain,
        }
    }
}

const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(300);
const MAX_CAP: Duration = Duration::from_secs(24 * 3600);

impl Webhook {
    /// Posts to `url`, unsigned.
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self { url, key: None }
    }

    /// Signs with `key`.
    #[must_use]
    pub fn key(mut self, key: Secret) -> Self {
        self.key = Some(key);
        self
    }
}

impl Slack {
    /// Posts to `url`.
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self { url }
    }
}

impl Email {
    /// Recipients of one receiver at most.
    pub const MAX_RECIPIENTS: usize = 50;

    /// Mails from `from` to `to` through `host`, which must offer STARTTLS.
    #[must_use]
    pub fn new<T: Into<String>>(
        host: impl Into<String>,
        from: impl Into<String>,
        to: impl IntoIterator<Item = T>,
    ) -> Self {
        Self {
            host: host.into(),
            port: None,
            encryption: Encryption::StartTls,
            login: None,
            from: from.into(),
            to: to.into_iter().map(Into::into).collect(),
        }
    }

    /// Sets the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Sets how the connection is protected.
    #[must_use]
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// Sets user name and password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.login = Some((user.into(), password));
        self
    }

    /// The port that is used.
    #[must_use]
    pub fn effective_port(&self) -> u16 {
        self.port.unwrap_or(match self.encryption {
            Encryption::Plain => 25,
            Encryption::StartTls => 587,
            Encryption::Tls => 465,
        })
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.host.is_empty() || self.host.len() > 255 || self.host.contains(char::is_whitespace)
        {
            return Err("is not the name of a mail server");
        }
        if !(1..=Self::MAX_RECIPIENTS).contains(&self.to.len()) {
            return Err("needs 1 to 50 recipients");
        }
        let login = self.login.as_ref();
        if login.is_some_and(|(user, password)| {
            user.is_empty() || user.contains('\0') || password.expose().contains('\0')
        }) {
            return Err("has a user name or password that cannot be sent");
        }
        for address in self.to.iter().chain([&self.from]) {
            // Others need an extension of SMTP that not every server on the way has.
            if !address.is_ascii() || address.parse::<lettre::Address>().is_err() {
                return Err("has a sender or recipient that is no plain e-mail address");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email")
            .field("host", &self.host)
            .field("port", &self.effective_port())
            .field("encryption", &self.encryption)
            .field("login", &self.login.as_ref().map(|_| Secret::new("")))
            .field("from", &self.from)
            .field("to", &self.to)
            .finish()
    }
}

impl From<Webhook> for Channel {
    fn from(webhook: Webhook) -> Self {
        Self::Webhook(webhook)
    }
}

impl From<Slack> for Channel {
    fn from(slack: Slack) -> Self {
        Self::Slack(slack)
    }
}

impl From<Email> for Channel {
    fn from(email: Email) -> Self {
        Self::Email(email)
    }
}

/// Whether `host` is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(url: &str) -> Receiver {
        Receiver::new("hook", Webhook::new(Secret::new(url)))
    }

    #[test]
    fn bad_receivers_are_refused_without_showing_their_address() {
        let mail = |host: &str, to: &str| {
            let email = Email::new(host, "a@example.org", [to]);
            email
                .encryption(Encryption::Plain)
                .login("u", Secret::new("hunter2"))
        };
        let bad = [
            hook("ftp://hunter2.example.org"),
            hook("hunter2"),
            hook(&["https://user:hunter2", "example.org"].join("@")),
            hook("https:///hunter2"),
            hook(&format!("https://example.org/hunter2{}", "x".repeat(3000))),
            hook("https://example.org/hunter2").timeout(Duration::ZERO),
            hook("https://example.org/hunter2").retry(Retry::new(0, MIN_TIMEOUT, MIN_TIMEOUT)),
            Receiver::new("", Slack::new(Secret::new("https://example.org/hunter2"))),
            Receiver::new(
                "key",
                Webhook::new(Secret::new("http://a")).key(Secret::new("")),
            ),
            Receiver::new("far", mail("mail.example.org", "b@example.org")),
            Receiver::new("crlf", mail("localhost", "b@example.org>\r\nRCPT TO:<c@d")),
            Receiver::new("nobody", mail("localhost", "")),
            Receiver::new("utf", mail("::1", "b\u{e9}@example.org")),
        ];
        for receiver in bad {
            let error = receiver.check().unwrap_err();
            let texts = format!("{error} {error:?} {receiver:?}");
            assert!(!texts.contains("hunter2"), "{texts}");
        }
        let good = || Receiver::new("near", mail("127.0.0.1", "b@example.org"));
        assert_eq!(good().check(), Ok(()));
        let twice = Receiver::check_all(&[good(), good()]);
        assert_eq!(twice, Err(ReceiverError::Name("near".to_owned())));
    }
}
