//! The nearest known word to a mistyped one.

/// Longer words are not compared: nobody means one of our keys with them, and the distance costs the product of lengths.
const LONGEST: usize = 64;

/// The candidate that was most likely meant, if one is near enough.
///
/// Case, `-` and `_` are ignored, so that `max_concurrent` finds `maxConcurrent`. Otherwise at most a third of the
/// letters may differ, counting a swap of neighbours as one difference (optimal string alignment).
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.chars().count() > LONGEST {
        return None;
    }
    let wanted = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let known = plain(candidate);
            let allowed = wanted.len().max(known.len()).div_ceil(3).min(3);
            (distance(&wanted, &known), allowed, candidate)
        })
        .filter(|(distance, allowed, _)| distance <= allowed)
        .min_by_key(|(distance, ..)| *distance)
        .filter(|_| !wanted.is_empty())
        .map(|(.., candidate)| candidate)
}

fn plain(word: &str) -> Vec<char> {
    word.chars()
        .filter(|symbol| !matches!(symbol, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other.
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = above[column] + usize::from(from != to);
            let mut best = replaced.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && left[row - 1] == *to && right[column - 1] == *from;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_key_that_was_meant() {
        let keys = [
            "maxConcurrent",
            "batchSize",
            "timeout",
            "retryAttempts",
            "retryDelay",
        ];
        for (word, expected) in [
            ("maxConcurent", Some("maxConcurrent")),
            ("max_concurrent", Some("maxConcurrent")),
            ("MAX-CONCURRENT", Some("maxConcurrent")),
            ("tiemout", Some("timeout")),
            ("timeouts", Some("timeout")),
            ("retryDely", Some("retryDelay")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys), expected, "{word}");
        }
        assert_eq!(nearest(&"t".repeat(100_000), keys), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_slip() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&letters("queue"), &letters("qeuue")), 1);
        assert_eq!(distance(&letters("queue"), &letters("queues")), 1);
        assert_eq!(distance(&letters(""), &letters("abc")), 3);
    }
}
