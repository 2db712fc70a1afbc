//! Counted drops by slot, port, kind and reason.

use agent_common::drop::DropKey;
use aya_ebpf::{EbpfContext, btf_maps::PerCpuHashMap, macros::btf_map};
use aya_log_ebpf::debug;

use crate::{atomic, maps::loss};

/// Bounded: a key is a (source, port, reason) that was dropped at least once. Userspace sets the size.
#[btf_map]
static DROPS: PerCpuHashMap<DropKey, u64, 1> = PerCpuHashMap::new();

/// Adds one; a drop that finds no place is counted as lost.
#[inline(always)]
pub fn add(context: &impl EbpfContext, key: &DropKey) {
    if let Some(count) = DROPS.get_ptr_mut(key) {
        // SAFETY: a non-null, 8-byte aligned map value; entries are never deleted, and only atomics write it.
        unsafe { atomic::add_one(count) };
    } else if DROPS.insert(key, 1, 0).is_err() {
        loss::add_drop();
        debug!(context, "drop table full: slot {} reason {}", key.slot, key.reason);
    }
}
