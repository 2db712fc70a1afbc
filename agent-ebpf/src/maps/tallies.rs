//! The counters of each (source slot, port).
//!
//! The tc hooks run with softirqs off and add plainly. Tracepoints can interrupt one another on a CPU, so they add
//! with an atomic instruction. No field is written by both.

use agent_common::tally::{Manners, Tally};
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

/// A connection ended; `is_probe` when it behaved like a health check.
#[inline(always)]
pub fn add_ended(slot: u32, port_index: u32, served: bool, is_probe: bool) {
    if served {
        add_atomic!(tally(slot, port_index), served);
    } else {
        add_atomic!(tally(slot, port_index), unserved);
    }
    match (is_probe, served) {
        (true, true) => add_atomic!(manners(slot, port_index), probes_served),
        (true, false) => add_atomic!(manners(slot, port_index), probes_unserved),
        (false, _) => add_atomic!(manners(slot, port_index), clients),
    }
}

/// TLS began.
#[inline(always)]
pub fn add_tls_opening(slot: u32, port_index: u32) {
    add_atomic!(manners(slot, port_index), tls_openings);
}
