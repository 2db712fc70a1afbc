//! Senders that share a tally, remembered so that userspace can name them or give them one of their own.
//!
//! A store into a cell, not an insert: 375 ns of LRU insert per SYN would halve what the host can receive.

use agent_common::{
    packet::Address,
    tally::{RECENT_CELLS, RecentSource, RecentSources},
};
use aya_ebpf::{btf_maps::PerCpuArray, macros::btf_map};

#[btf_map]
static RECENT: PerCpuArray<RecentSources, 1> = PerCpuArray::new();

/// Puts the sender into the cell its address hashes to, in place of whoever was there.
#[inline(always)]
pub fn remember(address: &Address, slot: u32, port_index: u32) {
    if let Some(recent) = RECENT.get_ptr_mut(0) {
        put(recent, address, slot, port_index);
    }
}

/// The same into any table of this CPU.
#[inline(always)]
pub fn put(recent: *mut RecentSources, address: &Address, slot: u32, port_index: u32) {
    // Fibonacci hashing; the high bits are the well-mixed ones.
    let cell = (address.low().wrapping_mul(0x9e37_79b9) >> 26) as usize & (RECENT_CELLS - 1);
    let source = RecentSource { address: mapped(address), slot, port_index };
    // SAFETY: the map value holds RECENT_CELLS cells and belongs to this CPU. The tc hooks run with softirqs off, and a
    // tracepoint that is interrupted by itself between two stores leaves a cell of two addresses at worst, as a reader
    // may see. It is a hint, checked against the prefixes, or by what its sender does.
    unsafe { (&raw mut (*recent).cells[cell]).write(source) };
}

#[inline(always)]
fn mapped(address: &Address) -> [u8; 16] {
    let words = match address {
        Address::V4(word) => [0, 0, 0xffff, *word],
        Address::V6(words) => *words,
    };
    // SAFETY: four words and sixteen bytes have the same size, and any bytes are a valid [u8; 16].
    unsafe { core::mem::transmute(words.map(u32::to_be)) }
}
