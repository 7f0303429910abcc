//! Any bytes as a request to a session.
//!
//! Each is understood or refused with a sentence, and what was understood can be written down and read again.

#![no_main]

use aqe_core::session::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| match Request::parse(line) {
    Ok(request) => {
        let again = request.line();
        assert_eq!(Request::parse(again.as_bytes()), Ok(request));
        if let Request::Subscribe { interval } = request {
            assert!((Request::MIN_INTERVAL..=Request::MAX_INTERVAL).contains(&interval));
        }
    }
    Err(refusal) => {
        assert!(!refusal.kind.is_empty());
        // However long the request was, and whatever stood in it.
        assert!((1..=600).contains(&refusal.message.chars().count()));
    }
});
