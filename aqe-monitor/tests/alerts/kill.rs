//! A process that is killed at any moment loses no message and makes none twice.
//!
//! A helper process makes an alert come and go as quickly as it can, and delivers. The receiver here honours the
//! idempotency key, sometimes fails, sometimes does its work and hangs up without an answer, and after some number of
//! requests the helper is killed: before the answer, or right after it, when the helper is about to write it down. In
//! the end, all that was ever decided has arrived once, and no step is missing: "firing" and "resolved" take turns.

use std::collections::HashMap;
use std::env;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqe_monitor::alerts::{Alerter, AlerterConfig, Receiver, Retry, Secret, Webhook};

use crate::hook::{Answer, Hook, Request};
use crate::support::{Hand, config, deliver_all, set};

/// Tells the helper where the folder and the receiver are.
const HELPER: &str = "AQE_ALERTS_KILL_HELPER";
/// How many kills, if more than usual are wanted.
const ROUNDS: &str = "AQE_ALERTS_KILL_ROUNDS";

fn stormy(folder: &str, url: String) -> AlerterConfig {
    let receiver = Receiver::new("hook", Webhook::new(Secret::new(url))).retry(Retry::new(
        100,
        Duration::from_millis(1),
        Duration::from_millis(2),
    ));
    config(folder.as_ref()).receiver(receiver)
}

/// Not a test by itself: what the helper process does until it is killed.
#[test]
fn helper() {
    let Ok(spec) = env::var(HELPER) else { return };
    let (folder, url) = spec.split_once('|').unwrap();
    let alerter = Alerter::open(stormy(folder, url.to_owned())).unwrap();
    let on = alerter.status().first().is_some_and(|alert| alert.on);
    for n in 0_u64.. {
        set(&alerter, (n % 2 == 0) != on);
        // Few enough wait that the end of the test is near.
        if n % 16 == 0 {
            alerter.flush(Duration::from_secs(60)).unwrap();
        }
    }
}

struct Helper(Child);

impl Helper {
    fn new(folder: &str, hook: &Hook) -> Self {
        let spec = format!("{folder}|http://{}/in", hook.address());
        let child = Command::new(env::current_exe().unwrap())
            .args(["kill::helper", "--exact", "--nocapture"])
            .env(HELPER, spec)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(&mut self) {
        // SIGKILL on Unix: nothing of the process runs after it.
        self.0.kill().unwrap();
        let status = self.0.wait().unwrap();
        assert!(!status.success(), "it is not to end by itself");
    }
}

/// A receiver that honours the idempotency key.
#[derive(Default)]
struct Ledger {
    bodies: HashMap<String, Vec<u8>>,
    order: Vec<String>,
    repeated: u64,
    calm: bool,
    /// Kills the helper after so many requests, and whether before or after the answer.
    fuse: Option<(u64, bool)>,
    helper: Option<Helper>,
}

impl Ledger {
    fn take(&mut self, request: &Request, random: &mut fastrand::Rng) -> Answer {
        if !self.calm && random.u8(..) < 20 {
            return Answer::Status(503);
        }
        let key = request.header("Idempotency-Key").unwrap().to_owned();
        match self.bodies.get(&key) {
            Some(known) => {
                assert_eq!(*known, request.body, "the same key with another body");
                self.repeated += 1;
            }
            None => {
                self.bodies.insert(key.clone(), request.body.clone());
                self.order.push(key);
            }
        }
        if let Some((left, before)) = &mut self.fuse {
            *left = left.saturating_sub(1);
            if *left == 0 && *before {
                self.fuse = None;
                self.helper.as_mut().unwrap().kill();
            }
        }
        if !self.calm && random.u8(..) < 20 {
            return Answer::Close;
        }
        Answer::Status(200)
    }
}

#[test]
fn no_message_is_lost_or_made_twice_over_kills() {
    let rounds = env::var(ROUNDS).map_or(6, |rounds| rounds.parse().unwrap());
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let theirs = Arc::clone(&ledger);
    let mut fate = random.fork();
    let (tell, heard) = std::sync::mpsc::channel();
    let hook = Hook::new(move |request, _| {
        let answer = theirs.lock().unwrap().take(request, &mut fate);
        // Nobody listens any more when the kills are over.
        let _ = tell.send(());
        answer
    });
    for _ in 0..rounds {
        let (requests, early) = (random.u64(1..40), random.bool());
        {
            let mut ledger = ledger.lock().unwrap();
            ledger.fuse = Some((requests, early));
            ledger.helper = Some(Helper::new(&path, &hook));
        }
        loop {
            heard.recv_timeout(Duration::from_secs(60)).unwrap();
            let mut ledger = ledger.lock().unwrap();
            match ledger.fuse {
                None => break,
                // The answer is on its way, or has arrived and is being written down.
                Some((0, _)) => {
                    ledger.helper.as_mut().unwrap().kill();
                    break;
                }
                Some(_) => {}
            }
        }
        ledger.lock().unwrap().fuse = None;
        ledger.lock().unwrap().helper = None;
    }
    ledger.lock().unwrap().calm = true;
    let clock = Hand::default();
    let alerter = Alerter::manual(
        stormy(&path, format!("http://{}/in", hook.address())),
        clock.clone(),
    )
    .unwrap();
    assert!(alerter.opened().set_aside.is_none());
    deliver_all(&alerter, &clock);
    assert_eq!(alerter.queued().unwrap(), 0);

    let letters = alerter.log().unwrap().letters(100_000).unwrap();
    let ledger = ledger.lock().unwrap();
    assert!(letters.iter().all(|letter| letter.state == "delivered"));
    assert_eq!(letters.len(), ledger.order.len(), "lost or made up");
    let sequences: Vec<_> = letters
        .iter()
        .rev()
        .map(|letter| letter.notification.sequence)
        .collect();
    assert_eq!(sequences, (1..=letters.len() as u64).collect::<Vec<_>>());
    for (n, key) in ledger.order.iter().enumerate() {
        let body: serde_json::Value = serde_json::from_slice(&ledger.bodies[key]).unwrap();
        assert_eq!(body["sequence"], n as u64 + 1, "in their order");
        let news = if n % 2 == 0 { "firing" } else { "resolved" };
        assert_eq!(body["alerts"][0]["news"], news, "message {n}");
    }
    println!(
        "{rounds} kills, {} messages, {} repeated",
        letters.len(),
        ledger.repeated
    );
}
