//! SYNs of NLB nodes for ports that are not watched, while their health checks are missing on those that are.

use agent_common::drop::{ElsewhereKey, Stray};
use aya_ebpf::{btf_maps::HashMap, macros::btf_map};

use crate::{atomic, maps::loss};

/// Few nodes, and few ports of one task: whatever fills it is no health check.
#[btf_map]
static STRAYS: HashMap<ElsewhereKey, Stray, 256> = HashMap::new();

/// Adds an attempt; one that finds no place is counted as lost.
#[inline(always)]
pub fn add(slot: u32, port: u16, sequence: u32) {
    let key = ElsewhereKey { slot, port: port as u32 };
    let sequence = sequence as u64;
    if let Some(stray) = STRAYS.get_ptr_mut(key) {
        // SAFETY: a non-null, 8-byte aligned map value; userspace deletes no entry. Of two CPUs that write the sequence
        // number at once either may win: then an attempt that is sent again may count twice.
        let latest = unsafe { (&raw mut (*stray).sequence).read_volatile() };
        if latest != sequence {
            // SAFETY: as above; only atomics write the count.
            unsafe {
                (&raw mut (*stray).sequence).write_volatile(sequence);
                atomic::add_one(&raw mut (*stray).attempts);
            }
        }
    } else if STRAYS.insert(key, Stray { attempts: 1, sequence }, 0).is_err() {
        loss::add_stray();
    }
}
