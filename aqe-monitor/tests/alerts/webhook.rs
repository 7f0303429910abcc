//! Webhooks and Slack: what arrives, what is tried again, and what hostile receivers can do.

use std::collections::BTreeSet;
use std::time::Duration;

use aqe_monitor::alerts::{
    AlertError, Alerter, AlerterConfig, Receiver, Retry, Secret, Severity, Slack, Webhook,
    verify_signature,
};

use crate::hook::{Answer, Hook};
use crate::support::{Hand, attempts, config, deliver_all, hook_receiver, outcomes, quick, set};

fn begin(config: AlerterConfig) -> (Alerter, Hand) {
    let clock = Hand::default();
    (Alerter::manual(config, clock.clone()).unwrap(), clock)
}

#[test]
fn a_webhook_is_signed_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let key = Secret::new("a key");
    let url = Secret::new(format!("http://{}/in?token=5", hook.address()));
    let receiver = Receiver::new("hook", Webhook::new(url).key(key.clone()));
    let (alerter, clock) = begin(config(folder.path()).receiver(receiver));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    let request = &hook.requests()[0];
    assert_eq!(request.line, "POST /in?token=5 HTTP/1.1");
    let timestamp = request.header("X-Aqe-Timestamp").unwrap();
    let signature = request.header("X-Aqe-Signature").unwrap();
    assert_eq!(timestamp, "1700000000");
    assert!(verify_signature(&key, timestamp, &request.body, signature));
    let body = request.json();
    assert_eq!(body["id"], request.header("Idempotency-Key").unwrap());
    assert_eq!(body["title"], "firing (warning): quick");
    assert_eq!(body["drill"], false);
    assert_eq!(body["alerts"][0]["value"], 20.0);
    assert_eq!(body["alerts"][0]["threshold"], 10.0);
    assert_eq!(outcomes(&alerter), ["delivered"]);
}

#[test]
fn what_may_pass_is_tried_again_and_the_receiver_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::new(|_, number| match number {
        0 => Answer::Status(503),
        1 => Answer::Raw(b"HTTP/1.1 429 x\r\nRetry-After: 120\r\n\r\n".to_vec()),
        _ => Answer::Status(200),
    });
    let (alerter, clock) = begin(config(folder.path()).receiver(hook_receiver(&hook)));
    set(&alerter, true);
    let due = alerter.deliver().unwrap();
    // No wait is possible, too: then the second attempt was made in the same call.
    if hook.requests().len() == 1 {
        assert!(due.unwrap() <= Duration::from_secs(2));
        clock.pass(Duration::from_secs(2));
        alerter.deliver().unwrap();
    }
    let asked = clock_of(&alerter, &clock);
    assert!(asked >= Duration::from_secs(120), "{asked:?}");
    assert_eq!(hook.requests().len(), 2, "not before the receiver wants it");
    clock.pass(Duration::from_secs(120));
    assert_eq!(alerter.deliver().unwrap(), None);
    let requests = hook.requests();
    let keys: BTreeSet<_> = requests
        .iter()
        .map(|r| r.header("Idempotency-Key"))
        .collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(requests[0].body, requests[2].body);
    assert_eq!(outcomes(&alerter), ["failed", "failed", "delivered"]);
}

/// How long the alerter waits from now on.
fn clock_of(alerter: &Alerter, clock: &Hand) -> Duration {
    use aqe_monitor::alerts::Clock as _;
    alerter.deliver().unwrap().unwrap() - clock.elapsed()
}

