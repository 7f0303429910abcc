//! What is in the file: after a restart, after damage, and after a long time.

use std::time::{Duration, SystemTime};

use aqe_monitor::alerts::{
    AlertError, AlertLog, Alerter, Clock as _, Labels, Observation, Phase, Silence, StoreError,
};

use crate::hook::Hook;
use crate::support::{Hand, config, deliver_all, hook_receiver, outcomes, quick, set};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_restart_tells_nothing_twice_and_forgets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let clock = Hand::default();
    let open = || {
        let config = config(folder.path()).receiver(hook_receiver(&hook));
        Alerter::manual(config, clock.clone()).unwrap()
    };
    let alerter = open();
    set(&alerter, true);
    let silence = Silence::new(secs(100)).labels(Labels::new([("a", "b")]).unwrap());
    let id = alerter.silence(silence).unwrap();
    drop(alerter);

    clock.pass(secs(60));
    let alerter = open();
    assert!(alerter.opened().set_aside.is_none());
    let status = alerter.status();
    assert_eq!((status[0].phase, status[0].on), (Phase::Firing, true));
    let silences = alerter.silences();
    assert_eq!(
        (silences[0].silence.id, silences[0].remaining),
        (id, secs(40))
    );
    assert_eq!(
        AlertLog::open(folder.path().join("alerts.sqlite"))
            .unwrap()
            .silences(clock.wall())
            .unwrap(),
        silences
    );
    set(&alerter, true);
    deliver_all(&alerter, &clock);
    assert_eq!(hook.requests().len(), 1, "what waited is delivered, once");
    drop(alerter);

    let alerter = open();
    set(&alerter, false);
    deliver_all(&alerter, &clock);
    let news: Vec<_> = hook
        .requests()
        .iter()
        .map(|r| r.json()["alerts"][0]["news"].to_string())
        .collect();
    assert_eq!(news, ["\"firing\"", "\"resolved\""]);
    let sequences: Vec<_> = hook
        .requests()
        .iter()
        .map(|r| r.json()["sequence"].to_string())
        .collect();
    assert_eq!(sequences, ["1", "2"]);
    let stored = alerter.log().unwrap().alerts().unwrap();
    assert_eq!(
        (stored[0].phase, stored[0].fired_total),
        (Phase::Inactive, 1)
    );
}

#[test]
fn a_hold_time_counts_what_was_seen_without_a_break_only() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::default();
    let rule = quick().hold(secs(30));
    let open = || {
        let config = config(folder.path()).rules([rule.clone()]);
        Alerter::manual(config, clock.clone()).unwrap()
    };
    set(&open(), true);
    clock.pass(secs(100));
    let alerter = open();
    set(&alerter, true);
    assert_eq!(alerter.status()[0].phase, Phase::Pending);
    clock.pass(secs(30));
    set(&alerter, true);
    assert_eq!(alerter.status()[0].phase, Phase::Firing);
}

#[test]
fn a_wall_clock_that_was_set_back_or_far_forward_ends_no_silence() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::default();
    let open = || Alerter::manual(config(folder.path()), clock.clone()).unwrap();
    let month = secs(30 * 24 * 3600);
    open().silence(Silence::new(month)).unwrap();
    let start = clock.wall();
    for wall in [SystemTime::UNIX_EPOCH, start + month * 1000] {
        clock.set_wall(wall);
        let alerter = open();
        assert_eq!(alerter.silences().len(), 1);
        assert!(alerter.silences()[0].remaining >= month - secs(8 * 24 * 3600));
    }
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sqlite");
    let open = || Alerter::manual(config(folder.path()), Hand::default());
    let make = || {
        let alerter = open().unwrap();
        for n in 0..200 {
            set(&alerter, n % 2 == 0);
        }
        drop(alerter);
        std::fs::read(&path).unwrap()
    };
    let good = make();
    let mut aside = 0;
    let mut torn = good.clone();
    torn.truncate(good.len() / 2);
    let mut scratched = good.clone();
    for byte in &mut scratched[4096..8192] {
        *byte ^= 0x55;
    }
    let mut states = good.clone();
    // A page of records, which nobody reads at the beginning.
    let mut records = good.clone();
    let last = records.len() - 4096;
    for byte in &mut records[last..] {
        *byte ^= 0x55;
    }
    // The state of an alert that is no JSON any more.
    let at = states
        .windows(7)
        .position(|bytes| bytes == b"\"phase\"")
        .unwrap();
    states[at] = b'x';
    for bad in [
        b"no database, but long enough to look like one".repeat(100),
        torn,
        scratched,
        records,
        states,
    ] {
        std::fs::write(&path, &bad).unwrap();
        let alerter = open().unwrap();
        let moved = alerter.opened().set_aside.clone().unwrap();
        assert_eq!(
            std::fs::read(moved).unwrap(),
            bad,
            "it can still be looked at"
        );
        assert_eq!(alerter.status(), []);
        set(&alerter, true);
        aside += 1;
    }
    let kept = std::fs::read_dir(folder.path()).unwrap();
    let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(
        names
            .filter(|name| name.contains("damaged")
                && !name.ends_with("-wal")
                && !name.ends_with("-shm"))
            .count(),
        aside
    );
}

