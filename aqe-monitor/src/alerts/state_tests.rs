use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

const START: SystemTime = SystemTime::UNIX_EPOCH;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(clock: u64) -> Now {
    Now::new(secs(clock), START + secs(clock))
}

fn machine(rules: Vec<Rule>, limits: Limits) -> Machine {
    Machine::new(rules, limits, Restored::default()).unwrap()
}

/// Gathers nothing, so that each message shows at once.
fn at_once() -> Limits {
    Limits::default().group_interval(Duration::ZERO)
}

fn cpu() -> Rule {
    Rule::above("cpu", "cpu", 85.0).resolve_at(80.0)
}

fn feed(machine: &mut Machine, clock: u64, value: f64) {
    machine.tick(at(clock));
    machine.observe(at(clock), &Observation::new("cpu", value));
    machine.tick(at(clock));
}

fn phase(machine: &Machine) -> Phase {
    machine.status()[0].phase
}

fn news(machine: &mut Machine) -> Vec<News> {
    let notifications = machine.take_effects().notifications;
    let entries = notifications.iter().flat_map(|note| &note.alerts);
    entries.map(|entry| entry.news).collect()
}

#[test]
fn an_alert_goes_through_its_phases() {
    let mut m = machine(vec![cpu()], at_once());
    let steps = [
        (0, 50.0, Phase::Inactive),
        (5, 90.0, Phase::Pending),
        (34, 90.0, Phase::Pending),
        (35, 90.0, Phase::Firing),
        (40, 82.0, Phase::Firing),
        (45, 80.0, Phase::Recovering),
        (50, 81.0, Phase::Firing),
        (55, 79.0, Phase::Recovering),
        (85, 79.0, Phase::Inactive),
    ];
    for (clock, value, expected) in steps {
        feed(&mut m, clock, value);
        assert_eq!(phase(&m), expected, "at {clock} s");
    }
    let effects = m.take_effects();
    assert_eq!(effects.transitions.len(), 6);
    assert_eq!(effects.transitions[1].to, Phase::Firing);
    assert_eq!(effects.transitions[1].at_ms, 35_000);
    let told: Vec<_> = effects
        .notifications
        .iter()
        .map(|n| n.alerts[0].news)
        .collect();
    assert_eq!(told, [News::Firing, News::Resolved]);
}

#[test]
fn a_spike_is_not_told() {
    let mut m = machine(vec![cpu()], at_once());
    for clock in 0..200 {
        feed(&mut m, clock, if clock % 20 == 0 { 50.0 } else { 99.0 });
    }
    assert_eq!(news(&mut m), []);
}

#[test]
fn ratios_of_few_events_say_nothing() {
    let rule = Rule::above("errors", "cpu", 5.0).min_events(20);
    let mut m = machine(vec![rule], at_once());
    for clock in 0..100 {
        let few = Observation::new("cpu", 100.0).events(19);
        m.observe(at(clock), &few);
    }
    assert_eq!(phase(&m), Phase::Inactive);
    for clock in 100..=130 {
        m.observe(at(clock), &Observation::new("cpu", 100.0).events(20));
    }
    assert_eq!(phase(&m), Phase::Firing);
    // Few events do not end an alert either.
    m.observe(at(200), &Observation::new("cpu", 0.0).events(1));
    m.observe(at(300), &Observation::new("cpu", f64::NAN));
    assert_eq!(phase(&m), Phase::Firing);
}

#[test]
fn values_that_stop_neither_resolve_nor_fire() {
    let mut m = machine(vec![cpu()], at_once());
    feed(&mut m, 0, 90.0);
    feed(&mut m, 30, 90.0);
    assert_eq!(phase(&m), Phase::Firing);
    m.tick(at(400));
    assert_eq!((phase(&m), m.status()[0].on), (Phase::NoData, true));
    assert_eq!(news(&mut m), [News::Firing]);
    feed(&mut m, 401, 90.0);
    assert_eq!(phase(&m), Phase::Firing);
    assert_eq!(news(&mut m), [], "it was told already");
}

#[test]
fn a_series_that_is_gone_is_forgotten() {
    let mut m = machine(vec![cpu()], at_once());
    feed(&mut m, 0, 10.0);
    m.tick(at(300));
    m.tick(at(600));
    assert_eq!(m.status(), []);
    assert!(m.take_effects().alerts.values().all(Option::is_none));
}

