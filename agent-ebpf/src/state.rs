//! `sock:inet_sock_set_state`: completed handshakes, and how connections end.

use agent_common::{
    answer::passes,
    prefix::OTHER_SLOT,
    tally::{PROBE_ASKED, PROBE_IS_OVER},
};
use aya_ebpf::programs::{RawTracePointContext, TracePointContext};

use crate::{
    kernel::Socket,
    maps::{
        checkers, control, elsewhere, ports, probes,
        tallies::{self, End},
    },
    opening,
    record::Record,
    source,
    target::fact,
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
    count(context.arg(1), context.arg(2), || Some(context.arg(0)));
}

/// The same for a hook that has a record.
#[inline(always)]
pub fn record_parsed(context: &TracePointContext) {
    let record = Record::new(context);
    let states = (record.number(fact!(record_old_state)), record.number(fact!(record_new_state)));
    if let (Some(old), Some(new)) = states {
        count(old, new, || record.pointer(fact!(record_socket)));
    }
}

#[inline(always)]
fn count(old: u32, new: u32, socket: impl Fn() -> Option<u64>) {
    let opened = old == SYN_RECV && new == ESTABLISHED;
    // The application's side closes (LAST_ACK after the peer, FIN_WAIT1 before it), or the connection is cut.
    let ended = (old == CLOSE_WAIT && new == LAST_ACK)
        || (old == ESTABLISHED && new == FIN_WAIT1)
        || (new == CLOSE && (old == ESTABLISHED || old == CLOSE_WAIT));
    let left_by_peer = old == ESTABLISHED && new == CLOSE_WAIT;
    if !opened && !ended && !left_by_peer {
        return;
    }
    let Some(address) = socket() else { return };
    let socket = Socket::new(address);
    if socket.in_target() {
        let _not_watched = if opened {
            count_opened(&socket)
        } else if left_by_peer {
            count_given_up(&socket)
        } else {
            count_ended(&socket, old, new)
        };
    }
}

#[inline(always)]
fn count_opened(socket: &Socket) -> Option<()> {
    let port = socket.own_port()?;
    match ports::any(port) {
        Some(port_index) => {
            tallies::add_established(source::slot(&socket.peer()?), port_index);
            // Whether anything still comes that way. Whose it is does not matter by now, so it takes one entry.
            if ports::is_followed(port) {
                elsewhere::add(OTHER_SLOT, port);
            }
        }
        None if control::hunts_translation() => elsewhere::add(source::slot(&socket.peer()?), port),
        None => {}
    }
    Some(())
}

/// The peer closes before a single byte of an answer: a health check that does so gave up. It ends here, because an
/// application that hangs leaves the socket open.
#[inline(always)]
fn count_given_up(socket: &Socket) -> Option<()> {
    let port_index = ports::any(socket.own_port()?)?;
    let (received, sent) = socket.bytes()?;
    if sent > 0 || received <= 1 {
        return None;
    }
    let peer = socket.peer()?;
    let key = opening::key(&peer, socket.peer_port()?, port_index);
    let state = probes::get(&key)?;
    if state.marks == PROBE_ASKED {
        tallies::add_given_up(source::slot(&peer), port_index, probes::give_up(&key, state));
    }
    Some(())
}

/// Served: the application sent something, or the peer sent nothing and the connection was not cut by this side.
/// A TCP health check is of the second kind, whether it ends with FIN or RST; an HTTP health check is known by its begin.
#[inline(always)]
fn count_ended(socket: &Socket, old: u32, new: u32) -> Option<()> {
    let port_index = ports::any(socket.own_port()?)?;
    let (received, sent) = socket.bytes()?;
    let aborted_here = new == CLOSE && socket.error() == 0;
    // The peer's FIN counts as one byte received.
    let is_mute = received <= 1;
    let peer = socket.peer()?;
    let slot = source::slot(&peer);
    let state = probes::take(&opening::key(&peer, socket.peer_port()?, port_index));
    let is_probe = state.is_some() || is_mute;
    if is_mute && !aborted_here && slot == OTHER_SLOT && control::learns() {
        checkers::mute(&peer, port_index);
    }
    // A proxy protocol header alone asks for no answer.
    let is_mute = is_mute || state.is_some_and(|state| state.marks & PROBE_ASKED == 0);
    let state = state.unwrap_or_default();
    if state.marks & PROBE_IS_OVER != 0 {
        return Some(());
    }
    // The peer reset it before a single byte of an answer.
    if state.marks & PROBE_ASKED != 0 && sent == 0 && new == CLOSE && !aborted_here {
        let waited = probes::waited(&state);
        tallies::add_given_up(slot, port_index, waited);
        return Some(());
    }
    let bad_status = if state.status == 0 || passes(state.status as u32) { 0 } else { state.status as u32 };
    let left_first = old == ESTABLISHED && (new == FIN_WAIT1 || aborted_here);
    let end = End {
        served: (sent > 0 || (is_mute && !aborted_here)) && bad_status == 0,
        is_probe,
        bad_status,
        cut_here: left_first && sent == 0 && received > 0,
    };
    tallies::add_ended(slot, port_index, &end);
    Some(())
}
