//! Senders that nobody named and that behave like an NLB's node, remembered so that userspace can learn them.
//!
//! A table for each kind, so that those who only close without a word, a port scanner say, push out nobody who said more.

use agent_common::{
    packet::Address,
    prefix::OTHER_SLOT,
    tally::{MUTE, RecentSources, SAID},
};
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};

use crate::maps::recent;

#[btf_map]
static CHECKERS: PerCpuArray<RecentSources, 2> = PerCpuArray::new();

/// It called itself a health check.
#[inline(always)]
pub fn said(address: &Address, port_index: u32) {
    remember(SAID, address, port_index);
}

/// It sent nothing and was served.
#[inline(always)]
pub fn mute(address: &Address, port_index: u32) {
    remember(MUTE, address, port_index);
}

#[inline(always)]
fn remember(kind: u32, address: &Address, port_index: u32) {
    if let Some(table) = CHECKERS.get_ptr_mut(kind) {
        recent::put(table, address, OTHER_SLOT, port_index);
    }
}
