//! `tcp_conn_request`, where it begins: whose SYNs meet a listener with a full accept queue. The kernel drops them without a word
//! to `kfree_skb`, and counts them for the namespace as a whole only (net/ipv4/tcp_input.c, v6.1).

use core::mem::MaybeUninit;

use agent_common::{packet, usual::usual_at_ip};
use aya_ebpf::programs::FEntryContext;

use crate::{
    kernel::Fields,
    maps::{ports, tallies},
    read::{Headers, argument},
    source,
    target::fact,
    typed::TypedPacket,
    word::Typed,
};

/// Counts the SYN if the queue is full. Arguments: two tables of functions, the listener, the packet.
#[inline(always)]
pub fn record(context: &FEntryContext) {
    let listener = Typed(argument::<2>(context));
    let net = Typed(listener.load(fact!(sock_net)));
    if net.0 == 0 || net.load::<u32>(fact!(net_inode)) != fact!(netns_inode) {
        return;
    }
    // As sk_acceptq_is_full does (include/net/sock.h, v6.1).
    if listener.load::<u32>(fact!(sock_ack_backlog)) > listener.load::<u32>(fact!(sock_max_ack_backlog)) {
        let _not_watched = count(listener, &TypedPacket::new(argument::<3>(context)));
    }
}

#[inline(always)]
fn count(listener: Typed, packet: &TypedPacket) -> Option<()> {
    let port_index = ports::any(listener.load(fact!(sock_local_port)))?;
    let mut headers = MaybeUninit::<Headers>::uninit();
    let bytes = packet.network_header()?;
    let usual = bytes.copy(&mut headers).and_then(|headers| usual_at_ip(headers)?.source(headers));
    let peer = match usual {
        Some(peer) => peer,
        None => packet::find_tcp_at_ip(&bytes, 0)?.source(&bytes)?,
    };
    tallies::add_queue_full(source::slot(&peer), port_index);
    Some(())
}
