//! From a peer's address to the slot it is counted in.

use agent_common::{
    packet::Address,
    prefix::{IN_TRIE, SlotRule},
};

use crate::maps::{control, prefixes};

/// The rule of a source. [`SlotRule::OTHER`] when nothing names it.
#[inline(always)]
pub fn rule(address: &Address) -> SlotRule {
    match address {
        Address::V4(word) => rule4(*word),
        Address::V6(words) => rule6(words),
    }
}

#[inline(always)]
fn rule4(word: u32) -> SlotRule {
    control::root(control::active_table()).rule(word, prefixes::node, prefixes::trie4)
}

#[inline(always)]
fn rule6(words: &[u32; 4]) -> SlotRule {
    let Some(table) = prefixes::scanned(control::active_table()) else { return SlotRule::OTHER };
    if table.count == IN_TRIE { prefixes::trie6(words) } else { table.rule(words) }
}

/// The slot of a source.
#[inline(always)]
pub fn slot(address: &Address) -> u32 {
    rule(address).slot_of(address.low())
}
