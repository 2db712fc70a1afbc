//! Nearly every packet: plain headers at places that are known before anything is read. What is none of these is searched
//! ([`crate::packet`]).

use crate::packet::{
    Bytes, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_VLAN_SERVICE, Location, PROTOCOL_ICMP,
    PROTOCOL_TCP,
};

/// Version 4, and a header of five words: no options.
const PLAIN_IPV4: u8 = 0x45;

/// Bytes up to the end of the TCP header of an [`usual4`] packet.
pub const USUAL4_BYTES: usize = 54;

/// The same of an [`usual6`] one.
pub const USUAL6_BYTES: usize = 74;

/// Bytes up to what tells whether there is nothing to look for: the protocol in an IPv4 header.
pub const PROTOCOL_BYTES: usize = 24;

/// UDP behind an IPv6 header. Any other protocol there may be an extension header.
const PROTOCOL_UDP: u8 = 17;

/// The place of TCP in an Ethernet frame without tags, with an IPv4 header without options that is no fragment: nearly all
/// there are. `None` for any other, of which nothing is known.
#[inline(always)]
pub fn usual4<B: Bytes + ?Sized>(bytes: &B) -> Option<Location> {
    let is_usual = bytes.u16_at(12)? == ETHERTYPE_IPV4
        && bytes.u8_at(14)? == PLAIN_IPV4
        && bytes.u8_at(14 + 9)? == PROTOCOL_TCP
        && bytes.u16_at(14 + 6)? & 0x1fff == 0;
    if is_usual { Some(Location { ip: 14, tcp: 34, ipv6: false }) } else { None }
}

/// The same with an IPv6 header that TCP follows directly.
#[inline(always)]
pub fn usual6<B: Bytes + ?Sized>(bytes: &B) -> Option<Location> {
    let is_usual = bytes.u16_at(12)? == ETHERTYPE_IPV6
        && bytes.u8_at(14)? >> 4 == 6
        && bytes.u8_at(14 + 6)? == PROTOCOL_TCP;
    if is_usual { Some(Location { ip: 14, tcp: 54, ipv6: true }) } else { None }
}

/// Whether an Ethernet frame holds neither TCP nor an ICMP message that may quote it, as ARP and UDP: what nobody need search.
/// No tag and no extension header is looked behind.
#[inline(always)]
pub fn holds_no_tcp<B: Bytes + ?Sized>(bytes: &B) -> Option<bool> {
    Some(match bytes.u16_at(12)? {
        ETHERTYPE_IPV4 => !matches!(bytes.u8_at(14 + 9)?, PROTOCOL_TCP | PROTOCOL_ICMP),
        ETHERTYPE_IPV6 => bytes.u8_at(14 + 6)? == PROTOCOL_UDP,
        ETHERTYPE_VLAN | ETHERTYPE_VLAN_SERVICE => false,
        _ => true,
    })
}

/// The place of TCP in a packet that begins with such an IP header, of either family.
#[inline(always)]
pub fn usual_at_ip<B: Bytes + ?Sized>(bytes: &B) -> Option<Location> {
    match bytes.u8_at(0)? {
        PLAIN_IPV4 if bytes.u8_at(9)? == PROTOCOL_TCP && bytes.u16_at(6)? & 0x1fff == 0 => {
            Some(Location { ip: 0, tcp: 20, ipv6: false })
        }
        first if first >> 4 == 6 && bytes.u8_at(6)? == PROTOCOL_TCP => {
            Some(Location { ip: 0, tcp: 40, ipv6: true })
        }
        _ => None,
    }
}
