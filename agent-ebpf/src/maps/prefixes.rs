//! Source prefixes: nodes for IPv4, a table that is scanned for IPv6, and tries for what fits into neither.

use agent_common::{
    prefix::{PrefixTable, SlotRule},
    strides::{ALL_NEAR_NODES, Entry, NODE_ENTRIES, NearNodes, Node},
};
use aya_ebpf::{
    Global,
    btf_maps::{Array, LpmTrie, lpm_trie::Key},
    macros::btf_map,
};

use crate::bound::bounded;

/// The first nodes of two tables: userspace writes those of the one that is not in force, then switches. A global: its address is
/// part of the program.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.nodes")]
static NEAR: Global<NearNodes> = Global::new([Node::filled(Entry::NONE); ALL_NEAR_NODES as usize]);

/// Tables that take more have their nodes here, in the same way. Userspace sets the size.
#[btf_map]
static NODES: Array<Node, 2> = Array::new();

/// Two tables, in the same way.
#[btf_map]
static PREFIXES: Array<PrefixTable, 2> = Array::new();

/// Userspace sets the size it needs; keys are in network order, as the kernel compares them bit by bit.
#[btf_map]
static TRIE4: LpmTrie<[u8; 4], Entry, 1> = LpmTrie::new();

#[btf_map]
static TRIE6: LpmTrie<[u8; 16], SlotRule, 1> = LpmTrie::new();

const NEAR_MASK: usize = ALL_NEAR_NODES as usize * NODE_ENTRIES - 1;

/// A step of the search for an IPv4 source among near nodes: the entry of a node for a byte.
#[inline(always)]
pub fn near(node: Entry, byte: u8) -> Entry {
    let entries = (&raw const NEAR).cast::<Entry>();
    let place = bounded::<NEAR_MASK>(node.place(byte));
    // SAFETY: `Global` is a transparent wrapper around so many nodes of entries, and the place is less. Volatile, because
    // userspace writes it.
    unsafe { entries.add(place).read_volatile() }
}

/// The same among the others.
#[inline(always)]
pub fn far(node: Entry, byte: u8) -> Entry {
    let node = NODES.get(node.node().wrapping_sub(ALL_NEAR_NODES));
    node.map_or(Entry::OTHER, |node| node.entries[byte as usize])
}

/// The scanned table with this number.
#[inline(always)]
pub fn scanned(active: u32) -> Option<&'static PrefixTable> {
    PREFIXES.get(active)
}

/// The entry of an IPv4 source in the trie.
#[inline(always)]
pub fn trie4(address: u32) -> Entry {
    TRIE4.get(&Key::new(32, address.to_be_bytes())).map_or(Entry::OTHER, |entry| *entry)
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
