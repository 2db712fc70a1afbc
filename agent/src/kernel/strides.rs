//! IPv4 sources as the programs search them: nodes, a byte a step.

use agent_common::{
    prefix::SlotRule,
    strides::{Entry, Node, Root},
};
use ipnet::Ipv4Net;

/// Nodes and where a search begins in them.
#[derive(Debug)]
pub struct Strides {
    /// Where a search begins.
    pub root: Root,
    /// By number.
    pub nodes: Vec<Node>,
}

impl Strides {
    /// Of prefixes in any order, numbered from `first` on. `None` where there are more nodes than `most`, or a rule that no
    /// entry holds.
    pub fn build(prefixes: &[(Ipv4Net, SlotRule)], first: u32, most: usize) -> Option<Self> {
        let (base, common_bytes) = common(prefixes);
        let shift = 24 - 8 * common_bytes;
        let mut strides = Self {
            root: Root { base, mask: mask(8 * common_bytes), shift, entry: Entry::OTHER },
            nodes: Vec::new(),
        };
        // Shorter ones first: a longer one then writes over the part of them that it covers.
        let mut by_length: Vec<_> = prefixes.iter().collect();
        by_length.sort_by_key(|(network, _)| network.prefix_len());
        for (network, rule) in by_length {
            strides.insert(*network, common_bytes, rule, first, most)?;
        }
        Some(strides)
    }

    /// Follows a prefix, through nodes that are made where there are none, to the entries that it covers.
    fn insert(
        &mut self,
        network: Ipv4Net,
        common_bytes: u32,
        rule: &SlotRule,
        first: u32,
        most: usize,
    ) -> Option<()> {
        let bytes = network.network().octets();
        let length = u32::from(network.prefix_len());
        // One with a slot for each address has an entry for each.
        let bytes_of_one_slot = if rule.host_mask == 0 { length.div_ceil(8) } else { 4 };
        // Where the entry stands that is being looked at: the root's, or one of a node.
        let mut place: Option<(usize, usize)> = None;
        for depth in common_bytes..bytes_of_one_slot {
            let node = self.node_at(place, first, most)?;
            let begin = usize::from(bytes[depth as usize]);
            let covered = 1 << (8 * (depth + 1)).saturating_sub(length);
            if depth + 1 == bytes_of_one_slot {
                // What is there already belongs to shorter prefixes, which it covers: none of it is a node.
                for (low, entry) in (0..).zip(&mut self.nodes[node].entries[begin..begin + covered]) {
                    let slot = if rule.host_mask == 0 { rule.slot } else { rule.slot + low };
                    *entry = Entry::of_rule(&SlotRule { slot, host_mask: 0, flags: rule.flags })?;
                }
                return Some(());
            }
            place = Some((node, begin));
        }
        *self.entry_mut(place) = Entry::of_rule(rule)?;
        Some(())
    }

    /// The node behind an entry, which is made where there is none.
    fn node_at(&mut self, place: Option<(usize, usize)>, first: u32, most: usize) -> Option<usize> {
        let entry = self.entry(place);
        if entry.is_node() {
            return Some((entry.node() - first) as usize);
        }
        if self.nodes.len() == most {
            return None;
        }
        self.nodes.push(Node::filled(entry));
        let node = self.nodes.len() - 1;
        *self.entry_mut(place) = Entry::of_node(first + node as u32);
        Some(node)
    }

    fn entry(&self, place: Option<(usize, usize)>) -> Entry {
        place.map_or(self.root.entry, |(node, index)| self.nodes[node].entries[index])
    }

    fn entry_mut(&mut self, place: Option<(usize, usize)>) -> &mut Entry {
        match place {
            None => &mut self.root.entry,
            Some((node, index)) => &mut self.nodes[node].entries[index],
        }
    }
}

/// The bytes that all prefixes begin with, and how many they are: no more than three, and none of a prefix that is shorter.
fn common(prefixes: &[(Ipv4Net, SlotRule)]) -> (u32, u32) {
    let Some((first, _)) = prefixes.first() else { return (0, 0) };
    let base = first.network().to_bits();
    let of = |(network, _): &(Ipv4Net, SlotRule)| {
        let alike = (network.network().to_bits() ^ base).leading_zeros();
        alike.min(u32::from(network.prefix_len())) / 8
    };
    let bytes = prefixes.iter().map(of).min().unwrap_or(0).min(3);
    (base & mask(8 * bytes), bytes)
}

