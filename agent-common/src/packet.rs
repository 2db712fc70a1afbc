//! What a TCP segment is, read from bytes of any origin: a packet under the tc hook, kernel memory under a
//! tracepoint, a slice in a test. Nothing here calls a helper, so the host tests run the very code the kernel runs.

/// Bytes that can be read at an offset with a bounds check; multi-byte values are big-endian on the wire and
/// returned in host order. `None` past the end.
pub trait Bytes {
    /// One byte.
    fn u8_at(&self, offset: usize) -> Option<u8>;
    /// Two bytes.
    fn u16_at(&self, offset: usize) -> Option<u16>;
    /// Four bytes.
    fn u32_at(&self, offset: usize) -> Option<u32>;
    /// The same offset, of which a verifier knows no more than that it lies in a packet. Each of the many ways through the
    /// headers leaves another constant, and would be followed to the end of the program by itself.
    #[inline(always)]
    fn blurred(&self, offset: usize) -> Option<usize> {
        Some(offset)
    }
}

impl Bytes for [u8] {
    fn u8_at(&self, offset: usize) -> Option<u8> {
        self.get(offset).copied()
    }
    fn u16_at(&self, offset: usize) -> Option<u16> {
        let bytes = self.get(offset..offset.checked_add(2)?)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }
    fn u32_at(&self, offset: usize) -> Option<u32> {
        let bytes = self.get(offset..offset.checked_add(4)?)?;
        Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// TCP flag bits (RFC 9293 section 3.1).
pub mod flags {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Hand over what was written so far.
    pub const PSH: u8 = 0x08;
    /// Acknowledgment field is significant.
    pub const ACK: u8 = 0x10;
}

pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;
pub(crate) const ETHERTYPE_VLAN: u16 = 0x8100;
pub(crate) const ETHERTYPE_VLAN_SERVICE: u16 = 0x88a8;
pub(crate) const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_ICMPV6: u8 = 58;
const ICMP_UNREACHABLE: u8 = 3;
const ICMPV6_UNREACHABLE: u8 = 1;

/// IPv6 extension headers that are walked before giving up. RFC 8200 names six kinds; more is malice.
const EXTENSION_HEADERS: usize = 6;

/// Where the TCP header of a packet is, and between whom it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Offset of the IP header.
    pub ip: usize,
    /// Offset of the TCP header.
    pub tcp: usize,
    /// IPv6 rather than IPv4.
    pub ipv6: bool,
}

/// Finds the IP header behind a link-layer header of `link_bytes` (14: Ethernet with up to two VLAN tags; 0: none).
#[inline(always)]
pub fn find_tcp<B: Bytes + ?Sized>(bytes: &B, link_bytes: usize) -> Option<Location> {
    if link_bytes == 0 {
        return find_tcp_at_ip(bytes, 0);
    }
    let mut offset = link_bytes;
    let mut ethertype = bytes.u16_at(offset - 2)?;
    for _ in 0..2 {
        if ethertype != ETHERTYPE_VLAN && ethertype != ETHERTYPE_VLAN_SERVICE {
            break;
        }
        ethertype = bytes.u16_at(offset + 2)?;
        offset += 4;
    }
    match ethertype {
        ETHERTYPE_IPV4 => find_tcp4(bytes, offset),
        ETHERTYPE_IPV6 => find_tcp6(bytes, offset),
        _ => None,
    }
}

/// The same where the packet begins with its IP header at `offset`; the version nibble says which.
#[inline(always)]
pub fn find_tcp_at_ip<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Location> {
    match bytes.u8_at(offset)? >> 4 {
        4 => find_tcp4(bytes, offset),
        6 => find_tcp6(bytes, offset),
        _ => None,
    }
}

/// Finds the TCP segment that an ICMP "destination unreachable" quotes (RFC 792; RFC 4443 section 3.1), behind a
/// link-layer header of `link_bytes` (14: Ethernet without tags, which the host does not send in line; 0: none).
#[inline(always)]
pub fn find_tcp_quoted<B: Bytes + ?Sized>(bytes: &B, link_bytes: usize) -> Option<Location> {
    let version_and_length = bytes.u8_at(link_bytes)?;
    let (icmp, unreachable) = match version_and_length >> 4 {
        4 if bytes.u8_at(link_bytes + 9)? == PROTOCOL_ICMP => {
            (link_bytes + ((version_and_length & 0x0f) << 2) as usize, ICMP_UNREACHABLE)
        }
        6 if bytes.u8_at(link_bytes + 6)? == PROTOCOL_ICMPV6 => (link_bytes + 40, ICMPV6_UNREACHABLE),
        _ => return None,
    };
    if bytes.u8_at(icmp)? != unreachable {
        return None;
    }
    let quoted = icmp + 8;
    if unreachable == ICMP_UNREACHABLE {
        return find_tcp4(bytes, quoted);
    }
    // One with extension headers is not looked for: what answers a SYN quotes a SYN.
    let is_tcp = bytes.u8_at(quoted)? >> 4 == 6 && bytes.u8_at(quoted + 6)? == PROTOCOL_TCP;
    is_tcp.then_some(Location { ip: quoted, tcp: quoted + 40, ipv6: true })
}

#[inline(always)]
fn find_tcp4<B: Bytes + ?Sized>(bytes: &B, ip: usize) -> Option<Location> {
    if bytes.u8_at(ip + 9)? != PROTOCOL_TCP {
        return None;
    }
    let version_and_length = bytes.u8_at(ip)?;
    let header_bytes = ((version_and_length & 0x0f) << 2) as usize;
    if version_and_length >> 4 != 4 || header_bytes < 20 {
        return None;
    }
    // The low 13 bits are the fragment's place: only a first fragment (0) holds the TCP header.
    if bytes.u16_at(ip + 6)? & 0x1fff != 0 {
        return None;
    }
    Some(Location { ip, tcp: ip + header_bytes, ipv6: false })
}

#[inline(always)]
fn find_tcp6<B: Bytes + ?Sized>(bytes: &B, ip: usize) -> Option<Location> {
    if bytes.u8_at(ip)? >> 4 != 6 {
        return None;
    }
    let next_header = bytes.u8_at(ip + 6)?;
    if next_header == PROTOCOL_TCP {
        return Some(Location { ip, tcp: ip + 40, ipv6: true });
    }
    walk_extension_headers(bytes, ip, next_header)
}

/// RFC 8200 section 4: hop-by-hop (0), routing (43), fragment (44), destination options (60); RFC 4302: AH (51).
#[inline(always)]
fn walk_extension_headers<B: Bytes + ?Sized>(bytes: &B, ip: usize, first: u8) -> Option<Location> {
    let mut next_header = first;
    let mut offset = ip + 40;
    for _ in 0..EXTENSION_HEADERS {
        let length = match next_header {
            0 | 43 | 60 => (bytes.u8_at(offset + 1)? as usize + 1) << 3,
            44 => {
                if bytes.u16_at(offset + 2)? & 0xfff8 != 0 {
                    return None;
                }
                8
            }
            51 => (bytes.u8_at(offset + 1)? as usize + 2) << 2,
            _ => return None,
        };
        next_header = bytes.u8_at(offset)?;
        offset += length;
        if next_header == PROTOCOL_TCP {
            return Some(Location { ip, tcp: offset, ipv6: true });
        }
    }
    None
}

impl Location {
    /// The same place, however it was found ([`Bytes::blurred`]): for what is looked at closer.
    #[inline(always)]
    pub fn blurred<B: Bytes + ?Sized>(self, bytes: &B) -> Option<Self> {
        Some(Self { ip: bytes.blurred(self.ip)?, tcp: bytes.blurred(self.tcp)?, ipv6: self.ipv6 })
    }

