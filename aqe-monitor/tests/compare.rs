//! How often verdicts are wrong, simulated: skewed noise with outliers, on a machine that is steady or drifts.
//!
//! The seeds are fixed, so a test fails or passes always; the bounds have room for another seed.

#![cfg(feature = "compare")]
#![allow(
    clippy::unwrap_used,
    reason = "a panic fails the test, helpers included"
)]

use aqe_monitor::compare::{
    ChangeConfig, CompareConfig, CompareError, Verdict, change_points, compare_pairs,
    compare_unpaired,
};
use fastrand::Rng;

/// How many trials, if more than usual are wanted.
const SCALE: &str = "AQE_MONITOR_TRIALS";

fn trials(usual: usize) -> usize {
    std::env::var(SCALE).map_or(usual, |scale| usual * scale.parse::<usize>().unwrap())
}

/// Normal, by Box and Muller.
fn normal(random: &mut Rng) -> f64 {
    let (radius, angle) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// A time: skewed, with a standard deviation of 8 %, and every thirty-third up to twice as long.
fn time(random: &mut Rng) -> f64 {
    let noise = (0.08 * normal(random)).exp();
    if random.f64() < 0.03 {
        noise * (1.3 + 0.7 * random.f64())
    } else {
        noise
    }
}

/// How much slower the machine is at each moment: it warms up by a quarter, and wanders.
fn drift(random: &mut Rng, moments: usize) -> Vec<f64> {
    let mut wander = 0.0;
    (0..moments)
        .map(|moment| {
            wander = 0.95 * wander + 0.02 * normal(random);
            (0.25 * moment as f64 / moments as f64 + wander).exp()
        })
        .collect()
}

fn pairs(random: &mut Rng, ratio: f64, drifts: bool) -> Vec<(f64, f64)> {
    let machine = if drifts {
        drift(random, 60)
    } else {
        vec![1.0; 60]
    };
    (0..30)
        .map(|pair| {
            // Each second pair begins with the candidate, as one does.
            let (first, second) = (machine[2 * pair], machine[2 * pair + 1]);
            let (baseline, candidate) = if pair % 2 == 0 {
                (first, second)
            } else {
                (second, first)
            };
            (baseline * time(random), ratio * candidate * time(random))
        })
        .collect()
}

/// In which share of all trials the verdict is one of a change in either direction.
fn share_of_changes(seed: u64, count: usize, ratio: f64, drifts: bool) -> f64 {
    let mut random = Rng::with_seed(seed);
    let config = CompareConfig::default().resamples(1000);
    let changes = (0..count)
        .filter(|_| {
            let comparison = compare_pairs(&pairs(&mut random, ratio, drifts), &config).unwrap();
            matches!(comparison.verdict, Verdict::Higher | Verdict::Lower)
        })
        .count();
    let share = changes as f64 / count as f64;
    println!(
        "ratio {ratio}, drifts: {drifts}: {:.2} % of {count}",
        100.0 * share
    );
    share
}

#[test]
fn a_version_against_itself_is_a_change_once_in_a_hundred_at_most() {
    assert!(share_of_changes(1, trials(600), 1.0, false) <= 0.01);
    assert!(share_of_changes(2, trials(600), 1.0, true) <= 0.01);
}

#[test]
fn ten_percent_are_found_with_thirty_pairs() {
    assert!(share_of_changes(3, trials(150), 1.1, false) >= 0.8);
    assert!(share_of_changes(4, trials(150), 1.1, true) >= 0.8);
    assert!(share_of_changes(5, trials(150), 1.0 / 1.1, true) >= 0.8);
}

/// Why pairs are worth their trouble, and why the page warns of the other form.
#[test]
fn without_pairs_a_drifting_machine_is_taken_for_a_change() {
    let mut random = Rng::with_seed(6);
    let config = CompareConfig::default().resamples(500);
    let mut wrong = [0, 0];
    for _ in 0..100 {
        for (at, drifts) in [false, true].into_iter().enumerate() {
            let machine = if drifts {
                drift(&mut random, 60)
            } else {
                vec![1.0; 60]
            };
            let all: Vec<f64> = machine
                .iter()
                .map(|machine| machine * time(&mut random))
                .collect();
            let comparison = compare_unpaired(&all[..30], &all[30..], &config).unwrap();
            assert!(!comparison.is_paired);
            wrong[at] += usize::from(comparison.verdict == Verdict::Higher);
        }
    }
    assert!(wrong[0] <= 2, "{wrong:?}");
    assert!(wrong[1] >= 50, "{wrong:?}");
}

#[test]
fn the_interval_contains_the_true_ratio_and_says_how_sure_it_is() {
    let mut random = Rng::with_seed(7);
    let config = CompareConfig::default().resamples(500);
    let inside = (0..200)
        .filter(|_| {
            let comparison = compare_pairs(&pairs(&mut random, 1.2, true), &config).unwrap();
            assert!(comparison.low <= comparison.ratio && comparison.ratio <= comparison.high);
            assert_eq!((comparison.n, comparison.confidence), (30, 0.99));
            (comparison.low..=comparison.high).contains(&1.2)
        })
        .count();
    assert!(inside >= 195, "{inside}");
}

#[test]
fn the_same_numbers_give_the_same_verdict() {
    let mut random = Rng::with_seed(8);
    let pairs = pairs(&mut random, 1.05, false);
    let config = CompareConfig::default();
    assert_eq!(
        compare_pairs(&pairs, &config),
        compare_pairs(&pairs, &config)
    );
    let equal = vec![(2.0, 2.0); 20];
    assert_eq!(
        compare_pairs(&equal, &config).unwrap().verdict,
        Verdict::Same
    );
}

#[test]
fn what_cannot_be_compared_is_refused_with_a_reason() {
    let config = CompareConfig::default();
    let few = compare_pairs(&[(1.0, 1.0); 7], &config).unwrap_err();
    assert_eq!(
        few.to_string(),
        "7 measurements say too little: at least 8 are needed"
    );
    let many = compare_pairs(&vec![(1.0, 1.0); 10_001], &config).unwrap_err();
    assert!(matches!(many, CompareError::TooMany { .. }));
    for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut pairs = vec![(1.0, 1.0); 10];
        pairs[3].1 = value;
        assert!(matches!(
            compare_pairs(&pairs, &config),
            Err(CompareError::Value { at: 3, .. })
        ));
        assert!(matches!(
            change_points(&[1.0, value], &ChangeConfig::default()),
            Err(CompareError::Value { at: 1, .. })
        ));
    }
    let settings = [
        config.clone().confidence(1.0),
        config.clone().min_effect(-1.0),
        config.resamples(1),
    ];
    for config in settings {
        assert!(matches!(
            compare_pairs(&[(1.0, 1.0); 10], &config),
            Err(CompareError::Setting { .. })
        ));
    }
}

