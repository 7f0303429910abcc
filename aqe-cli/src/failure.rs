//! An error on its way to the user: what went wrong, why, and what to do.

use std::error::Error;
use std::fmt::Write;

use crate::args::ColorArg;
use crate::exit::Exit;
use crate::output;
use crate::report::style::Colors;

/// More causes than any chain of ours has; a chain in a circle must not be followed for ever.
const MAX_CAUSES: usize = 16;

/// Why the program ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// Takes message and causes from an error.
    pub(crate) fn of(exit: Exit, error: &dyn Error) -> Self {
        Self {
            causes: causes(error),
            ..Self::new(exit, error.to_string())
        }
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What went wrong and why, in one line.
    pub(crate) fn message(&self) -> String {
        let causes = self.causes.iter();
        causes.fold(self.message.clone(), |text, cause| {
            format!("{text}: {cause}")
        })
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Prints it to standard error. An empty message prints nothing: somebody else has told it already.
    pub(crate) fn print(&self) {
        if !self.message.is_empty() {
            let colors = Colors::choose(ColorArg::Auto, &std::io::stderr());
            output::complain(&self.text(colors));
        }
    }

    fn text(&self, colors: Colors) -> String {
        let mut text = format!("{} {}\n", colors.bad("error:"), self.message);
        for cause in &self.causes {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  caused by: {cause}");
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "{} {hint}", colors.good("hint:"));
        }
        text
    }
}

/// What is beneath an error, from its cause to the cause of all.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next.filter(|_| causes.len() < MAX_CAUSES) {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes
}

/// An error with all that is beneath it, in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let causes = causes(error).into_iter();
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot read the list")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_shows_message_causes_and_hint() {
        let error = Outer(io::Error::other("the disk is gone"));
        let failure = Failure::of(Exit::Environment, &error).hint("put it back");
        assert_eq!(
            failure.text(Colors::Off),
            "error: cannot read the list\n  caused by: the disk is gone\nhint: put it back\n"
        );
        assert_eq!(failure.exit(), Exit::Environment);
    }
}