#[test]
fn files_of_newer_and_of_other_programs_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sqlite");
    let open = || Alerter::manual(config(folder.path()), Hand::default());
    set(&open().unwrap(), true);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 2).unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    let newer = |error: &StoreError| matches!(error, StoreError::Newer { found: 2, .. });
    assert!(matches!(open(), Err(AlertError::Store(error)) if newer(&error)));
    assert!(newer(&AlertLog::open(&path).unwrap_err()));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::remove_file(&path).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch("CREATE TABLE mine (a)").unwrap();
    drop(db);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(
        open(),
        Err(AlertError::Store(StoreError::Foreign { .. }))
    ));
    assert!(matches!(
        AlertLog::open(&path),
        Err(StoreError::Foreign { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert!(AlertLog::open(folder.path().join("none")).is_err());
}

#[cfg(unix)]
#[test]
fn its_files_are_the_user_s_own() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let alerter = Alerter::manual(config(folder.path()), Hand::default()).unwrap();
    set(&alerter, true);
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
        files += 1;
    }
    assert!(files >= 2, "the store and its lock");
}

#[test]
fn one_alerter_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Alerter::manual(config(folder.path()), Hand::default());
    let first = open().unwrap();
    assert!(matches!(
        open(),
        Err(AlertError::Store(StoreError::InUse { .. }))
    ));
    // Whoever only reads is welcome.
    set(&first, true);
    assert_eq!(first.log().unwrap().transitions(10).unwrap().len(), 1);
    drop(first);
    open().unwrap();
}

#[test]
fn records_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let hook =
        Hook::new(|_, number| crate::hook::Answer::Status(if number % 2 == 0 { 500 } else { 200 }));
    let receiver = hook_receiver(&hook);
    let clock = Hand::default();
    let config = config(folder.path()).receiver(receiver).max_records(20);
    let alerter = Alerter::manual(config, clock.clone()).unwrap();
    for n in 0..500 {
        set(&alerter, n % 2 == 0);
        deliver_all(&alerter, &clock);
    }
    let log = alerter.log().unwrap();
    // The oldest go each 64 commits, or 64 attempts.
    let counts = [
        log.transitions(1_000).unwrap().len(),
        log.attempts(1_000).unwrap().len(),
        log.letters(1_000).unwrap().len(),
    ];
    assert!(
        counts
            .into_iter()
            .all(|count| (20..=20 + 64).contains(&count)),
        "{counts:?}"
    );
    let last = &log.letters(1).unwrap()[0];
    assert_eq!(
        (last.notification.sequence, last.state.as_str()),
        (hook.requests().len() as u64 / 2, "delivered")
    );
}

#[test]
fn what_waits_for_delivery_is_not_removed_with_old_records() {
    let folder = tempfile::tempdir().unwrap();
    let hook = Hook::good();
    let config = config(folder.path())
        .receiver(hook_receiver(&hook))
        .max_records(5);
    let clock = Hand::default();
    let alerter = Alerter::manual(config, clock.clone()).unwrap();
    for n in 0..200 {
        set(&alerter, n % 2 == 0);
    }
    let waiting = alerter.queued().unwrap();
    deliver_all(&alerter, &clock);
    assert_eq!(hook.requests().len() as u64, waiting);
    assert_eq!(outcomes(&alerter).last().unwrap(), "delivered");
}

#[test]
fn stock_sql_sees_transitions_and_hostile_labels_stay_values() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Hand::default();
    let alerter = Alerter::manual(config(folder.path()), clock).unwrap();
    let labels = Labels::new([(
        "a'); DROP TABLE alerts; --",
        "=cmd|' /C calc'!A0\0\u{1F600}",
    )])
    .unwrap();
    alerter.observe(&Observation::new("m", 20.0).labels(labels.clone()));
    alerter.tick().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("alerts.sqlite")).unwrap();
    let rows: i64 = db
        .query_row(
            "SELECT count(*) FROM transitions WHERE rule = 'quick' AND to_phase = 'firing'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 1);
    assert_eq!(
        alerter.log().unwrap().alerts().unwrap()[0].key.labels,
        labels
    );
    assert_eq!(alerter.rules(), [quick()]);
}

/// Whoever looks at the moment at which a store is created was told that it belongs to another program.
#[test]
fn a_store_that_is_being_created_is_empty_and_not_of_another_program() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.sqlite");
    std::fs::write(&path, "").unwrap();
    let log = AlertLog::open(&path);
    assert!(matches!(log, Err(StoreError::Empty { .. })), "{log:?}");
}
