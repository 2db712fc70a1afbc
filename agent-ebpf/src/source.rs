//! From a peer's address to the slot it is counted in.

use agent_common::{
    packet::Address,
    prefix::{IN_TRIE, PrefixTable, SlotRule},
};

use crate::maps::{control, prefixes};

/// The rule of a source. [`SlotRule::OTHER`] when nothing names it.
#[inline(always)]
pub fn rule(address: &Address) -> SlotRule {
    let Some(table) = prefixes::scanned(control::active_table()) else {
        return SlotRule::OTHER;
    };
    match address {
        Address::V4(word) => rule4(table, *word),
        Address::V6(words) => rule6(table, words),
    }
}

#[inline(always)]
fn rule4(table: &PrefixTable, word: u32) -> SlotRule {
    if table.count4 == IN_TRIE { prefixes::trie4(word) } else { table.rule4(word) }
}

#[inline(always)]
fn rule6(table: &PrefixTable, words: &[u32; 4]) -> SlotRule {
    if table.count6 == IN_TRIE { prefixes::trie6(words) } else { table.rule6(words) }
}

/// The slot of a source.
#[inline(always)]
pub fn slot(address: &Address) -> u32 {
    rule(address).slot_of(address.low())
}
