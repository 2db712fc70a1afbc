//! What AWS allows an instance's network, and what went beyond it, as the ENA driver counts it.
//!
//! Allowances are those of the instance, not of one task: a neighbour can use them up. Only the driver of an ENA device
//! counts them (Amazon EC2 User Guide, "Monitor network performance for ENA settings"); a veth or a branch interface does
//! not.

use serde::Serialize;

use crate::domain::tally::growth;

/// Packets that went beyond what the instance is allowed, cumulative since the driver's last reset.
///
/// Only what concerns inbound SYNs. A counter that the driver does not have is `None`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Allowances {
    /// Queued or dropped, because the inbound bandwidth was used up.
    pub bandwidth_in: Option<u64>,
    /// Queued or dropped, because the packet rate of both directions was used up.
    pub packet_rate: Option<u64>,
    /// Dropped, because no further connection could be tracked.
    pub connections: Option<u64>,
}

/// Names in the driver's statistics.
const BANDWIDTH_IN: &str = "bw_in_allowance_exceeded";
const PACKET_RATE: &str = "pps_allowance_exceeded";
const CONNECTIONS: &str = "conntrack_allowance_exceeded";

impl Allowances {
    /// Takes them out of a driver's statistics: names and values.
    pub fn from_statistics(statistics: &[(String, u64)]) -> Self {
        let value =
            |wanted: &str| statistics.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        Self {
            bandwidth_in: value(BANDWIDTH_IN),
            packet_rate: value(PACKET_RATE),
            connections: value(CONNECTIONS),
        }
    }

    /// Whether the driver counts none of them.
    pub fn are_absent(&self) -> bool {
        *self == Self::default()
    }

    /// What was counted since `earlier`; a counter missing in either is missing.
    pub fn since(&self, earlier: &Self) -> Self {
        let both = |now: Option<u64>, before: Option<u64>| Some(growth(now?, before?));
        Self {
            bandwidth_in: both(self.bandwidth_in, earlier.bandwidth_in),
            packet_rate: both(self.packet_rate, earlier.packet_rate),
            connections: both(self.connections, earlier.connections),
        }
    }

    /// Adds other growth. What is missing in one only counts as far as it is known.
    pub fn add(&mut self, other: &Self) {
        let sum = |mine: &mut Option<u64>, theirs: Option<u64>| {
            if let Some(theirs) = theirs {
                *mine = Some(mine.unwrap_or(0) + theirs);
            }
        };
        sum(&mut self.bandwidth_in, other.bandwidth_in);
        sum(&mut self.packet_rate, other.packet_rate);
        sum(&mut self.connections, other.connections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_and_absent_ones_are_not_zero() {
        let named = |name: &str, value| (name.to_owned(), value);
        let veth = [named("peer_ifindex", 7), named("rx_queue_0_drops", 0)];
        assert!(Allowances::from_statistics(&veth).are_absent());
        let ena = [
            named("tx_timeout", 0),
            named("bw_in_allowance_exceeded", 5),
            named("bw_out_allowance_exceeded", 6),
            named("pps_allowance_exceeded", 0),
        ];
        let read = Allowances::from_statistics(&ena);
        assert_eq!(read, Allowances { bandwidth_in: Some(5), packet_rate: Some(0), connections: None });
        assert!(!read.are_absent());
    }

    #[test]
    fn growth_is_known_only_between_two_readings() {
        let read = |count| Allowances { packet_rate: count, ..Allowances::default() };
        assert_eq!(read(Some(9)).since(&read(Some(4))), read(Some(5)));
        assert_eq!(read(Some(9)).since(&read(None)), read(None));
        // The driver was reset.
        assert_eq!(read(Some(2)).since(&read(Some(9))), read(Some(2)));
        let mut sum = read(None);
        sum.add(&read(Some(2)));
        sum.add(&read(None));
        sum.add(&read(Some(3)));
        assert_eq!(sum, read(Some(5)));
    }
}
