//! What the first bytes of an answer say about how the application took the request.

use crate::packet::Bytes;

const HTTP: u32 = u32::from_be_bytes(*b"HTTP");

/// A TLS handshake record of any version, and in it the answer to a ClientHello (RFC 8446 sections 4.1.3 and 5.1).
const TLS_HANDSHAKE: u16 = 0x1603;
/// See [`TLS_HANDSHAKE`].
const SERVER_HELLO: u8 = 2;

/// Bytes of a record with the shortest one: type and length, version, random, an empty session, cipher suite, compression.
const SHORTEST_HELLO: u16 = 4 + 2 + 32 + 1 + 2 + 1;

/// A TLS alert record of any version (RFC 8446 sections 5.1 and 6).
const TLS_ALERT: u16 = 0x1503;

/// Bytes of an alert in the clear. An encrypted one is longer.
const ALERT_BYTES: u16 = 2;

/// The connection ends with it.
const FATAL: u8 = 2;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP status line with this status.
    Http(u32),
    /// A TLS handshake goes on.
    TlsHello,
    /// A TLS handshake refused, with this description (RFC 8446 section 6).
    TlsAlert(u32),
    /// Anything else.
    Other,
}

/// Looks at what is sent from `offset` on.
#[inline(always)]
pub fn recognise<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Answer {
    let Some(start) = bytes.u32_at(offset) else { return Answer::Other };
    if start == HTTP {
        // "HTTP/1.1 404 ...": a space and three digits.
        return bytes.u32_at(offset + 8).and_then(status).map_or(Answer::Other, Answer::Http);
    }
    if (start >> 16) as u16 == TLS_HANDSHAKE {
        let length = bytes.u16_at(offset + 3).unwrap_or(0);
        let is_hello = length >= SHORTEST_HELLO && bytes.u8_at(offset + 5) == Some(SERVER_HELLO);
        return if is_hello { Answer::TlsHello } else { Answer::Other };
    }
    let is_alert = (start >> 16) as u16 == TLS_ALERT
        && bytes.u16_at(offset + 3) == Some(ALERT_BYTES)
        && bytes.u8_at(offset + 5) == Some(FATAL);
    match (is_alert, bytes.u8_at(offset + 6)) {
        (true, Some(description)) => Answer::TlsAlert(description as u32),
        _ => Answer::Other,
    }
}

#[inline(always)]
fn status(text: u32) -> Option<u32> {
    let digit = |shift: u32| {
        let digit = (text >> shift & 0xff).wrapping_sub(b'0' as u32);
        if digit <= 9 { Some(digit) } else { None }
    };
    if text >> 24 != b' ' as u32 {
        return None;
    }
    Some(digit(16)? * 100 + digit(8)? * 10 + digit(0)?)
}

/// The status with which applications answer what they do not understand (RFC 9110 section 15.5.1).
pub const BAD_REQUEST: u32 = 400;

/// Whether the default matcher of a target group takes a status for a pass (AWS, NLB health check settings: 200-399).
#[inline(always)]
pub const fn passes(status: u32) -> bool {
    status >= 200 && status <= 399
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_says_its_status() {
        let of = |text: &[u8]| recognise(text, 0);
        assert_eq!(of(b"HTTP/1.1 404 Not Found\r\n"), Answer::Http(404));
        assert_eq!(of(b"HTTP/1.0 200 OK\r\n"), Answer::Http(200));
        assert_eq!(of(b"HTTP/1.1 2xx\r\n"), Answer::Other);
        assert_eq!(of(b"HTTP/1.1"), Answer::Other);
        assert_eq!(of(b"HTT"), Answer::Other);
        assert_eq!(recognise(b"....HTTP/1.1 503 ".as_slice(), 4), Answer::Http(503));
    }

    #[test]
    fn only_a_fatal_alert_in_the_clear_refuses_a_handshake() {
        let of = |text: &[u8]| recognise(text, 0);
        assert_eq!(of(&[0x15, 3, 3, 0, 2, 2, 70]), Answer::TlsAlert(70));
        assert_eq!(of(&[0x15, 3, 3, 0, 2, 1, 0]), Answer::Other, "a warning: close_notify");
        assert_eq!(of(&[0x15, 3, 3, 0, 26, 2, 70]), Answer::Other, "encrypted");
        assert_eq!(of(&[0x16, 3, 3, 0, 2, 2, 70]), Answer::Other);
        assert_eq!(of(&[0x15, 3, 3, 0, 2, 2]), Answer::Other);
    }

    #[test]
    fn a_handshake_goes_on_with_the_hello_of_this_side() {
        let of = |text: &[u8]| recognise(text, 0);
        assert_eq!(of(&[0x16, 3, 3, 0, 122, 2, 0, 0, 118]), Answer::TlsHello);
        assert_eq!(of(&[0x16, 3, 3, 0, 122, 4, 0, 0, 118]), Answer::Other, "another message of a handshake");
        assert_eq!(of(&[0x16, 3, 3, 0, 122]), Answer::Other);
        assert_eq!(of(&[0x16, 3, 3, 0, 41, 2]), Answer::Other, "too short for one");
        assert_eq!(of(&[0x17, 3, 3, 0, 122, 2]), Answer::Other, "data");
    }

    #[test]
    fn the_default_matcher_takes_redirects() {
        assert!(passes(200) && passes(302) && passes(399));
        assert!(!passes(199) && !passes(400) && !passes(503));
    }
}
