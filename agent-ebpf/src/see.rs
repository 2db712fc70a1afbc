//! Every way to the TCP header of a packet under a tc hook: the usual one first, the search for it else.

use agent_common::{
    packet::{self, Bytes, Location},
    usual::{self, PROTOCOL_BYTES, USUAL4_BYTES, USUAL6_BYTES},
};
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

/// What a hook looks for. `None`: the headers end too early to tell. `Some(None)`: it is something else. `length` is the whole
/// packet's, with what is not linear.
pub trait Sight: Sized {
    /// In a packet of which nothing is known yet.
    fn find<B: Bytes>(bytes: &B, length: usize) -> Option<Option<Self>>;
    /// In one whose TCP header was found.
    fn look<B: Bytes>(bytes: &B, found: Location, length: usize) -> Option<Option<Self>>;
}

/// Looks for it.
#[inline(always)]
pub fn see<S: Sight>(context: &TcContext) -> Option<S> {
    let (start, end, length) = packet_bytes(context.skb.skb);
    let bytes = Linear::new(start, end);
    if fact!(link_header_bytes) == ETHERNET_BYTES {
        // Nearly every packet is one of these, and most are nothing to count: 2 ns, where the search takes 4 and more.
        if let Some(front) = bytes.front::<USUAL4_BYTES>() {
            if let Some(found) = usual::usual4(&front) {
                return S::look(&front, found, length).flatten();
            }
            if usual::holds_no_tcp(&front) == Some(true) {
                return None;
            }
        } else if bytes.front::<PROTOCOL_BYTES>().and_then(|front| usual::holds_no_tcp(&front)) == Some(true)
        {
            return None;
        }
        if let Some(front) = bytes.front::<USUAL6_BYTES>()
            && let Some(found) = usual::usual6(&front)
        {
            return S::look(&front, found, length).flatten();
        }
    }
    let is_short = end - start < HEADER_BYTES && end - start < length;
    match S::find(&bytes, length) {
        None if is_short => S::find(&Paged(context), length).flatten(),
        found => found.flatten(),
    }
}

/// Where the TCP header is of a packet whose headers are in the linear part, for a hook that looks closer: the verifier follows
/// what comes behind once, and not for each way to it.
#[inline(always)]
pub fn locate(context: &TcContext) -> Option<(Linear, Location)> {
    let (start, end, _) = packet_bytes(context.skb.skb);
    let bytes = Linear::new(start, end);
    let found = find_usual(&bytes).or_else(|| packet::find_tcp(&bytes, fact!(link_header_bytes) as usize))?;
    let found = found.blurred(&bytes)?;
    Some((bytes, found))
}

#[inline(always)]
fn find_usual(bytes: &Linear) -> Option<Location> {
    if fact!(link_header_bytes) != ETHERNET_BYTES {
        return None;
    }
    let usual4 = || usual::usual4(&bytes.front::<USUAL4_BYTES>()?);
    let usual6 = || usual::usual6(&bytes.front::<USUAL6_BYTES>()?);
    usual4().or_else(usual6)
}
