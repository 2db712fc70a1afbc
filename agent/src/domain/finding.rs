//! A conclusion, with its proof.

use serde::Serialize;

use crate::domain::{
    class::SourceClass,
    stage::{Place, Stage},
};

/// Stable finding codes. Each is reported with the severity and confidence that its proof reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// A known NLB node was never seen.
    ProbesMissing,
    /// A node that was seen fell silent.
    ProbesStopped,
    /// All nodes and all clients stopped together.
    ProbesWithdrawn,
    /// A node that was seen once or twice fell silent while another goes on.
    ProbesPartial,
    /// Health checks go to another port than the watched ones.
    ProbesOtherPort,
    /// Clients are expected and do not come, while health checks do.
    ClientsMissing,
    /// No SYN for the port from anybody, while the interface receives.
    NothingArrives,
    /// SYNs come from the target's own address.
    Hairpin,
    /// The instance went over what AWS allows its network.
    AllowanceExceeded,
    /// Netfilter drops SYNs.
    HostFirewall,
    /// Netfilter refuses SYNs aloud.
    FirewallReject,
    /// The connection tracking table is full, so netfilter drops SYNs.
    ConntrackFull,
    /// The reverse path filter drops SYNs.
    ReversePathFilter,
    /// Somebody else's BPF program drops SYNs.
    BpfDrop,
    /// SYNs arrive with a wrong checksum.
    BadChecksum,
    /// The network layers drop SYNs for another reason.
    HostDrop,
    /// Health checks came before the application listened.
    SlowStart,
    /// Nothing listens on the port.
    NoListener,
    /// Something listens on the port, but not where the SYNs go.
    ListenerElsewhere,
    /// The accept queue is full.
    AcceptQueueFull,
    /// There is no route back to the sender.
    NoReturnRoute,
    /// SYN-ACKs are sent as SYN cookies.
    SynCookies,
    /// SYNs come on connections that are open.
    DuplicateTuple,
    /// SYN-ACKs leave and nothing comes back.
    ReplyLost,
    /// SYN-ACKs are dropped on this host.
    ReplyDropped,
    /// Connections are established and never accepted.
    AppNotAccepting,
    /// Health checks are answered with a status that does not pass.
    ProbeHttpStatus,
    /// Health checks are not answered in time.
    ProbeTimeout,
    /// The application ends connections without an answer.
    AppReset,
    /// One side speaks TLS and the other does not, or not the same.
    TlsMismatch,
    /// One side speaks proxy protocol and the other does not.
    ProxyProtocolMismatch,
    /// Traffic to the port is redirected inside the host.
    PortTranslated,
    /// Health checks and clients come from the same addresses.
    SharedSource,
}

impl Code {
    /// All codes that this version can report.
    pub const ALL: [Self; 33] = [
        Self::ProbesMissing,
        Self::ProbesStopped,
        Self::ProbesWithdrawn,
        Self::ProbesPartial,
        Self::ProbesOtherPort,
        Self::ClientsMissing,
        Self::NothingArrives,
        Self::Hairpin,
        Self::AllowanceExceeded,
        Self::HostFirewall,
        Self::FirewallReject,
        Self::ConntrackFull,
        Self::ReversePathFilter,
        Self::BpfDrop,
        Self::BadChecksum,
        Self::HostDrop,
        Self::SlowStart,
        Self::NoListener,
        Self::ListenerElsewhere,
        Self::AcceptQueueFull,
        Self::NoReturnRoute,
        Self::SynCookies,
        Self::DuplicateTuple,
        Self::ReplyLost,
        Self::ReplyDropped,
        Self::AppNotAccepting,
        Self::ProbeHttpStatus,
        Self::ProbeTimeout,
        Self::AppReset,
        Self::TlsMismatch,
        Self::ProxyProtocolMismatch,
        Self::PortTranslated,
        Self::SharedSource,
    ];

    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProbesMissing => "probes_missing",
            Self::ProbesStopped => "probes_stopped",
            Self::ProbesWithdrawn => "probes_withdrawn",
            Self::ProbesPartial => "probes_partial",
            Self::ProbesOtherPort => "probes_other_port",
            Self::ClientsMissing => "clients_missing",
            Self::NothingArrives => "nothing_arrives",
            Self::Hairpin => "hairpin",
            Self::AllowanceExceeded => "allowance_exceeded",
            Self::HostFirewall => "host_firewall",
            Self::FirewallReject => "firewall_reject",
            Self::ConntrackFull => "conntrack_full",
            Self::ReversePathFilter => "reverse_path_filter",
            Self::BpfDrop => "bpf_drop",
            Self::BadChecksum => "bad_checksum",
            Self::HostDrop => "host_drop",
            Self::SlowStart => "slow_start",
            Self::NoListener => "no_listener",
            Self::ListenerElsewhere => "listener_elsewhere",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::NoReturnRoute => "no_return_route",
            Self::SynCookies => "syn_cookies",
            Self::DuplicateTuple => "duplicate_tuple",
            Self::ReplyLost => "reply_lost",
            Self::ReplyDropped => "reply_dropped",
            Self::AppNotAccepting => "app_not_accepting",
            Self::ProbeHttpStatus => "probe_http_status",
            Self::ProbeTimeout => "probe_timeout",
            Self::AppReset => "app_reset",
            Self::TlsMismatch => "tls_mismatch",
            Self::ProxyProtocolMismatch => "proxy_protocol_mismatch",
            Self::PortTranslated => "port_translated",
            Self::SharedSource => "shared_source",
        }
    }
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Connections of the class die of it.
    Fault,
}

