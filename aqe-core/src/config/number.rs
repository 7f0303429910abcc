//! Decimal numbers as people write them, kept exact.
//!
//! Sizes, durations and percentages accept a fraction (`1.5GB`, `0.5%`). Going through `f64` would make `0.1GB` an amount
//! that nobody wrote, so a number stays a pair of digits and scale until it is multiplied by its unit.

/// A non-negative decimal number: `digits` ÷ 10^`scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal {
    digits: u64,
    scale: u32,
}

/// Why a text is not a number that the configuration accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotANumber {
    /// It holds something other than digits and one point.
    Malformed,
    /// It starts with a zero, which YAML 1.1 reads as octal and YAML 1.2 as decimal.
    LeadingZero,
    /// It has more digits than fit.
    TooLong,
}

impl Decimal {
    /// Reads `12`, `1.5` or `0.25`; no sign, no exponent, no digit separators.
    pub(crate) fn parse(text: &str) -> Result<Self, NotANumber> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(NotANumber::Malformed),
            Some(parts) => parts,
            None => (text, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(NotANumber::Malformed);
        }
        if whole.len() > 1 && whole.starts_with('0') {
            return Err(NotANumber::LeadingZero);
        }
        let fraction = fraction.trim_end_matches('0');
        let mut digits: u64 = 0;
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits = digits
                .checked_mul(10)
                .and_then(|digits| digits.checked_add(u64::from(byte - b'0')))
                .ok_or(NotANumber::TooLong)?;
        }
        let scale = u32::try_from(fraction.len()).map_err(|_| NotANumber::TooLong)?;
        Ok(Self { digits, scale })
    }

    /// The number as an integer, if it is one.
    pub(crate) fn whole(self) -> Option<u64> {
        (self.scale == 0).then_some(self.digits)
    }

    /// The number times `unit`, if that is a whole number that fits.
    pub(crate) fn times(self, unit: u64) -> Option<u64> {
        let product = u128::from(self.digits) * u128::from(unit);
        let divisor = 10_u128.checked_pow(self.scale)?;
        (product % divisor == 0)
            .then(|| u64::try_from(product / divisor).ok())
            .flatten()
    }
}

/// Splits a text behind its leading number: `("1.5", "GB")` of `1.5 GB`.
pub(crate) fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|symbol: char| !symbol.is_ascii_digit() && symbol != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_stay_exact() {
        for (text, unit, expected) in [
            ("1", 1000, Some(1000)),
            ("1.5", 1000, Some(1500)),
            ("0.1", 1_000_000_000, Some(100_000_000)),
            ("0.0005", 1000, None),
            ("1.50", 10, Some(15)),
            ("18446744073709551615", 1, Some(u64::MAX)),
            ("18446744073709551615", 2, None),
        ] {
            let product = Decimal::parse(text).unwrap().times(unit);
            assert_eq!(product, expected, "{text} × {unit}");
        }
    }

    #[test]
    fn odd_numbers_are_refused_with_their_reason() {
        for (text, expected) in [
            ("", NotANumber::Malformed),
            (".5", NotANumber::Malformed),
            ("5.", NotANumber::Malformed),
            ("1.2.3", NotANumber::Malformed),
            ("-1", NotANumber::Malformed),
            ("1e3", NotANumber::Malformed),
            ("1_000", NotANumber::Malformed),
            ("٣", NotANumber::Malformed),
            ("010", NotANumber::LeadingZero),
            ("00", NotANumber::LeadingZero),
            ("18446744073709551616", NotANumber::TooLong),
        ] {
            assert_eq!(Decimal::parse(text), Err(expected), "{text}");
        }
    }
}
