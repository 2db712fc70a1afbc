//! How far a connection attempt came, and where it died.

use serde::Serialize;

/// How far a connection attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// SYN seen at the interface.
    Arrived,
    /// The host's network layers let it through to TCP.
    Admitted,
    /// A SYN-ACK left.
    Answered,
    /// The final ACK was taken.
    Established,
    /// The application answered well.
    Served,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 5] =
        [Self::Arrived, Self::Admitted, Self::Answered, Self::Established, Self::Served];

    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Admitted => "admitted",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::Served => "served",
        }
    }
}

/// Where a connection attempt died, in the operator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Place {
    /// Security group, NACL, NLB: nothing of it reaches the guest.
    #[serde(rename = "before this host (AWS)")]
    BeforeThisHost,
    /// Netfilter.
    #[serde(rename = "host firewall")]
    HostFirewall,
    /// Routing, checksums, BPF programs of others, tables that are full.
    #[serde(rename = "host network")]
    HostNetwork,
    /// Nobody listens, or the listener cannot take more.
    #[serde(rename = "listener")]
    Listener,
    /// The answer does not get back.
    #[serde(rename = "return path")]
    ReturnPath,
    /// The application itself.
    #[serde(rename = "application")]
    Application,
}

impl Place {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeThisHost => "before this host (AWS)",
            Self::HostFirewall => "host firewall",
            Self::HostNetwork => "host network",
            Self::Listener => "listener",
            Self::ReturnPath => "return path",
            Self::Application => "application",
        }
    }
}
