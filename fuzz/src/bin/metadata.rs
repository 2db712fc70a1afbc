//! An answer of a metadata service: HTTP, whole or cut short, and the container agent's JSON in it.
#![no_main]

use std::time::Duration;

use agent::discover::{
    http::{Request, Url},
    introspection::Containers,
};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 1024;

fuzz_target!(|bytes: &[u8]| {
    let url = Url::parse("http://169.254.170.2/v4").expect("an address");
    let timeout = Duration::from_secs(1);
    let request = Request { method: "GET", url: &url, headers: &[], timeout, max_bytes: MAX_BYTES };
    let early = request.answer(bytes, false);
    let ended = request.answer(bytes, true);
    // The limit holds, an end is an end, and what was complete before it stays so.
    assert!(!matches!(ended, Ok(None)));
    let Ok(Some(body)) = ended else { return };
    assert!(body.len() <= MAX_BYTES);
    if let Ok(Some(complete)) = early {
        assert_eq!(complete, body);
    }
    if let Ok(value) = serde_json::from_slice(&body) {
        let _containers = Containers::from_json(&value);
    }
});
