//! What the process takes beside the store.

/// Memory of the process, as the system counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ProcessMemory {
    /// Bytes of the process that are resident, those included that it shares with others.
    pub resident_bytes: u64,
    /// Bytes of these that the store accounts for.
    pub store_bytes: u64,
    /// The rest: the program itself, other data of its own, and what its allocator keeps and nobody uses.
    pub other_bytes: u64,
}

impl ProcessMemory {
    /// `None` where the system does not tell.
    pub(super) fn beside(store_bytes: u64) -> Option<Self> {
        let resident_bytes = resident()?;
        Some(Self {
            resident_bytes,
            store_bytes,
            other_bytes: resident_bytes.saturating_sub(store_bytes),
        })
    }
}

#[cfg(target_os = "linux")]
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    // In pages: all, and those that are resident.
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_resident_is_the_store_and_the_rest() {
        let memory = ProcessMemory::beside(4_096).unwrap();
        assert!(memory.resident_bytes > 4_096, "{memory:?}");
        assert_eq!(
            memory.store_bytes + memory.other_bytes,
            memory.resident_bytes
        );
    }
}
