//! How many entries of the table of health checks under way each source holds, so that one that opens very many leaves
//! room for those of the others.

use agent_common::tally::{ALL_SHARES, ProbeShare, may_take, share_of};
use aya_ebpf::{btf_maps::Array, macros::btf_map};

use crate::{atomic, target::fact};

/// Index: [`share_of`] a slot, or [`ALL_SHARES`]. Userspace sets the size. Shared by all CPUs, because the table is.
#[btf_map]
static SHARES: Array<ProbeShare, 2> = Array::new();

/// Entries that userspace took out, by the same index. Only userspace writes it.
#[btf_map]
static SWEPT: Array<u64, 2> = Array::new();

#[inline(always)]
fn held(index: u32) -> i64 {
    let swept = SWEPT.get(index).map_or(0, |swept| *swept);
    SHARES.get(index).map_or(0, |share| share.held(swept))
}

/// Whether a source may have one more. Two CPUs that ask at once may both hear yes: the table itself is the hard limit.
#[inline(always)]
pub fn has_room(slot: u32) -> bool {
    may_take(fact!(probe_entries), held(ALL_SHARES), held(share_of(slot)))
}

/// An entry was made.
#[inline(always)]
pub fn take(slot: u32) {
    for index in [ALL_SHARES, share_of(slot)] {
        if let Some(share) = SHARES.get_ptr_mut(index) {
            // SAFETY: a non-null, 8-byte aligned map value that lives as long as the program; only atomics write it.
            unsafe { atomic::add_one(&raw mut (*share).taken) };
        }
    }
}

/// An entry was taken out.
#[inline(always)]
pub fn give_back(slot: u32) {
    for index in [ALL_SHARES, share_of(slot)] {
        if let Some(share) = SHARES.get_ptr_mut(index) {
            // SAFETY: as above.
            unsafe { atomic::add_one(&raw mut (*share).given_back) };
        }
    }
}
