//! One observation: every counter as read at one moment. An absent counter is `None`, never zero.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

use crate::domain::{
    conntrack::Conntrack, host_counters::HostCounters, other_programs::OtherProgram, pairs, rules::Rules,
    stage::Stage, tally::Tally,
};

/// Which tally: a source slot and a watched port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct TallyKey {
    /// Source slot (see [`crate::domain::sources`]).
    pub slot: u32,
    /// Watched port.
    pub port: u16,
}

/// Everything read at one moment from one target.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default, bound(deserialize = "'de: 'static")))]
pub struct Sample {
    /// When, since the agent began to watch.
    pub at: Duration,
    /// Cumulative tallies since attach; those that are all zero may be left out.
    #[serde(with = "pairs")]
    pub tallies: BTreeMap<TallyKey, Tally>,
    /// Counters of the target's network namespace.
    pub host: HostCounters,
    /// Connection tracking of the namespace; `None` where there is none.
    pub conntrack: Option<Conntrack>,
    /// Rules of nftables that drop and count; read once, and then only when netfilter dropped something new.
    #[serde(with = "pairs::optional")]
    pub rules: Option<Rules>,
    /// TCP listeners of the namespace; `None` when they could not be read.
    pub listeners: Option<Vec<Listener>>,
    /// Connections completed on unwatched local ports, cumulative: (slot, local port). Counted while the agent looks for the
    /// port that a watched one is translated to, and on that port, there without telling the sources apart.
    #[serde(with = "pairs")]
    pub elsewhere: BTreeMap<(u32, u16), u64>,
    /// Connection attempts of NLB nodes on unwatched ports, cumulative: (slot, port). Counted only while asked for.
    #[serde(with = "pairs")]
    pub strays: BTreeMap<(u32, u16), u64>,
    /// An XDP program of somebody else on the interface: it can drop unseen, in front of every hook of the agent.
    pub foreign_xdp: Option<String>,
    /// A tc program of somebody else in front of the agent's: it can drop, or end the chain, before a SYN is counted.
    pub foreign_tc: Option<String>,
    /// Senders to whom the kernel finds no route, by slot; asked only when it gave SYNs up and counted no overflow for them.
    #[serde(with = "pairs")]
    pub without_route: BTreeMap<u32, IpAddr>,
    /// Programs and filters of somebody else on the interface, as they were when watching began or, later, when a program had
    /// dropped something.
    pub other_programs: Vec<OtherProgram>,
    /// What the agent itself failed to record, cumulative.
    pub loss: Loss,
}

/// A TCP listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Listener {
    /// Address it is bound to; unspecified for all.
    pub address: IpAddr,
    /// Port.
    pub port: u16,
    /// An IPv6 listener that takes no IPv4 peers (`IPV6_V6ONLY`).
    pub v6_only: bool,
    /// Connections waiting to be accepted.
    pub backlog: u32,
    /// Most that may wait; one more than this is full (`sk_acceptq_is_full`, include/net/sock.h, v6.1).
    pub backlog_limit: u32,
}

impl Listener {
    /// Whether it takes connections of an address family that come to one of these addresses of the interface.
    pub fn serves(&self, v6: bool, addresses: &[IpAddr]) -> bool {
        match self.address {
            IpAddr::V4(address) if address.is_unspecified() => !v6,
            IpAddr::V6(address) if address.is_unspecified() => v6 || !self.v6_only,
            address => address.is_ipv6() == v6 && addresses.contains(&address),
        }
    }

    /// Full as the kernel means it.
    pub const fn is_full(&self) -> bool {
        self.backlog > self.backlog_limit
    }
}

/// What the agent itself failed to record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Loss {
    /// Drops that found the drop table full.
    pub drops: u64,
    /// Connections on unwatched ports that found their table full.
    pub elsewhere: u64,
    /// SYNs of NLB nodes for unwatched ports that found their table full.
    pub strays: u64,
    /// Connections that began like a health check and found their table full.
    pub probes: u64,
    /// Times a program of ours was skipped because it would have interrupted itself.
    pub recursion_misses: u64,
    /// NLB sources that got no tally of their own because there was no slot left.
    pub sources: u64,
    /// Lines of output that nobody read in time, or that could not be written. No conclusion rests on them.
    pub output_lines: u64,
    /// Lines that did not reach CloudWatch Logs. No conclusion rests on them.
    pub shipping_lines: u64,
}

impl Loss {
    /// Sum of all kinds.
    pub const fn total(&self) -> u64 {
        self.drops
            + self.elsewhere
            + self.strays
            + self.probes
            + self.recursion_misses
            + self.sources
            + self.output_lines
            + self.shipping_lines
    }
}

/// Something this host does not let the agent see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct BlindSpot {
    /// Stable id.
    pub id: &'static str,
    /// Stages about which nothing can be said.
    pub stages: Vec<Stage>,
    /// What is missing, why, and what to do.
    pub text: String,
}
