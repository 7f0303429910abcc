//! E-mail: to a real server by every kind of connection, and to servers that misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aqe_monitor::alerts::{Alerter, Email, Encryption, Receiver, Retry, Secret};
use tempfile::TempDir;

use crate::mail_server::MailServer;
use crate::support::{Hand, attempts, config, deliver_all, outcomes, set};
use crate::tls::Identity;

struct Post {
    folder: TempDir,
    clock: Hand,
    alerter: Alerter,
}

fn post(email: Email, change: impl FnOnce(Receiver) -> Receiver) -> Post {
    let folder = tempfile::tempdir().unwrap();
    let second = Duration::from_secs(1);
    let receiver = Receiver::new("post", email)
        .timeout(Duration::from_secs(10))
        .retry(Retry::new(3, second, second));
    let config = config(folder.path()).receiver(change(receiver));
    let clock = Hand::default();
    let alerter = Alerter::manual(config, clock.clone()).unwrap();
    Post {
        folder,
        clock,
        alerter,
    }
}

impl Post {
    fn deliver(&self) -> Vec<String> {
        set(&self.alerter, true);
        deliver_all(&self.alerter, &self.clock);
        outcomes(&self.alerter)
    }
}

fn to(recipients: &[&str], port: u16) -> Email {
    Email::new("127.0.0.1", "aqe@example.org", recipients.iter().copied()).port(port)
}

#[test]
fn a_mail_arrives_by_every_kind_of_connection() {
    let identity = Identity::of("127.0.0.1", 2090);
    let kinds = [
        ("plain", Encryption::Plain),
        // The server offers PLAIN and LOGIN here, and LOGIN only there.
        ("starttls", Encryption::StartTls),
        ("tls", Encryption::Tls),
    ];
    for (mode, encryption) in kinds {
        let folder = tempfile::tempdir().unwrap();
        let Some(mut server) = MailServer::start(mode, &identity, folder.path()) else {
            return;
        };
        let mut email = to(&["a@example.org", "b@example.org"], server.port).encryption(encryption);
        if mode != "plain" {
            email = email.login("user", Secret::new("pass word"));
        }
        let post = post(email, |receiver| {
            receiver.roots_pem(identity.root_pem.clone())
        });
        assert_eq!(
            post.deliver(),
            ["delivered"],
            "{mode}: {:?}",
            attempts(&post.alerter)
        );
        let mail = server.mail();
        assert_eq!(mail["from"], "aqe@example.org");
        assert_eq!(
            mail["to"],
            serde_json::json!(["a@example.org", "b@example.org"])
        );
        assert_eq!(mail["tls"], mode != "plain");
        assert_eq!(mail["user"] == "user", mode != "plain");
        let content = mail["content"].as_str().unwrap();
        assert!(
            content.contains("Subject: firing (warning): quick\r\n"),
            "{content}"
        );
        assert!(
            content.contains("firing quick: m =3D 20.00")
                || content.contains("firing quick: m = 20.00"),
            "{content}"
        );
        let id = content
            .split("Message-ID: <")
            .nth(1)
            .unwrap()
            .split('@')
            .next()
            .unwrap();
        assert!(id.ends_with("-1"), "{id}");
        assert!(content.contains(&format!("X-Aqe-Id: {id}\r\n")));

        post.alerter.test("post").unwrap();
        let drill = server.mail();
        assert!(
            drill["content"]
                .as_str()
                .unwrap()
                .contains("Subject: [DRILL] ")
        );
        assert_eq!(server.rest(), 0);
    }
}

#[test]
fn a_wrong_password_and_a_stranger_s_certificate_are_refused() {
    let identity = Identity::of("127.0.0.1", 2090);
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = MailServer::start("starttls", &identity, folder.path()) else {
        return;
    };
    let email = || to(&["a@example.org"], server.port);
    let wrong = email().login("user", Secret::new("wrong"));
    let first = post(wrong, |receiver| {
        receiver.roots_pem(identity.root_pem.clone())
    });
    assert_eq!(first.deliver(), ["refused"]);
    assert_eq!(
        attempts(&first.alerter)[0].detail,
        "the mail server answers 535 to AUTH"
    );

    let stranger = Identity::of("127.0.0.1", 2090).root_pem;
    let right = email().login("user", Secret::new("pass word"));
    let second = post(right, |receiver| receiver.roots_pem(stranger));
    assert_eq!(second.deliver(), ["failed", "failed", "given up"]);
    assert!(
        attempts(&second.alerter)[0]
            .detail
            .contains("certificate is refused")
    );
    assert_eq!(server.rest(), 0);
}

