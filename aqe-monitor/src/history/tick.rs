//! One tick: what all series were at a moment, and the text in which it waits to be sealed.
//!
//! The text is a JSON object from the number of a series to its value, so that `json_each` of any SQLite finds the latest
//! values, and so that one series is found in it without reading the others.

use std::fmt::Write as _;

use memchr::memmem::Finder;

use super::buckets::Buckets;
use super::series::SeriesId;

/// The values of one moment. Used again and again, it allocates nothing.
#[derive(Debug, Default)]
pub struct Tick {
    values: Vec<(SeriesId, Value)>,
    dropped: u64,
}

/// What a series was.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Buckets(Buckets),
}

impl Tick {
    /// A tick without values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a counter or a gauge; the later of two values counts. What is not finite is left out and counted in
    /// [`Appended::dropped`](super::Appended::dropped): there is nothing that could be drawn or added up.
    pub fn set(&mut self, series: SeriesId, value: f64) {
        if value.is_finite() {
            // Adding zero makes a zero of a negative one, which SQLite does not keep.
            self.values.push((series, Value::Number(value + 0.0)));
        } else {
            self.dropped += 1;
        }
    }

    /// Sets what a histogram has observed since the tick before.
    pub fn histogram(&mut self, series: SeriesId, since: &Buckets) {
        self.values.push((series, Value::Buckets(since.clone())));
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.values.clear();
        self.dropped = 0;
    }

    /// How many values were left out.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn largest(&self) -> Option<SeriesId> {
        self.values.iter().map(|&(series, _)| series).max()
    }

    /// Writes the text: ascending by series, one value each.
    pub(super) fn write(&mut self, body: &mut String) {
        if !self.values.is_sorted_by(|left, right| left.0 < right.0) {
            // Stable, so that of equal ones the later stays behind.
            self.values.sort_by_key(|&(series, _)| series);
            self.values.dedup_by(|later, earlier| {
                let same = later.0 == earlier.0;
                if same {
                    std::mem::swap(later, earlier);
                }
                same
            });
        }
        body.clear();
        body.push('{');
        for (at, (series, value)) in self.values.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(body, "{comma}\"{}\":", series.0);
            match value {
                Value::Number(value) => push_number(body, *value),
                Value::Buckets(buckets) => push_buckets(body, buckets),
            }
        }
        body.push('}');
    }
}

/// Writes the shortest digits that read back as the same number.
pub(super) fn push_number(text: &mut String, value: f64) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    // Writing to a string cannot fail.
    let _ = if value.abs() < EXACT && value.fract() == 0.0 {
        write!(text, "{}", value as i64)
    } else {
        // `Debug` has an exponent where digits would be many.
        write!(text, "{value:?}")
    };
}

/// `[precision, sum, bucket, count, bucket, count, …]`
pub(super) fn push_buckets(text: &mut String, buckets: &Buckets) {
    let _ = write!(text, "[{},", buckets.precision());
    push_number(text, buckets.sum());
    for (bucket, count) in buckets.counts() {
        let _ = write!(text, ",{bucket},{count}");
    }
    text.push(']');
}

/// Reads a text of [`Tick::write`]; `None` says that it is something else.
pub(super) fn read_body(body: &str, mut each: impl FnMut(SeriesId, Value)) -> Option<()> {
    let mut rest = body.strip_prefix('{')?.strip_suffix('}')?;
    let mut first = true;
    while !rest.is_empty() {
        if !first {
            rest = rest.strip_prefix(',')?;
        }
        first = false;
        let (series, after) = rest.strip_prefix('"')?.split_once("\":")?;
        let (value, after) = read_value(after)?;
        each(SeriesId(series.parse().ok()?), value);
        rest = after;
    }
    Some(())
}

fn read_value(text: &str) -> Option<(Value, &str)> {
    if let Some(list) = text.strip_prefix('[') {
        let (list, rest) = list.split_once(']')?;
        return Some((Value::Buckets(read_list(list)?), rest));
    }
    let end = text.find(',').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((Value::Number(read_number(number)?), rest))
}

