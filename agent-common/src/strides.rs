//! From an IPv4 address to the rule of its longest prefix, eight bits a step: as many steps as the prefixes have bytes
//! that differ, however many prefixes there are.
//!
//! What all prefixes begin with is compared in one go. Behind it, a node has an entry for each value of the next byte:
//! another node, or the rule itself. Userspace spreads a prefix that ends within a byte over the entries it covers.

use crate::prefix::{OTHER_SLOT, REMEMBER, SlotRule};

/// Entries of a node: one for each value of a byte.
pub const NODE_ENTRIES: usize = 256;

/// Most steps of a search: an address has four bytes.
pub const STEPS: usize = 4;

/// A node, or a rule: bit 31, and the number of the node; or from the top flags (3 bits), how many low bits of the address
/// are added to the slot (4), and the slot (24).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u32);

const IS_NODE: u32 = 1 << 31;
const FLAGS_SHIFT: u32 = 28;
const HOST_BITS_SHIFT: u32 = 24;
const SLOT_MASK: u32 = (1 << HOST_BITS_SHIFT) - 1;
const _: () = assert!(OTHER_SLOT == 0 && REMEMBER == 1);

impl Entry {
    /// Of an address that nothing names.
    pub const OTHER: Self = Self(REMEMBER << FLAGS_SHIFT);

    /// The rest is behind the node with this number.
    pub const fn of_node(node: u32) -> Self {
        Self(IS_NODE | node)
    }

    /// A rule; `None` where it has more slots than fit, which is 2^24.
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

    /// The node behind it, if it is no rule.
    #[inline(always)]
    pub const fn node(self) -> Option<u32> {
        if self.0 & IS_NODE == 0 { None } else { Some(self.0 & !IS_NODE) }
    }

    /// The rule.
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

    /// The rule of an address. Where a node is missing it is nobody's; `in_trie` finds it where the trie is to be asked.
    #[inline(always)]
    pub fn rule<'a>(
        &self,
        address: u32,
        node: impl Fn(u32) -> Option<&'a Node>,
        in_trie: impl Fn(u32) -> Entry,
    ) -> SlotRule {
        // One way out for all: the verifier follows by itself what comes behind each.
        let mut entry = if (address ^ self.base) & self.mask == 0 { self.entry } else { Entry::OTHER };
        if entry == Entry::IN_TRIE {
            return in_trie(address).rule();
        }
        let mut rest = address << ((24 - self.shift) & 31);
        for _ in 0..STEPS {
            let Some(number) = entry.node() else { break };
            entry = node(number).map_or(Entry::OTHER, |node| node.entries[(rest >> 24) as usize]);
            rest <<= 8;
        }
        entry.rule()
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
        for rule in [SlotRule::OTHER, rule(0xff_ffff, 0xff, 7), rule(1, 0, 0), rule(40, 15, 2)] {
            let entry = Entry::of_rule(&rule).expect("it fits");
            assert_eq!((entry.node(), entry.rule()), (None, rule));
        }
        assert_eq!(Entry::of_rule(&SlotRule::OTHER), Some(Entry::OTHER));
    }

    #[test]
    fn a_rule_that_does_not_fit_is_none() {
        assert_eq!(Entry::of_rule(&rule(1 << 24, 0, 0)), None);
        assert_eq!(Entry::of_rule(&rule(1, 2, 0)), None);
        assert_eq!(Entry::of_rule(&rule(1, 0, 8)), None);
    }

    #[test]
    fn a_search_follows_the_bytes_behind_the_common_ones() {
        let mut nodes = [Node::filled(Entry::OTHER), Node::filled(Entry::OTHER)];
        nodes[0].entries[1] = Entry::of_node(1);
        nodes[1].entries[23] = Entry::of_rule(&rule(3, 0, 0)).expect("it fits");
        let root = Root { base: 0x0a00_0000, mask: 0xffff_0000, shift: 8, entry: Entry::of_node(0) };
        let of = |root: Root, address| {
            root.rule(address, |number| nodes.get(number as usize), |_| unreachable!("it is no trie"))
        };
        assert_eq!(of(root, 0x0a00_0117), rule(3, 0, 0));
        assert_eq!(of(root, 0x0a00_0118), SlotRule::OTHER);
        assert_eq!(of(root, 0x0a01_0117), SlotRule::OTHER);
        assert_eq!(of(Root::EMPTY, 7), SlotRule::OTHER);
        assert_eq!(of(Root { entry: Entry::of_node(9), ..Root::EMPTY }, 7), SlotRule::OTHER);
        let trie = Root { entry: Entry::IN_TRIE, ..Root::EMPTY };
        let found = trie.rule(7, |_| None, |_| Entry::of_rule(&rule(5, 0, 0)).expect("it fits"));
        assert_eq!(found, rule(5, 0, 0));
    }
}
