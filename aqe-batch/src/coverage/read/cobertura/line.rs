//! One `line` element.

use quick_xml::encoding::Decoder;
use quick_xml::events::BytesStart;

use super::attributes::Attributes;
use crate::coverage::model::Tally;
use crate::coverage::read::collector::Failure;
use crate::coverage::read::number::{self, Count};

/// A `line` element.
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) hits: Count,
    pub(super) branches: Conditions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conditions {
    None,
    /// A branch, and nothing that says how many outcomes it has.
    Uncounted,
    Counted(Tally),
}

impl Line {
    pub(super) fn read(element: &BytesStart<'_>, decoder: Decoder) -> Result<Self, Failure> {
        let (mut number, mut hits) = (None, None);
        let (mut branch, mut conditions) = (false, Conditions::None);
        Attributes { element, decoder }.each(|name, value| {
            let value = value.trim();
            match name {
                b"number" => number = Some(number::line(value.as_bytes())?),
                b"hits" => hits = Some(number::count(value.as_bytes())?),
                b"branch" => branch = value.eq_ignore_ascii_case("true"),
                b"condition-coverage" => conditions = condition(value)?,
                _ => {}
            }
            Ok(())
        })?;
        let (Some(number), Some(hits)) = (number, hits) else {
            return Err(Failure::malformed(
                "a line without its number or without its hits",
            ));
        };
        let branches = match conditions {
            Conditions::None if branch => Conditions::Uncounted,
            conditions => conditions,
        };
        Ok(Self {
            number,
            hits,
            branches,
        })
    }
}

/// `50% (1/2)`
fn condition(text: &str) -> Result<Conditions, Failure> {
    if text.is_empty() {
        return Ok(Conditions::None);
    }
    let Some((_, counts)) = text.split_once('(') else {
        return Ok(Conditions::Uncounted);
    };
    let counts = counts
        .strip_suffix(')')
        .and_then(|counts| counts.split_once('/'));
    let tally = counts.and_then(|(covered, total)| {
        let covered = number::digits(covered.trim().as_bytes())?;
        let total = number::digits(total.trim().as_bytes())?;
        (covered <= total).then_some(Tally::new(covered, total))
    });
    tally.map(Conditions::Counted).ok_or_else(|| {
        number::wrong(
            text.as_bytes(),
            "a coverage of conditions such as 50% (1/2)",
        )
    })
}