    /// TCP flags. `None` when the packet ends before them.
    #[inline(always)]
    pub fn flags<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<u8> {
        bytes.u8_at(self.tcp + 13)
    }

    /// Offset of what follows the TCP header.
    #[inline(always)]
    pub fn payload<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<usize> {
        Some(self.tcp + (bytes.u8_at(self.tcp + 12)? >> 4 << 2) as usize)
    }

    /// Source and destination port.
    #[inline(always)]
    pub fn ports<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<(u16, u16)> {
        Some((bytes.u16_at(self.tcp)?, bytes.u16_at(self.tcp + 2)?))
    }

    /// Sequence number.
    #[inline(always)]
    pub fn sequence<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<u32> {
        bytes.u32_at(self.tcp + 4)
    }

    /// Source address.
    #[inline(always)]
    pub fn source<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<Address> {
        if self.ipv6 { address6(bytes, self.ip + 8) } else { Some(Address::V4(bytes.u32_at(self.ip + 12)?)) }
    }

    /// Destination address.
    #[inline(always)]
    pub fn destination<B: Bytes + ?Sized>(&self, bytes: &B) -> Option<Address> {
        if self.ipv6 { address6(bytes, self.ip + 24) } else { Some(Address::V4(bytes.u32_at(self.ip + 16)?)) }
    }
}

#[inline(always)]
fn address6<B: Bytes + ?Sized>(bytes: &B, offset: usize) -> Option<Address> {
    Some(Address::V6([
        bytes.u32_at(offset)?,
        bytes.u32_at(offset + 4)?,
        bytes.u32_at(offset + 8)?,
        bytes.u32_at(offset + 12)?,
    ]))
}

/// An address as words in host order, most significant first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6([u32; 4]),
}