#[test]
fn absence_fires_and_a_value_ends_it() {
    let rule = Rule::absent("gone", "cpu", secs(60)).recover(Duration::ZERO);
    let mut m = machine(vec![rule], at_once());
    m.tick(at(29));
    assert_eq!(phase(&m), Phase::Inactive);
    m.tick(at(30));
    assert_eq!(phase(&m), Phase::Pending);
    m.tick(at(60));
    assert_eq!(phase(&m), Phase::Firing);
    feed(&mut m, 70, f64::NAN);
    assert_eq!(phase(&m), Phase::Inactive);
    assert_eq!(news(&mut m), [News::Firing, News::Resolved]);
}

#[test]
fn a_silence_delays_and_does_not_swallow() {
    let mut m = machine(vec![cpu()], at_once());
    let silence = Silence::new(secs(100)).rule("cpu").comment("known");
    let id = m.silence(at(0), silence.clone()).unwrap();
    feed(&mut m, 0, 90.0);
    feed(&mut m, 30, 90.0);
    assert_eq!(phase(&m), Phase::Firing);
    assert!(m.status()[0].silenced);
    assert_eq!(news(&mut m), []);
    m.tick(at(100));
    assert_eq!(
        news(&mut m),
        [News::Firing],
        "it still fires when the silence ends"
    );
    assert!(!m.unsilence(id), "it has ended");
    assert!(m.silence(at(0), Silence::new(Duration::ZERO)).is_err());

    let id = m.silence(at(101), silence).unwrap();
    feed(&mut m, 110, 0.0);
    feed(&mut m, 150, 0.0);
    assert_eq!(news(&mut m), []);
    assert!(m.unsilence(id));
    m.tick(at(151));
    assert_eq!(news(&mut m), [News::Resolved]);
}

#[test]
fn silences_are_bounded() {
    let mut m = machine(vec![cpu()], at_once());
    for _ in 0..Silence::MAX {
        m.silence(at(0), Silence::new(secs(1))).unwrap();
    }
    let more = m.silence(at(0), Silence::new(secs(1)));
    assert_eq!(more, Err(SilenceError::TooMany));
    m.silence(at(1), Silence::new(secs(1))).unwrap();
}

fn series(host: usize, value: f64) -> Observation {
    let labels = Labels::new([("host", host.to_string()), ("rack", (host % 2).to_string())]);
    Observation::new("cpu", value).labels(labels.unwrap())
}

