//! Whom a rule may name: the CIDRs of a class's subnets, as far as they are known.

use ipnet::IpNet;

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::advice::Facts,
    sources::Source,
};

/// The CIDRs of a class's subnets.
pub struct Subnets {
    known: Vec<IpNet>,
    /// What to write for the others.
    rest: &'static str,
    /// Whether there are others of IPv4.
    lacks_v4: bool,
    /// Whether there are others of IPv6.
    lacks_v6: bool,
    /// Prefixes in which the NLB is, and in which not everybody is to be let in.
    too_wide: Vec<IpNet>,
}

impl Facts<'_> {
    /// The subnets of a class: named prefixes, and the task's own where somebody of the class lives in it.
    pub(super) fn subnets(&self, class: SourceClass) -> Subnets {
        let (role, rest) = match class {
            SourceClass::Client => (Some(Role::Client), "<subnet CIDR of the clients>"),
            SourceClass::Other => (None, "<subnet CIDR of the senders>"),
            _ => (Some(Role::Node), "<subnet CIDR of the NLB>"),
        };
        let own = &self.site().subnets;
        let named: Vec<&Source> = self.sources.iter().filter(|source| Some(source.role) == role).collect();
        let prefixes = named.iter().map(|source| source.network.trunc()).filter(is_subnet);
        let is_too_wide =
            |prefix: &IpNet| role == Some(Role::Node) && is_wide(prefix) && !own.contains(prefix);
        let (mut too_wide, mut known): (Vec<_>, Vec<_>) = prefixes.partition(is_too_wide);
        let lives_in = |subnet: &&IpNet| named.iter().any(|source| subnet.contains(&source.network));
        known.extend(own.iter().filter(lives_in));
        too_wide.sort();
        known.sort();
        known.dedup();
        let is_covered = |source: &&&Source| known.iter().any(|subnet| subnet.contains(&source.network));
        let lacks = |v6: bool| {
            let of_family = named.iter().filter(|source| source.network.addr().is_ipv6() == v6);
            let of_own = self.own_address().is_some_and(|own| own.is_ipv6());
            if named.is_empty() { of_own == v6 } else { !of_family.clone().all(|source| is_covered(&source)) }
        };
        Subnets { rest, lacks_v4: lacks(false), lacks_v6: lacks(true), known, too_wide }
    }
}

impl Subnets {
    /// " (10.0.1.0/24 and 10.0.2.0/24)", nothing where none is known. Of a prefix that is too wide it says why it is not offered.
    pub(super) fn in_brackets(&self) -> String {
        let listed = if self.known.is_empty() { String::new() } else { list(self.texts()) };
        let wide = list(self.too_wide.iter().map(IpNet::to_string));
        match (listed.is_empty(), wide.is_empty()) {
            (true, true) => String::new(),
            (false, true) => format!(" ({listed})"),
            (true, false) => format!(" (not all of {wide}: others live there, too)"),
            (false, false) => format!(" ({listed}; not all of {wide}: others live there, too)"),
        }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = String> {
        let lacks = self.lacks_v4 || self.lacks_v6;
        self.known.iter().map(IpNet::to_string).chain(lacks.then(|| self.rest.to_owned()))
    }

    /// What a route may lead to: it lets nobody in, so a prefix may be wide.
    pub(super) fn destinations(&self) -> Vec<String> {
        if self.too_wide.is_empty() {
            return self.texts().collect();
        }
        let is_covered = |subnet: &&IpNet| !self.too_wide.iter().any(|wide| wide.contains(*subnet));
        self.too_wide.iter().chain(self.known.iter().filter(is_covered)).map(IpNet::to_string).collect()
    }

    /// Those of one family, or what stands for them.
    pub(super) fn of_family(&self, v6: bool) -> Vec<String> {
        let known = self.known.iter().filter(|subnet| subnet.addr().is_ipv6() == v6);
        let mut texts: Vec<_> = known.map(IpNet::to_string).collect();
        if self.lacks(v6) {
            texts.push(self.rest.to_owned());
        } else if texts.is_empty() {
            texts.push("<subnet CIDR>".to_owned());
        }
        texts
    }

    /// Whether some of them have this address family.
    pub(super) fn has_family(&self, v6: bool) -> bool {
        self.lacks(v6) || self.known.iter().any(|subnet| subnet.addr().is_ipv6() == v6)
    }

    const fn lacks(&self, v6: bool) -> bool {
        if v6 { self.lacks_v6 } else { self.lacks_v4 }
    }
}

/// "a", "a and b", "a, b and c".
fn list(items: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = items.collect();
    match all.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// Whether a prefix can be a subnet of a VPC: /28 at the longest, /64 for IPv6 (Amazon VPC, subnet sizing).
fn is_subnet(network: &IpNet) -> bool {
    let longest = if network.addr().is_ipv6() { 64 } else { 28 };
    network.prefix_len() <= longest
}

/// Whether more than an NLB is likely to live in a prefix: it may be a whole VPC, whose clients and other tasks a rule for the
/// load balancer has no reason to let in. The subnets of a default VPC are /20 (Amazon VPC, default VPC components).
fn is_wide(network: &IpNet) -> bool {
    let shortest = if network.addr().is_ipv6() { 64 } else { 20 };
    network.prefix_len() < shortest
}
