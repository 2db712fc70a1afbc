//! tc egress: what leaves a watched port in answer to a SYN. A firewall may refuse one by ICMP, too. What answers a request is
//! looked at closer.

use agent_common::packet::{self, Address, Bytes, Location};
use aya_ebpf::programs::TcContext;

use crate::{
    answer,
    maps::{ports, tallies},
    see::{Sight, see},
    source,
    target::fact,
};

/// What leaves in answer to a SYN, or in the course of a connection. In one shape, as on the way in.
struct Seen {
    peer: Address,
    port_index: u32,
    is_synack: bool,
    is_segment: bool,
}

/// Counts the packet if it is a SYN-ACK from a watched port, or the RST or ICMP message that refuses a SYN. With `LOOK`,
/// looks closer at a segment of a connection.
#[inline(always)]
pub fn count<const LOOK: bool>(context: &TcContext) {
    // Here, where all ways meet: the verifier follows the search for a source once.
    let Some(Seen { peer, port_index, is_synack, is_segment }) = see(context) else { return };
    if is_segment {
        if LOOK {
            let _not_an_answer = answer::look(context);
        }
        return;
    }
    let slot = source::slot(&peer);
    if is_synack {
        // A SYN cookie is sent without a request socket (tcp_make_synack, net/ipv4/tcp_output.c, v6.1).
        // SAFETY: the context is valid; comparing the socket pointer with null is all the verifier allows here.
        let cookie = unsafe { (*context.skb.skb).__bindgen_anon_2.sk }.is_null();
        tallies::add_answered(slot, port_index, cookie);
    } else {
        tallies::add_refused(slot, port_index);
    }
}

impl Sight for Seen {
    #[inline(always)]
    fn find<B: Bytes>(bytes: &B, length: usize) -> Option<Option<Self>> {
        let Some(found) = packet::find_tcp(bytes, fact!(link_header_bytes) as usize) else {
            return unreachable(bytes).map(Some);
        };
        Self::look(bytes, found.blurred(bytes)?, length)
    }

    #[inline(always)]
    fn look<B: Bytes>(bytes: &B, found: Location, length: usize) -> Option<Option<Self>> {
        let tcp_flags = found.flags(bytes)?;
        let (is_synack, is_segment) = (packet::is_syn_ack(tcp_flags), packet::is_segment(tcp_flags));
        let is_of_interest = if is_segment {
            found.payload(bytes)? < length
        } else {
            is_synack || (packet::is_reset_ack(tcp_flags) && found.sequence(bytes)? == 0)
        };
        if !is_of_interest {
            return Some(None);
        }
        // Last: a mere acknowledgement, of which a served port sends many, needs no look-up.
        let (port, _) = found.ports(bytes)?;
        let Some(port_index) = ports::on_wire(port) else {
            return Some(None);
        };
        Some(Some(Self { peer: found.destination(bytes)?, port_index, is_synack, is_segment }))
    }
}

#[inline(always)]
fn unreachable<B: Bytes>(bytes: &B) -> Option<Seen> {
    let found = packet::find_tcp_quoted(bytes, fact!(link_header_bytes) as usize)?;
    if !packet::is_syn(found.flags(bytes)?) {
        return None;
    }
    let found = found.blurred(bytes)?;
    let (_, port) = found.ports(bytes)?;
    let port_index = ports::on_wire(port)?;
    Some(Seen { peer: found.source(bytes)?, port_index, is_synack: false, is_segment: false })
}
