//! tc ingress, in the program that counts: what connections from a shared address begin with, probe or client.
//!
//! Where an NLB is named, only what its nodes send is searched; else everybody's, so that nodes can be learned. Only what names
//! itself a probe is remembered until its connection ends, so that no flood of clients can push it out.

use agent_common::{
    opening::{Opening, SHORTEST, recognise},
    packet::{self, Address},
    prefix::{Found, LOOK_AT_OPENINGS, OTHER_SLOT},
    tally::ConnectionKey,
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{checkers, control, ports, probes, scratch, tallies},
    see::locate,
    source,
};

/// Looks at a segment that hands over data, if it comes from a source that may be probe and client. One whose
/// headers are not in the linear part is passed over, and its connection counts as a client's.
#[inline(always)]
pub fn look(context: &TcContext) -> Option<()> {
    let (bytes, found) = locate(context)?;
    if !packet::is_push(found.flags(&bytes)?) {
        return None;
    }
    let (peer_port, port) = found.ports(&bytes)?;
    let port_index = ports::on_wire(port)?;
    let address = found.source(&bytes)?;
    let payload = found.payload(&bytes)?;
    let Found { slot, flags } = source::find(&address);
    let learns = control::learns();
    let may_be_learned = learns && slot == OTHER_SLOT;
    if flags & LOOK_AT_OPENINGS == 0 && !may_be_learned {
        return None;
    }
    let (head, length) = scratch::load::<SHORTEST>(context, payload)?;
    let opening = recognise(head, length);
    if learns && matches!(opening, Opening::Probe | Opening::ProxiedProbe { .. }) {
        checkers::said(&address, port_index);
    }
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
