//! One mail to one server (RFC 5321), with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustls::ClientConfig;

use super::Outcome;
use super::connection::{Connection, too_much};
use super::mail::stuffed;
use super::receiver::{Email, Encryption};
use super::tls;

/// Bytes of a line of a reply, and lines of one, at most; the RFC has 512.
const MAX_LINE: usize = 4096;
const MAX_LINES: usize = 100;

/// Sends `mail`. With `last`, those recipients get it that the server takes now; before, all or none, so that nobody
/// gets it twice because somebody else has to wait.
pub(crate) fn send(
    email: &Email,
    mail: &[u8],
    tls: &Arc<ClientConfig>,
    timeout: Duration,
    last: bool,
) -> Outcome {
    let deadline = Instant::now() + timeout;
    match converse(email, mail, tls, deadline, last) {
        Ok(note) => Outcome::Delivered(note),
        Err(Failure::Line(error)) => Outcome::later(tls::describe(&error)),
        Err(Failure::Refused { step, code }) => {
            let why = format!("the mail server answers {code} to {step}");
            match code {
                500..=599 => Outcome::never(why),
                _ => Outcome::later(why),
            }
        }
        Err(Failure::Lacks(what)) => Outcome::never(format!("the mail server has no {what}")),
    }
}

enum Failure {
    Line(io::Error),
    /// What it says is not repeated: it may quote what we sent.
    Refused {
        step: &'static str,
        code: u16,
    },
    Lacks(&'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Line(error)
    }
}

fn converse(
    email: &Email,
    mail: &[u8],
    tls: &Arc<ClientConfig>,
    deadline: Instant,
    last: bool,
) -> Result<String, Failure> {
    let mut line = Connection::open(&email.host, email.effective_port(), deadline)?;
    if email.encryption == Encryption::Tls {
        line.start_tls(tls, &email.host)?;
    }
    let mut session = Session { line };
    session.reply("the connection", 220)?;
    let mut abilities = session.hello()?;
    if email.encryption == Encryption::StartTls {
        // Without this check, somebody on the line could take the offer out and read along.
        if !abilities.has("STARTTLS") {
            return Err(Failure::Lacks("STARTTLS"));
        }
        session.say("STARTTLS", "STARTTLS", 220)?;
        session.line.start_tls(tls, &email.host)?;
        abilities = session.hello()?;
    }
    if let Some((user, password)) = &email.login {
        session.log_in(&abilities, user, password.expose())?;
    }
    session.say("MAIL", &format!("MAIL FROM:<{}>", email.from), 250)?;
    let refused = session.recipients(email, last)?;
    session.say("DATA", "DATA", 354)?;
    session.line.send(&stuffed(mail))?;
    session.reply("the mail", 250)?;
    // It is theirs now; whether they hear our good-bye changes nothing.
    let _ = session.line.send(b"QUIT\r\n");
    Ok(match refused {
        0 => "accepted".to_owned(),
        n => format!("accepted, but not for {n} of {} recipients", email.to.len()),
    })
}

struct Session {
    line: Connection,
}

/// What a server can do: the lines of its answer to EHLO, in capitals.
struct Abilities(Vec<String>);

impl Abilities {
    fn has(&self, word: &str) -> bool {
        self.0
            .iter()
            .any(|line| line.split(' ').next() == Some(word))
    }

    fn logs_in_by(&self, mechanism: &str) -> bool {
        let lines = self.0.iter().filter_map(|line| line.strip_prefix("AUTH"));
        lines
            .flat_map(|line| line.split([' ', '=']))
            .any(|word| word == mechanism)
    }
}

impl Session {
    fn hello(&mut self) -> Result<Abilities, Failure> {
        let name = match self.line.local_ip() {
            Some(IpAddr::V4(ip)) => format!("[{ip}]"),
            Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            None => "localhost".to_owned(),
        };
        let lines = self.say("EHLO", &format!("EHLO {name}"), 250)?;
        Ok(Abilities(lines))
    }

