//! Durations as `qe.config.yaml` writes them: `30s`, `1h 30m`, `7days`, and plain numbers in milliseconds.
//!
//! A millisecond is the finest step, because no component keeps time more finely. Months and years are refused: they have
//! no fixed length, and a retention that changes with the calendar surprises.

use std::time::Duration;

use super::number::{Decimal, NotANumber, split_unit};

/// Units from longest to shortest with their length in milliseconds; the first name is the one written back.
const UNITS: [(&[&str], u64); 6] = [
    (&["w", "week", "weeks"], 7 * 86_400_000),
    (&["days", "day", "d"], 86_400_000),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600_000),
    (&["m", "min", "mins", "minute", "minutes"], 60_000),
    (&["s", "sec", "secs", "second", "seconds"], 1000),
    (&["ms", "msec", "millis", "millisecond", "milliseconds"], 1),
];

/// What the accepted units are, for error messages.
pub(crate) const HELP: &str =
    "write a number of milliseconds or units such as 500ms, 30s, 5m, 1h 30m, 7days";

/// Reads a duration.
///
/// # Errors
///
/// What is wrong with the text, as a predicate: "is not a duration".
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Duration::from_millis(millis(decimal(text)?, 1)?));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut finest = None;
    while !rest.is_empty() {
        let (number, after) = split_unit(rest);
        let number = decimal(number)?;
        let end = after
            .find(|symbol: char| !symbol.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        let (rank, unit) = unit_of(name)?;
        // Falling order catches `30m 1h` and `5s 5s`, which are slips of the keyboard more often than intentions.
        if finest.is_some_and(|finest| rank <= finest) {
            return Err(
                "has units out of order, which go from the longest to the shortest, each once"
                    .to_owned(),
            );
        }
        finest = Some(rank);
        total = millis(number, unit)?
            .checked_add(total)
            .ok_or("is longer than can be represented")?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total))
}

fn unit_of(name: &str) -> Result<(usize, u64), String> {
    let lower = name.to_ascii_lowercase();
    if let Some(rank) = UNITS
        .iter()
        .position(|(names, _)| names.contains(&lower.as_str()))
    {
        return Ok((rank, UNITS[rank].1));
    }
    Err(match lower.as_str() {
        "" => "is not a duration".to_owned(),
        "us" | "ns" | "micros" | "nanos" => "is finer than a millisecond".to_owned(),
        "y" | "year" | "years" | "month" | "months" | "mo" => {
            "uses months or years, which have no fixed length".to_owned()
        }
        _ => format!("has the unknown unit `{}`", super::problem::excerpt(name)),
    })
}

fn decimal(number: &str) -> Result<Decimal, String> {
    Decimal::parse(number).map_err(|why| {
        let reason = match why {
            NotANumber::Malformed => "is not a duration",
            NotANumber::LeadingZero => "has a number that starts with 0",
            NotANumber::TooLong => "is longer than can be represented",
        };
        reason.to_owned()
    })
}

fn millis(number: Decimal, unit: u64) -> Result<u64, String> {
    number.times(unit).ok_or_else(|| {
        if number.whole().is_some() {
            "is longer than can be represented".to_owned()
        } else {
            "is finer than a millisecond".to_owned()
        }
    })
}

/// Writes a duration so that [`parse`] reads the same one back; what is below a millisecond is cut off.
pub(crate) fn render(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut parts = Vec::new();
    // Weeks are read but not written: the configuration's own defaults say `7days` and `30days`.
    for (names, unit) in &UNITS[1..] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            let name = if names[0] == "days" && count == 1 {
                "day"
            } else {
                names[0]
            };
            parts.push(format!("{count}{name}"));
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_forms_are_read() {
        for (text, millis) in [
            ("30000", 30_000),
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("30 s", 30_000),
            ("1.5s", 1500),
            ("5m", 300_000),
            ("5 min", 300_000),
            ("1h", 3_600_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("  2 hours   15 minutes ", 8_100_000),
            ("7days", 604_800_000),
            ("1day", 86_400_000),
            ("1w", 604_800_000),
            ("30Days", 2_592_000_000),
            ("1d 2h 3m 4s 5ms", 93_784_005),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_a_reason() {
        for (text, reason) in [
            ("soon", "is not a duration"),
            ("-5s", "is not a duration"),
            ("5 s s", "is not a duration"),
            ("s", "is not a duration"),
            ("1h 30", "is not a duration"),
            ("5 parsecs", "has the unknown unit `parsecs`"),
            ("1month", "uses months or years, which have no fixed length"),
            ("10us", "is finer than a millisecond"),
            ("0.5ms", "is finer than a millisecond"),
            ("010", "has a number that starts with 0"),
            (
                "30m 1h",
                "has units out of order, which go from the longest to the shortest, each once",
            ),
            (
                "5s 5s",
                "has units out of order, which go from the longest to the shortest, each once",
            ),
            ("18446744073709551615s", "is longer than can be represented"),
            ("99999999999999999999", "is longer than can be represented"),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&render(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
