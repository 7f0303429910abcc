//! Who gets alerts, as `qe.config.yaml` says it: mail servers, addresses, and where secrets are.
//!
//! A secret itself never stands in the file, which is committed, copied and shown by `aqe config list`. A key that needs
//! one takes the place where it is: an environment variable or a file. A text that is no place is refused without being
//! repeated, since it may be the secret that somebody meant to write.

use std::fmt;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use super::ProblemKind;
use super::problem::excerpt;
use super::setting::{Raw, Refusal, Setting};

/// Section `monitoring.alerting.email`: a mail server that takes messages for people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct EmailSettings {
    /// The server's name or address; `None` (written `off`) sends no mail. Default `None`.
    pub server: Option<MailServer>,
    /// Its port; `None` (written `auto`) is 587, 465 or 25, as the encryption says. Default `None`.
    pub port: Option<NonZeroU16>,
    /// How the connection is protected. Default starttls.
    pub encryption: MailEncryption,
    /// The sender. Default `None`, which a server does not accept.
    pub from: Option<MailAddress>,
    /// Who gets the messages, written with commas between. Default nobody.
    pub to: MailAddresses,
    /// The name to log in with; `None` (written `off`) does not log in. Default `None`.
    pub user: Option<UserName>,
    /// Where the password is. Default `None`.
    pub password: Option<SecretPlace>,
}

/// Section `monitoring.alerting.slack`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SlackSettings {
    /// Where the address of the incoming webhook is: who knows it can post. `None` (written `off`) posts nothing. Default
    /// `None`.
    pub webhook: Option<SecretPlace>,
}

/// Section `monitoring.alerting.webhook`: messages as JSON to an address of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WebhookSettings {
    /// The address, or where it is if it has a token in it; `None` (written `off`) posts nothing. Default `None`.
    pub url: Option<HookAddress>,
    /// Where the key of the signature is; `None` (written `off`) signs nothing. Default `None`.
    pub key: Option<SecretPlace>,
}

/// Where a secret is: `env:NAME` or `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretPlace {
    /// In an environment variable of the program that sends.
    Env(String),
    /// In a file; its last line break does not count. A relative path begins at the configuration file.
    File(PathBuf),
}

impl SecretPlace {
    /// The place, with a relative path made absolute.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        match self {
            Self::File(path) => Self::File(folder.join(path)),
            Self::Env(_) => self,
        }
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// The address of a webhook, or where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HookAddress {
    /// An address that everybody may know, beginning with `https://` or `http://`.
    Url(String),
    /// The place of one that is a secret.
    Secret(SecretPlace),
}

impl fmt::Display for HookAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Secret(place) => place.fmt(f),
        }
    }
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MailEncryption {
    /// It begins plain and must become TLS before anything is said.
    #[default]
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: for a server on this machine.
    None,
}

impl MailEncryption {
    /// Every variant with the text that stands for it in the file.
    pub(crate) const ALL: &'static [(&'static str, Self)] = &[
        ("starttls", Self::StartTls),
        ("tls", Self::Tls),
        ("none", Self::None),
    ];

    /// The text that stands for this variant in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartTls => "starttls",
            Self::Tls => "tls",
            Self::None => "none",
        }
    }
}

/// Declares a text of one line with its own rules; `$check` says what is wrong with one.
macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $check:expr, $help:literal) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            fn parse(text: &str) -> Result<Self, Refusal> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok(Self(text.to_owned()));
                }
                Err(wrong(format!("`{}` is not {}", excerpt(text), $help), concat!("write ", $help)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        optional!($name, $name::parse);
    };
}

/// Implements [`Setting`] for an `Option`, in which `off` is `None`.
macro_rules! optional {
    ($type:ty, $parse:expr) => {
        impl Setting for Option<$type> {
            const QUOTED: bool = true;

            fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
                if raw.text == "off" {
                    return Ok(None);
                }
                $parse(raw.text).map(Some)
            }

            fn render(&self) -> String {
                self.as_ref()
                    .map_or_else(|| "off".to_owned(), ToString::to_string)
            }
        }
    };
}

text!(
    /// The name or address of a mail server.
    MailServer,
    |text| {
        (1..=255).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    },
    "the name of a mail server, such as mail.example.org, without port"
);
text!(
    /// The e-mail address of one person or program.
    MailAddress,
    |text| {
        let is_graphic = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b",;<>()[]\"\\".contains(&byte))
        };
        text.len() <= 254
            && text.rsplit_once('@').is_some_and(|(name, host)| {
                is_graphic(name) && is_graphic(host) && !name.contains('@')
            })
    },
    "an e-mail address such as ops@example.org"
);
text!(
    /// The name to log in with at a mail server.
    UserName,
    |text| (1..=255).contains(&text.len()) && !text.chars().any(char::is_control),
    "a user name of 1 to 255 bytes"
);
optional!(SecretPlace, secret_place);
optional!(HookAddress, hook_address);

/// E-mail addresses, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailAddresses(Vec<MailAddress>);

impl MailAddresses {
    /// Addresses that one message goes to at most.
    pub const MAX: usize = 50;

