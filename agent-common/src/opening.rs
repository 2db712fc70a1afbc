//! What the first bytes that a peer sends say about it.

/// Most bytes of an opening that are looked at. A health check's request is about 130 long, and its path; a path may have
/// 1024 characters (Elastic Load Balancing API, `HealthCheckPath`).
pub const HEAD_BYTES: usize = 512;

/// So many of them are searched in any case, the others only where there are more. Most requests of health checks end here.
const FIRST_BYTES: usize = 256;

/// The shortest opening that says something: a proxy protocol v2 header without addresses.
pub const SHORTEST: usize = 16;

/// User agent of the health checks of NLB and ALB, `ELB-HealthChecker/2.0`, cut to what is compared (widely reported; AWS
/// documents it for the ALB).
const USER_AGENT: u128 = u128::from_be_bytes(*b"ELB-HealthChecke");

/// First four bytes of the proxy protocol v2 signature, and the rest of it (the protocol's specification, section 2.2).
const PROXY_V2_START: u32 = 0x0d0a_0d0a;
const PROXY_V2_REST: u64 = 0x000d_0a51_5549_540a;

/// Version 2, command LOCAL: the connection is the balancer's own, a health check, whatever else the header holds.
const PROXY_V2_LOCAL: u8 = 0x20;

/// Version 2, command PROXY: the connection is somebody's, whose address the header holds.
const PROXY_V2_PROXY: u8 = 0x21;

/// A TLV of AWS, and what in it is the id of a VPC endpoint (AWS, NLB target group attributes). It has three bytes in front.
const AWS: u64 = 0xea;
/// See [`AWS`].
const ENDPOINT: u64 = 0x01;
const TLV_BYTES: u64 = 3;

/// TLVs that are looked at. An NLB writes two or three.
const TLVS: usize = 8;

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

/// Looks at the first `length` bytes of an opening, [`HEAD_BYTES`] at most.
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
            let own = Opening::ProxiedProbe { asks: length > header_bytes };
            return match head[12] {
                PROXY_V2_LOCAL => own,
                // No address family: no client stands behind it (AWS: the headers of health checks have no client
                // information), unless it came through an endpoint.
                PROXY_V2_PROXY if head[13] >> 4 == 0 && !names_endpoint(head, length.min(header_bytes)) => {
                    own
                }
                PROXY_V2_PROXY => Opening::Proxied,
                // Receivers have to refuse it (the protocol's specification, section 2.2).
                _ => Opening::Other,
            };
        }
    }
    Opening::Other
}

/// Whether a header without addresses that ends at `end` has the id of a VPC endpoint among its TLVs.
///
/// Without a branch in the loop, as [`Search`]. What lies behind the end is read and not believed.
#[inline(always)]
fn names_endpoint(head: &[u8; HEAD_BYTES], end: usize) -> bool {
    let byte = |at: u64| head[at as usize & (HEAD_BYTES - 1)] as u64;
    let mut at = SHORTEST as u64;
    let mut differs = u64::MAX;
    for _ in 0..TLVS {
        let difference = (byte(at) ^ AWS) | (byte(at + TLV_BYTES) ^ ENDPOINT);
        let left = (end as u64).wrapping_sub(at + TLV_BYTES + 1);
        differs &= difference | difference.wrapping_neg() | left;
        at += TLV_BYTES + (byte(at + 1) << 8 | byte(at + 2));
    }
    (differs as i64) >= 0
}

/// Whether the user agent of a health check is among the first `length` bytes. Two passes: to search for what is not there
/// would double what a short request costs.
#[inline(always)]
fn has_user_agent(head: &[u8; HEAD_BYTES], length: usize) -> bool {
    let (first, rest) = head.split_at(FIRST_BYTES);
    let mut search = Search::begin(length);
    for byte in first {
        search.step(*byte);
    }
    if length > FIRST_BYTES {
        for byte in rest {
            search.step(*byte);
        }
    }
    search.has_found()
}

/// A search with the latest sixteen bytes in two registers: one that compares at every place would load each byte sixteen
/// times.
///
/// Without a branch in its steps: the verifier follows every way out of a loop to the end of the program, and two ways
/// out of each of 256 rounds cost it about a second at load.
struct Search {
    high: u64,
    low: u64,
    /// Only the top bit means something: it stays set while every place differed or lay behind the end.
    differs: u64,
    /// Negative from the first byte behind the end on.
    left: u64,
}

impl Search {
    #[inline(always)]
    fn begin(length: usize) -> Self {
        Self { high: 0, low: 0, differs: u64::MAX, left: length as u64 }
    }

    #[inline(always)]
    fn step(&mut self, byte: u8) {
        let (wanted_high, wanted_low) = ((USER_AGENT >> 64) as u64, USER_AGENT as u64);
        self.left = self.left.wrapping_sub(1);
        self.high = self.high << 8 | self.low >> 56;
        self.low = self.low << 8 | byte as u64;
        let difference = (self.low ^ wanted_low) | (self.high ^ wanted_high);
        self.differs &= difference | difference.wrapping_neg() | self.left;
    }

