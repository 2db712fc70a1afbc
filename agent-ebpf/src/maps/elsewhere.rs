//! Connections completed on ports that are not watched, while the agent looks for a translated port, and on those that a
//! watched port is translated to.

use agent_common::drop::ElsewhereKey;
use aya_ebpf::{btf_maps::HashMap, macros::btf_map};

use crate::{atomic, maps::loss};

#[btf_map]
static ELSEWHERE: HashMap<ElsewhereKey, u64, 256> = HashMap::new();

/// Adds one; a connection that finds no place is counted as lost.
#[inline(always)]
pub fn add(slot: u32, port: u16) {
    let key = ElsewhereKey { slot, port: port as u32 };
    if let Some(count) = ELSEWHERE.get_ptr_mut(key) {
        // SAFETY: a non-null, 8-byte aligned map value, written by atomics only; userspace deletes no entry.
        unsafe { atomic::add_one(count) };
    } else if ELSEWHERE.insert(key, 1, 0).is_err() {
        loss::add_elsewhere();
    }
}
