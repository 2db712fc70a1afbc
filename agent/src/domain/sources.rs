//! Who may send: the named sources, and the slot each is counted in.
//!
//! Slots are only ever added: a resolved address is never forgotten, because DNS withdraws exactly the failing zone
//! (AWS, NLB troubleshooting guide).

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

use serde::Serialize;

use crate::domain::class::Role;

/// The slot of everybody that no prefix names.
pub const OTHER_SLOT: u32 = 0;

/// An NLB prefix of up to this many addresses gives each of them a tally of its own.
pub const TALLIED_ADDRESSES: u32 = 256;

/// How a source came to be named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Origin {
    /// By address or prefix on the command line.
    Flag,
    /// By resolving this name.
    Dns(String),
    /// By resolving this name, which is the NLB's in the task's own zone.
    OwnZone(String),
    /// It sent a SYN and lies in a prefix too large to give every address a tally.
    Learned,
    /// The watched interface has it.
    Interface,
    /// Nobody named the NLB, and it called itself a health check.
    Said,
    /// Nobody named the NLB, and it does what a TCP health check does.
    Lookalike,
}

/// One named source: an address or a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Source {
    /// Its addresses.
    pub network: IpNet,
    /// What it is.
    pub role: Role,
    /// Who named it.
    pub origin: Origin,
    /// When it was named, since the agent began to watch: nobody is missed before that.
    pub known_since: Duration,
    /// First slot.
    pub slot: u32,
    /// Number of slots: one, or one per address.
    pub slots: u32,
}

impl Source {
    /// Whether it came from resolving a name.
    pub const fn is_resolved(&self) -> bool {
        matches!(self.origin, Origin::Dns(_) | Origin::OwnZone(_))
    }

    /// Whether the operator named it, or a prefix or an NLB that it belongs to.
    pub const fn is_named(&self) -> bool {
        !self.is_learned() && !matches!(self.origin, Origin::Interface)
    }

    /// Whether only what it does tells that it may be a node.
    pub const fn is_learned(&self) -> bool {
        matches!(self.origin, Origin::Said | Origin::Lookalike)
    }

    /// Whether its addresses share one slot.
    pub fn is_shared(&self) -> bool {
        self.slots == 1 && self.network.prefix_len() != self.network.max_prefix_len()
    }

    /// The text that names it: an address, or a prefix.
    pub fn label(&self) -> String {
        if self.network.prefix_len() == self.network.max_prefix_len() {
            self.network.addr().to_string()
        } else {
            self.network.to_string()
        }
    }
}

/// Why a source was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The same prefix was named as something else.
    #[error("{network} is given both to --nlb and to --client: name it once")]
    TwoRoles {
        /// The prefix.
        network: IpNet,
    },
    /// No slot is left.
    #[error("no tally left for {network}: {capacity} are in use")]
    Full {
        /// The prefix.
        network: IpNet,
        /// Slots in all.
        capacity: u32,
    },
}

/// The named sources of one target.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct SourceTable {
    sources: Vec<Source>,
    next_slot: u32,
    capacity: u32,
}

impl SourceTable {
    /// An empty table with room for `capacity` slots, the one of unnamed sources included.
    pub const fn new(capacity: u32) -> Self {
        Self { sources: Vec::new(), next_slot: OTHER_SLOT + 1, capacity }
    }

    /// Slots that a prefix in this role takes.
    pub fn slots_for(network: &IpNet, role: Role) -> u32 {
        let host_bits = network.max_prefix_len() - network.prefix_len();
        if role == Role::Node && host_bits < 32 && 1u32 << host_bits <= TALLIED_ADDRESSES {
            1 << host_bits
        } else {
            1
        }
    }

    /// Names a source. `Ok(false)` when it is named already.
    ///
    /// # Errors
    ///
    /// When the same prefix has another role, or no slot is left.
    pub fn add(
        &mut self,
        network: IpNet,
        role: Role,
        origin: Origin,
        now: Duration,
    ) -> Result<bool, SourceError> {
        if let Some(known) = self.sources.iter_mut().find(|source| source.network == network) {
            let is_surer = known.origin == Origin::Lookalike && origin == Origin::Said;
            // It had a tally of its own so that it could show what it is.
            if is_surer || known.role == Role::Other {
                let changed = is_surer || known.role != role;
                (known.role, known.origin) = (role, origin);
                return Ok(changed);
            }
            return if known.role == role { Ok(false) } else { Err(SourceError::TwoRoles { network }) };
        }
        let slots = Self::slots_for(&network, role);
        if self.next_slot + slots > self.capacity {
            return Err(SourceError::Full { network, capacity: self.capacity });
        }
        self.sources.push(Source { network, role, origin, known_since: now, slot: self.next_slot, slots });
        self.next_slot += slots;
        // Longest prefix first; the sort is stable, so equal lengths stay in the order they were named.
        self.sources.sort_by_key(|source| std::cmp::Reverse(source.network.prefix_len()));
        Ok(true)
    }

