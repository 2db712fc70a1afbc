//! Nearly every packet: plain headers at places that are known before anything is read. What is none of these is searched
//! ([`crate::packet`]).

use crate::packet::{Bytes, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Location, PROTOCOL_TCP};

/// Version 4, and a header of five words: no options.
const PLAIN_IPV4: u8 = 0x45;

/// Bytes up to the end of the TCP header of an [`usual4`] packet.
pub const USUAL4_BYTES: usize = 54;

/// The same of an [`usual6`] one.
pub const USUAL6_BYTES: usize = 74;

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

/// The same of a packet that begins with such an IP header, of either family.
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
