//! Secrets are nowhere but on the line: not in the file, not in errors, not in `Debug`. The receivers here send back
//! all they hear, to bring it into the history.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use aqe_monitor::alerts::{Alerter, Email, Encryption, Receiver, Secret, Slack, Webhook};

use crate::hook::{Answer, Hook};
use crate::support::{Hand, attempts, config, deliver_all, set};

const TOKEN: &str = "tokeninthepath";
const KEY: &str = "keyofthesignature";
const PASSWORD: &str = "passwordofthemail";

/// A mail server that refuses each login by quoting it.
fn parrot() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let _ = stream.write_all(b"220 parrot\r\n");
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                let answer = match line.split(' ').next() {
                    Some("EHLO") => "250-parrot\r\n250 AUTH PLAIN\r\n".to_owned(),
                    _ => format!("535 {}\r\n", line.trim_end()),
                };
                let _ = stream.write_all(answer.as_bytes());
                line.clear();
            }
        }
    });
    port
}

#[test]
fn secrets_are_never_written_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let echo = |request: &crate::hook::Request, number: usize| {
        if number % 4 == 3 {
            return Answer::Close;
        }
        let status = [503, 400, 307][number % 4];
        let line = format!("HTTP/1.1 {status} {}\r\nLocation: {0}\r\n", request.line);
        let mut answer = line.into_bytes();
        for (name, value) in &request.headers {
            answer.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        answer.extend(b"\r\n");
        answer.extend(&request.body);
        answer.extend(KEY.as_bytes());
        Answer::Raw(answer)
    };
    let (hook, chat) = (Hook::new(echo), Hook::new(echo));
    let url = |hook: &Hook| Secret::new(format!("http://{}/{TOKEN}", hook.address()));
    let webhook = Webhook::new(url(&hook)).key(Secret::new(KEY));
    let email = Email::new("127.0.0.1", "a@example.org", ["b@example.org"])
        .port(parrot())
        .encryption(Encryption::Plain)
        .login("user", Secret::new(PASSWORD));
    let config = config(folder.path())
        .receiver(Receiver::new("hook", webhook))
        .receiver(Receiver::new("chat", Slack::new(url(&chat))))
        .receiver(Receiver::new("mail", email));
    let mut shown = format!("{config:?}");
    let clock = Hand::default();
    let alerter = Alerter::manual(config, clock.clone()).unwrap();
    for n in 0..3 {
        set(&alerter, n % 2 == 0);
        deliver_all(&alerter, &clock);
    }
    for receiver in alerter.receivers() {
        let error = alerter.test(&receiver).unwrap_err();
        shown.push_str(&format!("{error} {error:?}"));
    }
    let attempts = attempts(&alerter);
    assert!(attempts.len() >= 12);
    shown.push_str(&format!("{attempts:?} {alerter:?} {:?}", alerter.stats()));
    let mut hidden: Vec<String> = [TOKEN, KEY, PASSWORD].map(str::to_owned).to_vec();
    // What of them would be in the line of the login, whatever stands before them.
    let encoded = base64::Engine::encode(
        &base64::prelude::BASE64_STANDARD,
        format!("\0user\0{PASSWORD}"),
    );
    hidden.push(encoded[8..].trim_end_matches('=').to_owned());
    let mut everything = shown.into_bytes();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        everything.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(
        find(&everything, "the mail server answers 535 to AUTH"),
        "the test looks at the right place"
    );
    for secret in hidden {
        assert!(!find(&everything, &secret), "{secret} is shown");
    }
}

fn find(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
