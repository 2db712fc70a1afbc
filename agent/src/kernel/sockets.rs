//! TCP listeners of a network namespace, by socket diagnostics.

use std::{collections::BTreeSet, io};

use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::{
    domain::sample::Listener,
    kernel::netlink::{Kind, request},
};

/// Those of the wanted ports on which somebody listens for others than the host itself.
pub fn listened(listeners: &[Listener], wanted: &[u16]) -> BTreeSet<u16> {
    let for_others = listeners.iter().filter(|listener| !listener.address.is_loopback());
    for_others.map(|listener| listener.port).filter(|port| wanted.contains(port)).collect()
}

/// All TCP listeners of the current namespace. For a listener the kernel reports its backlog and limit in place of
/// queue lengths (tcp_diag_get_info, net/ipv4/tcp_diag.c, v6.1).
///
/// # Errors
///
/// When socket diagnostics are not built in or not allowed.
pub fn listeners() -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let message = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::LISTEN,
            socket_id,
        });
        for answer in request(NETLINK_SOCK_DIAG, Kind::Dump, message)? {
            let SockDiagMessage::InetResponse(response) = answer else { continue };
            let v6_only = response.nlas.contains(&Nla::SkV6Only(true));
            listeners.push(Listener {
                v6_only,
                address: response.header.socket_id.source_address,
                port: response.header.socket_id.source_port,
                backlog: response.header.recv_queue,
                backlog_limit: response.header.send_queue,
            });
        }
    }
    Ok(listeners)
}
