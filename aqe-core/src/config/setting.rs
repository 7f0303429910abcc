//! How one value is read from text and written back.
//!
//! Each type that a key can have implements [`Setting`]; the table of keys in `schema.rs` adds the range. A refusal
//! carries the reason and the remedy but no place: the caller knows where the text stands.

use std::num::{NonZeroU8, NonZeroU16, NonZeroUsize};
use std::time::Duration;

use bytesize::ByteSize;

use super::model::{Isolation, Jobs, LoadBalancing, LogLevel, OptimizationLevel, Scheduling};
use super::number::{Decimal, NotANumber};
use super::problem::excerpt;
use super::receivers::MailEncryption;
use super::{Percent, ProblemKind, duration, size, suggest};

/// The text of a value and whether quotes were around it, which says "text" in YAML.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a> {
    pub(crate) text: &'a str,
    pub(crate) quoted: bool,
}

/// Why a text is not a value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: ProblemKind,
    pub(crate) reason: String,
    pub(crate) help: Option<String>,
}

impl Refusal {
    fn wrong_type(reason: String, help: impl Into<String>) -> Self {
        Self {
            kind: ProblemKind::WrongType,
            reason,
            help: Some(help.into()),
        }
    }

    fn out_of_range(reason: String, help: impl Into<String>) -> Self {
        Self {
            kind: ProblemKind::OutOfRange,
            reason,
            help: Some(help.into()),
        }
    }
}

/// A type that a key can have.
pub(crate) trait Setting: Sized {
    /// Whether the editor puts quotes around a new value, as the documentation does with everything that is not a number
    /// or a truth value.
    const QUOTED: bool;

    /// Reads the value.
    fn read(raw: Raw<'_>) -> Result<Self, Refusal>;

    /// Writes the value so that `read` gives the same one.
    fn render(&self) -> String;
}

/// Checks a value against its range; `None` is a value outside of every range, such as `off`.
pub(crate) fn within<T: Setting + PartialOrd>(
    value: Option<&T>,
    least: &T,
    most: &T,
) -> Result<(), Refusal> {
    let Some(value) = value else { return Ok(()) };
    let (problem, bound) = if value < least {
        ("must be at least", least)
    } else if value > most {
        ("must be at most", most)
    } else {
        return Ok(());
    };
    Err(Refusal::out_of_range(
        format!("{problem} {}, not {}", bound.render(), value.render()),
        format!("allowed: {} to {}", least.render(), most.render()),
    ))
}

impl Setting for bool {
    const QUOTED: Self = false;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        let help = "write true or false";
        match raw.text {
            "true" | "True" | "TRUE" if !raw.quoted => Ok(true),
            "false" | "False" | "FALSE" if !raw.quoted => Ok(false),
            "true" | "false" => Err(Refusal::wrong_type(
                format!("expected true or false, found the text \"{}\"", raw.text),
                "remove the quotes",
            )),
            text => Err(Refusal::wrong_type(
                format!("expected true or false, found `{}`", excerpt(text)),
                match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "1" => "write true",
                    "no" | "off" | "n" | "0" => "write false",
                    _ => help,
                },
            )),
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// Reads a whole number; `form` completes "expected …".
fn whole(raw: Raw<'_>, form: &str, help: &str) -> Result<u64, Refusal> {
    let wrong = |help: &str| {
        Refusal::wrong_type(
            format!("expected {form}, found `{}`", excerpt(raw.text)),
            help,
        )
    };
    let number = match Decimal::parse(raw.text) {
        Ok(number) => number.whole(),
        Err(NotANumber::LeadingZero) => return Err(wrong("remove the zeros in front")),
        Err(NotANumber::TooLong) => {
            return Err(Refusal::out_of_range(
                format!("`{}` is larger than can be represented", excerpt(raw.text)),
                help,
            ));
        }
        Err(NotANumber::Malformed) => None,
    };
    match number {
        Some(_) if raw.quoted => Err(Refusal::wrong_type(
            format!("expected {form}, found the text \"{}\"", excerpt(raw.text)),
            "remove the quotes",
        )),
        Some(number) => Ok(number),
        None => Err(wrong(help)),
    }
}

/// Implements [`Setting`] for a type of whole numbers; `$least` is what the type itself starts at, `$example` a
/// usual value for messages.
macro_rules! whole_number {
    ($type:ty, $least:literal, $example:literal, $make:expr) => {
        impl Setting for $type {
            const QUOTED: bool = false;

            fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
                let help = concat!("write a number such as ", $example);
                let number = whole(raw, "a whole number", help)?;
                let least: u64 = $least;
                if number < least {
                    return Err(Refusal::out_of_range(
                        format!("must be at least {least}, not {number}"),
                        format!("write {least} or more"),
                    ));
                }
                let made: Option<Self> = $make(number);
                made.ok_or_else(|| {
                    Refusal::out_of_range(
                        format!("must be at most {}, not {number}", <$type>::MAX),
                        "write a smaller number",
                    )
                })
            }

            fn render(&self) -> String {
                self.to_string()
            }
        }
    };
}

whole_number!(u32, 0, 3, |number| u32::try_from(number).ok());
whole_number!(usize, 0, 5, |number| usize::try_from(number).ok());
whole_number!(NonZeroUsize, 1, 10, |number| usize::try_from(number)
    .ok()
    .and_then(Self::new));
whole_number!(NonZeroU8, 1, 5, |number| u8::try_from(number)
    .ok()
    .and_then(Self::new));
whole_number!(NonZeroU16, 1, 3000, |number| u16::try_from(number)
    .ok()
    .and_then(Self::new));

impl Setting for Duration {
    const QUOTED: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        duration::parse(raw.text).map_err(|reason| {
            Refusal::wrong_type(format!("`{}` {reason}", excerpt(raw.text)), duration::HELP)
        })
    }

