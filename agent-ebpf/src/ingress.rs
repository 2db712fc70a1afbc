//! tc ingress: an inbound SYN for a watched port is one more arrival of its source.

use agent_common::{
    packet::{self, Bytes},
    prefix::{HUNT_STRAYS, REMEMBER},
};
use aya_ebpf::programs::TcContext;

use crate::{
    maps::{control, ports, recent, strays, tallies},
    packet_bytes,
    read::{Linear, Paged},
    source,
    target::fact,
};

/// Ethernet, two VLAN tags, the longest IPv4 header and a TCP header: with less than this in the linear part, the
/// headers may continue in a page.
pub const HEADER_BYTES: usize = 14 + 8 + 60 + 20;

/// Counts the packet if it is a SYN for a watched port.
#[inline(always)]
pub fn count(context: &TcContext) {
    let (start, end, length) = packet_bytes(context.skb.skb);
    if count_in(&Linear::new(start, end)).is_none() && end - start < HEADER_BYTES && end - start < length {
        count_in(&Paged(context));
    }
}

/// `None`: not a TCP packet, or its headers end too early to tell.
#[inline(always)]
fn count_in<B: Bytes>(bytes: &B) -> Option<()> {
    let found = packet::find_tcp(bytes, fact!(link_header_bytes) as usize)?;
    if !packet::is_syn(found.flags(bytes)?) {
        return Some(());
    }
    let (_, port) = found.ports(bytes)?;
    let port_index = ports::on_wire(port);
    if port_index.is_none() && !control::hunts_strays() {
        return Some(());
    }
    let address = found.source(bytes)?;
    // Read before the search, behind which the verifier need not know where the headers were: it would follow the search
    // once for each of the ways to them.
    let sequence = if port_index.is_none() { found.sequence(bytes)? } else { 0 };
    // One search for both, because the verifier follows every copy.
    let rule = source::rule(&address);
    let slot = rule.slot_of(address.low());
    let Some(port_index) = port_index else {
        if rule.flags & HUNT_STRAYS != 0 {
            strays::add(slot, port, sequence);
        }
        return Some(());
    };
    tallies::add_arrived(slot, port_index);
    if rule.flags & REMEMBER != 0 {
        recent::remember(&address, slot, port_index);
    }
    Some(())
}
