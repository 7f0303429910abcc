//! What happens when the disk takes nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::alerts::deliver::receiver::Webhook;
use crate::alerts::deliver::secret::Secret;

/// A receiver that says yes and counts.
fn receiver() -> (Receiver, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while reader.read_line(&mut line).unwrap() > 2 {
                if let Some(number) = line.strip_prefix("Content-Length: ") {
                    length = number.trim().parse().unwrap();
                }
                line.clear();
            }
            reader.read_exact(&mut vec![0; length]).unwrap();
            theirs.fetch_add(1, Ordering::SeqCst);
            reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .unwrap();
        }
    });
    (Receiver::new("hook", Webhook::new(Secret::new(url))), count)
}

fn alerter(folder: &tempfile::TempDir, receiver: Receiver) -> Alerter {
    let rule = Rule::above("r", "m", 10.0)
        .hold(Duration::ZERO)
        .recover(Duration::ZERO);
    let config = AlerterConfig::new(folder.path().join("alerts.sqlite"))
        .rules([rule])
        .limits(Limits::default().group_interval(Duration::ZERO))
        .receiver(receiver);
    Alerter::manual(config, SystemClock::default()).unwrap()
}

#[test]
fn what_the_store_could_not_take_is_stored_later() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, count) = receiver();
    let alerter = alerter(&folder, receiver);
    let refuse = |refuse| alerter.shared.ledger.lock().store.db.refuse_writes(refuse);
    refuse(true);
    for value in [20.0, 1.0, 20.0] {
        alerter.observe(&Observation::new("m", value));
        alerter.tick().unwrap_err();
    }
    assert!(
        alerter
            .silence(Silence::new(Duration::from_secs(60)).rule("other"))
            .is_err()
    );
    assert!(
        alerter.test("hook").is_err(),
        "a drill without a number is not sent"
    );
    let error = alerter.stats().store_error.unwrap();
    assert!(
        error.contains("alerts.sqlite") && error.contains("readonly"),
        "{error}"
    );
    assert_eq!(alerter.deliver().unwrap(), None);
    refuse(false);
    alerter.tick().unwrap();
    assert_eq!(alerter.stats(), AlerterStats::default());
    assert_eq!(alerter.deliver().unwrap(), None);
    assert_eq!(count.load(Ordering::SeqCst), 3);
    let log = alerter.log().unwrap();
    assert_eq!(log.transitions(10).unwrap().len(), 3);
    assert_eq!(log.silences(SystemTime::now()).unwrap().len(), 1);
}

#[test]
fn a_message_does_not_go_out_again_because_its_delivery_cannot_be_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (receiver, count) = receiver();
    let alerter = alerter(&folder, receiver);
    let refuse = |refuse| alerter.couriers.lock()[0].db.refuse_writes(refuse);
    alerter.observe(&Observation::new("m", 20.0));
    alerter.tick().unwrap();
    refuse(true);
    for _ in 0..3 {
        alerter.deliver().unwrap_err();
    }
    refuse(false);
    assert_eq!(alerter.deliver().unwrap(), None);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let attempts = alerter.log().unwrap().attempts(10).unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].outcome, "delivered");
}