    /// The addresses in their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(MailAddress::as_str)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Setting for MailAddresses {
    const QUOTED: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        let mut addresses = Vec::new();
        if raw.text == "off" {
            return Ok(Self(addresses));
        }
        for part in raw.text.split(',').map(str::trim) {
            let address = MailAddress::parse(part)?;
            if addresses.contains(&address) {
                return Err(wrong(
                    format!("`{}` is there twice", excerpt(part)),
                    "write each address once",
                ));
            }
            if addresses.len() == Self::MAX {
                return Err(wrong(
                    format!("there are more than {} addresses", Self::MAX),
                    "write to a mailing list instead",
                ));
            }
            addresses.push(address);
        }
        Ok(Self(addresses))
    }

    fn render(&self) -> String {
        if self.0.is_empty() {
            return "off".to_owned();
        }
        self.iter().collect::<Vec<_>>().join(", ")
    }
}

/// `auto` for `None`.
impl Setting for Option<NonZeroU16> {
    const QUOTED: bool = false;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        if raw.text == "auto" {
            return Ok(None);
        }
        let mut read = NonZeroU16::read(raw).map(Some);
        if let Err(refusal) = &mut read {
            refusal.help = Some("write auto or a number such as 587".to_owned());
        }
        read
    }

    fn render(&self) -> String {
        self.map_or_else(|| "auto".to_owned(), |port| port.to_string())
    }
}

/// A longer name than any that is in use, and a longer path than systems accept.
const MAX_PLACE: usize = 4096;

fn secret_place(text: &str) -> Result<SecretPlace, Refusal> {
    place(text).ok_or_else(|| {
        // It is not repeated: it may be the secret.
        wrong(
            "is neither env:NAME nor file:PATH".to_owned(),
            "secrets do not belong in this file: put it into an environment variable and write env:NAME, or into a \
             file of its own and write file:PATH",
        )
    })
}

fn place(text: &str) -> Option<SecretPlace> {
    let (kind, rest) = text.split_once(':')?;
    let is_bounded = (1..=MAX_PLACE).contains(&rest.len());
    match kind {
        "env" if is_bounded && is_variable(rest) => Some(SecretPlace::Env(rest.to_owned())),
        "file" if is_bounded && !rest.contains('\0') => Some(SecretPlace::File(rest.into())),
        _ => None,
    }
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn hook_address(text: &str) -> Result<HookAddress, Refusal> {
    if let Some(place) = place(text) {
        return Ok(HookAddress::Secret(place));
    }
    let is_url = ["https://", "http://"]
        .iter()
        .any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    let is_sound = text.len() <= 2048 && text.bytes().all(|byte| byte.is_ascii_graphic());
    // A name and a password before the host, or a token behind a question mark.
    if is_url && is_sound && !text.contains(['@', '?']) {
        return Ok(HookAddress::Url(text.to_owned()));
    }
    Err(wrong(
        "is not an address without secrets in it, and not the place of one".to_owned(),
        "write https://… without user name and query, or env:NAME or file:PATH if the address has a token in it",
    ))
}

fn wrong(reason: String, help: &str) -> Refusal {
    Refusal {
        kind: ProblemKind::WrongType,
        reason,
        help: Some(help.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, Refusal> {
        T::read(Raw {
            text,
            quoted: false,
        })
    }

    #[test]
    fn a_secret_that_is_written_down_is_refused_and_not_repeated() {
        for text in [
            "hunter2",
            "env:hunter-2",
            "env:",
            "file:",
            "https://hooks.example.org/hunter2",
            "ENV:hunter2",
            "env:2hunter2",
        ] {
            let refusal = read::<Option<SecretPlace>>(text).unwrap_err();
            assert!(!format!("{refusal:?}").contains("hunter"), "{text}");
        }
        for text in [
            "hunter2",
            // In two parts, or it looks like somebody's address.
            concat!("https:", "//user:hunter2@example.org"),
            "https://example.org/?token=hunter2",
            "ftp://hunter2",
            "https://",
        ] {
            let refusal = read::<Option<HookAddress>>(text).unwrap_err();
            assert!(!format!("{refusal:?}").contains("hunter"), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_back() {
        fn same<T: Setting + PartialEq + fmt::Debug>(texts: &[&str]) {
            for text in texts {
                let value = read::<T>(text).unwrap();
                assert_eq!(&value.render(), text);
                assert_eq!(read::<T>(&value.render()).unwrap(), value);
            }
        }
        same::<Option<SecretPlace>>(&["off", "env:AQE_SMTP", "file:/run/secrets/smtp"]);
        same::<Option<HookAddress>>(&["off", "env:HOOK", "https://example.org/hook"]);
        same::<Option<MailServer>>(&["off", "mail.example.org", "127.0.0.1", "[::1]"]);
        same::<Option<MailAddress>>(&["off", "a.b+c@example.org"]);
        same::<MailAddresses>(&["off", "a@example.org", "a@example.org, b@example.org"]);
        same::<Option<NonZeroU16>>(&["auto", "25"]);
        same::<MailEncryption>(&["starttls", "tls", "none"]);
    }

    #[test]
    fn addresses_that_could_become_commands_are_refused() {
        for text in [
            "",
            "a",
            "@example.org",
            "a@",
            "a@b@c",
            "a b@c",
            "a@b\r\nRCPT TO:<c@d>",
            "é@example.org",
            "<a@b>",
        ] {
            assert!(read::<Option<MailAddress>>(text).is_err(), "{text:?}");
        }
        for text in ["", "mail.example.org:25/", "a b", "a\n"] {
            assert!(read::<Option<MailServer>>(text).is_err(), "{text:?}");
        }
        let many: Vec<String> = (0..51).map(|n| format!("a{n}@example.org")).collect();
        for text in ["a@b, a@b", "a@b,", &many.join(",")] {
            assert!(read::<MailAddresses>(text).is_err(), "{text:?}");
        }
    }
}