#[test]
fn what_will_not_work_is_a_dead_letter_at_once_and_can_be_revived() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::new(|_, number| Answer::Status(if number < 2 { 404 } else { 200 }));
    let (alerter, clock) = begin(config(folder.path()).receiver(hook_receiver(&hook)));
    set(&alerter, true);
    set(&alerter, false);
    deliver_all(&alerter, &clock);
    assert_eq!(outcomes(&alerter), ["refused", "refused"]);
    let letters = alerter.log().unwrap().letters(10).unwrap();
    assert!(
        letters
            .iter()
            .all(|letter| letter.state == "dead" && letter.attempts == 1)
    );
    assert_eq!(alerter.requeue("hook").unwrap(), 2);
    assert_eq!(alerter.queued().unwrap(), 2);
    deliver_all(&alerter, &clock);
    assert_eq!(outcomes(&alerter)[2..], ["delivered", "delivered"]);
    let news = |request: &crate::hook::Request| request.json()["alerts"][0]["news"].to_string();
    let told: Vec<_> = hook.requests()[2..].iter().map(news).collect();
    assert_eq!(told, ["\"firing\"", "\"resolved\""], "in their order");
}

#[test]
fn attempts_end() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::new(|_, _| Answer::Status(500));
    let (alerter, clock) = begin(config(folder.path()).receiver(hook_receiver(&hook)));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    assert_eq!(
        outcomes(&alerter),
        ["failed", "failed", "failed", "given up"]
    );
    assert_eq!(hook.requests().len(), 4);
    assert_eq!(attempts(&alerter)[0].detail, "status 500");
}

#[test]
fn redirects_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let other = Hook::good();
    let to = format!(
        "HTTP/1.1 307 x\r\nLocation: http://{}/\r\n\r\n",
        other.address()
    );
    let hook = Hook::new(move |_, _| Answer::Raw(to.clone().into_bytes()));
    let (alerter, clock) = begin(config(folder.path()).receiver(hook_receiver(&hook)));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    assert_eq!(outcomes(&alerter), ["refused"]);
    assert_eq!(other.requests(), []);
}

#[test]
fn hostile_answers_cost_an_attempt_and_no_more() {
    let answers = [
        Answer::Close,
        Answer::Raw(Vec::new()),
        Answer::Raw(b"HTTP/1.1 200".to_vec()),
        Answer::Raw(b"HTTP/1.1 200 OK\r\nX: y\r\n".to_vec()),
        Answer::Raw(b"\0\xff\xfe\r\n\r\n".to_vec()),
        Answer::Raw(b"HTTP/1.1 999 OK\r\n\r\n".to_vec()),
        Answer::Raw(b"220 mail.example.org ESMTP\r\n".to_vec()),
        Answer::Endless(b"", b"xxxxxxxxxxxxxxxx"),
        Answer::Endless(b"HTTP/1.1 200 OK\r\n", b"xxxxxxxxxxxxxxxx"),
        Answer::Endless(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        Answer::Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ];
    let count = answers.len();
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::new(move |_, number| match answers.get(number) {
        Some(answer) => answer.clone(),
        // A body without end after a good head is left alone.
        None => Answer::Endless(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 OK\r\n\r\n",
            b"x",
        ),
    });
    let retry = Retry::new(100, Duration::from_secs(1), Duration::from_secs(1));
    let receiver = hook_receiver(&hook).retry(retry);
    let (alerter, clock) = begin(config(folder.path()).receiver(receiver));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    let outcomes = outcomes(&alerter);
    assert_eq!(outcomes.len(), count + 1);
    assert!(
        outcomes[..count].iter().all(|word| word == "failed"),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[count], "delivered");
}

#[test]
fn a_receiver_that_stalls_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let good = Hook::good();
    let stalling = Hook::new(|_, number| match number {
        0 => Answer::Stall,
        _ => Answer::Status(200),
    });
    let mut slow = hook_receiver(&stalling)
        .timeout(Duration::from_millis(300))
        .retry(Retry::new(
            100,
            Duration::from_millis(1),
            Duration::from_millis(1),
        ));
    slow.name = "slow".to_owned();
    let config = config(folder.path())
        .receiver(slow)
        .receiver(hook_receiver(&good));
    let alerter = Alerter::open(config).unwrap();
    set(&alerter, true);
    good.wait_for(1);
    stalling.wait_for(2);
    assert!(alerter.flush(Duration::from_secs(60)).unwrap());
    let slow: Vec<_> = attempts(&alerter)
        .into_iter()
        .filter(|attempt| attempt.receiver == "slow")
        .collect();
    assert_eq!(slow[0].detail, "the receiver took too long");
    assert_eq!(slow.last().unwrap().outcome, "delivered");
}

