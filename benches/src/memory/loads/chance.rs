//! Chance that is the same on every machine, and the distributions that the loads draw from.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA '14).
#[derive(Debug, Clone)]
pub(in super::super) struct Chance(u64);

impl Chance {
    pub(in super::super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in super::super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0 to 1, without 1.
    pub(in super::super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform below `bound`.
    pub(in super::super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something of this probability happens.
    pub(in super::super) fn happens(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Exponential with this mean.
    pub(in super::super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Standard normal (Box and Muller).
    pub(in super::super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Ranks from 0, the first ones more often: rank r with a probability in proportion to (r + 1) to the power of −skew.
#[derive(Debug, Clone)]
pub(in super::super) struct Zipf {
    cumulated: Vec<f64>,
}

impl Zipf {
    pub(in super::super) fn new(ranks: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let cumulated = (1..=ranks)
            .map(|rank| {
                sum += (rank as f64).powf(-skew);
                sum
            })
            .collect();
        Self { cumulated }
    }

    pub(in super::super) fn rank(&self, chance: &mut Chance) -> usize {
        let last = self.cumulated.len() - 1;
        let at = chance.unit() * self.cumulated[last];
        self.cumulated.partition_point(|sum| *sum <= at).min(last)
    }
}
