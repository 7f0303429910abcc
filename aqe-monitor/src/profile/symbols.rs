//! From addresses to functions. Takes locks and reads files: never in a signal handler nor in an allocator.

use std::ffi::c_void;

use super::stacks::Frame;

/// The functions at an address, the innermost of those inlined there first; its number if there is no symbol.
pub(super) fn resolve(address: usize) -> Vec<Frame> {
    let mut found = Vec::new();
    backtrace::resolve(address as *mut c_void, |symbol| {
        let Some(name) = symbol.name() else { return };
        // The alternate form leaves out the hash at the end of a name.
        let function = format!("{name:#}");
        let file = symbol
            .filename()
            .map(|path| path.to_string_lossy().into_owned());
        found.push(Frame {
            function,
            file,
            line: symbol.lineno(),
        });
    });
    if found.is_empty() {
        found.push(Frame {
            function: format!("{address:#x}"),
            file: None,
            line: None,
        });
    }
    found
}
