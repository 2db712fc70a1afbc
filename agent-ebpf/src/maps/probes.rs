//! Connections that said to be a health check and have not ended yet.

use agent_common::tally::{ConnectionKey, PROBE_ASKED, PROBE_IS_OVER, ProbeState};
use aya_ebpf::{btf_maps::HashMap, helpers, macros::btf_map};

use crate::maps::{loss, shares, tallies};

/// `BPF_NOEXIST` and `BPF_EXIST` (include/uapi/linux/bpf.h): what makes an entry and what changes one are kept apart, so that
/// each entry is counted once.
const NEW: u64 = 1;
/// See [`NEW`].
const KNOWN: u64 = 2;

/// `EEXIST`, as helpers return it: another CPU was first.
const EXISTS: i32 = -17;

/// An NLB's nodes hold a handful at a time. No LRU map: it throws out without a word, and long before it is full where there
/// are many CPUs, each of which keeps up to 128 free entries to itself (kernel/bpf/bpf_lru_list.c, v6.1). Userspace sets
/// the size, and takes out what was left in it by a run that the kernel skipped. Who holds how much of it: `shares.rs`.
#[btf_map]
static PROBES: HashMap<ConnectionKey, ProbeState, 4096> = HashMap::new();

/// Remembers one of a source, by its slot; one that finds no place is counted as lost. A second segment that says so changes
/// nothing, but for a request behind its proxy protocol header.
#[inline(always)]
pub fn remember(key: &ConnectionKey, slot: u32, asks: bool) {
    let marks = if asks { PROBE_ASKED } else { 0 };
    // SAFETY: the helper takes no argument and only reads a clock.
    let began_nanoseconds = unsafe { helpers::generated::bpf_ktime_get_ns() };
    let begun = ProbeState { began_nanoseconds, slot, status: 0, marks };
    if let Some(state) = get(key) {
        if state.marks < marks || state.marks & PROBE_IS_OVER != 0 || state.status != 0 {
            let _ = PROBES.insert(key, ProbeState { slot: state.slot, ..begun }, KNOWN);
        }
        return;
    }
    let refused = if shares::has_room(slot) { PROBES.insert(key, begun, NEW) } else { Err(0) };
    match refused {
        Ok(()) => shares::take(slot),
        Err(EXISTS) => {}
        Err(_) => {
            loss::add_probe();
            tallies::add_probe_lost(slot, key.port_index);
        }
    }
}

/// What is known of one.
#[inline(always)]
pub fn get(key: &ConnectionKey) -> Option<ProbeState> {
    // SAFETY: a copy of a map value in whole words; one that is written meanwhile belongs to a connection whose packets
    // are handled on two CPUs at once, and is at worst counted by its older state.
    unsafe { PROBES.get(key) }.copied()
}

/// It was answered with this HTTP status; only the first one counts.
#[inline(always)]
pub fn answered(key: &ConnectionKey, status: u16) {
    if let Some(state) = get(key)
        && state.status == 0
    {
        let _ = PROBES.insert(key, ProbeState { status, ..state }, KNOWN);
    }
}

/// Its peer gave up: its socket counts no more. How long it had waited, in nanoseconds.
#[inline(always)]
pub fn give_up(key: &ConnectionKey, state: ProbeState) -> u64 {
    let _ = PROBES.insert(key, ProbeState { marks: state.marks | PROBE_IS_OVER, ..state }, KNOWN);
    waited(&state)
}

/// How long ago it began, in nanoseconds.
#[inline(always)]
pub fn waited(state: &ProbeState) -> u64 {
    // SAFETY: as above.
    let now = unsafe { helpers::generated::bpf_ktime_get_ns() };
    now.saturating_sub(state.began_nanoseconds)
}

/// What is known of it, and forgets it.
#[inline(always)]
pub fn take(key: &ConnectionKey) -> Option<ProbeState> {
    let state = get(key)?;
    if PROBES.remove(key).is_ok() {
        shares::give_back(state.slot);
    }
    Some(state)
}
