//! What to change, with the commands filled in from what is known; what is not known is a placeholder in angle brackets.
//!
//! A rule to add names the NLB's security group or its subnets' CIDRs, never one node's address: nodes change theirs.

mod aws;
mod candidates;
mod firewall;
mod health;
mod host;
mod listener;
mod subnets;

use std::net::IpAddr;

use crate::domain::{
    class::SourceClass, diagnosis::Case, history::History, site::Site, sources::SourceTable,
};

pub use candidates::Reach;
pub use host::Remedy;
use subnets::Subnets;

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
