//! What to change, with the commands filled in from what is known; what is not known is a placeholder in angle brackets.
//!
//! A rule to add names the NLB's security group or its subnets' CIDRs, never one node's address: nodes change theirs.

mod aws;
mod candidates;
mod firewall;
mod health;
mod host;
mod listener;

use std::net::IpAddr;

use ipnet::IpNet;

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::Case,
    history::History,
    site::Site,
    sources::{Source, SourceTable},
};

pub use candidates::Reach;
pub use host::Remedy;

/// What an advice is filled in from.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    history: &'a History,
    sources: &'a SourceTable,
}

/// What has to be let in.
#[derive(Clone, Copy)]
pub struct Traffic {
    /// To this port.
    pub port: u16,
    /// From these.
    pub class: SourceClass,
}

impl Traffic {
    /// What it means for the target when health checks are hit.
    fn consequence(self) -> &'static str {
        if self.class.may_probe() {
            " The NLB may mark this target unhealthy while clients are still served."
        } else {
            ""
        }
    }
}

/// The CIDRs of a class's subnets, as far as they are known.
struct Subnets {
    known: Vec<IpNet>,
    /// What to write for the others; `None` where all are known.
    rest: Option<&'static str>,
    /// The family of those that are not known.
    is_v6: bool,
}

impl<'a> Case<'a> {
    /// What an advice is filled in from.
    pub const fn facts(&self) -> Facts<'a> {
        Facts { history: self.history, sources: self.sources }
    }
}

impl Facts<'_> {
    const fn site(&self) -> &Site {
        &self.history.watch.site
    }

    fn interface(&self) -> &str {
        self.site().interface.as_deref().unwrap_or("<interface>")
    }

    /// The task's address as the other side knows it.
    fn own_address(&self) -> Option<IpAddr> {
        let own = &self.history.watch.addresses;
        let is_routed = |address: &&IpAddr| match address {
            IpAddr::V4(address) => !address.is_link_local() && !address.is_loopback(),
            IpAddr::V6(address) => !address.is_unicast_link_local() && !address.is_loopback(),
        };
        let mut routed = own.iter().filter(is_routed).copied();
        routed.clone().find(IpAddr::is_ipv4).or_else(|| routed.next())
    }

    /// The subnets of a class: named prefixes, and the task's own where somebody of the class lives in it.
    fn subnets(&self, class: SourceClass) -> Subnets {
        let (role, rest) = match class {
            SourceClass::Client => (Some(Role::Client), "<subnet CIDR of the clients>"),
            SourceClass::Other => (None, "<subnet CIDR of the senders>"),
            _ => (Some(Role::Node), "<subnet CIDR of the NLB>"),
        };
        let named: Vec<&Source> = self.sources.iter().filter(|source| Some(source.role) == role).collect();
        let mut known: Vec<IpNet> =
            named.iter().map(|source| source.network.trunc()).filter(is_subnet).collect();
        let lives_in = |subnet: &&IpNet| named.iter().any(|source| subnet.contains(&source.network));
        known.extend(self.site().subnets.iter().filter(lives_in));
        known.sort();
        known.dedup();
        let is_covered = |source: &&Source| known.iter().any(|subnet| subnet.contains(&source.network));
        let are_all_known = !named.is_empty() && named.iter().all(is_covered);
        let of_own = self.own_address().is_some_and(|own| own.is_ipv6());
        let is_v6 = named.first().map_or(of_own, |source| source.network.addr().is_ipv6());
        Subnets { rest: (!are_all_known).then_some(rest), known, is_v6 }
    }
}

impl Subnets {
    /// " (10.0.1.0/24 and 10.0.2.0/24)", nothing where none is known.
    fn in_brackets(&self) -> String {
        let all: Vec<_> = self.texts().collect();
        match all.split_last() {
            _ if self.known.is_empty() => String::new(),
            Some((last, [])) => format!(" ({last})"),
            Some((last, others)) => format!(" ({} and {last})", others.join(", ")),
            None => String::new(),
        }
    }

    fn texts(&self) -> impl Iterator<Item = String> {
        self.known.iter().map(IpNet::to_string).chain(self.rest.map(str::to_owned))
    }

    /// Those of one family, or what stands for them.
    fn of_family(&self, v6: bool) -> Vec<String> {
        let known = self.known.iter().filter(|subnet| subnet.addr().is_ipv6() == v6);
        let mut texts: Vec<_> = known.map(IpNet::to_string).collect();
        match self.rest.filter(|_| self.is_v6 == v6) {
            Some(rest) => texts.push(rest.to_owned()),
            None if texts.is_empty() => texts.push("<subnet CIDR>".to_owned()),
            None => {}
        }
        texts
    }

    /// Whether some of them have this address family.
    fn has_family(&self, v6: bool) -> bool {
        let is_known = self.known.iter().any(|subnet| subnet.addr().is_ipv6() == v6);
        is_known || (self.rest.is_some() && self.is_v6 == v6)
    }
}

/// Whether a prefix can be a subnet of a VPC: /28 at the longest, /64 for IPv6 (Amazon VPC, subnet sizing).
fn is_subnet(network: &IpNet) -> bool {
    let longest = if network.addr().is_ipv6() { 64 } else { 28 };
    network.prefix_len() <= longest
}

/// Sentences, and commands on lines of their own.
struct Lines(String);

impl Lines {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Another sentence.
    fn say(mut self, text: &str) -> Self {
        self.0.push('\n');
        self.0.push_str(text);
        self
    }

    /// A command, after a word that tells what it is for.
    fn command(self, purpose: &str, command: &str) -> Self {
        self.say(&format!("  {purpose}: {command}"))
    }

    /// A command that changes nothing.
    fn look(self, command: &str) -> Self {
        self.command("look", command)
    }

    /// The command that mends it.
    fn change(self, command: &str) -> Self {
        self.command("change", command)
    }

    /// Another way to mend it.
    fn or(self, command: &str) -> Self {
        self.command("or", command)
    }

    fn done(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests;