    #[inline(always)]
    fn has_found(&self) -> bool {
        (self.differs as i64) >= 0
    }
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

    /// What is compared begins at `at`.
    fn with_user_agent_at(at: usize) -> Vec<u8> {
        let before = "GET /?";
        let after = " HTTP/1.1\r\nUser-Agent: ";
        let path = "x".repeat(at - before.len() - after.len());
        format!("{before}{path}{after}ELB-HealthChecker/2.0\r\n\r\n").into_bytes()
    }

    #[test]
    fn the_user_agent_may_stand_behind_a_long_path_and_other_headers() {
        // Across the end of the first pass, and right in front of the end of the second.
        for at in [100, 239, 240, 241, 250, 256, 257, 400, HEAD_BYTES - 16] {
            assert_eq!(of(&with_user_agent_at(at)), Opening::Probe, "at {at}");
        }
        assert_eq!(of(&with_user_agent_at(HEAD_BYTES - 15)), Opening::Other);
        let last = with_user_agent_at(HEAD_BYTES - 16);
        let mut head = [0; HEAD_BYTES];
        head.copy_from_slice(&last[..HEAD_BYTES]);
        assert_eq!(recognise(&head, HEAD_BYTES - 1), Opening::Other);
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
            [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &[command, 0x11, 0, 0], b"GET / HTTP/1.1\r\n\r\n"].concat()
        };
        assert_eq!(of(&header(0x20)), Opening::ProxiedProbe { asks: true });
        assert_eq!(of(&header(0x21)), Opening::Proxied);
        assert_eq!(of(b"\r\n\r\n\0\r\nQUIX\n \0\0\0"), Opening::Other);
        assert_eq!(of(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"), Opening::ProxiedProbe { asks: false });
        assert_eq!("\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".len(), SHORTEST);
    }

    fn header(command: u8, family: u8, rest: &[u8], behind: &[u8]) -> Vec<u8> {
        let start = [command, family, 0, u8::try_from(rest.len()).expect("a short one")];
        [b"\r\n\r\n\0\r\nQUIT\n".as_slice(), &start, rest, behind].concat()
    }

    #[test]
    fn a_local_header_may_hold_addresses_and_more() {
        let rest = [&[0; 12][..], &[0x03, 0, 4, 1, 2, 3, 4], &[0x04, 0, 2, 0, 0]].concat();
        assert_eq!(of(&header(0x20, 0x11, &rest, b"")), Opening::ProxiedProbe { asks: false });
        assert_eq!(of(&header(0x20, 0x11, &rest, b"G")), Opening::ProxiedProbe { asks: true });
        assert_eq!(of(&header(0x21, 0x11, &rest, b"G")), Opening::Proxied);
        assert_eq!(of(&header(0x22, 0x11, &rest, b"G")), Opening::Other, "no such command");
        assert_eq!(of(&header(0x11, 0x11, &rest, b"G")), Opening::Other, "no such version");
    }

    #[test]
    fn a_header_without_a_family_hides_no_client_unless_it_names_an_endpoint() {
        let checksum = [0x03, 0, 4, 1, 2, 3, 4];
        let endpoint = [&[0xea, 0, 7, 1][..], b"vpce-1"].concat();
        let own = Opening::ProxiedProbe { asks: true };
        assert_eq!(of(&header(0x21, 0, &[], b"GET /")), own);
        assert_eq!(of(&header(0x21, 0, &checksum, b"GET /")), own);
        assert_eq!(of(&header(0x21, 0, &endpoint, b"GET /")), Opening::Proxied);
        assert_eq!(of(&header(0x21, 0, &[&checksum[..], &endpoint].concat(), b"GET /")), Opening::Proxied);
        let other_of_aws = [0xea, 0, 2, 2, 1];
        assert_eq!(of(&header(0x21, 0, &other_of_aws, b"GET /")), own);
        // Behind the end of the header it is somebody's data.
        assert_eq!(of(&header(0x21, 0, &checksum, &endpoint)), own);
        // A length that leads out of the header, and back by the mask.
        assert_eq!(
            of(&header(0x21, 0, &[0x04, 1, 0xfd, 0xea, 0, 7, 1], b"")),
            Opening::ProxiedProbe { asks: false }
        );
    }

    #[test]
    fn tls_keeps_its_secret() {
        assert_eq!(of(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), Opening::Tls);
        assert_eq!(of(&[0x17, 0x03, 0x03, 0x00, 0x20]), Opening::Other);
        assert_eq!(of(&[0x16, 0x03, 0x41, 0x07, 0x00, 0x01]), Opening::Other, "bytes of an upload");
        assert_eq!(of(b""), Opening::Other);
    }
}
