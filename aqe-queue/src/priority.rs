//! How urgent an operation is.

use crate::error::SubmitError;

/// The urgency of an operation: a name, or the number of a level.
///
/// Level 0 is the most urgent. The five names stand for the levels 0 to 4; in a queue with fewer than five levels the
/// names that do not fit mean its last level, so that code written with names works whatever the configuration.
/// A *number* that does not exist is refused when the operation is submitted
/// ([`SubmitError::NoSuchLevel`](crate::SubmitError::NoSuchLevel)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Priority {
    /// Level 0: somebody is waiting and nothing else matters.
    Critical,
    /// Level 1.
    High,
    /// Level 2, and the default.
    #[default]
    Medium,
    /// Level 3.
    Low,
    /// Level 4: work that may wait for an idle moment.
    Background,
    /// A level by number, 0 being the most urgent.
    Level(u8),
}

impl Priority {
    /// Returns the level in a queue that has `levels` of them, or `None` if the queue has no such level.
    ///
    /// ```
    /// use aqe_queue::Priority;
    /// assert_eq!(Priority::Low.level(5), Some(3));
    /// assert_eq!(Priority::Background.level(3), Some(2));
    /// assert_eq!(Priority::Level(3).level(3), None);
    /// ```
    #[must_use]
    pub const fn level(self, levels: u8) -> Option<u8> {
        let (wanted, named) = match self {
            Self::Critical => (0, true),
            Self::High => (1, true),
            Self::Medium => (2, true),
            Self::Low => (3, true),
            Self::Background => (4, true),
            Self::Level(level) => (level, false),
        };
        if wanted < levels {
            Some(wanted)
        } else if named && levels > 0 {
            Some(levels - 1)
        } else {
            None
        }
    }

    /// As [`level`](Self::level), with an error that says what there is.
    pub(crate) const fn level_in(self, levels: u8) -> Result<u8, SubmitError<()>> {
        match (self.level(levels), self) {
            (Some(level), _) => Ok(level),
            (None, Self::Level(level)) => Err(SubmitError::NoSuchLevel {
                operation: (),
                level,
                levels,
            }),
            // Only a number can be out of range.
            (None, _) => Ok(0),
        }
    }
}
