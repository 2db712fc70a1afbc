//! Sources as the programs compare them: prefixes as numbers, each with its rule.

use std::net::Ipv6Addr;

use agent_common::prefix::{HUNT_STRAYS, LOOK_AT_OPENINGS, Prefix6, REMEMBER, SlotRule};
use ipnet::{IpNet, Ipv4Net};

use crate::domain::{class::Role, sources::Source};

/// Where a source's tallies are, and what the programs do about it.
fn rule(source: &Source) -> SlotRule {
    let remember = if source.is_shared() { REMEMBER } else { 0 };
    // Whoever has a tally of its own without a role is watched for being a node. To another port a node that was only learned
    // may send for any reason.
    let look = match source.role {
        Role::Client | Role::Own => 0,
        Role::Node if source.is_named() => LOOK_AT_OPENINGS | HUNT_STRAYS,
        Role::Node | Role::Other => LOOK_AT_OPENINGS,
    };
    SlotRule { slot: source.slot, host_mask: source.slots - 1, flags: remember | look }
}

/// The prefix of a source with an IPv4 one, and its rule.
pub fn prefix4(source: &Source) -> Option<(Ipv4Net, SlotRule)> {
    let IpNet::V4(network) = source.network else { return None };
    Some((network, rule(source)))
}

/// Of a source with an IPv6 prefix.
pub fn prefix6(source: &Source) -> Option<Prefix6> {
    let IpNet::V6(network) = source.network else { return None };
    Some(Prefix6 { network: words(network.network()), mask: words(network.netmask()), rule: rule(source) })
}

fn words(address: Ipv6Addr) -> [u32; 4] {
    let bits = address.to_bits();
    [(bits >> 96) as u32, (bits >> 64) as u32, (bits >> 32) as u32, bits as u32]
}

#[cfg(test)]
mod tests {
    use agent_common::{prefix::PrefixTable, strides::Entry};

    use super::*;
    use crate::{
        domain::sources::{Origin, SourceTable},
        kernel::strides::Strides,
    };

    #[test]
    fn prefixes_are_written_as_the_programs_compare_them() {
        let mut sources = SourceTable::new(600);
        for (text, role) in
            [("10.0.1.0/24", Role::Node), ("fd00:1::17/128", Role::Node), ("10.0.0.0/8", Role::Client)]
        {
            sources
                .add(text.parse().expect("a prefix"), role, Origin::Flag, std::time::Duration::ZERO)
                .expect("room");
        }
        let v4: Vec<_> = sources.iter().filter_map(prefix4).collect();
        let strides = Strides::build(&v4, 0, 8).expect("room");
        let slot = |address: u32| {
            let next = |node: Entry, byte: u8| strides.nodes[node.node() as usize].entries[usize::from(byte)];
            strides.root.search(address, next).found().slot
        };
        let mut table = PrefixTable::EMPTY;
        for (index, prefix) in sources.iter().filter_map(prefix6).enumerate() {
            table.entries[index] = prefix;
            table.count += 1;
        }
        assert_eq!(sources.label(slot(0x0a00_0117)), "10.0.1.23");
        assert_eq!(sources.label(slot(0x0a01_0000)), "10.0.0.0/8");
        assert_eq!(sources.label(slot(0x0b00_0000)), "any");
        let v6 = table.rule(&words("fd00:1::17".parse().expect("an address")));
        assert_eq!(sources.label(v6.slot), "fd00:1::17");
    }
}
