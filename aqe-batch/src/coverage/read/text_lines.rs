//! The lines of a text of any length, one at a time.

use std::io::{BufRead, ErrorKind};

use super::collector::Failure;
use crate::coverage::{Exceeded, Position};
use bytesize::ByteSize;

/// Calls `take` with each line, without its line feed, and its number.
///
/// Lines that lie in the input's own buffer are not copied. What holds of a line does not depend on where the input is
/// cut into buffers.
pub(crate) fn each(
    mut input: impl BufRead,
    limit: ByteSize,
    mut take: impl FnMut(u64, &[u8]) -> Result<(), Failure>,
) -> Result<u64, (Position, Failure)> {
    // A line whose beginning was in an earlier buffer.
    let mut begun: Vec<u8> = Vec::new();
    let mut number = 1;
    let too_long = |length: usize| length as u64 > limit.as_u64();
    loop {
        let at = |failure| (Position::line(number), failure);
        let exceeded = || Failure::Exceeded(Exceeded::Token(limit));
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(at(Failure::Io(error))),
        };
        if buffer.is_empty() {
            if !begun.is_empty() {
                take(number, &begun).map_err(at)?;
            }
            return Ok(number);
        }
        let mut used = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let at = |failure| (Position::line(number), failure);
            let line = &buffer[used..end];
            used = end + 1;
            if too_long(begun.len() + line.len()) {
                return Err(at(exceeded()));
            }
            if begun.is_empty() {
                take(number, line).map_err(at)?;
            } else {
                begun.extend_from_slice(line);
                take(number, &begun).map_err(at)?;
                begun.clear();
            }
            number += 1;
        }
        let rest = &buffer[used..];
        if too_long(begun.len() + rest.len()) {
            return Err((Position::line(number), exceeded()));
        }
        begun.extend_from_slice(rest);
        let length = buffer.len();
        input.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &str, buffer: usize, limit: u64) -> (Vec<String>, Option<u64>) {
        let mut lines = Vec::new();
        let input = BufReader::with_capacity(buffer, text.as_bytes());
        let result = each(input, ByteSize::b(limit), |number, line| {
            lines.push(format!("{number}{}", String::from_utf8_lossy(line)));
            Ok(())
        });
        (lines, result.err().map(|(position, _)| position.line))
    }

    #[test]
    fn where_the_input_is_cut_makes_no_difference() {
        for buffer in 1..12 {
            assert_eq!(lines("a\n\nbcd\ne", buffer, 3).0, ["1a", "2", "3bcd", "4e"]);
            assert_eq!(
                lines("a\nbcde\nf", buffer, 3),
                (vec!["1a".to_owned()], Some(2))
            );
            assert_eq!(
                lines("a\nbcde", buffer, 3),
                (vec!["1a".to_owned()], Some(2))
            );
            assert_eq!(lines("", buffer, 3), (vec![], None));
        }
    }
}
