//! `skb:kfree_skb`: why a handshake packet was thrown away.
//!
//! Not every free that the hook sees is a loss: a duplicate SYN of a handshake under way is freed as NOT_SPECIFIED
//! with its route set. One freed so without a route never came as far as routing.

use core::mem::MaybeUninit;

use agent_common::{
    drop::{DropKey, DropKind, REASON_UNKNOWN},
    packet::{self, Address, Bytes, Location},
    usual::usual_at_ip,
};
use aya_ebpf::{
    EbpfContext,
    programs::{BtfTracePointContext, RawTracePointContext, TracePointContext},
};

use crate::{
    kernel::{Fields, Packet},
    maps::{drops, ports},
    read::{Headers, argument},
    record::Record,
    source,
    target::fact,
    typed::TypedPacket,
};

/// Files the drop if it is a SYN for, or a SYN-ACK from, a watched port of the target. For a hook whose arguments are numbers.
#[inline(always)]
pub fn record(context: &RawTracePointContext) {
    record_copied(context, argument::<0>(context), || reason(context));
}

/// The same for a hook that has a record.
#[inline(always)]
pub fn record_parsed(context: &TracePointContext) {
    let record = Record::new(context);
    let reason = || record.number(fact!(record_reason)).unwrap_or(REASON_UNKNOWN);
    if let Some(address) = record.pointer(fact!(record_packet)) {
        record_copied(context, address, reason);
    }
}

#[inline(always)]
fn record_copied(context: &impl EbpfContext, address: u64, reason: impl Fn() -> u32) {
    let packet = Packet::new(address);
    let mut room = MaybeUninit::uninit();
    if packet.in_target()
        && let Some(fields) = packet.fields(&mut room)
    {
        let _not_a_handshake_packet = file(context, fields, reason);
    }
}

/// The same for a hook whose arguments have types.
#[inline(always)]
pub fn record_typed(context: &BtfTracePointContext) {
    let packet = TypedPacket::new(argument::<0>(context));
    if packet.in_target() {
        let _not_a_handshake_packet = file(context, &packet, || reason(context));
    }
}

#[inline(always)]
fn file(context: &impl EbpfContext, fields: &impl Fields, reason: impl Fn() -> u32) -> Option<()> {
    let mut headers = MaybeUninit::<Headers>::uninit();
    let bytes = fields.network_header()?;
    // Nearly every packet has its headers one after the other: one read for all of them.
    let usual = bytes.copy(&mut headers).and_then(|headers| Some((headers, usual_at_ip(headers)?)));
    let (kind, port, peer) = match usual {
        Some((headers, found)) => look(fields, headers, &found)?,
        None => look(fields, &bytes, &packet::find_tcp_at_ip(&bytes, 0)?)?,
    };
    let port_index = ports::any(port)?;
    let reason = reason();
    let kind = if kind == DropKind::Syn { place(fields, reason) } else { kind };
    drops::add(context, &DropKey { slot: source::slot(&peer), port_index, kind: kind as u32, reason });
    Some(())
}

/// A SYN that came in, or a SYN-ACK of this host. Neither one that this host sends to somebody's port of the same number, nor one
/// that it gets.
#[inline(always)]
fn look<B: Bytes>(fields: &impl Fields, bytes: &B, found: &Location) -> Option<(DropKind, u16, Address)> {
    let tcp_flags = found.flags(bytes)?;
    let (from, to) = found.ports(bytes)?;
    if packet::is_syn(tcp_flags) && !(fields.is_own() && fields.has_socket()) {
        Some((DropKind::Syn, to, found.source(bytes)?))
    } else if packet::is_syn_ack(tcp_flags) && fields.is_own() {
        Some((DropKind::SynAck, from, found.destination(bytes)?))
    } else {
        None
    }
}

/// On which side of the ingress hook an inbound SYN was dropped.
#[inline(always)]
fn place(fields: &impl Fields, reason: u32) -> DropKind {
    if reason == fact!(reason_not_specified) {
        return if fields.route() == 0 { DropKind::SynBeforeHook } else { DropKind::DuplicateSyn };
    }
    let before = fact!(reasons_before_hook);
    if before.contains(&reason) { DropKind::SynBeforeHook } else { DropKind::Syn }
}

/// The reason argument, where the running kernel has one. An index the tracepoint does not have must be dead code.
#[inline(always)]
fn reason(context: &impl EbpfContext) -> u32 {
    match fact!(reason_argument) {
        2 => argument::<2>(context) as u32,
        3 => argument::<3>(context) as u32,
        _ => REASON_UNKNOWN,
    }
}
