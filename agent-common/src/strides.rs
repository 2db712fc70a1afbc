//! From an IPv4 address to the rule of its longest prefix, eight bits a step: as many steps as the prefixes have bytes
//! that differ, however many prefixes there are.
//!
//! What all prefixes begin with is compared in one go. Behind it, a node has an entry for each value of the next byte:
//! another node, or the slot itself. Userspace spreads a prefix that ends within a byte over the entries it covers, and one with
//! a slot for each address over the entries of the last byte.

use crate::prefix::{Found, OTHER_SLOT, REMEMBER, SlotRule};

/// Entries of a node: one for each value of a byte.
pub const NODE_ENTRIES: usize = 256;

/// A node, or a rule: bit 30, and the number of the node in the bits from 8 on; or from bit 29 down flags (3 bits), how many low
/// bits of the address are added to the slot (4), and the slot (23).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u32);

const IS_NODE: u32 = 1 << 30;
const NODE_SHIFT: u32 = NODE_ENTRIES.trailing_zeros();
const FLAGS_SHIFT: u32 = 27;
const HOST_BITS_SHIFT: u32 = 23;
const SLOT_MASK: u32 = (1 << HOST_BITS_SHIFT) - 1;
const _: () = assert!(OTHER_SLOT == 0 && REMEMBER == 1);

impl Entry {
    /// Of an address that nothing names.
    pub const OTHER: Self = Self(REMEMBER << FLAGS_SHIFT);

    /// What a map holds that nobody has written: no flags and the slot of [`Self::OTHER`].
    pub const NONE: Self = Self(0);

    /// The rest is behind the node with this number.
    pub const fn of_node(node: u32) -> Self {
        Self(IS_NODE | node << NODE_SHIFT)
    }

    /// A rule; `None` where it has more slots than fit, which is 2^23.
    pub const fn of_rule(rule: &SlotRule) -> Option<Self> {
        if rule.slot > SLOT_MASK || !(rule.host_mask as u64 + 1).is_power_of_two() || rule.flags > 7 {
            return None;
        }
        let host_bits = rule.host_mask.count_ones();
        if host_bits > 15 {
            return None;
        }
        Some(Self(rule.flags << FLAGS_SHIFT | host_bits << HOST_BITS_SHIFT | rule.slot))
    }

    /// No place for so many nodes: the trie is asked instead. No node has this number.
    pub const IN_TRIE: Self = Self(u32::MAX);

    /// Whether a node is behind it.
    #[inline(always)]
    pub const fn is_node(self) -> bool {
        self.0 & IS_NODE != 0
    }

    /// The number of the node behind it, where it is no rule.
    #[inline(always)]
    pub const fn node(self) -> u32 {
        (self.0 & !IS_NODE) >> NODE_SHIFT
    }

    /// Where the entry for a byte is among those of all nodes, one after the other. Only the bits that [`NearNodes`] have entries for
    /// mean anything.
    #[inline(always)]
    pub const fn place(self, byte: u8) -> usize {
        (self.0 | byte as u32) as usize
    }

    /// The slot of every address that is led here, and the flags: what the entry of a node says, which is for one slot only.
    #[inline(always)]
    pub const fn found(self) -> Found {
        Found { slot: self.0 & SLOT_MASK, flags: self.0 >> FLAGS_SHIFT & 7 }
    }

    /// The rule of a prefix in the trie.
    #[inline(always)]
    pub const fn rule(self) -> SlotRule {
        let host_bits = self.0 >> HOST_BITS_SHIFT & 15;
        SlotRule {
            slot: self.0 & SLOT_MASK,
            host_mask: (1 << host_bits) - 1,
            flags: self.0 >> FLAGS_SHIFT & 7,
        }
    }
}

/// What an address leads to by its next byte.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// By the value of the byte.
    pub entries: [Entry; NODE_ENTRIES],
}

const _: () = assert!(size_of::<Node>() == 4 * NODE_ENTRIES);

impl Node {
    /// One that leads nowhere else.
    pub const fn filled(entry: Entry) -> Self {
        Self { entries: [entry; NODE_ENTRIES] }
    }
}

/// Nodes of a table whose place is part of the program, where a node of a map has to be looked up: more than the 49
/// that sixteen addresses take which have nothing in common, and than the prefixes of most VPCs do.
pub const NEAR_NODES: u32 = 64;

/// Those of both tables: the numbers of other nodes begin behind theirs.
pub const ALL_NEAR_NODES: u32 = 2 * NEAR_NODES;

/// The near nodes of both tables, by number.
pub type NearNodes = [Node; ALL_NEAR_NODES as usize];

/// Where a search begins.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// What all prefixes begin with, host order.
    pub base: u32,
    /// The bits of `base` that count: 0, 8, 16 or 24 of them.
    pub mask: u32,
    /// Where the byte behind them lies, in bits from the low end: 24, 16, 8 or 0.
    pub shift: u32,
    /// What addresses lead to that begin so.
    pub entry: Entry,
}

