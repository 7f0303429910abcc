//! Labels: what tells the series of one metric apart.

use super::error::LabelError;

/// The most labels of one series.
pub(crate) const MAX_LABELS: usize = 16;

/// The most bytes of a label's value.
pub(crate) const MAX_VALUE_BYTES: usize = 1_024;

/// Labels: pairs of a name and a value.
///
/// Pairs that are only known at run time implement it, and so can a type of one's own whose names are fixed:
///
/// ```
/// use aqe_monitor::registry::{LabelSet, Metric, Registry};
///
/// struct Request {
///     method: &'static str,
///     cached: bool,
/// }
///
/// impl LabelSet for Request {
///     fn each(&self, mut visit: impl FnMut(&str, &str)) {
///         visit("cached", if self.cached { "yes" } else { "no" });
///         visit("method", self.method);
///     }
/// }
///
/// let registry = Registry::new();
/// let requests = registry.counters("requests_total")?;
/// requests.with(&Request { method: "GET", cached: true }).increment();
/// requests.with(&[("method", "GET"), ("cached", "yes")]).increment();
/// assert_eq!(requests.with(&Request { method: "GET", cached: true }).total(), 2);
/// # Ok::<_, aqe_monitor::registry::RegisterError>(())
/// ```
///
/// The order of labels means nothing. Those that come sorted by name are found faster.
pub trait LabelSet {
    /// Calls `visit` with the name and the value of each label, in the same order each time.
    fn each(&self, visit: impl FnMut(&str, &str));
}

impl LabelSet for () {
    fn each(&self, _: impl FnMut(&str, &str)) {}
}

impl<N: AsRef<str>, V: AsRef<str>> LabelSet for [(N, V)] {
    #[inline]
    fn each(&self, mut visit: impl FnMut(&str, &str)) {
        for (name, value) in self {
            visit(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const COUNT: usize> LabelSet for [(N, V); COUNT] {
    #[inline]
    fn each(&self, visit: impl FnMut(&str, &str)) {
        self.as_slice().each(visit);
    }
}

impl<N: AsRef<str>, V: AsRef<str>> LabelSet for Vec<(N, V)> {
    #[inline]
    fn each(&self, visit: impl FnMut(&str, &str)) {
        self.as_slice().each(visit);
    }
}

impl<L: LabelSet + ?Sized> LabelSet for &L {
    #[inline]
    fn each(&self, visit: impl FnMut(&str, &str)) {
        (**self).each(visit);
    }
}

/// Labels as OpenMetrics writes them, sorted by name: `method="GET",status="200"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub(crate) text: Box<str>,
    /// How many labels there are.
    pub(crate) count: u8,
    /// Whether a value had to be escaped, so that the text is not simply made of names and values.
    pub(crate) escaped: bool,
}

/// Sorts, checks and renders labels.
pub(crate) fn render<L: LabelSet + ?Sized>(labels: &L) -> Result<Rendered, LabelError> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut error = None;
    labels.each(|name, value| {
        if error.is_none() {
            match check(name, value, pairs.len()) {
                Ok(()) => pairs.push((name.to_owned(), value.to_owned())),
                Err(found) => error = Some(found),
            }
        }
    });
    if let Some(error) = error {
        return Err(error);
    }
    pairs.sort_unstable();
    if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(LabelError::Twice(twice[0].0.clone()));
    }
    let mut text = String::new();
    let mut escaped = false;
    for (name, value) in &pairs {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        escaped |= escape(value, &mut text);
        text.push('"');
    }
    Ok(Rendered {
        text: text.into(),
        // At most MAX_LABELS.
        count: pairs.len() as u8,
        escaped,
    })
}

fn check(name: &str, value: &str, before: usize) -> Result<(), LabelError> {
    if before == MAX_LABELS {
        return Err(LabelError::TooMany);
    }
    if !is_label_name(name) {
        return Err(LabelError::Name(super::error::shortened(name)));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(LabelError::Value(name.to_owned(), value.len()));
    }
    Ok(())
}

/// Letters, digits and underscores, no digit first; names with two underscores first, and `le` and `quantile`, which
/// histograms and summaries use, are not for users.
fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= super::metric::MAX_NAME_BYTES
        && bytes.next().is_some_and(first)
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with("__")
        && !["le", "quantile"].contains(&name)
}

/// Appends `value`, with a backslash before what would end it or its line; whether there was any such.
pub(crate) fn escape(value: &str, text: &mut String) -> bool {
    let mut escaped = false;
    for char in value.chars() {
        let plain = match char {
            '\\' => "\\\\",
            '"' => "\\\"",
            '\n' => "\\n",
            other => {
                text.push(other);
                continue;
            }
        };
        text.push_str(plain);
        escaped = true;
    }
    escaped
}

