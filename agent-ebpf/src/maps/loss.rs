//! What could not be recorded. Every variant of losing something ends here.

use agent_common::tally::Loss;
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};

use crate::atomic;

#[btf_map]
static LOSS: PerCpuArray<Loss, 1> = PerCpuArray::new();

/// A drop found the table full.
#[inline(always)]
pub fn add_drop() {
    if let Some(loss) = LOSS.get_ptr_mut(0) {
        // SAFETY: a non-null, 8-byte aligned map value that lives as long as the program; only atomics write it.
        unsafe { atomic::add_one(&raw mut (*loss).drops) };
    }
}

/// A connection on an unwatched port found the table full.
#[inline(always)]
pub fn add_elsewhere() {
    if let Some(loss) = LOSS.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { atomic::add_one(&raw mut (*loss).elsewhere) };
    }
}

/// A SYN of a node for an unwatched port found the table full.
#[inline(always)]
pub fn add_stray() {
    if let Some(loss) = LOSS.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { atomic::add_one(&raw mut (*loss).strays) };
    }
}

/// A connection that began like a health check found its source's share used up, or the table full.
#[inline(always)]
pub fn add_probe() {
    if let Some(loss) = LOSS.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { atomic::add_one(&raw mut (*loss).probes) };
    }
}
