//! Formulas as text that can be calculated: what is printed is what was computed.
//!
//! `+ - * /`, parentheses, numbers, names of inputs, and `ceil`, `floor`, `round`, `sqrt`, `min`, `max`.

use super::finding::Input;

/// A formula that has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormulaError {
    /// It is not an expression.
    #[error("formula is not an expression at byte {at}: {expected} was expected")]
    Syntax {
        /// Where, in bytes from the beginning.
        at: usize,
        /// What would be right there.
        expected: &'static str,
    },
    /// It names something that is no input.
    #[error("formula names `{0}`, which is not among the inputs")]
    UnknownName(String),
    /// Its value is infinite or not a number.
    #[error("formula has no finite value")]
    NotFinite,
    /// Parentheses are nested deeper than any formula of ours.
    #[error("formula is nested too deeply")]
    TooDeep,
}

/// The value of `formula` over `inputs`.
///
/// # Errors
///
/// [`FormulaError`] if the text is no expression, names what is not there, or has no finite value.
pub fn evaluate(formula: &str, inputs: &[Input]) -> Result<f64, FormulaError> {
    let mut parser = Parser {
        text: formula,
        at: 0,
        inputs,
        depth: 0,
    };
    let value = parser.sum()?;
    parser.skip_spaces();
    if parser.at != formula.len() {
        return Err(parser.expected("an operator or the end"));
    }
    if value.is_finite() {
        Ok(value)
    } else {
        Err(FormulaError::NotFinite)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    inputs: &'a [Input],
    depth: u32,
}

/// A finding read from a file can hold any text: recursion needs a bound.
const DEEPEST: u32 = 32;

impl<'a> Parser<'a> {
    fn sum(&mut self) -> Result<f64, FormulaError> {
        let mut value = self.product()?;
        loop {
            if self.take('+') {
                value += self.product()?;
            } else if self.take('-') {
                value -= self.product()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn product(&mut self) -> Result<f64, FormulaError> {
        let mut value = self.atom()?;
        loop {
            if self.take('*') {
                value *= self.atom()?;
            } else if self.take('/') {
                value /= self.atom()?;
            } else {
                return Ok(value);
            }
        }
    }

    fn atom(&mut self) -> Result<f64, FormulaError> {
        if self.take('(') {
            let value = self.nested()?;
            return self.closed(value);
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.expected("a number, a name or `(`"));
        }
        if word.starts_with(|first: char| first.is_ascii_digit()) {
            return word.parse().map_err(|_| self.expected("a number"));
        }
        if self.take('(') {
            return self.call(word);
        }
        let found = self.inputs.iter().find(|input| input.name == word);
        found
            .map(|input| input.value)
            .ok_or_else(|| FormulaError::UnknownName(word.to_owned()))
    }

    fn call(&mut self, function: &str) -> Result<f64, FormulaError> {
        let first = self.nested()?;
        let value = match function {
            "ceil" => ceil(first),
            "floor" => first.floor(),
            "round" => first.round(),
            "sqrt" => first.sqrt(),
            "min" | "max" => {
                if !self.take(',') {
                    return Err(self.expected("`,`"));
                }
                let second = self.nested()?;
                if function == "min" {
                    first.min(second)
                } else {
                    first.max(second)
                }
            }
            _ => return Err(FormulaError::UnknownName(function.to_owned())),
        };
        self.closed(value)
    }

    fn nested(&mut self) -> Result<f64, FormulaError> {
        if self.depth == DEEPEST {
            return Err(FormulaError::TooDeep);
        }
        self.depth += 1;
        let value = self.sum();
        self.depth -= 1;
        value
    }

    fn closed(&mut self, value: f64) -> Result<f64, FormulaError> {
        if self.take(')') {
            Ok(value)
        } else {
            Err(self.expected("`)`"))
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_spaces();
        let there = self.text[self.at..].starts_with(wanted);
        if there {
            self.at += wanted.len_utf8();
        }
        there
    }

    fn word(&mut self) -> &'a str {
        self.skip_spaces();
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            .unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(' ').len();
    }

    fn expected(&self, expected: &'static str) -> FormulaError {
        FormulaError::Syntax {
            at: self.at,
            expected,
        }
    }
}

/// 4.0 × 2.4 ÷ 0.8 is 12.000000000000002 in binary: a slot is not added for the last bit.
fn ceil(value: f64) -> f64 {
    let nearest = value.round();
    if (value - nearest).abs() <= nearest.abs() * 1e-12 {
        nearest
    } else {
        value.ceil()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(formula: &str) -> Result<f64, FormulaError> {
        let input = |name: &str, value| Input {
            name: name.to_owned(),
            value,
            unit: String::new(),
        };
        evaluate(formula, &[input("a", 4.0), input("b_c", 2.4)])
    }

    #[test]
    fn formulas_have_the_usual_values() {
        let rows = [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("a - 1 - 1", 2.0),
            ("a / 2 / 2", 1.0),
            ("ceil(a * b_c / 0.8)", 12.0),
            ("ceil(12.001)", 13.0),
            ("max(min(a, 3), floor(2.9)) + round(0.5) + sqrt(a)", 6.0),
        ];
        for (formula, value) in rows {
            assert_eq!(of(formula), Ok(value), "{formula}");
        }
    }

    #[test]
    fn what_has_no_value_is_an_error() {
        assert_eq!(of("a / (a - 4)"), Err(FormulaError::NotFinite));
        assert_eq!(of("d"), Err(FormulaError::UnknownName("d".to_owned())));
        assert_eq!(
            of("exp(a)"),
            Err(FormulaError::UnknownName("exp".to_owned()))
        );
        for text in ["", "1 +", "(1", "1 2", "min(1)", "é", "1.2.3", "a)"] {
            assert!(
                matches!(of(text), Err(FormulaError::Syntax { .. })),
                "{text}"
            );
        }
        assert_eq!(of(&"(".repeat(100_000)), Err(FormulaError::TooDeep));
    }
}