impl Address {
    /// The IPv4 address inside `::ffff:a.b.c.d`, or the address itself. A dual-stack listener serves IPv4 peers
    /// as AF_INET6, and they belong to the IPv4 source.
    #[inline(always)]
    pub fn unmapped(self) -> Self {
        match self {
            Self::V6([0, 0, 0xffff, low]) => Self::V4(low),
            other => other,
        }
    }

    /// As IPv6 words; IPv4 as `::ffff:a.b.c.d`.
    #[inline(always)]
    pub const fn mapped(&self) -> [u32; 4] {
        match self {
            Self::V4(word) => [0, 0, 0xffff, *word],
            Self::V6(words) => *words,
        }
    }

    /// The lowest 32 bits, host order.
    #[inline(always)]
    pub fn low(&self) -> u32 {
        match self {
            Self::V4(word) => *word,
            Self::V6(words) => words[3],
        }
    }
}

/// A connection attempt: SYN without ACK, RST or FIN (the kernel's listener throws those away at once). ECN bits do
/// not matter.
#[inline(always)]
pub const fn is_syn(tcp_flags: u8) -> bool {
    tcp_flags & (flags::FIN | flags::SYN | flags::RST | flags::ACK) == flags::SYN
}

/// The second step of a handshake.
#[inline(always)]
pub const fn is_syn_ack(tcp_flags: u8) -> bool {
    tcp_flags & (flags::SYN | flags::RST | flags::ACK) == flags::SYN | flags::ACK
}

/// A segment in the middle of a connection, or its end.
#[inline(always)]
pub const fn is_segment(tcp_flags: u8) -> bool {
    tcp_flags & (flags::SYN | flags::RST | flags::ACK) == flags::ACK
}

/// A segment in the middle of a connection that hands over what a writer wrote: the begin of a request is one.
#[inline(always)]
pub const fn is_push(tcp_flags: u8) -> bool {
    tcp_flags & (flags::SYN | flags::RST | flags::PSH | flags::ACK) == flags::PSH | flags::ACK
}

/// A reset that acknowledges something: with sequence number zero it answers a SYN (RFC 9293 section 3.5.2, case 1).
#[inline(always)]
pub const fn is_reset_ack(tcp_flags: u8) -> bool {
    tcp_flags & (flags::SYN | flags::RST | flags::ACK) == flags::RST | flags::ACK
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
