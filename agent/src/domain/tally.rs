//! Counts of one (source, port): summed over the CPUs, cumulative or as a difference between two readings.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{
    answers::Answers,
    pairs,
    reason::{Meaning, Reason},
};

/// Which packet was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Dropped {
    /// An inbound SYN that had been counted as arrived.
    Syn,
    /// An inbound SYN in front of the agent's hook: never counted as arrived.
    SynBeforeHook,
    /// An inbound SYN in front of routing, without a reason. Which of the two above, the history decides when it happens.
    SynUnplaced,
    /// A SYN-ACK of this host.
    SynAck,
    /// A duplicate SYN of a handshake under way: nothing is lost.
    DuplicateSyn,
}

/// Counts of one (source, port).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default, bound(deserialize = "'de: 'static")))]
pub struct Tally {
    /// SYNs seen at the interface, retransmitted ones included.
    pub arrived: u64,
    /// SYN-ACKs that left, retransmitted ones included.
    pub synacks: u64,
    /// Of `synacks`, those without a request socket: SYN cookies.
    pub cookies: u64,
    /// RSTs and ICMP messages that refused a SYN.
    pub refused: u64,
    /// SYN-ACKs sent again.
    pub synack_retransmits: u64,
    /// SYNs that met a full accept queue, where the kernel lets that be seen.
    pub queue_full: u64,
    /// Handshakes completed.
    pub established: u64,
    /// Connections the application answered, or closed in order when the peer sent nothing.
    pub served: u64,
    /// Connections that ended without either.
    pub unserved: u64,
    /// Of `served`, those that behaved like a health check: they said so, or sent nothing and were closed.
    pub probes_served: u64,
    /// Of `unserved`, the same.
    pub probes_unserved: u64,
    /// Connections that ended and behaved like a client's.
    pub clients: u64,
    /// TLS handshakes begun: what is inside such a connection cannot be told.
    pub tls_openings: u64,
    /// How the application took connections.
    pub answers: Answers,
    /// Dropped packets by what and why.
    #[serde(with = "pairs")]
    pub drops: BTreeMap<(Dropped, Reason), u64>,
}

impl Tally {
    /// Inbound SYNs that the host's network layers threw away after they arrived.
    pub fn dropped(&self) -> u64 {
        self.sum(|dropped, meaning| {
            dropped == Dropped::Syn
                && !matches!(meaning, Meaning::ReachedTcp | Meaning::NotForThisHost | Meaning::Untold)
        })
    }

    /// SYNs that reached TCP.
    pub fn admitted(&self) -> u64 {
        self.arrived.saturating_sub(self.dropped())
    }

    /// Connection attempts that were answered: SYN-ACKs without their retransmissions.
    pub fn answered(&self) -> u64 {
        self.synacks.saturating_sub(self.synack_retransmits)
    }

    /// Connections that ended and behaved like a health check.
    pub fn probes(&self) -> u64 {
        self.probes_served + self.probes_unserved
    }

    /// SYNs that met no socket.
    pub fn no_socket(&self) -> u64 {
        self.drops.get(&(Dropped::Syn, Reason("NO_SOCKET"))).copied().unwrap_or(0)
    }

    /// SYNs that met a connection that is open, by the kernel's own word (tcp_validate_incoming, net/ipv4/tcp_input.c,
    /// v6.1): answered with a challenge ACK, or found too old by their timestamp.
    pub fn on_open_connections(&self) -> u64 {
        let count = |reason| self.drops.get(&(Dropped::Syn, Reason(reason))).copied().unwrap_or(0);
        count("TCP_INVALID_SYN") + count("TCP_RFC7323_PAWS")
    }

    /// Drops of one kind with one meaning.
    pub fn drops_with(&self, what: Dropped, meaning: Meaning) -> u64 {
        self.sum(|dropped, why| dropped == what && why == meaning)
    }

    /// Drops of one kind.
    pub fn drops_of(&self, what: Dropped) -> u64 {
        self.sum(|dropped, _| dropped == what)
    }

