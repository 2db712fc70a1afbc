//! From a peer's address to the slot it is counted in.

use agent_common::{
    packet::Address,
    prefix::{Found, IN_TRIE, SlotRule},
};

use crate::maps::{control, prefixes};

/// Where a source is counted, and what is done about it; as [`SlotRule::OTHER`] says when nothing names it.
#[inline(always)]
pub fn find(address: &Address) -> Found {
    match address {
        Address::V4(word) => find4(*word),
        Address::V6(words) => find6(words),
    }
}

#[inline(always)]
fn find4(word: u32) -> Found {
    let root = control::root(control::active_table());
    if root.is_near() {
        root.search(word, prefixes::near).found()
    } else if root.is_in_trie() {
        prefixes::trie4(word).rule().of(word)
    } else {
        root.search(word, prefixes::far).found()
    }
}

#[inline(always)]
fn find6(words: &[u32; 4]) -> Found {
    let Some(table) = prefixes::scanned(control::active_table()) else { return SlotRule::OTHER.of(0) };
    let rule = if table.count == IN_TRIE { prefixes::trie6(words) } else { table.rule(words) };
    rule.of(words[3])
}

/// The slot of a source.
#[inline(always)]
pub fn slot(address: &Address) -> u32 {
    find(address).slot
}
