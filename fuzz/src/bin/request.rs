//! A request of whoever asks for metrics, as its bytes come in.
#![no_main]

use agent::ship::http::{MAX_REQUEST_BYTES, Read, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let bytes = &bytes[..bytes.len().min(MAX_REQUEST_BYTES)];
    let whole = read(bytes);
    // What was clear from a part stays so, whatever follows.
    let part = read(&bytes[..bytes.len() * usize::from(*cut) / 256]);
    assert!(part == Read::Partial || part == whole, "{part:?}, then {whole:?}");
    match whole {
        Read::Partial => assert!(bytes.len() < MAX_REQUEST_BYTES),
        Read::Complete(request) => {
            assert!(!request.path.contains(['?', ' ', '\r', '\n']), "{:?}", request.path);
            let method: &[u8] = if request.is_head { b"HEAD " } else { b"GET " };
            // Empty lines may come before it.
            assert!(bytes.trim_ascii_start().starts_with(method));
        }
        Read::Refused(_) => {}
    }
});
