//! One part of an answer over netlink: sockets, links, addresses.
#![no_main]

use agent::kernel::netlink::take_in;
use libfuzzer_sys::fuzz_target;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_sock_diag::SockDiagMessage;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, part)) = bytes.split_first() else { return };
    // An answer that cannot be read is an error, and never the end of the agent.
    if kind & 1 == 0 {
        let _read_or_error = take_in::<SockDiagMessage>(part, &mut Vec::new());
    } else {
        let _read_or_error = take_in::<RouteNetlinkMessage>(part, &mut Vec::new());
    }
});