    fn log_in(&mut self, abilities: &Abilities, user: &str, password: &str) -> Result<(), Failure> {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        if abilities.logs_in_by("PLAIN") {
            let both = encode(&format!("\0{user}\0{password}"));
            self.say("AUTH", &format!("AUTH PLAIN {both}"), 235)?;
        } else if abilities.logs_in_by("LOGIN") {
            self.say("AUTH", "AUTH LOGIN", 334)?;
            self.say("AUTH", &encode(user), 334)?;
            self.say("AUTH", &encode(password), 235)?;
        } else {
            return Err(Failure::Lacks("AUTH PLAIN or AUTH LOGIN"));
        }
        Ok(())
    }

    /// Names the recipients, and counts those that are refused.
    fn recipients(&mut self, email: &Email, last: bool) -> Result<usize, Failure> {
        let mut refused = 0;
        let mut worst = None;
        for to in &email.to {
            match self.say("RCPT", &format!("RCPT TO:<{to}>"), 250) {
                Ok(_) => {}
                Err(Failure::Refused { step, code }) => {
                    refused += 1;
                    let later = code < 500;
                    if later && !last {
                        return Err(Failure::Refused { step, code });
                    }
                    if worst.is_none() || later {
                        worst = Some(Failure::Refused { step, code });
                    }
                }
                Err(other) => return Err(other),
            }
        }
        match worst {
            Some(failure) if refused == email.to.len() => Err(failure),
            _ => Ok(refused),
        }
    }

    fn say(
        &mut self,
        step: &'static str,
        command: &str,
        wanted: u16,
    ) -> Result<Vec<String>, Failure> {
        self.line.send(format!("{command}\r\n").as_bytes())?;
        self.reply(step, wanted)
    }

    /// Reads a reply of one or more lines.
    fn reply(&mut self, step: &'static str, wanted: u16) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        loop {
            let line = self.line.line(MAX_LINE)?;
            let (code, more, text) = parse(&line)
                .ok_or(io::ErrorKind::InvalidData)
                .map_err(io::Error::from)?;
            lines.push(text.to_ascii_uppercase());
            if !more {
                // 251: the recipient is elsewhere, and the mail will be forwarded.
                let good = code == wanted || (wanted == 250 && code == 251);
                return if good {
                    Ok(lines)
                } else {
                    Err(Failure::Refused { step, code })
                };
            }
            if lines.len() == MAX_LINES {
                return Err(too_much().into());
            }
        }
    }
}

/// Code, whether more lines follow, and text of "250-SIZE 100".
pub(super) fn parse(line: &[u8]) -> Option<(u16, bool, String)> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let more = match line.get(3) {
        None | Some(b' ') => false,
        Some(b'-') => true,
        Some(_) => return None,
    };
    let text = String::from_utf8_lossy(line.get(4..).unwrap_or_default()).into_owned();
    Some((code, more, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_and_nonsense_is_not() {
        assert_eq!(
            parse(b"250-SIZE 100"),
            Some((250, true, "SIZE 100".to_owned()))
        );
        assert_eq!(parse(b"250 ok"), Some((250, false, "ok".to_owned())));
        assert_eq!(parse(b"354"), Some((354, false, String::new())));
        for bad in ["", "25", "2x0 ok", "+50 ok", "2500", "HTTP/1.1 200 OK"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn abilities_are_whole_words() {
        let abilities = Abilities(vec!["AUTH LOGIN PLAIN".to_owned(), "STARTTLSX".to_owned()]);
        assert!(abilities.logs_in_by("PLAIN"));
        assert!(!abilities.logs_in_by("CRAM-MD5"));
        assert!(!abilities.has("STARTTLS"));
        assert!(Abilities(vec!["AUTH=LOGIN".to_owned()]).logs_in_by("LOGIN"));
    }
}