const _: () = assert!(size_of::<Root>() == 16);

impl Root {
    /// One that names nobody.
    pub const EMPTY: Self = Self { base: 0, mask: 0, shift: 24, entry: Entry::OTHER };

    /// Whether all nodes behind it are near ones. No table has nodes of both kinds.
    #[inline(always)]
    pub const fn is_near(&self) -> bool {
        self.entry.0 < Entry::of_node(ALL_NEAR_NODES).0
    }

    /// Whether the trie is to be asked.
    #[inline(always)]
    pub fn is_in_trie(&self) -> bool {
        self.entry == Entry::IN_TRIE
    }

    /// The entry of an address that is a rule. `next` is the entry of a node for a byte, [`Entry::OTHER`] where there is no such
    /// node.
    #[inline(always)]
    pub fn search(&self, address: u32, next: impl Fn(Entry, u8) -> Entry) -> Entry {
        let mut entry = if (address ^ self.base) & self.mask == 0 { self.entry } else { Entry::OTHER };
        let rest = address << ((24 - self.shift) & 31);
        // One within the other: the compiler keeps a loop, which counts its steps.
        if entry.is_node() {
            entry = next(entry, (rest >> 24) as u8);
            if entry.is_node() {
                entry = next(entry, (rest >> 16) as u8);
                if entry.is_node() {
                    entry = next(entry, (rest >> 8) as u8);
                    if entry.is_node() {
                        entry = next(entry, rest as u8);
                    }
                }
            }
        }
        entry
    }
}

crate::pod!(Entry, Node, Root);

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(slot: u32, host_mask: u32, flags: u32) -> SlotRule {
        SlotRule { slot, host_mask, flags }
    }

    #[test]
    fn a_rule_comes_out_as_it_went_in() {
        for rule in [SlotRule::OTHER, rule(0x7f_ffff, 0xff, 7), rule(1, 0, 0), rule(40, 15, 2)] {
            let entry = Entry::of_rule(&rule).expect("it fits");
            assert_eq!((entry.is_node(), entry.rule()), (false, rule));
        }
        assert_eq!(Entry::of_rule(&SlotRule::OTHER), Some(Entry::OTHER));
    }

    #[test]
    fn a_rule_that_does_not_fit_is_none() {
        assert_eq!(Entry::of_rule(&rule(1 << 23, 0, 0)), None);
        assert_eq!(Entry::of_rule(&rule(1, 2, 0)), None);
        assert_eq!(Entry::of_rule(&rule(1, 0, 8)), None);
    }

    #[test]
    fn a_search_follows_the_bytes_behind_the_common_ones() {
        let mut nodes = [Node::filled(Entry::OTHER), Node::filled(Entry::OTHER)];
        nodes[0].entries[1] = Entry::of_node(1);
        nodes[1].entries[23] = Entry::of_rule(&rule(3, 0, 0)).expect("it fits");
        let root = Root { base: 0x0a00_0000, mask: 0xffff_0000, shift: 8, entry: Entry::of_node(0) };
        let next = |entry: Entry, byte: u8| {
            nodes.get(entry.node() as usize).map_or(Entry::OTHER, |node| node.entries[usize::from(byte)])
        };
        let of = |root: Root, address| root.search(address, next).rule();
        assert_eq!(of(root, 0x0a00_0117), rule(3, 0, 0));
        assert_eq!(of(root, 0x0a00_0118), SlotRule::OTHER);
        assert_eq!(of(root, 0x0a01_0117), SlotRule::OTHER);
        assert_eq!(of(Root::EMPTY, 7), SlotRule::OTHER);
        assert_eq!(of(Root { entry: Entry::of_node(9), ..Root::EMPTY }, 7), SlotRule::OTHER);
    }

    #[test]
    fn a_table_is_near_far_or_in_the_trie() {
        let of = |entry| Root { entry, ..Root::EMPTY };
        for (entry, is_near, is_in_trie) in [
            (Entry::OTHER, true, false),
            (Entry::of_rule(&rule(0x7f_ffff, 0xff, 7)).expect("it fits"), true, false),
            (Entry::of_node(ALL_NEAR_NODES - 1), true, false),
            (Entry::of_node(ALL_NEAR_NODES), false, false),
            (Entry::IN_TRIE, false, true),
        ] {
            assert_eq!((of(entry).is_near(), of(entry).is_in_trie()), (is_near, is_in_trie), "{entry:?}");
        }
    }

    #[test]
    fn a_place_counts_the_entries_of_all_nodes_in_front() {
        assert_eq!(
            Entry::of_node(3).place(7) % (ALL_NEAR_NODES as usize * NODE_ENTRIES),
            3 * NODE_ENTRIES + 7
        );
    }
}