/// The mask of so many leading bits, fewer than 32.
const fn mask(bits: u32) -> u32 {
    !(u32::MAX >> bits)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use agent_common::prefix::Found;

    use super::*;

    fn rule(slot: u32) -> SlotRule {
        SlotRule { slot, host_mask: 0, flags: 2 }
    }

    fn look(strides: &Strides, address: Ipv4Addr, first: u32) -> Found {
        let next =
            |node: Entry, byte: u8| strides.nodes[(node.node() - first) as usize].entries[usize::from(byte)];
        strides.root.search(address.to_bits(), next).found()
    }

    const NOBODY: Found = Found { slot: SlotRule::OTHER.slot, flags: SlotRule::OTHER.flags };

    /// The longest prefix that holds it, by looking at all of them.
    fn slowly(prefixes: &[(Ipv4Net, SlotRule)], address: Ipv4Addr) -> Found {
        let holding = prefixes.iter().filter(|(network, _)| network.contains(&address));
        holding
            .max_by_key(|(network, _)| network.prefix_len())
            .map_or(NOBODY, |(_, rule)| rule.of(address.to_bits()))
    }

    fn named(texts: &[&str]) -> Vec<(Ipv4Net, SlotRule)> {
        let prefix = |text: &&str| text.parse().expect("a prefix");
        texts.iter().map(prefix).zip(1..).map(|(network, slot)| (network, rule(slot))).collect()
    }

    #[test]
    fn the_longest_prefix_wins_in_whatever_order_they_are_named() {
        for texts in [
            ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/12", "10.0.1.0/24", "10.0.1.23/32", "10.0.1.128/25"],
            ["10.0.1.128/25", "10.0.1.23/32", "10.0.0.0/12", "10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0"],
        ] {
            let prefixes = named(&texts);
            let strides = Strides::build(&prefixes, 5, 64).expect("room");
            for text in
                ["10.0.1.23", "10.0.1.24", "10.0.1.200", "10.0.2.1", "10.16.0.0", "11.0.0.0", "10.15.255.255"]
            {
                let address = text.parse().expect("an address");
                assert_eq!(look(&strides, address, 5), slowly(&prefixes, address), "{text}");
            }
        }
    }

    #[test]
    fn what_all_begin_with_takes_no_step() {
        let strides =
            Strides::build(&named(&["10.0.1.23/32", "10.0.2.31/32", "10.0.16.0/20"]), 0, 64).expect("room");
        assert_eq!((strides.root.mask, strides.root.shift), (0xffff_0000, 8));
        assert_eq!(strides.nodes.len(), 3, "one for the third byte, two for the fourth");
        assert_eq!(look(&strides, Ipv4Addr::new(10, 1, 1, 23), 0), NOBODY);
    }

    #[test]
    fn nobody_and_a_single_one_need_next_to_nothing() {
        let nobody = Strides::build(&[], 0, 0).expect("no node is needed");
        assert_eq!(look(&nobody, Ipv4Addr::LOCALHOST, 0), NOBODY);
        let one = Strides::build(&named(&["10.0.1.23/32"]), 0, 1).expect("room");
        assert_eq!(look(&one, Ipv4Addr::new(10, 0, 1, 23), 0), rule(1).of(0));
        assert_eq!(look(&one, Ipv4Addr::new(10, 0, 1, 22), 0), NOBODY);
        let all = Strides::build(&named(&["0.0.0.0/0"]), 0, 0).expect("no node is needed");
        assert_eq!(look(&all, Ipv4Addr::LOCALHOST, 0), rule(1).of(0));
    }

    #[test]
    fn a_prefix_with_a_slot_for_each_address_has_an_entry_for_each() {
        let each = |text: &str, slot, host_mask| {
            (text.parse().expect("a prefix"), SlotRule { slot, host_mask, flags: 2 })
        };
        let prefixes =
            [each("10.0.1.0/24", 100, 255), each("10.0.1.64/28", 400, 15), each("10.0.1.7/32", 1, 0)];
        let strides = Strides::build(&prefixes, 0, 64).expect("room");
        for (last, slot) in [(0, 100), (7, 1), (8, 108), (64, 400), (79, 415), (80, 180), (255, 355)] {
            let address = Ipv4Addr::new(10, 0, 1, last);
            assert_eq!(look(&strides, address, 0), Found { slot, flags: 2 }, "{address}");
        }
        let alone = Strides::build(&prefixes[..1], 0, 64).expect("room");
        assert_eq!(look(&alone, Ipv4Addr::new(10, 0, 1, 9), 0).slot, 109);
        assert_eq!(look(&alone, Ipv4Addr::new(10, 0, 2, 9), 0), NOBODY);
    }

    #[test]
    fn more_nodes_than_there_is_room_for_are_none() {
        let prefixes = named(&["10.0.1.23/32", "192.168.0.1/32"]);
        assert!(Strides::build(&prefixes, 0, 7).is_some());
        assert!(Strides::build(&prefixes, 0, 6).is_none());
    }

    #[test]
    fn a_rule_that_no_entry_holds_is_none() {
        let network = "10.0.0.0/8".parse().expect("a prefix");
        assert!(Strides::build(&[(network, rule(1 << 23))], 0, 64).is_none());
    }

    #[test]
    fn random_prefixes_are_found_as_by_looking_at_all() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            // Few bits, so that prefixes lie within one another.
            let address = |random: &mut fastrand::Rng| Ipv4Addr::from_bits(random.u32(..) & 0x0301_8383);
            let count = random.usize(1..40);
            let mut prefixes: Vec<(Ipv4Net, SlotRule)> = Vec::new();
            for slot in 0..count {
                let length = random.u8(0..=32);
                let network = Ipv4Net::new(address(&mut random), length).expect("a length").trunc();
                if prefixes.iter().all(|(other, _)| *other != network) {
                    let host_mask =
                        if length >= 24 && random.bool() { u32::from(network.hostmask()) } else { 0 };
                    prefixes.push((network, SlotRule { host_mask, ..rule(300 * (slot as u32 + 1)) }));
                }
            }
            let strides = Strides::build(&prefixes, 100, 4096).expect("room");
            for _ in 0..500 {
                let any = address(&mut random);
                assert_eq!(look(&strides, any, 100), slowly(&prefixes, any), "{any} in {prefixes:?}");
            }
        }
    }
}
