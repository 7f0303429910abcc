//! No block of memory goes back to the allocator with a piece of a master key in it.
//!
//! The allocator of this program looks into every block that is freed, and counts those that have the middle of the key
//! in them: eight bytes of it, or sixteen characters of its text. The environment itself is the system's and stays.

#![cfg(feature = "encryption")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;

use aqe_memory::crypt::{KeyProvider, MasterKey, MasterKeys};

const KEY: [u8; 32] = *b"\xD1raw bytes of a key to look for\xD2";
const OTHER: &str = "neither the key nor a text of it";
const HEX: &str = "c0ffee00c0ffee01c0ffee02c0ffee03c0ffee04c0ffee05c0ffee06c0ffee07";
const HEX_BYTES: [u8; 8] = [0xC0, 0xFF, 0xEE, 0x03, 0xC0, 0xFF, 0xEE, 0x04];

/// The variable by which this program tells itself that it is the child.
const VARIABLE: &str = "AQE_TEST_MASTER_KEY";

struct Watching;

thread_local! {
    /// Blocks with key in them that this thread freed, while it is being watched.
    static LEAKS: Cell<Option<usize>> = const { Cell::new(None) };
}

// SAFETY: All calls go to the system's allocator unchanged; the block is looked at while it is still allocated.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: The caller's promise is passed on. Zeroed, so that all of it may be looked at later.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(leaks) = LEAKS.get() {
            // SAFETY: The block has this size, and was zeroed when it was allocated.
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            LEAKS.set(Some(leaks + usize::from(has_key(bytes))));
        }
        // SAFETY: The caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn has_key(bytes: &[u8]) -> bool {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    has(&KEY[8..16]) || has(&HEX.as_bytes()[24..40]) || has(&HEX_BYTES)
}

/// How many leaking blocks `f` frees.
fn leaks(f: impl FnOnce()) -> usize {
    LEAKS.set(Some(0));
    f();
    LEAKS.take().unwrap_or_default()
}

#[test]
fn a_master_key_leaves_nothing_on_the_heap() {
    if std::env::var_os(VARIABLE).is_some() {
        return from_the_environment();
    }
    assert_eq!(
        leaks(|| drop(KEY.to_vec())),
        1,
        "the allocator does not see what it is there to see"
    );
    assert_eq!(
        leaks(|| drop(OTHER.to_owned())),
        0,
        "the allocator sees what is not there"
    );

    assert_eq!(leaks(|| drop(MasterKey::from_bytes(&KEY).unwrap())), 0);
    assert_eq!(leaks(|| drop(HEX.parse::<MasterKey>().unwrap())), 0);
    assert_eq!(leaks(|| drop(HEX.to_owned())), 1);
    assert_eq!(
        leaks(|| drop(HEX[..62].parse::<MasterKey>().unwrap_err())),
        0
    );
    assert_eq!(
        leaks(|| drop(format!("{:?}", HEX[1..].parse::<MasterKey>()))),
        0
    );
    assert_eq!(
        leaks(|| moved_about(MasterKey::from_bytes(&KEY).unwrap())),
        0
    );

    let folder = tempfile::tempdir().unwrap();
    for content in [
        KEY.to_vec(),
        HEX.as_bytes().to_vec(),
        format!(" {HEX}\n").into_bytes(),
        HEX.repeat(3).into(),
    ] {
        let path = folder.path().join("key");
        std::fs::write(&path, &content).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let is_key = content.len() < 128;
        assert_eq!(
            leaks(|| assert_eq!(MasterKey::from_file(&path).is_ok(), is_key)),
            0
        );
    }

    // A variable is set for a child, because setting it here would race with whoever reads the environment.
    let status = Command::new(std::env::current_exe().unwrap())
        .env(VARIABLE, HEX)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}

/// What stores and providers do with a key: clones of handles, boxes, vectors that grow.
fn moved_about(key: MasterKey) {
    let mut boxed = vec![Box::new(key)];
    boxed.reserve(100);
    let keys = MasterKeys::new(*boxed.remove(0));
    let handles: Vec<_> = (0..20).filter_map(|_| keys.current().ok()).collect();
    drop((keys.clone(), handles, keys));
}

fn from_the_environment() {
    let found = leaks(|| assert!(MasterKey::from_env(VARIABLE).is_ok()));
    assert_eq!(found, 0, "of a good value");
}
