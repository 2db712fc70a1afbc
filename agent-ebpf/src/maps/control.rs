//! What userspace changes while the programs run.

use agent_common::config::Control;
use aya_ebpf::{btf_maps::Array, macros::btf_map};

#[btf_map]
static CONTROL: Array<Control, 1> = Array::new();

/// Which prefix table is in force.
#[inline(always)]
pub fn active_table() -> u32 {
    CONTROL.get(0).map_or(0, |control| control.active_table)
}

/// Whether the NLB's nodes are to be learned by what senders do.
#[inline(always)]
pub fn learns() -> bool {
    CONTROL.get(0).is_some_and(|control| control.learns != 0)
}

/// Whether connections on unwatched ports are of interest.
#[inline(always)]
pub fn hunts_translation() -> bool {
    CONTROL.get(0).is_some_and(|control| control.hunt_translation != 0)
}

/// Whether SYNs of NLB nodes for unwatched ports are of interest.
#[inline(always)]
pub fn hunts_strays() -> bool {
    CONTROL.get(0).is_some_and(|control| control.hunt_strays != 0)
}
