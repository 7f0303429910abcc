//! The condition in `[target.'cfg(…)']`, as far as cargo evaluates it.

/// Whether a key of cargo's `target` table, `cfg(…)` included, holds for a compiler that prints these settings.
///
/// `settings` is what `rustc --print cfg` prints: one `name` or `name="value"` per line. `None` for text that is not a
/// condition; cargo has read the same text before, so it can only be a condition that is newer than this reader.
pub(super) fn holds(key: &str, settings: &str) -> Option<bool> {
    let inner = key.trim().strip_prefix("cfg(")?.strip_suffix(')')?;
    let mut rest = inner;
    let value = expression(&mut rest, settings, 0)?;
    rest.trim().is_empty().then_some(value)
}

/// Reads one expression off the front of `rest`.
fn expression(rest: &mut &str, settings: &str, depth: usize) -> Option<bool> {
    if depth > MAX_DEPTH {
        return None;
    }
    let name = identifier(rest)?;
    if take(rest, '(') {
        let operands = operands(rest, settings, depth)?;
        return match (name, operands.as_slice()) {
            ("all", operands) => Some(operands.iter().all(|&holds| holds)),
            ("any", operands) => Some(operands.iter().any(|&holds| holds)),
            ("not", [operand]) => Some(!operand),
            _ => None,
        };
    }
    if take(rest, '=') {
        let value = string(rest)?;
        return Some(
            settings
                .lines()
                .any(|line| line.strip_prefix(name) == Some(&format!("=\"{value}\""))),
        );
    }
    match name {
        "true" => Some(true),
        "false" => Some(false),
        _ => Some(settings.lines().any(|line| line == name)),
    }
}

/// Reads comma-separated expressions up to the closing parenthesis; a comma may come before it.
fn operands(rest: &mut &str, settings: &str, depth: usize) -> Option<Vec<bool>> {
    let mut operands = Vec::new();
    while !take(rest, ')') {
        operands.push(expression(rest, settings, depth + 1)?);
        if !take(rest, ',') {
            return take(rest, ')').then_some(operands);
        }
    }
    Some(operands)
}

fn identifier<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text
        .find(|char: char| !char.is_alphanumeric() && char != '_')
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    *rest = after;
    (!name.is_empty()).then_some(name)
}

fn string<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let (value, after) = rest.trim_start().strip_prefix('"')?.split_once('"')?;
    *rest = after;
    Some(value)
}

fn take(rest: &mut &str, wanted: char) -> bool {
    let after = rest.trim_start().strip_prefix(wanted);
    *rest = after.unwrap_or(rest);
    after.is_some()
}

/// Deeper than any condition that a person writes.
const MAX_DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINUX: &str = "debug_assertions\ntarget_os=\"linux\"\ntarget_family=\"unix\"\ntarget_feature=\"sse2\"\ntarget_feature=\"fxsr\"\nunix\n";

    #[test]
    fn conditions() {
        let table = [
            ("cfg(unix)", Some(true)),
            ("cfg(windows)", Some(false)),
            ("cfg( target_os = \"linux\" )", Some(true)),
            ("cfg(target_os = \"lin\")", Some(false)),
            ("cfg(target_feature = \"fxsr\")", Some(true)),
            (
                "cfg(all(unix, not(windows), any(x, target_os = \"linux\",),))",
                Some(true),
            ),
            ("cfg(not(unix))", Some(false)),
            ("cfg(all())", Some(true)),
            ("cfg(any())", Some(false)),
            ("cfg(true)", Some(true)),
            ("cfg(target_os)", Some(false)),
            ("cfg(not(a, b))", None),
            ("cfg(version(\"1.2\"))", None),
            ("cfg(unix windows)", None),
            ("cfg()", None),
            ("cfg(target_os = linux)", None),
            ("x86_64-unknown-linux-gnu", None),
        ];
        for (key, expected) in table {
            assert_eq!(holds(key, LINUX), expected, "{key}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("cfg({}unix{})", "not(".repeat(100_000), ")".repeat(100_000));
        assert_eq!(holds(&deep, LINUX), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(all|any|not|unix|[(),=\" é]){0,20}") {
            let _ = holds(&format!("cfg({text})"), LINUX);
        }
    }
}
