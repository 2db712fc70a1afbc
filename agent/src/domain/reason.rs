//! What a kernel drop reason means for a handshake packet.
//!
//! Names are those of the running kernel's `enum skb_drop_reason` without the prefix; a reason this kernel has and
//! this table does not know is a host drop by its own name.

use serde::Serialize;

/// Why a packet was dropped: the running kernel's name for it, or `reason 77` where it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Reason(pub &'static str);

/// On a kernel without drop reasons.
pub const UNKNOWN: Reason = Reason("not told by this kernel");

/// Which layer the reason speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The packet reached TCP; TCP itself had no use for it.
    ReachedTcp,
    /// nftables or iptables.
    Netfilter,
    /// The source would not be routed back through this interface.
    ReversePath,
    /// A BPF program of somebody else.
    Bpf,
    /// A checksum is wrong.
    Checksum,
    /// Another reason of the network layers.
    Other,
    /// It was addressed to another host.
    NotForThisHost,
    /// This kernel does not say: it may be a drop, a refusal, or a duplicate that is no loss at all.
    Untold,
}

impl Reason {
    /// What the reason says about an inbound SYN.
    pub fn meaning(self) -> Meaning {
        match self.0 {
            "NETFILTER_DROP" => Meaning::Netfilter,
            "IP_RPFILTER" => Meaning::ReversePath,
            "TCP_CSUM" | "IP_CSUM" | "SKB_CSUM" => Meaning::Checksum,
            "SOCKET_FILTER" | "XDP" | "TC_INGRESS" | "TC_EGRESS" | "BPF_CGROUP_EGRESS" => Meaning::Bpf,
            "NO_SOCKET" => Meaning::ReachedTcp,
            // Seen by an interface in promiscuous mode.
            "OTHERHOST" => Meaning::NotForThisHost,
            name if name == UNKNOWN.0 => Meaning::Untold,
            name if name.starts_with("TCP_") => Meaning::ReachedTcp,
            _ => Meaning::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_error_is_no_tcp_decision_although_named_so() {
        assert_eq!(Reason("TCP_CSUM").meaning(), Meaning::Checksum);
        assert_eq!(Reason("TCP_LISTEN_OVERFLOW").meaning(), Meaning::ReachedTcp);
    }

    #[test]
    fn a_kernel_without_reasons_proves_nothing() {
        assert_eq!(UNKNOWN.meaning(), Meaning::Untold);
    }

    #[test]
    fn an_unknown_reason_is_a_host_drop() {
        assert_eq!(Reason("reason 131077").meaning(), Meaning::Other);
    }
}
