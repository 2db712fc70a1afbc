//! Connections that began like a health check and have not ended yet.

use agent_common::tally::ConnectionKey;
use aya_ebpf::{btf_maps::LruHashMap, macros::btf_map};

/// The oldest goes when it is full: an NLB's nodes hold a handful at a time.
#[btf_map]
static PROBES: LruHashMap<ConnectionKey, u32, 4096> = LruHashMap::new();

/// Remembers one.
#[inline(always)]
pub fn remember(key: &ConnectionKey) {
    // An LRU map makes room; it fails only when every entry is in use by another CPU at this very moment.
    let _ = PROBES.insert(key, 1, 0);
}

/// Whether it is one, and forgets it.
#[inline(always)]
pub fn take(key: &ConnectionKey) -> bool {
    PROBES.remove(key).is_ok()
}
