//! `tcp:tcp_retransmit_synack`: the peer did not take our SYN-ACK, or repeated its SYN.

use aya_ebpf::programs::{RawTracePointContext, TracePointContext};

use crate::{
    kernel::Socket,
    maps::{ports, tallies},
    record::Record,
    source,
    target::fact,
};

/// Counts one retransmission. Arguments: the listener, then the request socket, which names the peer.
#[inline(always)]
pub fn record(context: &RawTracePointContext) {
    record_request(context.arg(1));
}

/// The same for a hook that has a record.
#[inline(always)]
pub fn record_parsed(context: &TracePointContext) {
    if let Some(address) = Record::new(context).pointer(fact!(record_request)) {
        record_request(address);
    }
}

#[inline(always)]
fn record_request(address: u64) {
    let request = Socket::new(address);
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