    /// Dropped SYNs, or dropped answers, by the kernel's reason. Duplicates are no loss and left out.
    pub fn drop_reasons(&self) -> BTreeMap<&'static str, u64> {
        let mut reasons = BTreeMap::new();
        for ((dropped, reason), count) in &self.drops {
            if *dropped != Dropped::DuplicateSyn {
                *reasons.entry(reason.0).or_default() += count;
            }
        }
        reasons
    }

    fn sum(&self, wanted: impl Fn(Dropped, Meaning) -> bool) -> u64 {
        self.drops
            .iter()
            .filter(|((dropped, reason), _)| wanted(*dropped, reason.meaning()))
            .map(|(_, n)| n)
            .sum()
    }

    /// Decides where drops happened that their reason alone does not place: what is in front of the hook at the time
    /// says more.
    pub fn place(&mut self, xdp_in_front: bool, tc_in_front: bool) {
        for (key, count) in std::mem::take(&mut self.drops) {
            let dropped = match key {
                // Older kernels free martians like that, too: without an XDP program it happened behind the hook.
                (Dropped::SynUnplaced, _) if xdp_in_front => Dropped::SynBeforeHook,
                (Dropped::SynUnplaced, _) => Dropped::Syn,
                (Dropped::Syn, Reason("TC_INGRESS")) if tc_in_front => Dropped::SynBeforeHook,
                (other, _) => other,
            };
            *self.drops.entry((dropped, key.1)).or_default() += count;
        }
    }

    /// Nothing counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.arrived += other.arrived;
        self.synacks += other.synacks;
        self.cookies += other.cookies;
        self.refused += other.refused;
        self.synack_retransmits += other.synack_retransmits;
        self.queue_full += other.queue_full;
        self.established += other.established;
        self.served += other.served;
        self.unserved += other.unserved;
        self.probes_served += other.probes_served;
        self.probes_unserved += other.probes_unserved;
        self.clients += other.clients;
        self.tls_openings += other.tls_openings;
        self.answers.add(&other.answers);
        for (key, count) in &other.drops {
            *self.drops.entry(*key).or_default() += count;
        }
    }

    /// What was counted since `earlier`. A counter that went backwards was reset: all of it is new.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut drops = BTreeMap::new();
        for (key, count) in &self.drops {
            let new = growth(*count, earlier.drops.get(key).copied().unwrap_or(0));
            if new > 0 {
                drops.insert(*key, new);
            }
        }
        Self {
            arrived: growth(self.arrived, earlier.arrived),
            synacks: growth(self.synacks, earlier.synacks),
            cookies: growth(self.cookies, earlier.cookies),
            refused: growth(self.refused, earlier.refused),
            synack_retransmits: growth(self.synack_retransmits, earlier.synack_retransmits),
            queue_full: growth(self.queue_full, earlier.queue_full),
            established: growth(self.established, earlier.established),
            served: growth(self.served, earlier.served),
            unserved: growth(self.unserved, earlier.unserved),
            probes_served: growth(self.probes_served, earlier.probes_served),
            probes_unserved: growth(self.probes_unserved, earlier.probes_unserved),
            clients: growth(self.clients, earlier.clients),
            tls_openings: growth(self.tls_openings, earlier.tls_openings),
            answers: self.answers.since(&earlier.answers),
            drops,
        }
    }
}

/// Growth of a cumulative counter. One that went backwards was reset: all of it is new.
pub fn growth(now: u64, before: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reason;

    fn with_drop(dropped: Dropped, reason: &'static str, count: u64) -> Tally {
        Tally { arrived: 10, drops: BTreeMap::from([((dropped, Reason(reason)), count)]), ..Tally::default() }
    }

    #[test]
    fn only_drops_of_the_network_layers_behind_the_hook_are_subtracted() {
        assert_eq!(with_drop(Dropped::Syn, "NETFILTER_DROP", 4).admitted(), 6);
        assert_eq!(with_drop(Dropped::Syn, "NO_SOCKET", 4).admitted(), 10);
        assert_eq!(with_drop(Dropped::SynBeforeHook, "NOT_SPECIFIED", 4).admitted(), 10);
        assert_eq!(with_drop(Dropped::DuplicateSyn, "NOT_SPECIFIED", 4).admitted(), 10);
        assert_eq!(with_drop(Dropped::SynAck, "NETFILTER_DROP", 4).admitted(), 10);
    }

    #[test]
    fn a_drop_without_a_reason_may_be_no_loss() {
        assert_eq!(with_drop(Dropped::Syn, reason::UNKNOWN.0, 4).admitted(), 10);
    }

    #[test]
    fn what_is_in_front_at_the_time_places_a_drop() {
        let placed = |dropped, reason, xdp, tc| {
            let mut tally = with_drop(dropped, reason, 4);
            tally.place(xdp, tc);
            tally.drops.keys().next().map(|(dropped, _)| *dropped)
        };
        assert_eq!(placed(Dropped::SynUnplaced, "NOT_SPECIFIED", true, false), Some(Dropped::SynBeforeHook));
        assert_eq!(placed(Dropped::SynUnplaced, "NOT_SPECIFIED", false, true), Some(Dropped::Syn));
        assert_eq!(placed(Dropped::Syn, "TC_INGRESS", false, true), Some(Dropped::SynBeforeHook));
        assert_eq!(placed(Dropped::Syn, "TC_INGRESS", true, false), Some(Dropped::Syn));
        assert_eq!(placed(Dropped::Syn, "NETFILTER_DROP", true, true), Some(Dropped::Syn));
    }

    #[test]
    fn retransmitted_answers_count_once() {
        let tally = Tally { synacks: 20, synack_retransmits: 15, ..Tally::default() };
        assert_eq!(tally.answered(), 5);
        let dropped_on_the_way_out = Tally { synacks: 0, synack_retransmits: 3, ..Tally::default() };
        assert_eq!(dropped_on_the_way_out.answered(), 0);
    }

    #[test]
    fn a_counter_that_went_backwards_was_reset() {
        let earlier = Tally { arrived: 100, ..with_drop(Dropped::Syn, "NETFILTER_DROP", 9) };
        let now = Tally { arrived: 3, ..with_drop(Dropped::Syn, "NETFILTER_DROP", 2) };
        let difference = now.since(&earlier);
        assert_eq!((difference.arrived, difference.dropped()), (3, 2));
    }

    #[test]
    fn differences_add_up_to_the_whole() {
        let first = with_drop(Dropped::Syn, "NETFILTER_DROP", 2);
        let mut second = first.clone();
        second.add(&with_drop(Dropped::Syn, "IP_RPFILTER", 5));
        let mut sum = first.clone();
        sum.add(&second.since(&first));
        assert_eq!(sum, second);
    }
}
