//! Which senders are an NLB's nodes, where nobody named them.
//!
//! A request that calls itself a health check of ELB, or a proxy protocol header that says LOCAL, is proof. To connect in a
//! steady rhythm and close without a word is what a TCP health check does, and what a monitor may do: such a sender is a
//! suspected node, which nothing is concluded from but what happens to its packets.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use ipnet::IpNet;

use crate::domain::{
    class::Role,
    history::History,
    sources::{Origin, SourceTable},
    track::Manner,
};

/// Senders that are learned or watched for it at most: as many prefixes cost a SYN little. An NLB has a node per zone.
pub const MOST: usize = 16;

/// Intervals for which a sender must have kept its rhythm like a clock.
const INTERVALS: u32 = 6;

/// Where nodes may be.
#[derive(Clone, Debug, Default)]
pub struct Learning {
    /// CIDRs of the VPC, where they are known.
    vpc: Vec<IpNet>,
    /// Addresses of the watched interface.
    own: Vec<IpAddr>,
}

impl Learning {
    /// `vpc`: the CIDRs of the VPC, as far as they are known; `own`: the addresses of the watched interface.
    pub const fn new(vpc: Vec<IpNet>, own: Vec<IpAddr>) -> Self {
        Self { vpc, own }
    }

    /// Takes in who called itself a health check and who closed without a word, and says whether the table changed.
    pub fn take_in(
        &self,
        sources: &mut SourceTable,
        history: &History,
        (said, mute): (&[IpAddr], &[IpAddr]),
        now: Duration,
    ) -> bool {
        let mut changed = false;
        for address in said.iter().filter(|address| self.may_be_node(**address)) {
            changed |= add(sources, *address, Role::Node, Origin::Said, now);
        }
        for address in mute.iter().filter(|address| self.may_be_node(**address)) {
            // A tally of its own, so that its rhythm shows.
            let is_new = sources.of_address(*address).is_none();
            changed |= is_new && add(sources, *address, Role::Other, Origin::Lookalike, now);
        }
        let alike: Vec<IpAddr> = sources
            .iter()
            .filter(|source| source.role == Role::Other && is_alike(history, source.slot))
            .map(|source| source.network.addr())
            .collect();
        for address in alike {
            changed |= add(sources, address, Role::Node, Origin::Lookalike, now);
        }
        changed
    }

    /// An NLB's nodes have addresses of the VPC. Where its CIDRs are not known, private ones, or of the same IPv6 CIDR as
    /// the interface's own: a VPC has a /56.
    fn may_be_node(&self, address: IpAddr) -> bool {
        if self.own.contains(&address) {
            return false;
        }
        if self.vpc.iter().any(|network| network.addr().is_ipv4() == address.is_ipv4()) {
            return self.vpc.iter().any(|network| network.contains(&address));
        }
        match address {
            // 100.64.0.0/10 is allowed for a VPC, too (AWS, VPC CIDR blocks).
            IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
            IpAddr::V6(v6) => v6.is_unique_local() || self.own.iter().any(|own| is_near(own, v6)),
        }
    }
}

fn is_near(own: &IpAddr, address: Ipv6Addr) -> bool {
    matches!(own, IpAddr::V6(own) if own.to_bits() >> 72 == address.to_bits() >> 72)
}

fn add(sources: &mut SourceTable, address: IpAddr, role: Role, origin: Origin, now: Duration) -> bool {
    let learned = sources.iter().filter(|source| source.is_learned()).count();
    let is_known = sources.iter().any(|source| source.network == IpNet::from(address));
    // Those who only close without a word leave room for those who say more.
    let room = if origin == Origin::Said { MOST } else { MOST / 2 };
    (is_known || learned < room) && sources.add(IpNet::from(address), role, origin, now).unwrap_or_default()
}

/// Whether it does nothing but connect in a steady rhythm and close without a word.
fn is_alike(history: &History, slot: u32) -> bool {
    let mut tracks = history.tracks().filter(|(key, _)| key.slot == slot).map(|(_, track)| track);
    tracks.any(|track| track.manner() == Manner::ProbesOnly && track.probes.is_clockwork(INTERVALS))
}

#[cfg(test)]
#[path = "learning_tests.rs"]
mod tests;