/// A series of times that resemble the ones before by so much, with a level that changes.
fn series(random: &mut Rng, resemblance: f64, level: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut wander = 0.0;
    (0..200)
        .map(|at| {
            let noise = time(random).ln();
            wander = resemblance * wander + (1.0 - resemblance * resemblance).sqrt() * noise;
            level(at) * wander.exp()
        })
        .collect()
}

fn share_with_changes(seed: u64, count: usize, resemblance: f64) -> f64 {
    let mut random = Rng::with_seed(seed);
    let config = ChangeConfig::default();
    let with = (0..count)
        .filter(|_| {
            !change_points(&series(&mut random, resemblance, |_| 1.0), &config)
                .unwrap()
                .is_empty()
        })
        .count();
    println!("resemblance {resemblance}: changes in {with} of {count} series without any");
    with as f64 / count as f64
}

#[test]
fn series_without_a_change_seldom_have_one() {
    assert!(share_with_changes(11, trials(60), 0.0) <= 0.05);
    assert!(share_with_changes(12, trials(60), 0.6) <= 0.2);
}

#[test]
fn a_step_of_ten_percent_is_found_where_it_is() {
    let mut random = Rng::with_seed(13);
    let config = ChangeConfig::default();
    for (resemblance, least) in [(0.0, 0.9), (0.6, 0.5)] {
        let count = trials(40);
        let (mut found, mut near) = (0, 0);
        for _ in 0..count {
            let series = series(
                &mut random,
                resemblance,
                |at| if at < 120 { 1.0 } else { 1.1 },
            );
            let changes = change_points(&series, &config).unwrap();
            found += usize::from(!changes.is_empty());
            near += usize::from(changes.iter().any(|change| change.at.abs_diff(120) <= 5));
        }
        println!("resemblance {resemblance}: found {found}, within five places {near}, of {count}");
        assert!(found as f64 >= least * count as f64);
    }
}

#[test]
fn several_changes_are_found_and_described() {
    let mut random = Rng::with_seed(14);
    let level = |at| match at {
        0..60 => 1.0,
        60..130 => 1.4,
        _ => 0.9,
    };
    let series = series(&mut random, 0.0, level);
    let changes = change_points(&series, &ChangeConfig::default()).unwrap();
    assert_eq!(changes.len(), 2, "{changes:?}");
    for (change, (at, ratio)) in changes.iter().zip([(60, 1.4), (130, 0.9 / 1.4)]) {
        assert!(change.at.abs_diff(at) <= 3, "{change:?}");
        assert!((change.ratio / ratio - 1.0).abs() < 0.05, "{change:?}");
        assert!(change.p_value <= 0.01 && change.effect > 2.0, "{change:?}");
        assert!((change.after / change.before - change.ratio).abs() < 1e-12);
    }
    // A single outlier is none, and neither is what is too small or too short.
    let mut flat = vec![1.0; 50];
    flat[25] = 100.0;
    assert!(
        change_points(&flat, &ChangeConfig::default())
            .unwrap()
            .is_empty()
    );
    let small: Vec<f64> = (0..100)
        .map(|at| if at < 50 { 1.0 } else { 1.02 })
        .collect();
    assert!(
        change_points(&small, &ChangeConfig::default())
            .unwrap()
            .is_empty()
    );
    assert!(
        change_points(&small[..3], &ChangeConfig::default())
            .unwrap()
            .is_empty()
    );
}
