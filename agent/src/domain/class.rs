//! Source classes, and the rules that give one to a source at SYN time.

use serde::Serialize;

/// What kind of sender a SYN came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceClass {
    /// A health check of the NLB.
    NlbProbe,
    /// A client that kept its own address.
    Client,
    /// A client that carries an NLB node's address.
    ClientViaNlb,
    /// From an NLB node, not told apart yet.
    NlbUndecided,
    /// Nobody that was named.
    Other,
}

impl SourceClass {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NlbProbe => "nlb_probe",
            Self::Client => "client",
            Self::ClientViaNlb => "client_via_nlb",
            Self::NlbUndecided => "nlb_undecided",
            Self::Other => "other",
        }
    }

    /// Whether all SYNs of this class are clients'.
    pub const fn is_client(self) -> bool {
        matches!(self, Self::Client | Self::ClientViaNlb)
    }

    /// Whom to let in, in the operator's words: the subnets, because an NLB's nodes may change their addresses.
    pub const fn whom(self) -> &'static str {
        match self {
            Self::Client => "the clients' subnets",
            Self::NlbProbe | Self::ClientViaNlb | Self::NlbUndecided => "the NLB's subnets",
            Self::Other => "the senders' subnets",
        }
    }

    /// Whether health checks are, or may be, among the SYNs of this class.
    pub const fn may_probe(self) -> bool {
        matches!(self, Self::NlbProbe | Self::NlbUndecided)
    }
}

/// What a source is by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum Role {
    /// An NLB node (`--nlb`).
    Node,
    /// A client prefix (`--client`).
    Client,
    /// An address of the watched interface: whoever sends from it lives on the target itself.
    Own,
    /// Named by no flag.
    Other,
}

/// What is known of client address preservation (`--client-ip`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub enum ClientIp {
    /// Clients keep their address: from a node come probes only.
    Preserved,
    /// Clients carry a node's address too.
    Translated,
    /// Not known.
    #[default]
    Auto,
}

/// What the operator said about the target group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Priors {
    /// `--client-ip`.
    pub client_ip: ClientIp,
    /// `--health-port`, where it is not the traffic port.
    pub health_port: Option<u16>,
    /// The health check port was named as a traffic port, too: clients come there as well.
    pub health_port_is_shared: bool,
}

impl Priors {
    /// Whether health checks come to this port, as far as the operator said.
    pub fn may_be_probed(&self, port: u16) -> bool {
        self.health_port.is_none_or(|health_port| health_port == port)
    }

    /// The class of a SYN from a source in `role` for `port`. Address and port are all there is to see at SYN time.
    pub fn classify(&self, role: Role, port: u16) -> SourceClass {
        match (role, self.health_port) {
            // A client on the target is one that kept its address.
            (Role::Client | Role::Own, _) => SourceClass::Client,
            (Role::Other, _) => SourceClass::Other,
            (Role::Node, Some(health_port)) if port == health_port && !self.health_port_is_shared => {
                SourceClass::NlbProbe
            }
            // With a health check port of its own, what a node sends to the traffic port is client traffic
            // (PrivateLink and cross-family clients carry its address whatever the setting).
            (Role::Node, Some(health_port)) if port != health_port => SourceClass::ClientViaNlb,
            (Role::Node, _) => match self.client_ip {
                ClientIp::Preserved => SourceClass::NlbProbe,
                ClientIp::Translated | ClientIp::Auto => SourceClass::NlbUndecided,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_port_is_undecided_unless_a_prior_says_otherwise() {
        let class = |client_ip, health_port, port| {
            Priors { client_ip, health_port, health_port_is_shared: false }.classify(Role::Node, port)
        };
        assert_eq!(class(ClientIp::Auto, None, 8080), SourceClass::NlbUndecided);
        assert_eq!(class(ClientIp::Translated, None, 8080), SourceClass::NlbUndecided);
        assert_eq!(class(ClientIp::Preserved, None, 8080), SourceClass::NlbProbe);
        assert_eq!(class(ClientIp::Auto, Some(9000), 9000), SourceClass::NlbProbe);
        assert_eq!(class(ClientIp::Auto, Some(9000), 8080), SourceClass::ClientViaNlb);
        let shared = |client_ip| {
            Priors { client_ip, health_port: Some(8080), health_port_is_shared: true }
                .classify(Role::Node, 8080)
        };
        assert_eq!(shared(ClientIp::Auto), SourceClass::NlbUndecided);
        assert_eq!(shared(ClientIp::Preserved), SourceClass::NlbProbe);
    }

    #[test]
    fn with_a_health_check_port_only_that_one_is_probed() {
        let priors = |health_port| Priors { health_port, ..Priors::default() };
        assert!(priors(None).may_be_probed(8080) && priors(Some(9000)).may_be_probed(9000));
        assert!(!priors(Some(9000)).may_be_probed(8080));
    }

    #[test]
    fn clients_and_strangers_do_not_depend_on_priors() {
        let priors = Priors { client_ip: ClientIp::Preserved, health_port: Some(1), ..Priors::default() };
        assert_eq!(priors.classify(Role::Client, 1), SourceClass::Client);
        assert_eq!(priors.classify(Role::Other, 1), SourceClass::Other);
    }
}
