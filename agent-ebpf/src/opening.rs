//! tc ingress, behind the one that counts: what connections from a shared address begin with, probe or client.
//!
//! A program of its own, so that the verifier has to follow one search at a time. Where an NLB is named, only what its nodes
//! send is searched; else everybody's, so that nodes can be learned. Only what names itself a probe is remembered until its
//! connection ends, so that no flood of clients can push it out.

use agent_common::{
    opening::{Opening, SHORTEST, recognise},
    packet::{self, Address, Bytes, Location},
    prefix::{LOOK_AT_OPENINGS, OTHER_SLOT},
    tally::ConnectionKey,
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{checkers, control, ports, probes, scratch, tallies},
    see::{Sight, see},
    source,
    target::fact,
};

/// A segment that hands over data on a watched port.
struct Seen {
    address: Address,
    peer_port: u16,
    port_index: u32,
    payload: usize,
}

impl Sight for Seen {
    /// A connection whose headers are in a page counts as a client's.
    const READS_PAGES: bool = false;

    #[inline(always)]
    fn find<B: Bytes>(bytes: &B) -> Option<Option<Self>> {
        let found = packet::find_tcp(bytes, fact!(link_header_bytes) as usize)?;
        Self::look(bytes, found.blurred(bytes)?)
    }

    #[inline(always)]
    fn look<B: Bytes>(bytes: &B, found: Location) -> Option<Option<Self>> {
        if !packet::is_push(found.flags(bytes)?) {
            return Some(None);
        }
        let (peer_port, port) = found.ports(bytes)?;
        let Some(port_index) = ports::on_wire(port) else {
            return Some(None);
        };
        let (address, payload) = (found.source(bytes)?, found.payload(bytes)?);
        Some(Some(Self { address, peer_port, port_index, payload }))
    }
}

/// Looks at a segment that hands over data, if it comes from a source that may be probe and client.
#[inline(always)]
pub fn look(context: &TcContext) -> Option<()> {
    let Seen { address, peer_port, port_index, payload } = see(context)?;
    let rule = source::rule(&address);
    let learns = control::learns();
    let may_be_learned = learns && rule.slot == OTHER_SLOT;
    if rule.flags & LOOK_AT_OPENINGS == 0 && !may_be_learned {
        return None;
    }
    let (head, length) = scratch::load::<SHORTEST>(context, payload)?;
    let opening = recognise(head, length);
    if learns && matches!(opening, Opening::Probe | Opening::ProxiedProbe { .. }) {
        checkers::said(&address, port_index);
    }
    let slot = rule.slot_of(address.low());
    // One place that remembers: the verifier follows each copy of it by itself.
    let asks = match opening {
        Opening::Probe => true,
        Opening::ProxiedProbe { asks } => {
            tallies::add_proxy_opening(slot, port_index);
            asks
        }
        Opening::Proxied => {
            tallies::add_proxy_opening(slot, port_index);
            return Some(());
        }
        Opening::Tls => {
            tallies::add_tls_opening(slot, port_index);
            return Some(());
        }
        Opening::Other => return Some(()),
    };
    probes::remember(&key(&address, peer_port, port_index), slot, asks);
    Some(())
}

/// The name of a connection, for both the tc hook and the socket tracepoint.
#[inline(always)]
pub fn key(peer: &Address, peer_port: u16, port_index: u32) -> ConnectionKey {
    ConnectionKey { peer: peer.mapped(), peer_port: peer_port as u32, port_index }
}
