//! Counters of a network namespace and its interface that are nobody's in particular. One that is not there is `None`.

use serde::Serialize;

use crate::domain::{allowances::Allowances, tally::growth};

/// Counters of one network namespace, cumulative since it exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct HostCounters {
    /// `TcpExt: ListenOverflows`: SYNs or final ACKs refused because an accept queue was full.
    pub listen_overflows: Option<u64>,
    /// `TcpExt: ListenDrops`: the same and every other reason a listener gave up an attempt.
    pub listen_drops: Option<u64>,
    /// `Ip: OutNoRoutes` plus `Ip6OutNoRoutes`.
    pub out_no_routes: Option<u64>,
    /// `TcpExt: SyncookiesSent`.
    pub syncookies_sent: Option<u64>,
    /// Packets the interface received, whatever they were.
    pub interface_packets: Option<u64>,
    /// What went beyond the instance's allowances, as the interface's driver counts it.
    pub allowances: Allowances,
}

impl HostCounters {
    /// What was counted since `earlier`; a counter missing in either is missing.
    pub fn since(&self, earlier: &Self) -> Self {
        let both = |now: Option<u64>, before: Option<u64>| Some(growth(now?, before?));
        Self {
            listen_overflows: both(self.listen_overflows, earlier.listen_overflows),
            listen_drops: both(self.listen_drops, earlier.listen_drops),
            out_no_routes: both(self.out_no_routes, earlier.out_no_routes),
            syncookies_sent: both(self.syncookies_sent, earlier.syncookies_sent),
            interface_packets: both(self.interface_packets, earlier.interface_packets),
            allowances: self.allowances.since(&earlier.allowances),
        }
    }

    /// Adds other growth. What is missing in one only counts as far as it is known.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut Option<u64>, theirs: Option<u64>| {
            if let Some(theirs) = theirs {
                *mine = Some(mine.unwrap_or(0) + theirs);
            }
        };
        sum(&mut self.listen_overflows, other.listen_overflows);
        sum(&mut self.listen_drops, other.listen_drops);
        sum(&mut self.out_no_routes, other.out_no_routes);
        sum(&mut self.syncookies_sent, other.syncookies_sent);
        sum(&mut self.interface_packets, other.interface_packets);
        self.allowances.add(&other.allowances);
    }
}