/// Whether these labels, in this order, are those that were rendered so.
///
/// Comparing plain text suffices if nothing was escaped. All quotes of such a text are those around values, two for each
/// label; as many labels as it has use them all up, so none of them can have matched a quote within a value.
#[inline(always)]
pub(crate) fn are<L: LabelSet + ?Sized>(labels: &L, rendered: &Rendered) -> bool {
    let mut rest = Some(rendered.text.as_bytes());
    let mut count = 0_u8;
    labels.each(|name, value| {
        count = count.saturating_add(1);
        rest = rest.and_then(|rest| {
            let rest = if rest.len() == rendered.text.len() {
                rest
            } else {
                rest.strip_prefix(b",")?
            };
            let rest = strip(rest, name.as_bytes())?.strip_prefix(b"=\"")?;
            let rest = if rendered.escaped {
                strip_escaped(rest, value)?
            } else {
                strip(rest, value.as_bytes())?
            };
            rest.strip_prefix(b"\"")
        });
    });
    count == rendered.count && rest.is_some_and(<[u8]>::is_empty)
}

/// What follows `word`, which `text` must begin with. Most words are too short to be worth a call that compares them.
#[inline(always)]
fn strip<'t>(text: &'t [u8], word: &[u8]) -> Option<&'t [u8]> {
    let (head, tail) = text.split_at_checked(word.len())?;
    let same = match word.len() {
        0 => true,
        length @ 1..4 => {
            // The first, the last, and the one between, if there is one.
            let at = |place: usize| head[place] == word[place];
            at(0) && at(length / 2) && at(length - 1)
        }
        // Two pieces that overlap unless the word is twice as long as a piece.
        4..8 => ends::<4>(head) == ends::<4>(word),
        8..=16 => ends::<8>(head) == ends::<8>(word),
        _ => head == word,
    };
    same.then_some(tail)
}

#[inline]
fn ends<const BYTES: usize>(text: &[u8]) -> (Option<&[u8; BYTES]>, Option<&[u8; BYTES]>) {
    (text.first_chunk(), text.last_chunk())
}

#[cold]
fn strip_escaped<'r>(rest: &'r [u8], value: &str) -> Option<&'r [u8]> {
    let mut text = String::new();
    escape(value, &mut text);
    rest.strip_prefix(text.as_bytes())
}

/// The names and values of rendered labels, as they were before.
pub(crate) fn parse(rendered: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = rendered;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.chars();
        loop {
            match chars.next() {
                None | Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('n') => value.push('\n'),
                    Some(other) => value.push(other),
                    None => break,
                },
                Some(other) => value.push(other),
            }
        }
        pairs.push((name.trim_start_matches(',').to_owned(), value));
        rest = chars.as_str();
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_would_break_an_exposition_are_refused() {
        for name in [
            "",
            "0",
            "a-b",
            "a b",
            "a\"",
            "a\n",
            "ä",
            "__name__",
            "le",
            "quantile",
            "a=",
            &"a".repeat(300),
        ] {
            assert!(
                matches!(render(&[(name, "x")]), Err(LabelError::Name(_))),
                "{name:?}"
            );
        }
    }

    #[test]
    fn too_much_is_refused() {
        let many: Vec<_> = (0..=MAX_LABELS).map(|n| (format!("l{n}"), "x")).collect();
        assert!(matches!(render(&many), Err(LabelError::TooMany)));
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        assert!(matches!(render(&[("a", &long)]), Err(LabelError::Value(name, _)) if name == "a"));
        assert!(matches!(
            render(&[("a", "x"), ("a", "y")]),
            Err(LabelError::Twice(_))
        ));
    }

    #[test]
    fn a_backslash_is_not_taken_for_an_escape() {
        let quote = render(&[("a", "x\"y")]).unwrap();
        assert!(are(&[("a", "x\"y")], &quote) && !are(&[("a", "x\\\"y")], &quote));
        let plain = render(&[("a", "xy"), ("b", "z")]).unwrap();
        assert!(!are(&[("a", "xy\",b=\"z")], &plain));
        assert!(!are(&[("a", "xy")], &plain) && !are(&[("b", "z"), ("a", "xy")], &plain));
    }

    proptest! {
        #[test]
        fn any_value_survives_rendering(one in ".*", other in "[\\\\\"\n,=a]{0,8}") {
            let labels = [("one", one), ("two", other)];
            let rendered = render(&labels).unwrap();
            prop_assert!(!rendered.text.contains('\n'));
            prop_assert!(are(&labels, &rendered));
            let parsed = parse(&rendered.text);
            prop_assert_eq!(parsed.iter().map(|(n, v)| (n.as_str(), v.clone())).collect::<Vec<_>>(), labels.to_vec());
        }

        #[test]
        fn other_values_are_other_labels(one in "[\\\\\"\n,=n]{0,6}", other in "[\\\\\"\n,=n]{0,6}") {
            let rendered = render(&[("a", &one)]).unwrap();
            prop_assert_eq!(are(&[("a", &other)], &rendered), one == other);
        }
    }
}
