//! Who has which address, drawn anew for every run, so that no diagnosis fits the lab only.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::wait;

/// Address family of everything in one lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The word nftables uses for it.
    pub const fn nft(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

/// One side of the fabric.
#[derive(Clone, Debug)]
pub struct Side {
    /// Subnet.
    pub subnet: IpNet,
    /// Address of the fabric in it.
    pub gateway: IpAddr,
    /// Addresses of those who live there; the first is the main one.
    pub addresses: Vec<IpAddr>,
    /// Name of the interface there.
    pub interface: String,
}

impl Side {
    /// Its main address.
    pub fn address(&self) -> IpAddr {
        self.addresses[0]
    }
}

/// All that is drawn for one run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What everything was drawn from.
    pub seed: u64,
    /// Address family.
    pub family: Family,
    /// The application and the agent.
    pub task: Side,
    /// NLB nodes, one per zone.
    pub nodes: [Side; 2],
    /// Clients: several interfaces of a VPC link.
    pub client: Side,
    /// Port of the application.
    pub port: u16,
    /// A second port, for whatever a scenario needs one.
    pub other_port: u16,
    /// Interval of the health check.
    pub interval: Duration,
}

impl Plan {
    /// Draws one; the seed is printed, and `LAB_SEED` repeats an earlier run.
    ///
    /// # Panics
    ///
    /// When `LAB_SEED` is no number.
    pub fn draw(family: Family) -> Self {
        let seed = match std::env::var("LAB_SEED") {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("LAB_SEED={text} is no number")),
            Err(_) => fastrand::u64(..),
        };
        eprintln!("LAB_SEED={seed} repeats this run");
        Self::from_seed(family, seed)
    }

    /// The same seed gives the same plan.
    pub fn from_seed(family: Family, seed: u64) -> Self {
        let mut draw = fastrand::Rng::with_seed(seed);
        let vpc = draw.u8(0..200);
        // Four different subnets of one VPC.
        let mut thirds: Vec<u8> = (0..16).map(|number| number * 16).collect();
        draw.shuffle(&mut thirds);
        let names = ["eth0", "eth1", "ens5", "eth0.104", "vlan.eth.7"];
        // No two alike, in whichever subnet: the lab's own programs tell senders by the last 32 bits of their address.
        let mut hosts: Vec<u32> = (10..250).collect();
        draw.shuffle(&mut hosts);
        let mut side = |third: u8, addresses: usize| {
            let subnet = subnet(family, vpc, third);
            let own = hosts.split_off(hosts.len() - addresses);
            Side {
                subnet,
                gateway: host(subnet, 1),
                addresses: own.iter().map(|number| host(subnet, *number)).collect(),
                interface: (*draw.choice(&names).expect("there are names")).to_owned(),
            }
        };
        let task = side(thirds[0], 1);
        let nodes = [side(thirds[1], 1), side(thirds[2], 1)];
        let client = side(thirds[3], 4);
        let port = draw.u16(1024..30_000);
        Self {
            seed,
            family,
            task,
            nodes,
            client,
            port,
            other_port: port + draw.u16(1..2000),
            interval: Duration::from_millis(draw.u64(300..500)) * wait::pace(),
        }
    }

    /// Where the application is reached.
    pub fn target(&self) -> SocketAddr {
        SocketAddr::new(self.task.address(), self.port)
    }

    /// Address of a node.
    pub fn node(&self, number: usize) -> IpAddr {
        self.nodes[number].address()
    }
}

fn subnet(family: Family, vpc: u8, third: u8) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, vpc, third, 0), 20)),
        Family::V6 => {
            let segments = [0xfd00 + u16::from(vpc), 0x5e1f, 0, u16::from(third), 0, 0, 0, 0];
            IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::from(segments), 64))
        }
    }
}

fn host(subnet: IpNet, number: u32) -> IpAddr {
    match subnet {
        IpNet::V4(net) => Ipv4Addr::from_bits(net.network().to_bits() + number).into(),
        IpNet::V6(net) => Ipv6Addr::from_bits(net.network().to_bits() + u128::from(number)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_subnets_do_not_overlap() {
        for seed in 0..200 {
            for family in [Family::V4, Family::V6] {
                let plan = Plan::from_seed(family, seed);
                assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::from_seed(family, seed)));
                let subnets =
                    [plan.task.subnet, plan.client.subnet, plan.nodes[0].subnet, plan.nodes[1].subnet];
                for (index, one) in subnets.iter().enumerate() {
                    assert!(subnets[index + 1..].iter().all(|other| one != other), "seed {seed}");
                }
                assert!(plan.client.addresses.iter().all(|address| plan.client.subnet.contains(address)));
            }
        }
    }
}
