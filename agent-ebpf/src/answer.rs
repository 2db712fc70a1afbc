//! tc egress, in the program that counts: how the application answers connections from the NLB's nodes.
//!
//! Of what the counting found, nothing is known here: like for openings, the search begins anew.

use agent_common::{
    answer::{Answer, recognise},
    packet,
    prefix::{Found, LOOK_AT_OPENINGS},
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{ports, probes, tallies},
    opening::key,
    packet_bytes,
    read::Paged,
    see::locate,
    source,
};

/// Looks at a segment with data. TCP's own headers are in the linear part of what this host sends; the data need not be.
#[inline(always)]
pub fn look(context: &TcContext) -> Option<()> {
    let (bytes, found) = locate(context)?;
    if !packet::is_segment(found.flags(&bytes)?) {
        return None;
    }
    let payload = found.payload(&bytes)?;
    let (_, _, length) = packet_bytes(context.skb.skb);
    if payload >= length {
        return None;
    }
    let (port, peer_port) = found.ports(&bytes)?;
    let port_index = ports::on_wire(port)?;
    let address = found.destination(&bytes)?;
    let Found { slot, flags } = source::find(&address);
    if flags & LOOK_AT_OPENINGS == 0 {
        return None;
    }
    match recognise(&Paged(context), payload) {
        Answer::Http(status) => {
            tallies::add_http_answer(slot, port_index, status);
            probes::answered(&key(&address, peer_port, port_index), status as u16);
        }
        Answer::TlsHello => tallies::add_tls_answer(slot, port_index),
        Answer::TlsAlert(description) => tallies::add_tls_alert(slot, port_index, description),
        Answer::Other => {}
    }
    Some(())
}
