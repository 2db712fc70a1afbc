//! tc ingress: an inbound SYN for a watched port is one more arrival of its source, and what a connection hands over is looked
//! at closer.

use agent_common::{
    packet::{self, Address, Bytes, Location},
    prefix::{Found, HUNT_STRAYS, REMEMBER},
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{control, ports, recent, strays, tallies},
    opening,
    see::{Sight, see},
    source,
    target::fact,
};

/// A SYN for a port that is watched, or for another while that matters; or a segment for a watched port that hands over data. In
/// one shape: of an enum the compiler carries the parts that one variant lacks along, which the verifier refuses.
struct Seen {
    is_syn: bool,
    address: Address,
    port: u16,
    /// Of a port that may be watched or not. No option: the verifier of 5.10 does not see that the number behind `None` is not used.
    port_index: u32,
    /// Zero where the port is watched.
    sequence: u32,
}

impl Sight for Seen {
    #[inline(always)]
    fn find<B: Bytes>(bytes: &B, length: usize) -> Option<Option<Self>> {
        Self::look(bytes, packet::find_tcp(bytes, fact!(link_header_bytes) as usize)?, length)
    }

    #[inline(always)]
    fn look<B: Bytes>(bytes: &B, found: Location, _length: usize) -> Option<Option<Self>> {
        let tcp_flags = found.flags(bytes)?;
        let is_syn = packet::is_syn(tcp_flags);
        if !is_syn && !packet::is_push(tcp_flags) {
            return Some(None);
        }
        let (_, port) = found.ports(bytes)?;
        let port_index = ports::index_on_wire(port);
        let is_watched = ports::is_watched(port_index);
        if !is_watched && !(is_syn && control::hunts_strays()) {
            return Some(None);
        }
        let sequence = if is_watched { 0 } else { found.sequence(bytes)? };
        Some(Some(Self { is_syn, address: found.source(bytes)?, port, port_index, sequence }))
    }
}

/// Counts the packet if it is a SYN for a watched port. With `LOOK`, looks closer at one that hands over data.
#[inline(always)]
pub fn count<const LOOK: bool>(context: &TcContext) {
    // Here, where all ways meet: the verifier follows the search for a source once.
    let Some(Seen { is_syn, address, port, port_index, sequence }) = see(context) else { return };
    if !is_syn {
        // All that was found is forgotten: the verifier follows what comes now once, and not for each way to here.
        if LOOK {
            let _not_an_opening = opening::look(context);
        }
        return;
    }
    let Found { slot, flags } = source::find(&address);
    if !ports::is_watched(port_index) {
        if flags & HUNT_STRAYS != 0 {
            strays::add(slot, port, sequence);
        }
        return;
    }
    tallies::add_arrived(slot, port_index);
    if flags & REMEMBER != 0 {
        recent::remember(&address, slot, port_index);
    }
}
