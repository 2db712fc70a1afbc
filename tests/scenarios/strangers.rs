//! Whoever else sends to the watched port, and what rules of the task count of them.

use std::net::IpAddr;

use lab::{
    flood,
    frame::{Flags, Frame, Link},
    plan::Family,
    shell,
    topology::Topology,
};

/// Somebody outside every named prefix.
pub fn stranger(family: Family) -> IpAddr {
    let text = if family == Family::V4 { "198.51.100.7" } else { "2001:db8:77::7" };
    text.parse().expect("an address")
}

/// SYNs of a stranger for the watched port.
pub fn send_as_stranger(lab: &Topology, count: u16) {
    send_as(lab, stranger(lab.plan.family), count);
}

/// SYNs from this address for the watched port.
pub fn send_as(lab: &Topology, from: IpAddr, count: u16) {
    send(lab, from, Flags::SYN, count);
}

/// Segments from this address for the watched port.
pub fn send(lab: &Topology, from: IpAddr, flags: Flags, count: u16) {
    let plan = &lab.plan;
    let link = Link {
        source: flood::hardware_address(&lab.fabric, "task"),
        destination: flood::hardware_address(&lab.task, &plan.task.interface),
        tags: Vec::new(),
    };
    for port in 0..count {
        let frame = Frame { flags, ..Frame::syn(from, 40_000 + port, plan.target()) };
        flood::send(&lab.fabric, "task", &[frame.on(&link)], 1, 0);
    }
}

/// The rule's own counter, for what it must have hit.
pub fn hits(lab: &Topology, chain: &str) -> u64 {
    let text = shell::run(&lab.task, "nft", &["list", "chain", "inet", "host", chain], "");
    let counted = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
    counted.and_then(|count| count.parse().ok()).expect("a rule that counts")
}