#[test]
fn a_receiver_that_is_not_there_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let receiver = hook_receiver(&hook);
    drop(hook);
    let (alerter, clock) = begin(config(folder.path()).receiver(receiver));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    assert_eq!(
        outcomes(&alerter),
        ["failed", "failed", "failed", "given up"]
    );
    assert_eq!(attempts(&alerter)[0].detail, "connection refused");
}

#[test]
fn slack_gets_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let url = Secret::new(format!("http://{}/services/T0/B0/x", hook.address()));
    let (alerter, clock) =
        begin(config(folder.path()).receiver(Receiver::new("chat", Slack::new(url))));
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    alerter.test("chat").unwrap();
    let bodies: Vec<_> = hook
        .requests()
        .iter()
        .map(crate::hook::Request::json)
        .collect();
    assert_eq!(bodies[0]["text"], "firing (warning): quick");
    assert_eq!(bodies[0]["blocks"][0]["type"], "header");
    assert_eq!(bodies[0]["blocks"][1]["text"]["type"], "mrkdwn");
    let text = bodies[0]["blocks"][1]["text"]["text"].as_str().unwrap();
    assert_eq!(text, "firing quick: m = 20.00 (threshold 10)");
    assert!(bodies[1]["text"].as_str().unwrap().starts_with("[DRILL] "));
}

#[test]
fn a_drill_arrives_at_once_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::new(|_, number| Answer::Status([200, 503, 403][number]));
    let receiver = hook_receiver(&hook).min_severity(Severity::Critical);
    let (alerter, _) = begin(config(folder.path()).receiver(receiver));
    alerter.test("hook").unwrap();
    assert_eq!(hook.requests()[0].json()["drill"], true);
    let again = |result| match result {
        Err(AlertError::Undelivered { again, .. }) => again,
        other => panic!("{other:?}"),
    };
    assert!(again(alerter.test("hook")));
    assert!(!again(alerter.test("hook")));
    assert!(matches!(
        alerter.test("hok"),
        Err(AlertError::NoReceiver(_))
    ));
    assert_eq!(outcomes(&alerter), ["delivered", "given up", "refused"]);
    assert!(
        attempts(&alerter)[0]
            .title
            .as_ref()
            .unwrap()
            .starts_with("[DRILL]")
    );
    assert_eq!(
        alerter.requeue("hook").unwrap(),
        0,
        "drills do not come back"
    );
}

#[test]
fn each_receiver_gets_what_is_severe_enough_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (all, grave) = (Hook::good(), Hook::good());
    let mut picky = hook_receiver(&grave).min_severity(Severity::Critical);
    picky.name = "picky".to_owned();
    let mut severe = quick().severity(Severity::Critical);
    severe.name = "severe".to_owned();
    severe.metric = "other".to_owned();
    let config = config(folder.path()).rules([quick(), severe]);
    let (alerter, clock) = begin(config.receiver(hook_receiver(&all)).receiver(picky));
    set(&alerter, true);
    alerter.observe(&aqe_monitor::alerts::Observation::new("other", 20.0));
    alerter.tick().unwrap();
    deliver_all(&alerter, &clock);
    assert_eq!((all.requests().len(), grave.requests().len()), (2, 1));
    assert_eq!(grave.requests()[0].json()["alerts"][0]["rule"], "severe");
}

#[test]
fn an_outbox_that_is_full_makes_dead_letters() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let config = config(folder.path())
        .receiver(hook_receiver(&hook))
        .max_queued(3);
    let (alerter, clock) = begin(config);
    for n in 0..5 {
        set(&alerter, n % 2 == 0);
    }
    assert_eq!(alerter.queued().unwrap(), 3);
    assert_eq!(outcomes(&alerter), ["dropped", "dropped"]);
    deliver_all(&alerter, &clock);
    assert_eq!(hook.requests().len(), 3);
}
