//! A packet from its link-layer or its IP header on.
#![no_main]

use agent_common::{
    packet::{Bytes as _, find_tcp},
    usual::holds_no_tcp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, packet)) = bytes.split_first() else { return };
    let link_bytes = if kind & 1 == 0 { 14 } else { 0 };
    let Some(found) = find_tcp(packet, link_bytes) else { return };
    assert!(link_bytes == 0 || holds_no_tcp(packet) != Some(true));
    // An IPv4 header has 20 bytes at least, an IPv6 header 40.
    assert!(found.ip >= link_bytes && found.tcp >= found.ip + if found.ipv6 { 40 } else { 20 });
    let version = packet.u8_at(found.ip).expect("it was read to find the rest") >> 4;
    assert_eq!(version, if found.ipv6 { 6 } else { 4 });
    let _ends_early = found.flags(packet);
    if let Some(payload) = found.payload(packet) {
        assert!(payload >= found.tcp && payload <= found.tcp + 60);
    }
    let _ends_early = (found.ports(packet), found.sequence(packet));
    for address in [found.source(packet), found.destination(packet)].into_iter().flatten() {
        assert_eq!(address.unmapped().low(), address.low());
        assert_eq!(address.unmapped().mapped(), address.mapped());
    }
});