fn read_number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number + 0.0)
}

/// What [`push_buckets`] has written, without its brackets.
fn read_list(list: &str) -> Option<Buckets> {
    let mut numbers = list.split(',');
    let precision: u8 = numbers.next()?.parse().ok()?;
    let sum = read_number(numbers.next()?)?;
    let mut counts = Vec::new();
    while let Some(bucket) = numbers.next() {
        counts.push((bucket.parse().ok()?, numbers.next()?.parse().ok()?));
    }
    Buckets::from_kept(precision, sum, counts)
}

/// Reads what [`push_buckets`] has written.
pub(super) fn read_buckets(text: &str) -> Option<Buckets> {
    match read_value(text)? {
        (Value::Buckets(buckets), "") => Some(buckets),
        _ => None,
    }
}

/// Finds one series in the texts of many ticks.
///
/// Numbers in quotes are keys and nothing else, since values have no quotes; so the first match is the one.
pub(super) struct Lookup(Finder<'static>);

impl Lookup {
    pub(super) fn new(series: SeriesId) -> Self {
        Self(Finder::new(format!("\"{}\":", series.0).as_bytes()).into_owned())
    }

    pub(super) fn find(&self, body: &str) -> Option<Value> {
        let at = self.0.find(body.as_bytes())? + self.0.needle().len();
        let text = body.get(at..)?;
        let text = text.strip_suffix('}').unwrap_or(text);
        Some(read_value(text)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(body: &str) -> Option<Vec<(u32, Value)>> {
        let mut values = Vec::new();
        read_body(body, |series, value| values.push((series.0, value)))?;
        Some(values)
    }

    #[test]
    fn a_tick_is_json_in_order_and_the_later_value_counts() {
        let mut tick = Tick::new();
        tick.set(SeriesId(12), 0.5);
        tick.set(SeriesId(2), -7.0);
        tick.set(SeriesId(12), 1e300);
        tick.set(SeriesId(3), f64::NAN);
        tick.set(SeriesId(4), -0.0);
        tick.histogram(SeriesId(9), &Buckets::from_counts(7, 20.0, [(10, 2)]));
        let mut body = String::new();
        tick.write(&mut body);
        assert_eq!(body, r#"{"2":-7,"4":0,"9":[7,20,10,2],"12":1e300}"#);
        assert_eq!(tick.dropped(), 1);
        assert_eq!(
            Lookup::new(SeriesId(2)).find(&body),
            Some(Value::Number(-7.0))
        );
        assert_eq!(
            Lookup::new(SeriesId(12)).find(&body),
            Some(Value::Number(1e300))
        );
        assert_eq!(Lookup::new(SeriesId(1)).find(&body), None);
    }

    proptest! {
        #[test]
        fn every_number_reads_back_as_itself(values in prop::collection::vec(any::<f64>(), 0..20)) {
            let mut tick = Tick::new();
            for (series, &value) in values.iter().enumerate() {
                tick.set(SeriesId(series as u32), value);
            }
            let mut body = String::new();
            tick.write(&mut body);
            let expected: Vec<_> = (0..).zip(values).filter(|(_, value)| value.is_finite())
                .map(|(series, value)| (series, Value::Number(value))).collect();
            for (series, value) in &expected {
                let found = Lookup::new(SeriesId(*series)).find(&body);
                prop_assert_eq!(found.as_ref(), Some(value));
            }
            prop_assert_eq!(read(&body), Some(expected));
        }

        #[test]
        fn anything_as_a_body_does_no_harm(text in "[{}\\[\\]\",:0-9e.-]{0,60}", more: String) {
            for text in [&text, &more] {
                let _ = read(text);
                let _ = Lookup::new(SeriesId(1)).find(text);
            }
        }
    }
}
