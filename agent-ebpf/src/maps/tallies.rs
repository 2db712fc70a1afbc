//! The counters of each (source slot, port).
//!
//! The tc hooks run with softirqs off and add plainly. Tracepoints can interrupt one another on a CPU, so they add
//! with an atomic instruction. No field is written by both.

use agent_common::{
    answer::BAD_REQUEST,
    tally::{Manners, Tally},
};
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};

use crate::{atomic, target::fact};

/// Index: slot times the number of ports, plus the port index. Userspace sets the size.
#[btf_map]
static TALLIES: PerCpuArray<Tally, 1> = PerCpuArray::new();

#[inline(always)]
fn tally(slot: u32, port_index: u32) -> Option<*mut Tally> {
    TALLIES.get_ptr_mut(slot.wrapping_mul(fact!(port_count)).wrapping_add(port_index))
}

/// As the tallies.
#[btf_map]
static MANNERS: PerCpuArray<Manners, 1> = PerCpuArray::new();

#[inline(always)]
fn manners(slot: u32, port_index: u32) -> Option<*mut Manners> {
    MANNERS.get_ptr_mut(slot.wrapping_mul(fact!(port_count)).wrapping_add(port_index))
}

/// Adds one, plainly, to a field of this CPU's tally.
macro_rules! add {
    ($slot:expr, $port_index:expr, $($field:ident),+) => {
        if let Some(tally) = tally($slot, $port_index) {
            // SAFETY: a non-null map value of this CPU; softirqs are off, so no other tc program runs here meanwhile.
            unsafe { $( (*tally).$field += 1; )+ }
        }
    };
}

/// Adds one atomically to a field of what a map holds for this CPU.
macro_rules! add_atomic {
    ($counters:expr, $field:ident) => {
        if let Some(counters) = $counters {
            // SAFETY: a non-null, 8-byte aligned map value that lives as long as the program; only atomics write it.
            unsafe { atomic::add_one(&raw mut (*counters).$field) };
        }
    };
}

/// Sets a level of this CPU's manners.
macro_rules! set {
    ($slot:expr, $port_index:expr, $field:ident, $value:expr) => {
        if let Some(manners) = manners($slot, $port_index) {
            // SAFETY: a non-null, 8-byte aligned map value that lives as long as the program; a level is stored in one
            // instruction, and whichever of two writers comes last stands.
            unsafe { (&raw mut (*manners).$field).write_volatile($value) };
        }
    };
}

/// A SYN arrived.
#[inline(always)]
pub fn add_arrived(slot: u32, port_index: u32) {
    add!(slot, port_index, arrived);
}

/// A SYN-ACK left.
#[inline(always)]
pub fn add_answered(slot: u32, port_index: u32, cookie: bool) {
    if cookie {
        add!(slot, port_index, answered, cookies);
    } else {
        add!(slot, port_index, answered);
    }
}

/// A RST that answers a SYN left.
#[inline(always)]
pub fn add_refused(slot: u32, port_index: u32) {
    add!(slot, port_index, refused);
}

/// A SYN-ACK was sent again.
#[inline(always)]
pub fn add_synack_retransmit(slot: u32, port_index: u32) {
    add_atomic!(tally(slot, port_index), synack_retransmits);
}

/// A handshake was completed.
#[inline(always)]
pub fn add_established(slot: u32, port_index: u32) {
    add_atomic!(tally(slot, port_index), established);
}

/// A SYN met a full accept queue.
#[inline(always)]
pub fn add_queue_full(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), queue_full);
}

/// How a connection ended.
#[derive(Clone, Copy)]
pub struct End {
    /// The application answered well.
    pub served: bool,
    /// It behaved like a health check.
    pub is_probe: bool,
    /// HTTP status of the answer to a health check, where it is none that passes; else 0.
    pub bad_status: u32,
    /// This side ended it, without an answer to what the peer had sent.
    pub cut_here: bool,
}

/// A connection ended.
#[inline(always)]
pub fn add_ended(slot: u32, port_index: u32, end: &End) {
    if end.served {
        add_atomic!(tally(slot, port_index), served);
    } else {
        add_atomic!(tally(slot, port_index), unserved);
    }
    match (end.is_probe, end.served) {
        (true, true) => add_atomic!(manners(slot, port_index), probes_served),
        (true, false) => add_atomic!(manners(slot, port_index), probes_unserved),
        (false, _) => add_atomic!(manners(slot, port_index), clients),
    }
    if end.bad_status != 0 {
        add_atomic!(manners(slot, port_index), probes_bad_status);
        set!(slot, port_index, bad_status, end.bad_status as u64);
    }
    match (end.cut_here, end.is_probe) {
        (true, true) => add_atomic!(manners(slot, port_index), probes_cut),
        (true, false) => add_atomic!(manners(slot, port_index), clients_cut),
        (false, _) => {}
    }
}

/// A health check's peer gave up before an answer, after so many nanoseconds.
#[inline(always)]
pub fn add_given_up(slot: u32, port_index: u32, waited_nanoseconds: u64) {
    add_atomic!(tally(slot, port_index), unserved);
    add_atomic!(manners(slot, port_index), probes_unserved);
    add_atomic!(manners(slot, port_index), probes_given_up);
    set!(slot, port_index, wait_microseconds, waited_nanoseconds / 1000);
}

/// TLS began.
#[inline(always)]
pub fn add_tls_opening(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), tls_openings);
}

/// A proxy protocol v2 header came.
#[inline(always)]
pub fn add_proxy_opening(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), proxy_openings);
}

/// A connection that began like a health check is not followed.
#[inline(always)]
pub fn add_probe_lost(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), probes_lost);
}

/// An answer began as plain HTTP, with this status.
#[inline(always)]
pub fn add_http_answer(slot: u32, port_index: u32, status: u32) {
    add_atomic!(manners(slot, port_index), http_answers);
    if status == BAD_REQUEST {
        add_atomic!(manners(slot, port_index), bad_requests);
    }
}

/// A TLS handshake goes on.
#[inline(always)]
pub fn add_tls_answer(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), tls_answers);
}

/// A TLS handshake was refused with this description.
#[inline(always)]
pub fn add_tls_alert(slot: u32, port_index: u32, description: u32) {
    add_atomic!(manners(slot, port_index), tls_alerts);
    set!(slot, port_index, tls_alert, description as u64);
}
