//! The first bytes of an answer: HTTP status line, TLS alert.
#![no_main]

use agent_common::answer::{Answer, passes, recognise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((offset, _)) = bytes.split_first() else { return };
    let offset = usize::from(*offset);
    let answer = recognise(bytes, offset);
    // A second reading of the same rules.
    let said = bytes.get(offset..).unwrap_or_default();
    let is_status = said.starts_with(b"HTTP")
        && said.get(8) == Some(&b' ')
        && said.get(9..12).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
    match answer {
        Answer::Http(status) => {
            assert!(is_status && status <= 999, "{said:?}");
            assert_eq!(passes(status), (200..400).contains(&status));
        }
        Answer::TlsHello => assert_eq!((said[0], said[1], said[5]), (0x16, 3, 2), "{said:?}"),
        Answer::TlsAlert(_) => assert_eq!((said[0], said[1], said[5]), (0x15, 3, 2), "{said:?}"),
        Answer::Other => assert!(!is_status, "{said:?}"),
    }
});