    fn render(&self) -> String {
        duration::render(*self)
    }
}

impl Setting for ByteSize {
    const QUOTED: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        size::parse(raw.text).map_err(|reason| {
            Refusal::wrong_type(format!("`{}` {reason}", excerpt(raw.text)), size::HELP)
        })
    }

    fn render(&self) -> String {
        size::render(*self)
    }
}

impl Setting for Percent {
    const QUOTED: bool = false;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        let help = "write a percentage from 0 to 100, such as 80 or 0.5";
        let text = raw.text.strip_suffix('%').map_or(raw.text, str::trim_end);
        let number = Decimal::parse(text).map_err(|_| {
            Refusal::wrong_type(
                format!("expected a percentage, found `{}`", excerpt(raw.text)),
                help,
            )
        })?;
        number
            .times(100)
            .and_then(|hundredths| u16::try_from(hundredths).ok())
            .and_then(Self::from_hundredths)
            .ok_or_else(|| {
                Refusal::out_of_range(
                    format!(
                        "`{}` is not a percentage from 0 to 100 with two decimals at most",
                        excerpt(raw.text)
                    ),
                    help,
                )
            })
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

impl Setting for Jobs {
    const QUOTED: bool = false;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        if raw.text == "auto" {
            return Ok(Self::Auto);
        }
        let number = whole(
            raw,
            "a whole number or auto",
            "write auto or a number such as 8",
        )?;
        usize::try_from(number)
            .ok()
            .and_then(NonZeroUsize::new)
            .map(Self::Count)
            .ok_or_else(|| {
                Refusal::out_of_range(
                    format!("`{number}` is not a number of jobs"),
                    "write auto for one job per core",
                )
            })
    }

    fn render(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Count(count) => count.to_string(),
        }
    }
}

/// `off` for `None`.
impl Setting for Option<Duration> {
    const QUOTED: bool = true;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        if raw.text == "off" {
            return Ok(None);
        }
        let mut read = Duration::read(raw).map(Some);
        if let Err(refusal) = &mut read {
            refusal.help = Some(format!("{}, or off", duration::HELP));
        }
        read
    }

    fn render(&self) -> String {
        self.map_or_else(|| "off".to_owned(), duration::render)
    }
}

/// `off` or `0` for `None`.
impl Setting for Option<NonZeroUsize> {
    const QUOTED: bool = false;

    fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
        if raw.text == "off" {
            return Ok(None);
        }
        let number = whole(
            raw,
            "a whole number or off",
            "write off or a number such as 5",
        )?;
        usize::try_from(number).map(NonZeroUsize::new).map_err(|_| {
            Refusal::out_of_range(format!("`{number}` is too large"), "write a smaller number")
        })
    }

    fn render(&self) -> String {
        self.map_or_else(|| "off".to_owned(), |count| count.to_string())
    }
}

/// Implements [`Setting`] for an enum declared with `choice!`.
macro_rules! one_of {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            const QUOTED: bool = true;

            fn read(raw: Raw<'_>) -> Result<Self, Refusal> {
                if let Some((_, value)) = Self::ALL.iter().find(|(text, _)| *text == raw.text) {
                    return Ok(*value);
                }
                let known: Vec<&str> = Self::ALL.iter().map(|(text, _)| *text).collect();
                let mut help = format!("allowed: {}", known.join(", "));
                if let Some(near) = suggest::nearest(raw.text, known.iter().copied()) {
                    help = format!("did you mean `{near}`? {help}");
                }
                Err(Refusal::wrong_type(format!("`{}` is not one of the allowed words", excerpt(raw.text)), help))
            }

            fn render(&self) -> String {
                self.as_str().to_owned()
            }
        }
    )+};
}

