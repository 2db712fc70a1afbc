//! Source prefixes: a table that is scanned, or a trie where there are too many for that.

use agent_common::prefix::{PrefixTable, SlotRule};
use aya_ebpf::{
    btf_maps::{Array, LpmTrie, lpm_trie::Key},
    macros::btf_map,
};

/// Two tables: userspace writes the one that is not in force, then switches.
#[btf_map]
static PREFIXES: Array<PrefixTable, 2> = Array::new();

/// Userspace sets the size it needs; keys are in network order, as the kernel compares them bit by bit.
#[btf_map]
static TRIE4: LpmTrie<[u8; 4], SlotRule, 1> = LpmTrie::new();

#[btf_map]
static TRIE6: LpmTrie<[u8; 16], SlotRule, 1> = LpmTrie::new();

/// The scanned table with this number.
#[inline(always)]
pub fn scanned(active: u32) -> Option<&'static PrefixTable> {
    PREFIXES.get(active)
}

/// The rule of an IPv4 source in the trie.
#[inline(always)]
pub fn trie4(address: u32) -> SlotRule {
    TRIE4.get(&Key::new(32, address.to_be_bytes())).map_or(SlotRule::OTHER, |rule| *rule)
}

/// The rule of an IPv6 source in the trie.
#[inline(always)]
pub fn trie6(words: &[u32; 4]) -> SlotRule {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&words[0].to_be_bytes());
    bytes[4..8].copy_from_slice(&words[1].to_be_bytes());
    bytes[8..12].copy_from_slice(&words[2].to_be_bytes());
    bytes[12..].copy_from_slice(&words[3].to_be_bytes());
    TRIE6.get(&Key::new(128, bytes)).map_or(SlotRule::OTHER, |rule| *rule)
}
