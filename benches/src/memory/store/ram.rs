//! How much memory this process holds of its own.

use std::fs;

use xtask::{Failure, Result};

/// Resident bytes that no file is behind: heap, stacks and mapped segments, but not the program's text.
///
/// # Errors
///
/// Where the system does not tell, which is everywhere but on Linux.
pub(super) fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    let kib = field("RssAnon:").zip(field("RssShmem:"));
    kib.map(|(own, shared)| (own + shared) * 1024.0)
        .ok_or_else(|| Failure::new("the system does not tell how much memory a process holds"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn what_is_held_is_resident() {
        let before = resident().unwrap();
        let held = black_box(vec![1_u8; 256 << 20]);
        let with = resident().unwrap();
        drop(held);
        // Other tests of this process may have let go of what they held, but never of as much as this.
        assert!(with - before > f64::from(64 << 20), "{before} {with}");
    }
}
