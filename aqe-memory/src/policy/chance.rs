//! A little chance, the same in every run.

/// Xorshift (Marsaglia, "Xorshift RNGs", 2003): enough to admit one in some.
#[derive(Debug)]
pub(super) struct Chance(u32);

impl Default for Chance {
    fn default() -> Self {
        Self(0x9e37_79b9)
    }
}

impl Chance {
    /// True once in `times`, on average.
    pub(super) fn one_in(&mut self, times: u32) -> bool {
        if times <= 1 {
            return true;
        }
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.is_multiple_of(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_some() {
        let mut chance = Chance::default();
        for times in [1u32, 4, 16] {
            let yes = (0..16_000).filter(|_| chance.one_in(times)).count() as u32;
            let expected = 16_000 / times;
            assert!(yes.abs_diff(expected) <= expected / 8, "{times}: {yes}");
        }
    }
}
