//! tc egress: what leaves a watched port in answer to a SYN. A firewall may refuse one by ICMP, too.

use agent_common::packet::{self, Bytes};
use aya_ebpf::programs::TcContext;

use crate::{
    ingress::HEADER_BYTES,
    maps::{ports, tallies},
    packet_bytes,
    read::{Linear, Paged},
    source,
    target::fact,
};

/// Counts the packet if it is a SYN-ACK from a watched port, or the RST or ICMP message that refuses a SYN.
#[inline(always)]
pub fn count(context: &TcContext) {
    let (start, end, length) = packet_bytes(context.skb.skb);
    if count_in(context, &Linear::new(start, end)).is_none()
        && end - start < HEADER_BYTES
        && end - start < length
    {
        count_in(context, &Paged(context));
    }
}

#[inline(always)]
fn count_in<B: Bytes>(context: &TcContext, bytes: &B) -> Option<()> {
    let Some(found) = packet::find_tcp(bytes, fact!(link_header_bytes) as usize) else {
        return count_unreachable(bytes);
    };
    let tcp_flags = found.flags(bytes)?;
    let synack = packet::is_syn_ack(tcp_flags);
    if !synack && !packet::is_reset_ack(tcp_flags) {
        return Some(());
    }
    let (port, _) = found.ports(bytes)?;
    let Some(port_index) = ports::on_wire(port) else {
        return Some(());
    };
    let slot = source::slot(&found.destination(bytes)?);
    if synack {
        // A SYN cookie is sent without a request socket (tcp_make_synack, net/ipv4/tcp_output.c, v6.1).
        // SAFETY: the context is valid; comparing the socket pointer with null is all the verifier allows here.
        let cookie = unsafe { (*context.skb.skb).__bindgen_anon_2.sk }.is_null();
        tallies::add_answered(slot, port_index, cookie);
    } else if found.sequence(bytes)? == 0 {
        tallies::add_refused(slot, port_index);
    }
    Some(())
}

#[inline(always)]
fn count_unreachable<B: Bytes>(bytes: &B) -> Option<()> {
    let found = packet::find_tcp_quoted(bytes, fact!(link_header_bytes) as usize)?;
    if packet::is_syn(found.flags(bytes)?) {
        let (_, port) = found.ports(bytes)?;
        let port_index = ports::on_wire(port)?;
        tallies::add_refused(source::slot(&found.source(bytes)?), port_index);
    }
    Some(())
}
