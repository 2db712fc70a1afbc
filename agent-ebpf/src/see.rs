//! Every way to the TCP header of a packet under a tc hook: the usual one first, the search for it else.

use agent_common::packet::{self, Bytes, Location, USUAL4_BYTES, USUAL6_BYTES};
use aya_ebpf::programs::TcContext;

use crate::{
    packet_bytes,
    read::{Linear, Paged},
    target::fact,
};

/// Ethernet, two VLAN tags, the longest IPv4 header and a TCP header: with less than this in the linear part, the
/// headers may continue in a page.
const HEADER_BYTES: usize = 14 + 8 + 60 + 20;

/// The link header of Ethernet.
const ETHERNET_BYTES: u32 = 14;

/// What a hook looks for. `None`: the headers end too early to tell. `Some(None)`: it is something else.
pub trait Sight: Sized {
    /// Whether headers are read that are not all in the linear part.
    const READS_PAGES: bool;
    /// In a packet of which nothing is known yet.
    fn find<B: Bytes>(bytes: &B) -> Option<Option<Self>>;
    /// In one whose TCP header was found.
    fn look<B: Bytes>(bytes: &B, found: Location) -> Option<Option<Self>>;
}

/// Looks for it.
#[inline(always)]
pub fn see<S: Sight>(context: &TcContext) -> Option<S> {
    let (start, end, length) = packet_bytes(context.skb.skb);
    let bytes = Linear::new(start, end);
    if fact!(link_header_bytes) == ETHERNET_BYTES {
        // Nearly every packet is one of these, and most are nothing to count: 2 ns, where the search takes 4 and more.
        if let Some(front) = bytes.front::<USUAL4_BYTES>()
            && let Some(found) = packet::usual4(&front)
        {
            return S::look(&front, found).flatten();
        }
        if let Some(front) = bytes.front::<USUAL6_BYTES>()
            && let Some(found) = packet::usual6(&front)
        {
            return S::look(&front, found).flatten();
        }
    }
    let is_short = S::READS_PAGES && end - start < HEADER_BYTES && end - start < length;
    match S::find(&bytes) {
        None if is_short => S::find(&Paged(context)).flatten(),
        found => found.flatten(),
    }
}