    /// The sources, longest prefix first.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter()
    }

    /// Whether nobody was named; the target's own addresses are named by nobody.
    pub fn is_unnamed(&self) -> bool {
        !self.sources.iter().any(Source::is_named)
    }

    /// Slots in all.
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots in use, the one of unnamed sources included.
    pub const fn used(&self) -> u32 {
        self.next_slot
    }

    /// The source that a slot belongs to; `None` for [`OTHER_SLOT`].
    pub fn of_slot(&self, slot: u32) -> Option<&Source> {
        self.sources.iter().find(|source| (source.slot..source.slot + source.slots).contains(&slot))
    }

    /// The source an address is counted for: the longest prefix that holds it.
    pub fn of_address(&self, address: IpAddr) -> Option<&Source> {
        self.sources.iter().find(|source| source.network.contains(&address))
    }

    /// The role behind a slot.
    pub fn role(&self, slot: u32) -> Role {
        self.of_slot(slot).map_or(Role::Other, |source| source.role)
    }

    /// The text that names a slot: an address where it has one to itself.
    pub fn label(&self, slot: u32) -> String {
        let Some(source) = self.of_slot(slot) else {
            return "any".to_owned();
        };
        if source.slots == 1 {
            return source.label();
        }
        let place = slot - source.slot;
        match source.network {
            IpNet::V4(network) => {
                std::net::Ipv4Addr::from_bits(network.network().to_bits() + place).to_string()
            }
            IpNet::V6(network) => {
                std::net::Ipv6Addr::from_bits(network.network().to_bits() + u128::from(place)).to_string()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut table = SourceTable::new(600);
        table.add(net("10.0.0.0/16"), Role::Client, Origin::Flag, Duration::ZERO).expect("room");
        table.add(net("10.0.1.23/32"), Role::Node, Origin::Flag, Duration::ZERO).expect("room");
        table.add(net("10.0.1.0/24"), Role::Node, Origin::Flag, Duration::ZERO).expect("room");
        let role =
            |address: &str| table.of_address(address.parse().expect("an address")).map(|found| found.label());
        assert_eq!(role("10.0.1.23"), Some("10.0.1.23".to_owned()));
        assert_eq!(role("10.0.1.24"), Some("10.0.1.0/24".to_owned()));
        assert_eq!(role("10.0.2.1"), Some("10.0.0.0/16".to_owned()));
        assert_eq!(role("10.1.0.1"), None);
    }

    #[test]
    fn a_small_node_prefix_gives_every_address_a_slot_and_a_large_one_does_not() {
        let mut table = SourceTable::new(1000);
        table.add(net("10.0.1.0/24"), Role::Node, Origin::Flag, Duration::ZERO).expect("room");
        table.add(net("10.2.0.0/20"), Role::Node, Origin::Flag, Duration::ZERO).expect("room");
        table.add(net("10.3.0.0/24"), Role::Client, Origin::Flag, Duration::ZERO).expect("room");
        assert_eq!(table.label(1 + 23), "10.0.1.23");
        assert_eq!(table.label(257), "10.2.0.0/20");
        assert!(table.of_slot(257).is_some_and(Source::is_shared));
        assert_eq!((table.label(258), table.used()), ("10.3.0.0/24".to_owned(), 259));
        assert_eq!((table.label(OTHER_SLOT), table.role(OTHER_SLOT)), ("any".to_owned(), Role::Other));
    }

    #[test]
    fn one_prefix_has_one_role_and_naming_it_again_changes_nothing() {
        let mut table = SourceTable::new(10);
        assert_eq!(table.add(net("10.0.1.0/30"), Role::Node, Origin::Flag, Duration::ZERO), Ok(true));
        assert_eq!(
            table.add(net("10.0.1.0/30"), Role::Node, Origin::Dns("nlb".into()), Duration::ZERO),
            Ok(false)
        );
        assert_eq!(
            table.add(net("10.0.1.0/30"), Role::Client, Origin::Flag, Duration::ZERO),
            Err(SourceError::TwoRoles { network: net("10.0.1.0/30") })
        );
        assert_eq!(table.used(), 5);
    }

    #[test]
    fn a_full_table_says_so() {
        let mut table = SourceTable::new(2);
        assert_eq!(table.add(net("10.0.1.1/32"), Role::Node, Origin::Flag, Duration::ZERO), Ok(true));
        assert!(matches!(
            table.add(net("10.0.1.2/32"), Role::Node, Origin::Flag, Duration::ZERO),
            Err(SourceError::Full { capacity: 2, .. })
        ));
    }
}