impl Severity {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Fault => "fault",
        }
    }
}

/// How sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It looks so; alone it makes the verdict inconclusive.
    Suspected,
    /// It follows from what is missing.
    Inferred,
    /// The kernel said so.
    Proven,
}

impl Confidence {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Inferred => "inferred",
            Self::Proven => "proven",
        }
    }
}

/// Where a fact was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactOrigin {
    /// A program of ours.
    Hook,
    /// `/proc/net/netstat`, `/proc/net/snmp` and their like.
    Netstat,
    /// The socket table.
    SocketTable,
    /// What the kernel answers when it is asked for a route.
    RoutingTable,
    /// The rules of nftables.
    Nftables,
    /// The connection tracking table.
    Conntrack,
    /// The interface: its own counters, and who else is attached to it.
    Interface,
    /// What the operator said.
    Settings,
    /// What the platform's metadata says.
    Metadata,
}

impl FactOrigin {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Netstat => "netstat",
            Self::SocketTable => "socket_table",
            Self::RoutingTable => "routing_table",
            Self::Nftables => "nftables",
            Self::Conntrack => "conntrack",
            Self::Interface => "interface",
            Self::Settings => "settings",
            Self::Metadata => "metadata",
        }
    }
}

/// The value of a fact.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A time in seconds.
    Seconds(f64),
    /// A name.
    Text(String),
}

/// One counted fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Stable name with its unit, such as `syns_dropped`.
    pub name: &'static str,
    /// How much.
    pub value: Value,
    /// Where it was read.
    pub origin: FactOrigin,
}

impl Fact {
    /// A counted fact.
    pub const fn count(name: &'static str, count: u64, origin: FactOrigin) -> Self {
        Self { name, value: Value::Count(count), origin }
    }

    /// A time.
    pub const fn seconds(name: &'static str, time: std::time::Duration, origin: FactOrigin) -> Self {
        Self { name, value: Value::Seconds(time.as_millis() as f64 / 1000.0), origin }
    }

    /// A name.
    pub const fn text(name: &'static str, text: String, origin: FactOrigin) -> Self {
        Self { name, value: Value::Text(text), origin }
    }
}

/// A conclusion about one class on one port.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Whom it hits.
    pub class: SourceClass,
    /// Port; `None` when it is about all watched ports.
    pub port: Option<u16>,
    /// Sources it hits.
    pub sources: Vec<String>,
    /// The stage that is not reached.
    pub stage: Stage,
    /// Where it dies.
    pub place: Place,
    /// One sentence with the figures.
    pub summary: String,
    /// What to change.
    pub advice: String,
    /// The proof.
    pub evidence: Vec<Fact>,
}

/// What stays the same while a finding is open: figures and sources may change.
pub type FindingKey = (Code, Option<u16>, SourceClass);

impl Finding {
    /// What stays the same while it is open.
    pub const fn key(&self) -> FindingKey {
        (self.code, self.port, self.class)
    }

    /// Makes the verdict `fault`.
    pub fn is_fault(&self) -> bool {
        self.severity == Severity::Fault && self.confidence > Confidence::Suspected
    }

    /// Makes the verdict `inconclusive` when nothing else does more.
    pub fn is_suspicion(&self) -> bool {
        self.severity == Severity::Fault && self.confidence == Confidence::Suspected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_listed_once_and_serialised_by_its_name() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(code.name().into()));
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