#[test]
fn a_group_arrives_in_one_message() {
    let rule = cpu().hold(Duration::ZERO).group_by(["rack"]);
    let mut m = machine(vec![rule], Limits::default());
    for host in 0..50 {
        m.observe(at(0), &series(host, 90.0));
    }
    m.tick(at(0));
    let notes = m.take_effects().notifications;
    assert_eq!(notes.len(), 2);
    assert_eq!(notes[0].alerts.len() + notes[0].more, 25);
    assert_eq!(notes[0].alerts.len(), Notification::MAX_ENTRIES);
    assert_eq!(notes[0].group, Labels::new([("rack", "0")]).unwrap());

    // What comes right after is gathered, and told when the interval is over.
    for host in 50..54 {
        m.observe(at(1), &series(host, 90.0));
    }
    m.tick(at(59));
    assert_eq!(m.take_effects().notifications, []);
    m.tick(at(60));
    let notes = m.take_effects().notifications;
    assert_eq!(
        notes.iter().map(|n| n.alerts.len()).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(notes.iter().map(|n| n.sequence).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_lasting_alert_is_repeated() {
    let mut m = machine(vec![cpu().repeat(secs(3600))], at_once());
    for clock in (0..=3 * 3600 + 30).step_by(10) {
        feed(&mut m, clock, 99.0);
    }
    let expected = [News::Firing, News::Repeat, News::Repeat, News::Repeat];
    assert_eq!(news(&mut m), expected);
}

#[test]
fn series_beyond_the_limit_are_counted_and_dropped() {
    let mut m = machine(vec![cpu()], at_once().max_alerts(10));
    for host in 0..1_000 {
        m.observe(at(0), &series(host, 90.0));
    }
    assert_eq!((m.status().len(), m.overflow()), (10, 990));
}

#[test]
fn alerts_of_rules_that_are_gone_go_too() {
    let mut m = machine(vec![cpu()], at_once());
    feed(&mut m, 0, 90.0);
    let key = m.status()[0].key.clone();
    let alerts = m.alerts.clone();
    let restored = Restored {
        alerts,
        ..Restored::default()
    };
    let mut other = Machine::new(vec![Rule::above("b", "b", 1.0)], at_once(), restored).unwrap();
    assert_eq!(other.take_effects().alerts.get(&key), Some(&None));
}

#[test]
fn a_hold_time_that_spans_a_restart_begins_anew() {
    let mut m = machine(vec![cpu()], at_once());
    feed(&mut m, 0, 90.0);
    m.resume(secs(1_000));
    feed(&mut m, 1_001, 90.0);
    assert_eq!(phase(&m), Phase::Pending);
    feed(&mut m, 1_030, 90.0);
    assert_eq!(phase(&m), Phase::Firing);
}

/// A message for each crossing, as a bare threshold would send it.
fn bare(values: &[f64]) -> usize {
    let above: Vec<bool> = values.iter().map(|value| *value > 85.0).collect();
    above.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn oscillation_tells_a_tenth_of_what_a_bare_threshold_does() {
    let mut random = fastrand::Rng::with_seed(7);
    let day = 24 * 3600 / 5;
    let inputs: [(&str, Vec<f64>); 4] = [
        (
            "hovers",
            (0..day).map(|_| 84.0 + 2.0 * random.f64()).collect(),
        ),
        (
            "spikes",
            (0..day)
                .map(|n| if n % 5 < 4 { 70.0 } else { 99.0 })
                .collect(),
        ),
        // Long enough on each side for every hold time: what only flap detection quiets.
        (
            "square",
            (0..day)
                .map(|n| if n / 10 % 2 == 0 { 70.0 } else { 99.0 })
                .collect(),
        ),
        (
            "wanders",
            (0..day)
                .map(|n| 85.0 + 10.0 * (f64::from(n) / 9.0).sin())
                .collect(),
        ),
    ];
    for (what, values) in inputs {
        let mut m = machine(vec![cpu()], Limits::default());
        for (n, value) in values.iter().enumerate() {
            feed(&mut m, n as u64 * 5, *value);
        }
        let (ours, bare) = (m.take_effects().notifications.len(), bare(&values));
        assert!(bare > 500, "{what} crosses only {bare} times");
        assert!(
            ours * 10 <= bare,
            "{what}: {ours} messages, {bare} crossings"
        );
    }
}

#[test]
fn flapping_is_told_once_and_its_end_too() {
    let mut m = machine(vec![cpu().repeat(Duration::ZERO)], at_once());
    for clock in (0..3600).step_by(5) {
        feed(&mut m, clock, if clock / 50 % 2 == 0 { 70.0 } else { 99.0 });
    }
    assert!(m.status()[0].flapping);
    let told = news(&mut m);
    assert_eq!(
        told.iter().filter(|news| **news == News::Flapping).count(),
        1
    );
    assert_eq!(told.last(), Some(&News::Flapping));
    for clock in (3600..8000).step_by(5) {
        feed(&mut m, clock, 70.0);
    }
    assert_eq!(news(&mut m), [News::Resolved]);
    assert!(!m.status()[0].flapping);
}

#[test]
fn effects_that_cannot_be_stored_are_bounded() {
    let mut waiting = Effects::default();
    let mut m = machine(
        vec![cpu().hold(Duration::ZERO).recover(Duration::ZERO)],
        at_once(),
    );
    for clock in 0..30_000 {
        feed(&mut m, clock, if clock % 2 == 0 { 70.0 } else { 99.0 });
        waiting.absorb(m.take_effects());
    }
    assert_eq!(waiting.transitions.len(), Effects::MAX_WAITING);
    assert!(waiting.dropped > 0);
}

/// What a reference needs to know of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Said {
    Breach,
    Between,
    Clear,
    TooLittle,
}

const SAID: [(Said, f64, u64); 4] = [
    (Said::Breach, 90.0, 9),
    (Said::Between, 82.0, 9),
    (Said::Clear, 70.0, 9),
    (Said::TooLittle, 99.0, 1),
];

/// Whether the last values up to `end`, all saying `what` and none further than `stale` from the next, span `hold`.
fn run(history: &[(u64, Said)], end: usize, what: Said, hold: u64, stale: u64) -> bool {
    let mut first = end;
    if history[end].1 != what {
        return false;
    }
    while first > 0
        && history[first - 1].1 == what
        && history[first].0 - history[first - 1].0 < stale
    {
        first -= 1;
    }
    history[end].0 - history[first].0 >= hold
}

/// Whether the alert is on, from the whole history instead of a state.
fn is_on(history: &[(u64, Said)], hold: u64, recover: u64, stale: u64) -> bool {
    let latest = |what, span| {
        (0..history.len())
            .rev()
            .find(|end| run(history, *end, what, span, stale))
    };
    latest(Said::Breach, hold) > latest(Said::Clear, recover)
}

proptest! {
    #[test]
    fn any_history_agrees_with_the_definition(
        steps in prop::collection::vec((0_u64..20, prop::option::weighted(0.8, 0_usize..4)), 1..80),
        hold in 0_u64..30,
        recover in 0_u64..30,
        stale in 10_u64..40,
    ) {
        let rule = cpu()
            .hold(secs(hold))
            .recover(secs(recover))
            .stale_after(secs(stale))
            .min_events(5)
            .repeat(Duration::ZERO);
        let quiet = at_once().flap(Flap::new(u8::MAX, secs(1)));
        let mut m = machine(vec![rule], quiet);
        let mut clock = 0;
        let mut history = Vec::new();
        let mut told = Vec::new();
        let mut expected = Vec::new();
        let mut was_on = false;
        for (wait, said) in steps {
            clock += wait;
            m.tick(at(clock));
            if let Some(index) = said {
                let (said, value, events) = SAID[index];
                history.push((clock, said));
                m.observe(at(clock), &Observation::new("cpu", value).events(events));
            }
            m.tick(at(clock));
            let on = is_on(&history, hold, recover, stale);
            prop_assert_eq!(m.status().first().is_some_and(|alert| alert.on), on);
            if on != was_on {
                expected.push(if on { News::Firing } else { News::Resolved });
            }
            was_on = on;
            told.extend(news(&mut m));
        }
        prop_assert_eq!(told, expected);
    }

    #[test]
    fn steps_of_the_wall_clock_change_nothing_and_a_clock_that_goes_back_hurries_nothing(
        steps in prop::collection::vec((0_u64..20, 60.0..100.0_f64, any::<u32>(), 0_u64..50), 1..80),
    ) {
        let mut steady = machine(vec![cpu()], at_once());
        let mut stepped = machine(vec![cpu()], at_once());
        let mut clock = 0;
        for (wait, value, wall, back) in steps {
            clock += wait;
            feed(&mut steady, clock, value);
            let now = Now::new(secs(clock), START + secs(u64::from(wall)));
            stepped.tick(now);
            stepped.observe(now, &Observation::new("cpu", value));
            stepped.tick(now);
            stepped.tick(Now::new(secs(clock.saturating_sub(back)), START));
            prop_assert_eq!(steady.status(), stepped.status());
        }
        prop_assert_eq!(news(&mut steady), news(&mut stepped));
    }
}

#[test]
fn a_message_is_for_those_whom_its_rule_names() {
    let rule = |name: &str| Rule::above(name, "cpu", 85.0).hold(Duration::ZERO);
    let grouped = |name: &str| rule(name).group_by(["host"]);
    let rules = vec![
        rule("all"),
        rule("post").receivers(["email"]),
        // They would be in one message if they did not tell others.
        grouped("one").receivers(["slack"]),
        grouped("two").receivers(["slack"]),
        grouped("three"),
    ];
    let mut m = machine(rules, at_once());
    feed(&mut m, 1, 90.0);
    let mut told: Vec<_> = m
        .take_effects()
        .notifications
        .iter()
        .map(|note| {
            let rules: Vec<_> = note.alerts.iter().map(|one| one.rule.clone()).collect();
            let ways = ["email", "slack", "hook"];
            let ways: Vec<_> = ways.into_iter().filter(|way| note.is_for(way)).collect();
            (rules.join(" "), ways.join(" "))
        })
        .collect();
    told.sort();
    let expected = [
        ("all", "email slack hook"),
        ("one two", "slack"),
        ("post", "email"),
        ("three", "email slack hook"),
    ];
    let expected = expected.map(|(rules, ways)| (rules.to_owned(), ways.to_owned()));
    assert_eq!(told, expected);
}
