//! What the first bytes that a peer sends say about it.

/// Most bytes of an opening that are looked at. A health check's request is about half as long.
pub const HEAD_BYTES: usize = 256;

/// The shortest opening that says something: a proxy protocol v2 header without addresses.
pub const SHORTEST: usize = 16;

/// User agent of the health checks of NLB and ALB, `ELB-HealthChecker/2.0`, cut to what is compared (widely reported; AWS
/// documents it for the ALB).
const USER_AGENT: u128 = u128::from_be_bytes(*b"ELB-HealthChecke");

/// First four bytes of the proxy protocol v2 signature, and the rest of it (the protocol's specification, section 2.2).
const PROXY_V2_START: u32 = 0x0d0a_0d0a;
const PROXY_V2_REST: u64 = 0x000d_0a51_5549_540a;

/// Version 2, command LOCAL: the connection is the balancer's own, a health check.
const PROXY_V2_LOCAL: u8 = 0x20;

const GET: u32 = u32::from_be_bytes(*b"GET ");

/// A TLS handshake record of any version (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u16 = 0x1603;

/// What an opening is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A health check that says so.
    Probe,
    /// The same, in a proxy protocol v2 header; whether more follows it.
    ProxiedProbe {
        /// Bytes behind the header: a request.
        asks: bool,
    },
    /// Somebody's connection behind a proxy protocol v2 header.
    Proxied,
    /// TLS: nothing can be said about what is inside.
    Tls,
    /// Anything else: somebody's request.
    Other,
}

/// Looks at the first `length` bytes of an opening.
#[inline(always)]
pub fn recognise(head: &[u8; HEAD_BYTES], length: usize) -> Opening {
    let start = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
    if start == GET {
        return if has_user_agent(head, length) { Opening::Probe } else { Opening::Other };
    }
    if start >> 16 == TLS_HANDSHAKE as u32 {
        // Version 3.0 to 3.4, a record of at most 16 KiB, and in it a ClientHello (1).
        let is_hello = length > 5 && head[2] <= 4 && head[3] <= 0x40 && head[5] == 1;
        return if is_hello { Opening::Tls } else { Opening::Other };
    }
    if start == PROXY_V2_START && length >= SHORTEST {
        let mut rest = 0;
        for byte in &head[4..12] {
            rest = rest << 8 | *byte as u64;
        }
        if rest == PROXY_V2_REST {
            let header_bytes = SHORTEST + ((head[14] as usize) << 8 | head[15] as usize);
            return if head[12] == PROXY_V2_LOCAL {
                Opening::ProxiedProbe { asks: length > header_bytes }
            } else {
                Opening::Proxied
            };
        }
    }
    Opening::Other
}

/// One pass with the latest sixteen bytes in two registers: a search that compares at every place would load each byte
/// sixteen times.
///
/// Without a branch in the loop: the verifier follows every way out of a loop to the end of the program, and two ways
/// out of each of 256 rounds cost it about a second at load. Only the top bit of `differs` means something: it stays
/// set while every place differed or lay behind the end.
#[inline(always)]
fn has_user_agent(head: &[u8; HEAD_BYTES], length: usize) -> bool {
    let (wanted_high, wanted_low) = ((USER_AGENT >> 64) as u64, USER_AGENT as u64);
    let (mut high, mut low) = (0u64, 0u64);
    let mut differs = u64::MAX;
    // Negative from the first byte behind the end on.
    let mut left = length as u64;
    for byte in head {
        left = left.wrapping_sub(1);
        high = high << 8 | low >> 56;
        low = low << 8 | *byte as u64;
        let difference = (low ^ wanted_low) | (high ^ wanted_high);
        differs &= difference | difference.wrapping_neg() | left;
    }
    (differs as i64) >= 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &[u8]) -> Opening {
        let mut head = [0; HEAD_BYTES];
        let length = text.len().min(HEAD_BYTES);
        head[..length].copy_from_slice(&text[..length]);
        recognise(&head, length)
    }

    #[test]
    fn a_health_check_is_known_by_its_user_agent() {
        let request = |agent: &str, path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: 10.0.1.23:80\r\nUser-Agent: {agent}\r\n\r\n").into_bytes()
        };
        assert_eq!(of(&request("ELB-HealthChecker/2.0", "/")), Opening::Probe);
        assert_eq!(of(&request("ELB-HealthChecker/2.0", &format!("/{}", "x".repeat(100)))), Opening::Probe);
        assert_eq!(of(&request("curl/8.0", "/")), Opening::Other);
        assert_eq!(of(&request("ELB-HealthCheck", "/")), Opening::Other);
        assert_eq!(of(b"POST /ELB-HealthChecker/2.0 HTTP/1.1\r\n\r\n"), Opening::Other);
    }

    #[test]
    fn what_lies_behind_the_end_is_not_looked_at() {
        let mut head = [0; HEAD_BYTES];
        let text = b"GET / HTTP/1.1\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n";
        head[..text.len()].copy_from_slice(text);
        assert_eq!(recognise(&head, 30), Opening::Other);
        assert_eq!(recognise(&head, text.len()), Opening::Probe);
    }

    #[test]
    fn proxy_protocol_tells_its_own_connections_from_those_it_forwards() {
        let header = |command: u8| {
            [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, 0, 0, 0], b"GET / HTTP/1.1\r\n\r\n"].concat()
        };
        assert_eq!(of(&header(0x20)), Opening::ProxiedProbe { asks: true });
        assert_eq!(of(&header(0x21)), Opening::Proxied);
        assert_eq!(of(b"\r\n\r\n\0\r\nQUIX\n \0\0\0"), Opening::Other);
        assert_eq!(of(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), Opening::ProxiedProbe { asks: false });
        assert_eq!("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".len(), SHORTEST);
    }

    #[test]
    fn tls_keeps_its_secret() {
        assert_eq!(of(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), Opening::Tls);
        assert_eq!(of(&[0x17, 0x03, 0x03, 0x00, 0x20]), Opening::Other);
        assert_eq!(of(&[0x16, 0x03, 0x41, 0x07, 0x00, 0x01]), Opening::Other, "bytes of an upload");
        assert_eq!(of(b""), Opening::Other);
    }
}
