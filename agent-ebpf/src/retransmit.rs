//! `tcp:tcp_retransmit_synack`: the peer did not take our SYN-ACK, or repeated its SYN.

use aya_ebpf::programs::RawTracePointContext;

use crate::{
    kernel::Socket,
    maps::{ports, tallies},
    source,
};

/// Counts one retransmission. Arguments: the listener, then the request socket, which names the peer.
#[inline(always)]
pub fn record(context: &RawTracePointContext) {
    let request = Socket::new(context.arg(1));
    if request.in_target() {
        let _not_watched = count(&request);
    }
}

#[inline(always)]
fn count(request: &Socket) -> Option<()> {
    let port_index = ports::any(request.local_port()?)?;
    tallies::add_synack_retransmit(source::slot(&request.peer()?), port_index);
    Some(())
}
