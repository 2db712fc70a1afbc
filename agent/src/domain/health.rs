//! What is known of a target group's health check beyond its port and interval.

use serde::Serialize;

use std::time::Duration;

/// How an NLB node asks (AWS, NLB health check settings).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Protocol {
    /// Opens a connection and closes it.
    Tcp,
    /// Sends a request and judges the status of the answer.
    Http,
    /// The same through TLS.
    Https,
}

impl Protocol {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// How long a node waits for the answer when nobody says otherwise (AWS, NLB health check settings).
    pub const fn default_timeout(self) -> Duration {
        match self {
            Self::Tcp | Self::Https => Duration::from_secs(10),
            Self::Http => Duration::from_secs(6),
        }
    }
}
