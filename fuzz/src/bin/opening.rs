//! The first bytes of a connection: HTTP head, proxy protocol header, TLS record.
#![no_main]

use agent_common::opening::{HEAD_BYTES, Opening, SHORTEST, recognise};
use libfuzzer_sys::fuzz_target;

const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const USER_AGENT: &[u8] = b"ELB-HealthChecke";

fuzz_target!(|bytes: &[u8]| {
    let length = bytes.len().min(HEAD_BYTES);
    let mut head = [0; HEAD_BYTES];
    head[..length].copy_from_slice(&bytes[..length]);
    let opening = recognise(&head, length);

    // What lies behind the end is somebody else's.
    let mut noisy = [b'E'; HEAD_BYTES];
    noisy[..length].copy_from_slice(&bytes[..length]);
    if length >= SHORTEST {
        assert_eq!(recognise(&noisy, length), opening);
    }

    // A second, slower reading of the same rules.
    let said = &head[..length];
    let names_itself = said.starts_with(b"GET ") && said.windows(USER_AGENT.len()).any(|it| it == USER_AGENT);
    assert_eq!(opening == Opening::Probe, names_itself, "{said:?}");
    let is_proxied = length >= SHORTEST && said.starts_with(PROXY_V2);
    let header_bytes =
        if is_proxied { SHORTEST + (usize::from(said[14]) << 8 | usize::from(said[15])) } else { 0 };
    let asks = length > header_bytes;
    let end = length.min(header_bytes);
    let is_anonymous = is_proxied && said[12] == 0x21 && said[13] >> 4 == 0 && !names_endpoint(&said[..end]);
    let is_local = is_proxied && said[12] == 0x20 || is_anonymous;
    assert_eq!(opening == Opening::ProxiedProbe { asks }, is_local, "{said:?}");
    assert_eq!(opening == Opening::Proxied, is_proxied && said[12] == 0x21 && !is_local, "{said:?}");
    let is_hello = length > 5 && said[..2] == [0x16, 3] && said[2] <= 4 && said[3] <= 0x40 && said[5] == 1;
    assert_eq!(opening == Opening::Tls, is_hello, "{said:?}");
});

/// Whether one of the first eight TLVs of a header without addresses holds the id of an endpoint.
fn names_endpoint(header: &[u8]) -> bool {
    let mut rest = header.get(SHORTEST..).unwrap_or_default();
    for _ in 0..8 {
        let [kind, high, low, more @ ..] = rest else { return false };
        if *kind == 0xea && more.first() == Some(&1) {
            return true;
        }
        rest = more.get((usize::from(*high) << 8 | usize::from(*low))..).unwrap_or_default();
    }
    false
}
