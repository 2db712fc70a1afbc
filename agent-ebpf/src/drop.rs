//! `skb:kfree_skb`: why a handshake packet was thrown away.
//!
//! Not every free that the hook sees is a loss: a duplicate SYN of a handshake under way is freed as NOT_SPECIFIED
//! with its route set. One freed so without a route never came as far as routing.

use agent_common::{
    drop::{DropKey, DropKind, REASON_UNKNOWN},
    packet::{self, Address, Location},
};
use aya_ebpf::programs::RawTracePointContext;

use crate::{
    kernel::Packet,
    maps::{drops, ports},
    read::{Kernel, argument},
    source,
    target::fact,
};

/// Files the drop if it is a SYN for, or a SYN-ACK from, a watched port of the target.
#[inline(always)]
pub fn record(context: &RawTracePointContext) {
    let packet = Packet::new(context.arg(0));
    if packet.in_target() {
        let _not_a_handshake_packet = file(context, &packet);
    }
}

#[inline(always)]
fn file(context: &RawTracePointContext, packet: &Packet) -> Option<()> {
    let bytes = packet.network_header()?;
    let found = packet::find_tcp_at_ip(&bytes, 0)?;
    let tcp_flags = found.flags(&bytes)?;
    let (kind, port, peer) = if packet::is_syn(tcp_flags) {
        inbound(packet, &bytes, &found)?
    } else if packet::is_syn_ack(tcp_flags) {
        reply(packet, &bytes, &found)?
    } else {
        return None;
    };
    let port_index = ports::any(port)?;
    let reason = reason(context);
    let kind = if kind == DropKind::Syn { place(packet, reason) } else { kind };
    drops::add(context, &DropKey { slot: source::slot(&peer), port_index, kind: kind as u32, reason });
    Some(())
}

/// A SYN that came in. One that this host sends to somebody's port of the same number is none of ours.
#[inline(always)]
fn inbound(packet: &Packet, bytes: &Kernel, found: &Location) -> Option<(DropKind, u16, Address)> {
    if packet.is_own() && packet.has_socket() {
        return None;
    }
    let (_, port) = found.ports(bytes)?;
    Some((DropKind::Syn, port, found.source(bytes)?))
}

/// A SYN-ACK of this host, not one that it gets.
#[inline(always)]
fn reply(packet: &Packet, bytes: &Kernel, found: &Location) -> Option<(DropKind, u16, Address)> {
    if !packet.is_own() {
        return None;
    }
    let (port, _) = found.ports(bytes)?;
    Some((DropKind::SynAck, port, found.destination(bytes)?))
}

/// On which side of the ingress hook an inbound SYN was dropped.
#[inline(always)]
fn place(packet: &Packet, reason: u32) -> DropKind {
    if reason == fact!(reason_not_specified) {
        return if packet.route() == 0 { DropKind::SynBeforeHook } else { DropKind::DuplicateSyn };
    }
    let before = fact!(reasons_before_hook);
    if before.contains(&reason) { DropKind::SynBeforeHook } else { DropKind::Syn }
}

/// The reason argument, where the running kernel has one. An index the tracepoint does not have must be dead code.
#[inline(always)]
fn reason(context: &RawTracePointContext) -> u32 {
    match fact!(reason_argument) {
        2 => argument::<2>(context) as u32,
        3 => argument::<3>(context) as u32,
        _ => REASON_UNKNOWN,
    }
}
