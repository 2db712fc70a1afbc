//! What the operator wants, checked: the result of flags and environment, independent of how they are written.

mod parse;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    domain::{
        class::{Priors, Role},
        health::Protocol,
        history::Watch,
        identity::Naming,
    },
    kernel::attach::AttachMode,
    ship::cloudwatch,
};

pub use parse::{
    parse_duration, parse_health_interval, parse_health_timeout, parse_network, parse_nlb, parse_port,
};

/// An NLB, as named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nlb {
    /// Address or prefix of its nodes.
    Network(IpNet),
    /// Its DNS name, resolved at the start and again later.
    Name(String),
}

/// How to write what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// CloudWatch's embedded metric format: one document per target every minute, more only while something is wrong.
    Emf,
}

/// What to do when a target cannot be observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnBlind {
    /// End with exit code 3.
    #[default]
    Exit,
    /// Keep running, report `cannot_observe` and try again.
    Stay,
}

/// Everything `trace` was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Network namespaces to watch; empty for the agent's own.
    pub namespaces: Vec<String>,
    /// Watch every network namespace of the node that has a listener on a watched port.
    pub all_namespaces: bool,
    /// Interface in each of them.
    pub interface: Option<String>,
    /// Watched ports; empty for those that are listened on.
    pub ports: Vec<u16>,
    /// Prefixes of clients that keep their address.
    pub clients: Vec<IpNet>,
    /// NLB nodes.
    pub nlbs: Vec<Nlb>,
    /// What is known of the target group.
    pub priors: Priors,
    /// How often a node checks the target.
    pub health_interval: Option<Duration>,
    /// How a node checks the target.
    pub health_protocol: Option<Protocol>,
    /// How long a node waits for the target's answer.
    pub health_timeout: Option<Duration>,
    /// Whether clients are expected, too.
    pub expect_clients: bool,
    /// Time between reports.
    pub interval: Duration,
    /// When to end; `None` for never.
    pub duration: Option<Duration>,
    /// Output format.
    pub format: Format,
    /// What metrics are to be called by, where it is not what was discovered.
    pub naming: Naming,
    /// Where in CloudWatch Logs every line goes, too.
    pub cloudwatch: Option<cloudwatch::Target>,
    /// Where to serve metrics and health.
    pub listen: Option<SocketAddr>,
    /// A file that exists while everything is hooked up.
    pub ready_file: Option<PathBuf>,
    /// What to do when a target cannot be observed.
    pub on_blind: OnBlind,
    /// Kernel type information.
    pub btf: PathBuf,
    /// tcx or clsact.
    pub attach: AttachMode,
    /// Entries of the drop table, where not as many as its sources may need.
    pub drop_entries: Option<u32>,
    /// Entries of the table of connections that began like a health check.
    pub probe_entries: u32,
    /// How often names are resolved again.
    pub resolve_every: Duration,
    /// Where to write what every conclusion rests on.
    pub record_evidence: Option<PathBuf>,
    /// Panic after this time, for tests that nothing is left behind then.
    #[cfg(debug_assertions)]
    pub panic_after: Option<Duration>,
}

/// At most this many ports are watched.
pub const MAX_PORTS: usize = agent_common::config::MAX_PORTS;

/// Why settings contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Too many ports.
    #[error("{0} ports are too many: name at most {MAX_PORTS}")]
    TooManyPorts(usize),
    /// Every service of a node at once.
    #[error("--all-netns needs --port: name the ports of the services to follow on this node")]
    AllWithoutPort,
    /// One prefix, two classes.
    #[error("{0} is given both to --nlb and to --client: name it once")]
    TwoClasses(IpNet),
    /// One file, many stories.
    #[error("--record-evidence writes the story of one target: name at most one --netns")]
    ManyToRecord,
    /// A build without the AWS SDK.
    #[error(
        "--cloudwatch-log-group: this agent was built without shipping to CloudWatch Logs; take a released one, or build \
         it with `cargo build --release -p agent --features cloudwatch`"
    )]
    CloudWatchIsNotBuiltIn,
    /// A table for people is no line for machines.
    #[error("--cloudwatch-log-group ships lines for machines: add --output json or --output emf")]
    TextToCloudWatch,
}

impl Settings {
    /// Whether this process may watch several targets at once.
    pub const fn has_several_targets(&self) -> bool {
        self.all_namespaces || self.namespaces.len() > 1
    }

    /// Checks what no single flag can know.
    ///
    /// # Errors
    ///
    /// When two flags contradict each other.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.all_namespaces && self.ports.is_empty() {
            return Err(SettingsError::AllWithoutPort);
        }
        if self.record_evidence.is_some() && self.has_several_targets() {
            return Err(SettingsError::ManyToRecord);
        }
        let count = self.all_ports(&self.ports).len();
        if count > MAX_PORTS {
            return Err(SettingsError::TooManyPorts(count));
        }
        if self.cloudwatch.is_some() && !cloudwatch::IS_BUILT_IN {
            return Err(SettingsError::CloudWatchIsNotBuiltIn);
        }
        if self.cloudwatch.is_some() && self.format == Format::Text {
            return Err(SettingsError::TextToCloudWatch);
        }
        let twice = self.clients.iter().find(|network| self.nlbs.contains(&Nlb::Network(**network)));
        twice.map_or(Ok(()), |network| Err(SettingsError::TwoClasses(*network)))
    }

    /// These ports and the health check port, each once, in order.
    pub fn all_ports(&self, ports: &[u16]) -> Vec<u16> {
        let all: BTreeSet<u16> = ports.iter().copied().chain(self.priors.health_port).collect();
        all.into_iter().collect()
    }

    /// What the diagnosis of a target with these addresses and ports is told.
    pub fn watch(&self, addresses: Vec<IpAddr>, ports: Vec<u16>) -> Watch {
        Watch {
            addresses,
            ports,
            priors: self.priors,
            health_interval: self.health_interval,
            health_protocol: self.health_protocol,
            health_timeout: self.health_timeout,
            expect_clients: self.expect_clients,
            ..Watch::default()
        }
    }

    /// Whether what is found is seen elsewhere than on standard output.
    pub const fn has_another_outlet(&self) -> bool {
        self.cloudwatch.is_some() || self.listen.is_some()
    }

    /// The prefixes that need no resolving.
    pub fn networks(&self) -> impl Iterator<Item = (IpNet, Role)> {
        let nodes = self.nlbs.iter().filter_map(|nlb| match nlb {
            Nlb::Network(network) => Some((*network, Role::Node)),
            Nlb::Name(_) => None,
        });
        nodes.chain(self.clients.iter().map(|network| (*network, Role::Client)))
    }

    /// The names to resolve.
    pub fn names(&self) -> Vec<String> {
        let name = |nlb: &Nlb| match nlb {
            Nlb::Network(_) => None,
            Nlb::Name(name) => Some(name.clone()),
        };
        self.nlbs.iter().filter_map(name).collect()
    }
}
