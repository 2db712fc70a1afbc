//! tc egress, behind the one that counts: how the application answers connections from the NLB's nodes.
//!
//! A program of its own, like the one for openings and attached with it: whoever names no NLB pays nothing for it.

use agent_common::{
    answer::{Answer, recognise},
    packet::{self, Address, Bytes, Location, flags},
    prefix::LOOK_AT_OPENINGS,
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{ports, probes, tallies},
    opening::key,
    packet_bytes,
    read::Paged,
    see::{Sight, see},
    source,
    target::fact,
};

/// A segment in the middle of a connection on a watched port.
struct Seen {
    address: Address,
    peer_port: u16,
    port_index: u32,
    payload: usize,
}

impl Sight for Seen {
    /// TCP's own headers are in the linear part of what this host sends; the data need not be.
    const READS_PAGES: bool = false;

    #[inline(always)]
    fn find<B: Bytes>(bytes: &B) -> Option<Option<Self>> {
        Self::look(bytes, packet::find_tcp(bytes, fact!(link_header_bytes) as usize)?)
    }

    #[inline(always)]
    fn look<B: Bytes>(bytes: &B, found: Location) -> Option<Option<Self>> {
        if found.flags(bytes)? & (flags::SYN | flags::RST | flags::ACK) != flags::ACK {
            return Some(None);
        }
        let (port, peer_port) = found.ports(bytes)?;
        let Some(port_index) = ports::on_wire(port) else {
            return Some(None);
        };
        let (address, payload) = (found.destination(bytes)?, found.payload(bytes)?);
        Some(Some(Self { address, peer_port, port_index, payload }))
    }
}

/// Looks at a segment with data.
#[inline(always)]
pub fn look(context: &TcContext) -> Option<()> {
    let Seen { address, peer_port, port_index, payload } = see(context)?;
    let (_, _, length) = packet_bytes(context.skb.skb);
    if payload >= length {
        return None;
    }
    let rule = source::rule(&address);
    if rule.flags & LOOK_AT_OPENINGS == 0 {
        return None;
    }
    let slot = rule.slot_of(address.low());
    match recognise(&Paged(context), payload) {
        Answer::Http(status) => {
            tallies::add_http_answer(slot, port_index);
            probes::answered(&key(&address, peer_port, port_index), status as u16);
        }
        Answer::TlsAlert(description) => tallies::add_tls_alert(slot, port_index, description),
        Answer::Other => {}
    }
    Some(())
}