#[test]
fn recipients_who_have_to_wait_or_are_unknown_cost_nobody_a_second_mail() {
    let identity = Identity::of("127.0.0.1", 2090);
    let folder = tempfile::tempdir().unwrap();
    let Some(mut server) = MailServer::start("plain", &identity, folder.path()) else {
        return;
    };
    let deliver = |recipients: &[&str]| {
        let post = post(
            to(recipients, server.port).encryption(Encryption::Plain),
            |receiver| receiver,
        );
        (
            post.deliver(),
            attempts(&post.alerter).pop().unwrap().detail,
        )
    };
    let grey = deliver(&["a@example.org", "grey@example.org"]);
    let gone = deliver(&["gone@example.org", "b@example.org"]);
    let waits = deliver(&["c@example.org", "never-ready@example.org"]);
    let nobody = deliver(&["gone@example.org"]);
    assert_eq!(grey.0, ["failed", "delivered"]);
    assert_eq!(
        server.mail()["to"],
        serde_json::json!(["a@example.org", "grey@example.org"])
    );
    assert_eq!(gone.0, ["delivered"]);
    assert_eq!(gone.1, "accepted, but not for 1 of 2 recipients");
    assert_eq!(server.mail()["to"], serde_json::json!(["b@example.org"]));
    // In the last attempt, those who can have it get it.
    assert_eq!(waits.0, ["failed", "failed", "delivered"]);
    assert_eq!(server.mail()["to"], serde_json::json!(["c@example.org"]));
    assert_eq!(nobody.0, ["refused"]);
    assert_eq!(server.rest(), 0);
}

/// A server that plays `lines`: one to begin with, and one for each line it hears.
fn player(lines: &'static [&'static str], endless: bool) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mailed = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&mailed);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            play(&stream, lines, endless, &theirs);
        }
    });
    (port, mailed)
}

fn play(mut stream: &TcpStream, lines: &[&str], endless: bool, mailed: &AtomicBool) {
    let mut heard = BufReader::new(stream);
    for (n, line) in lines.iter().enumerate() {
        let mut command = String::new();
        if n > 0 && heard.read_line(&mut command).is_ok() && command.starts_with("MAIL") {
            mailed.store(true, Ordering::SeqCst);
        }
        if stream.write_all(line.as_bytes()).is_err() {
            return;
        }
    }
    let last = lines.last().copied().unwrap_or_default();
    while endless && stream.write_all(last.as_bytes()).is_ok() {}
}

#[test]
fn hostile_mail_servers_cost_an_attempt_and_no_more() {
    let cases: [(&[&str], bool, &str); 9] = [
        (&[""], false, "the receiver closed the connection"),
        (&["220"], false, "the receiver closed the connection"),
        (
            &["554 go away\r\n"],
            false,
            "the mail server answers 554 to the connection",
        ),
        (
            &["421 too busy\r\n"],
            false,
            "the mail server answers 421 to the connection",
        ),
        (&["HTTP/1.1 200 OK\r\n"], false, "invalid data"),
        (&["xxxxxxxxxxxxxxxx"], true, "invalid data"),
        (&["220-again\r\n"], true, "invalid data"),
        // Somebody on the line took the offer of encryption out: nothing more is said.
        (
            &["220 hi\r\n", "250 SIZE 1000\r\n"],
            false,
            "the mail server has no STARTTLS",
        ),
        // Somebody on the line put an answer behind the last plain one.
        (
            &[
                "220 hi\r\n",
                "250 STARTTLS\r\n",
                "220 go\r\n250 injected\r\n",
            ],
            false,
            "other error",
        ),
    ];
    for (lines, endless, expected) in cases {
        let (port, mailed) = player(lines, endless);
        let identity = Identity::of("127.0.0.1", 2090);
        let post = post(to(&["a@example.org"], port), |receiver| {
            receiver.roots_pem(identity.root_pem)
        });
        let words = post.deliver();
        assert_ne!(words[0], "delivered", "{lines:?}");
        assert_eq!(attempts(&post.alerter)[0].detail, expected, "{lines:?}");
        assert!(!mailed.load(Ordering::SeqCst), "{lines:?}");
        drop(post.folder);
    }
}

#[test]
fn a_mail_server_that_says_nothing_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let email = to(&["a@example.org"], port).encryption(Encryption::Plain);
    let second = Duration::from_secs(1);
    let post = post(email, |receiver| {
        receiver
            .timeout(Duration::from_millis(50))
            .retry(Retry::new(1, second, second))
    });
    assert_eq!(post.deliver(), ["given up"]);
    assert_eq!(
        attempts(&post.alerter)[0].detail,
        "the receiver took too long"
    );
    drop(listener);
}
