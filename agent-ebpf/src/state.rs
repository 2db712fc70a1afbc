//! `sock:inet_sock_set_state`: completed handshakes, and how connections end.

use aya_ebpf::programs::RawTracePointContext;

use crate::{
    kernel::Socket,
    maps::{control, elsewhere, ports, tallies},
    source,
};

// include/net/tcp_states.h, unchanged since 2.6.
const ESTABLISHED: u32 = 1;
const SYN_RECV: u32 = 3;
const FIN_WAIT1: u32 = 4;
const CLOSE: u32 = 7;
const CLOSE_WAIT: u32 = 8;
const LAST_ACK: u32 = 9;

/// Arguments: the socket, its old and its new state.
#[inline(always)]
pub fn record(context: &RawTracePointContext) {
    let (old, new): (u32, u32) = (context.arg(1), context.arg(2));
    let opened = old == SYN_RECV && new == ESTABLISHED;
    // The application's side closes (LAST_ACK after the peer, FIN_WAIT1 before it), or the connection is cut.
    let ended = (old == CLOSE_WAIT && new == LAST_ACK)
        || (old == ESTABLISHED && new == FIN_WAIT1)
        || (new == CLOSE && (old == ESTABLISHED || old == CLOSE_WAIT));
    if !opened && !ended {
        return;
    }
    let socket = Socket::new(context.arg(0));
    if socket.in_target() {
        let _not_watched = if opened { count_opened(&socket) } else { count_ended(&socket, new) };
    }
}

#[inline(always)]
fn count_opened(socket: &Socket) -> Option<()> {
    let port = socket.local_port()?;
    match ports::any(port) {
        Some(port_index) => tallies::add_established(source::slot(&socket.peer()?), port_index),
        None if control::hunts_translation() => elsewhere::add(source::slot(&socket.peer()?), port),
        None => {}
    }
    Some(())
}

/// Served: the application sent something, or the peer sent nothing and the connection was not cut by this side.
/// A TCP health check is of the second kind, whether it ends with FIN or RST.
#[inline(always)]
fn count_ended(socket: &Socket, new: u32) -> Option<()> {
    let port_index = ports::any(socket.local_port()?)?;
    let (received, sent) = socket.bytes()?;
    let cut_here = new == CLOSE && socket.error() == 0;
    // The peer's FIN counts as one byte received.
    let served = sent > 0 || (received <= 1 && !cut_here);
    tallies::add_ended(source::slot(&socket.peer()?), port_index, served);
    Some(())
}