one_of!(
    LoadBalancing,
    Scheduling,
    OptimizationLevel,
    Isolation,
    LogLevel,
    MailEncryption
);

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Raw<'_> {
        Raw {
            text,
            quoted: false,
        }
    }

    fn quoted(text: &str) -> Raw<'_> {
        Raw { text, quoted: true }
    }

    fn refused<T: Setting + std::fmt::Debug>(raw: Raw<'_>) -> (ProblemKind, String, String) {
        let Refusal { kind, reason, help } = T::read(raw).unwrap_err();
        (kind, reason, help.unwrap_or_default())
    }

    #[test]
    fn quotes_turn_numbers_and_truth_values_into_text() {
        assert_eq!(
            refused::<u32>(quoted("3")),
            (
                ProblemKind::WrongType,
                "expected a whole number, found the text \"3\"".into(),
                "remove the quotes".into()
            )
        );
        assert_eq!(refused::<bool>(quoted("true")).2, "remove the quotes");
        assert_eq!(
            Duration::read(quoted("7days")),
            Duration::read(plain("7days"))
        );
    }

    #[test]
    fn words_that_other_tools_take_for_truth_are_translated() {
        assert_eq!(refused::<bool>(plain("yes")).2, "write true");
        assert_eq!(refused::<bool>(plain("Off")).2, "write false");
        assert_eq!(refused::<bool>(plain("maybe")).2, "write true or false");
    }

    #[test]
    fn whole_numbers_are_decimal_and_in_range() {
        assert_eq!(
            NonZeroUsize::read(plain("12")).map(NonZeroUsize::get),
            Ok(12)
        );
        for text in ["-3", "2.5", "ten", "0x10", "1e3", ""] {
            assert_eq!(
                refused::<NonZeroUsize>(plain(text)).0,
                ProblemKind::WrongType,
                "{text}"
            );
        }
        assert_eq!(
            refused::<NonZeroUsize>(plain("0")).1,
            "must be at least 1, not 0"
        );
        assert_eq!(refused::<u32>(plain("010")).2, "remove the zeros in front");
        assert_eq!(
            refused::<u32>(plain("4294967296")).1,
            "must be at most 4294967295, not 4294967296"
        );
        assert_eq!(
            refused::<u32>(plain("99999999999999999999")).0,
            ProblemKind::OutOfRange
        );
        assert_eq!(
            refused::<NonZeroU16>(plain("65536")).1,
            "must be at most 65535, not 65536"
        );
    }

    #[test]
    fn percentages_take_a_sign_and_two_decimals() {
        for (text, hundredths) in [
            ("80", 8000),
            ("80%", 8000),
            ("80 %", 8000),
            ("0.5", 50),
            ("100", 10_000),
        ] {
            assert_eq!(
                Percent::read(plain(text)).map(Percent::as_hundredths),
                Ok(hundredths),
                "{text}"
            );
        }
        for (text, kind) in [
            ("101", ProblemKind::OutOfRange),
            ("0.005", ProblemKind::OutOfRange),
            ("-1", ProblemKind::WrongType),
            ("%", ProblemKind::WrongType),
            ("half", ProblemKind::WrongType),
        ] {
            assert_eq!(refused::<Percent>(plain(text)).0, kind, "{text}");
        }
    }

    #[test]
    fn off_and_auto_are_values() {
        assert_eq!(Option::<Duration>::read(plain("off")), Ok(None));
        assert_eq!(Option::<NonZeroUsize>::read(plain("0")), Ok(None));
        assert_eq!(Jobs::read(plain("auto")), Ok(Jobs::Auto));
        assert!(
            refused::<Option<Duration>>(plain("never"))
                .2
                .ends_with(", or off")
        );
        assert_eq!(
            refused::<Jobs>(plain("0")).2,
            "write auto for one job per core"
        );
    }

    #[test]
    fn an_unknown_word_lists_the_known_ones() {
        assert_eq!(
            refused::<LoadBalancing>(plain("roundrobin")),
            (
                ProblemKind::WrongType,
                "`roundrobin` is not one of the allowed words".into(),
                "did you mean `round-robin`? allowed: round-robin, least-loaded, random".into()
            )
        );
    }
}
