//! Traces that are lying in a folder already; nothing is downloaded and none is part of the repository.

use std::path::Path;

use xtask::{Failure, Result};

use super::Load;

/// No trace of which more is kept: enough for every published one, and a bound on what a wrong file can cost.
const MOST: usize = 20_000_000;

/// Reads each file of the folder that ends in `.lirs` or `.trc` (a number in each line), or in `.arc` (lines of first block,
/// number of blocks, and two more), as published with the algorithms of these names.
///
/// # Errors
///
/// When the folder or a file cannot be read, or a line is not of its format.
pub fn from_files(folder: &Path) -> Result<Vec<Load>> {
    let failed = |what: &Path, cause: &dyn std::fmt::Display| {
        Failure::new(format!("{}: {cause}", what.display()))
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|cause| failed(folder, &cause))? {
        paths.push(entry.map_err(|cause| failed(folder, &cause))?.path());
    }
    paths.sort();
    let mut loads = Vec::new();
    for path in paths {
        let blocks: fn(&str, &mut Vec<u64>) -> Option<()> =
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("lirs" | "trc") => lirs,
                Some("arc") => arc,
                _ => continue,
            };
        let text = std::fs::read_to_string(&path).map_err(|cause| failed(&path, &cause))?;
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if keys.len() >= MOST {
                break;
            }
            if blocks(line.trim(), &mut keys).is_none() {
                let what = format!("line {}: `{line}` is not of this format", number + 1);
                return Err(failed(&path, &what));
            }
        }
        keys.truncate(MOST);
        let name = path.file_stem().map(|stem| stem.to_string_lossy());
        loads.push(Load::new(&name.unwrap_or_default(), &keys));
    }
    Ok(loads)
}

/// One block a line; stars and empty lines part the sections.
fn lirs(line: &str, keys: &mut Vec<u64>) -> Option<()> {
    if !line.is_empty() && line != "*" {
        keys.push(line.parse().ok()?);
    }
    Some(())
}

/// First block and number of blocks; what follows says nothing of the keys.
fn arc(line: &str, keys: &mut Vec<u64>) -> Option<()> {
    let mut fields = line.split_whitespace();
    let Some(first) = fields.next() else {
        return Some(());
    };
    let first: u64 = first.parse().ok()?;
    let count: u64 = fields.next()?.parse().ok()?;
    keys.extend((first..first.checked_add(count)?).take(MOST));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read_and_a_bad_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.lirs"), "5\n6\n*\n5\n").unwrap();
        std::fs::write(folder.path().join("b.arc"), "7 3 0 1\n\n8 1 0 2\n").unwrap();
        std::fs::write(folder.path().join("README"), "no trace").unwrap();
        let loads = from_files(folder.path()).unwrap();
        assert_eq!(loads[0], Load::new("a", &[5, 6, 5]));
        assert_eq!(loads[1], Load::new("b", &[7, 8, 9, 8]));
        std::fs::write(folder.path().join("c.lirs"), "5\nfive\n").unwrap();
        let failure = from_files(folder.path()).unwrap_err().to_string();
        assert!(failure.contains("c.lirs: line 2: `five`"), "{failure}");
    }
}
