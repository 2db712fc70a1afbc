//! What was last read, and what was kept of earlier readings, looked up as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::domain::{
    conntrack::ConntrackLog,
    history::{History, Translated},
    host_counters::HostCounters,
    host_log::Waiting,
    other_programs::OtherProgram,
    rules::RuleLog,
    sample::{Listener, Loss},
    strays::StrayLog,
};

impl History {
    /// What rules of nftables counted.
    pub const fn rules(&self) -> &RuleLog {
        &self.rules
    }

    /// What NLB nodes sent to unwatched ports.
    pub const fn strays(&self) -> &StrayLog {
        &self.strays
    }

    /// When the connection tracking table was full.
    pub const fn conntrack(&self) -> &ConntrackLog {
        &self.conntrack
    }

    /// Growth of the namespace's counters within the window.
    pub fn host_growth(&self, now: Duration) -> HostCounters {
        self.host.growth_since(now.saturating_sub(self.window()))
    }

    /// Packets of any kind that the interface received since `from`; `None` when its counter cannot be read.
    pub fn interface_packets_since(&self, from: Duration) -> Option<u64> {
        self.host.growth_since(from).interface_packets
    }

    /// The listener of a port that was seen over its limit within the window, the fullest reading.
    pub fn full_listener(&self, port: u16, now: Duration) -> Option<&Listener> {
        self.host.full_listener(self.local_port(port), now.saturating_sub(self.window()))
    }

    /// Overflows within the window that may be those of a port's listener; `None` where they cannot be read.
    pub fn overflows_of(&self, port: u16, now: Duration) -> Option<u64> {
        self.host.overflows_of(self.local_port(port), now.saturating_sub(self.window()))
    }

    /// A sender of each slot to whom there was no route within the window.
    pub fn without_route(&self, now: Duration) -> BTreeMap<u32, IpAddr> {
        self.host.without_route(now.saturating_sub(self.window()))
    }

    /// Connections of a port that wait to be accepted, if some did in the latest reading.
    pub fn waiting(&self, port: u16) -> Option<Waiting> {
        self.host.waiting(self.local_port(port))
    }

    /// Listeners on a port as last read; `None` when the socket table cannot be read.
    pub fn listeners(&self, port: u16) -> Option<Vec<&Listener>> {
        let all = self.latest.listeners.as_ref()?;
        Some(all.iter().filter(|listener| listener.port == port).collect())
    }

    /// The reading from which on something was found to listen on a port each time.
    pub fn listening_since(&self, port: u16) -> Option<Duration> {
        self.listening.since(port)
    }

    /// Unwatched ports on which others than the host itself find a listener, in order.
    pub fn reachable_ports(&self) -> BTreeSet<u16> {
        let listeners = self.latest.listeners.iter().flatten();
        let reachable = listeners.filter(|listener| !listener.address.is_loopback());
        reachable.map(|listener| listener.port).filter(|port| !self.watch.ports.contains(port)).collect()
    }

    /// Whether the socket table could be read.
    pub const fn reads_listeners(&self) -> bool {
        self.latest.listeners.is_some()
    }

    /// Whether the counters that findings rest on could be read.
    pub const fn reads_counters(&self) -> bool {
        let host = &self.latest.host;
        host.listen_overflows.is_some() && host.listen_drops.is_some() && host.out_no_routes.is_some()
    }

    /// Whoever may make SYNs vanish on this host before the agent counts them.
    pub fn in_front(&self) -> Option<String> {
        let xdp =
            || self.foreign_xdp().map(|program| format!("the XDP program on the interface ({program})"));
        let tc = || {
            let program = self.latest.foreign_tc.as_deref()?;
            Some(format!("the tc program in front of the agent's ({program})"))
        };
        xdp().or_else(tc)
    }

    /// Somebody else's XDP program in front of every hook of ours.
    pub fn foreign_xdp(&self) -> Option<&str> {
        self.latest.foreign_xdp.as_deref()
    }

    /// Somebody else's on the interface that drop with one of these reasons, as they were when a drop was last seen.
    pub fn who_drops_with(&self, reasons: &[&str]) -> Vec<&OtherProgram> {
        let drops = |other: &&OtherProgram| reasons.iter().any(|reason| other.hook.drops_with(reason));
        self.latest.other_programs.iter().filter(drops).collect()
    }

    /// What the agent itself failed to record.
    pub const fn loss(&self) -> Loss {
        self.latest.loss
    }

    /// Whether what was lost may be what a conclusion of this moment lacks: a run that was skipped and a connection that
    /// found no place concern their own time, a table of sums that was full once lacks whatever came later.
    pub fn lacks_records(&self, now: Duration) -> bool {
        let from = now.saturating_sub(self.window());
        let loss = self.latest.loss;
        self.host.missed_since(from) || loss.drops + loss.elsewhere + loss.strays + loss.sources > 0
    }

    /// Where the connections of watched ports end up.
    pub const fn translated(&self) -> &Translated {
        &self.translated
    }
}
