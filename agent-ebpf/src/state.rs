//! `sock:inet_sock_set_state`: completed handshakes, and how connections end.

use aya_ebpf::programs::RawTracePointContext;

use crate::{
    kernel::Socket,
    maps::{control, elsewhere, ports, probes, tallies},
    opening, source,
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
/// A TCP health check is of the second kind, whether it ends with FIN or RST; an HTTP health check is known by its begin.
#[inline(always)]
fn count_ended(socket: &Socket, new: u32) -> Option<()> {
    let port_index = ports::any(socket.local_port()?)?;
    let (received, sent) = socket.bytes()?;
    let cut_here = new == CLOSE && socket.error() == 0;
    // The peer's FIN counts as one byte received.
    let is_mute = received <= 1;
    let served = sent > 0 || (is_mute && !cut_here);
    let peer = socket.peer()?;
    // Both questions, because asking also forgets.
    let began_as_probe = probes::take(&opening::key(&peer, socket.peer_port()?, port_index));
    tallies::add_ended(source::slot(&peer), port_index, served, began_as_probe || is_mute);
    Some(())
}
