//! To which senders there is no route back: asked of the kernel as it would ask itself, where it gives SYNs up and does not say why.
//!
//! Of IPv4 it counts every answer that finds no route. Of IPv6 it counts only those for which there is no entry at all, not those
//! that an entry or a rule refuses: an unreachable, a prohibited one or a black hole (`ip6_dst_lookup_tail`, net/ipv6/ip6_output.c,
//! v6.1: ENETUNREACH alone is).

use std::{collections::BTreeMap, io, net::IpAddr};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAttribute, RouteMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};

use crate::{
    domain::host_counters::HostCounters,
    kernel::netlink::{Kind, open, request_over},
};

/// Senders that are asked about at a time.
const MOST: usize = 256;

/// Remembers what the kernel had given up when it was last asked.
#[derive(Default)]
pub struct RouteReader {
    given_up: u64,
}

impl RouteReader {
    /// Whether the kernel gave up SYNs since this was last asked, but for those that found a queue full.
    pub fn is_due(&mut self, host: &HostCounters) -> bool {
        let given_up = host.listen_drops.unwrap_or(0).wrapping_sub(host.listen_overflows.unwrap_or(0));
        std::mem::replace(&mut self.given_up, given_up) != given_up
    }
}

/// One of the senders of each slot to whom the current namespace has no route from any of its own addresses.
pub fn missing(own: &[IpAddr], senders: impl Iterator<Item = (u32, IpAddr)>) -> BTreeMap<u32, IpAddr> {
    let own: Vec<_> = own.iter().filter(|address| address.is_ipv6()).collect();
    let mut missing = BTreeMap::new();
    let (Some(first), Ok(socket)) = (own.first(), open(NETLINK_ROUTE)) else { return missing };
    // Where not even the way to itself is found, the answer is one to the question, not to the route.
    if has_route(&socket, **first, **first) != Some(true) {
        return missing;
    }
    for (slot, sender) in senders.filter(|(_, sender)| sender.is_ipv6()).take(MOST) {
        if own.iter().all(|own| has_route(&socket, **own, sender) == Some(false)) {
            missing.insert(slot, sender);
        }
    }
    missing
}

/// Whether an address has a route to another; `None` where the kernel does not say.
fn has_route(socket: &Socket, from: IpAddr, to: IpAddr) -> Option<bool> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.header.source_prefix_length = 128;
    message.attributes = vec![RouteAttribute::Destination(to.into()), RouteAttribute::Source(from.into())];
    match request_over(socket, Kind::Get, RouteNetlinkMessage::GetRoute(message)) {
        Ok(_) => Some(true),
        Err(error) => refuses(&error).then_some(false),
    }
}

/// As the entries and rules that refuse are answered: no entry and unreachable ones, prohibited ones, black holes, and those that
/// throw (`fib6_prop`, net/ipv6/route.c, v6.1).
fn refuses(error: &io::Error) -> bool {
    let refusals = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL, libc::EAGAIN];
    error.raw_os_error().is_some_and(|number| refusals.contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_once_for_each_syn_that_no_queue_explains() {
        let mut reader = RouteReader::default();
        for (drops, overflows, is_due) in [
            (0, 0, false),
            (1, 0, true),
            (1, 0, false),
            (3, 2, false),
            (4, 2, true),
            (0, 0, true),
            (0, 0, false),
        ] {
            let (listen_drops, listen_overflows) = (Some(drops), Some(overflows));
            let host = HostCounters { listen_drops, listen_overflows, ..HostCounters::default() };
            assert_eq!(reader.is_due(&host), is_due, "{host:?}");
        }
    }

    #[test]
    fn loopback_is_reached_and_a_refusal_is_told_from_a_failure() {
        let loopback: IpAddr = "::1".parse().expect("an address");
        assert_eq!(missing(&[loopback], [(7, loopback)].into_iter()), BTreeMap::new());
        for (number, is_refusal) in [(libc::EHOSTUNREACH, true), (libc::EPERM, false), (libc::ENOMEM, false)]
        {
            assert_eq!(refuses(&io::Error::from_raw_os_error(number)), is_refusal);
        }
    }
}
