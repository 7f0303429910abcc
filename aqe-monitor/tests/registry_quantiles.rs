//! Quantiles of four distributions beside the exact ones.

use aqe_monitor::registry::Registry;
use proptest::prelude::*;

const QUANTILES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// The worst relative error of any of the quantiles.
fn worst_error(mut values: Vec<u64>) -> f64 {
    let histogram = Registry::new().histogram("values").expect("a metric");
    values.iter().for_each(|&value| histogram.record(value));
    values.sort_unstable();
    let snapshot = histogram.snapshot();
    let error = |q: f64| {
        let rank = ((q * values.len() as f64).ceil() as usize).max(1);
        let (exact, found) = (values[rank - 1], snapshot.quantile(q).expect("values"));
        exact.abs_diff(found) as f64 / (exact as f64).max(1.0)
    };
    QUANTILES.map(error).into_iter().fold(0.0, f64::max)
}

/// Numbers in 0–1, the same for the same seed (SplitMix64: Steele, Lea and Flood, 2014).
fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Values in nanoseconds, scaled by any power of two so that no bound of a bucket is favoured.
fn drawn(distribution: u8, seed: u64, scale: f64, count: usize) -> Vec<u64> {
    let mut uniform = uniform(seed);
    let mut normal = {
        let mut uniform = self::uniform(!seed);
        // Box and Muller, 1958.
        move || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()
    };
    let value = |_| {
        let value = match distribution {
            0 => (1.5 * normal()).exp(),
            1 => (1.0 - uniform()).powf(-1.0 / 1.1),
            2 if uniform() < 0.9 => 1.0 + 0.05 * normal(),
            2 => 200.0 + 20.0 * normal(),
            _ => 1_000.0 * uniform(),
        };
        (value.max(0.0) * scale) as u64
    };
    (0..count).map(value).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn quantiles_are_within_half_a_percent(distribution in 0_u8..4, seed in any::<u64>(), power in 6.0_f64..24.0) {
        let error = worst_error(drawn(distribution, seed, power.exp2(), 40_000));
        prop_assert!(error <= 0.005, "{error}");
    }

    #[test]
    fn any_values_have_quantiles_near_the_exact_ones(values in proptest::collection::vec((any::<u64>(), 0_u32..64), 1..300)) {
        let values: Vec<u64> = values.into_iter().map(|(value, shift)| value >> shift).collect();
        prop_assert!(worst_error(values) <= 0.005);
    }
}
