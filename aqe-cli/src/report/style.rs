//! Colours, durations and counts as people read them.

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;
use std::time::Duration;

use crate::args::ColorArg;

/// Whether escape sequences are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colors {
    On,
    Off,
}

impl Colors {
    /// Decides for a stream: the flag wins, then `CARGO_TERM_COLOR`, then `NO_COLOR`, then whether it is a terminal.
    pub(crate) fn choose(flag: ColorArg, stream: &impl IsTerminal) -> Self {
        Self::decide(flag, stream.is_terminal(), |name| std::env::var_os(name))
    }

    fn decide(
        flag: ColorArg,
        is_terminal: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let is = |name, text: &str| variable(name).is_some_and(|value| value == text);
        let wanted = match flag {
            ColorArg::Always => true,
            ColorArg::Never => false,
            ColorArg::Auto if is("CARGO_TERM_COLOR", "always") => true,
            ColorArg::Auto if is("CARGO_TERM_COLOR", "never") => false,
            ColorArg::Auto => {
                let unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
                is_terminal && !unwanted && !is("TERM", "dumb")
            }
        };
        if wanted { Self::On } else { Self::Off }
    }

    pub(crate) fn good<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.paint("1;32", text)
    }

    pub(crate) fn bad<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.paint("1;31", text)
    }

    pub(crate) fn odd<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.paint("1;33", text)
    }

    pub(crate) fn strong<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.paint("1", text)
    }

    pub(crate) fn faint<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.paint("2", text)
    }

    pub(crate) fn plain<T: fmt::Display>(self, text: T) -> Painted<T> {
        Painted { code: None, text }
    }

    fn paint<T: fmt::Display>(self, code: &'static str, text: T) -> Painted<T> {
        Painted {
            code: (self == Self::On).then_some(code),
            text,
        }
    }
}

/// Text with a colour around it, or bare; width and alignment of the format apply to the text alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painted<T> {
    code: Option<&'static str>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            None => self.text.fmt(f),
            Some(code) => {
                write!(f, "\x1b[{code}m")?;
                self.text.fmt(f)?;
                f.write_str("\x1b[0m")
            }
        }
    }
}

/// A duration in the unit that leaves two to four digits: `7.3ms`, `1.24s`, `3m05s`, `2h07m`.
pub(crate) struct Human(pub(crate) Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = if seconds < 0.000_999_5 {
            format!("{:.0}µs", seconds * 1e6)
        } else if seconds < 0.099_95 {
            format!("{:.1}ms", seconds * 1e3)
        } else if seconds < 0.999_5 {
            format!("{:.0}ms", seconds * 1e3)
        } else if seconds < 60.0 {
            format!("{seconds:.2}s")
        } else {
            let whole = self.0.as_secs();
            match (whole / 3600, whole / 60 % 60, whole % 60) {
                (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
                (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
            }
        };
        f.pad(&text)
    }
}

/// A count with its noun: `1 test`, `3 tests`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_a_readable_unit() {
        let table = [
            (0, "0µs"),
            (999_400, "999µs"),
            (7_340_000, "7.3ms"),
            (140_200_000, "140ms"),
            (1_236_000_000, "1.24s"),
            (59_994_000_000, "59.99s"),
            (59_999_000_000, "60.00s"),
            (185_000_000_000, "3m05s"),
            (7_620_000_000_000, "2h07m"),
        ];
        for (nanos, text) in table {
            assert_eq!(Human(Duration::from_nanos(nanos)).to_string(), text);
        }
    }

    #[test]
    fn the_nearest_wish_about_colours_wins() {
        use ColorArg::{Always, Auto, Never};
        let none: &[(&str, &str)] = &[];
        let table = [
            (Auto, true, none, Colors::On),
            (Auto, false, none, Colors::Off),
            (Always, false, &[("NO_COLOR", "1")], Colors::On),
            (Never, true, &[("CARGO_TERM_COLOR", "always")], Colors::Off),
            (
                Auto,
                false,
                &[("CARGO_TERM_COLOR", "always"), ("NO_COLOR", "1")],
                Colors::On,
            ),
            (Auto, true, &[("CARGO_TERM_COLOR", "never")], Colors::Off),
            (Auto, true, &[("CARGO_TERM_COLOR", "purple")], Colors::On),
            (Auto, true, &[("NO_COLOR", "1")], Colors::Off),
            (Auto, true, &[("NO_COLOR", "")], Colors::On),
            (Auto, true, &[("TERM", "dumb")], Colors::Off),
        ];
        for (flag, is_terminal, set, expected) in table {
            let variable = |name: &str| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| value.into())
            };
            assert_eq!(
                Colors::decide(flag, is_terminal, variable),
                expected,
                "{flag:?} {is_terminal} {set:?}"
            );
        }
    }

    #[test]
    fn padding_applies_to_the_text_inside_the_colour() {
        assert_eq!(
            format!("{:>6}", Colors::On.good("ok")),
            "\x1b[1;32m    ok\x1b[0m"
        );
        assert_eq!(format!("{:>6}", Colors::Off.good("ok")), "    ok");
    }
}
