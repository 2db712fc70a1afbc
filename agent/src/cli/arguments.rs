//! The command line as it is written: commands, flags, and their help.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use ipnet::IpNet;

use crate::{
    cli::values::{
        AttachArg, ClientIpArg, HealthProtocolArg, Wait, parse_answer_format, parse_code, parse_wait,
    },
    domain::finding::Code,
    output::emf::parse_dimension,
    settings::{
        Format, Nlb, OnBlind, parse_duration, parse_health_interval, parse_health_timeout, parse_network,
        parse_nlb, parse_port,
    },
    ship::{
        cloudwatch::target::{parse_group, parse_stream},
        listen::parse_address,
    },
};

/// Tells why a load balancer calls a healthy service dead: which inbound connections are missing or refused at this
/// task, where they die, and what to change.
#[derive(Parser)]
#[command(name = "agent", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Watch the SYNs that reach a port, class by class and stage by stage, until stopped
    #[command(after_help = EXIT_CODES)]
    Trace(TraceArgs),
    /// Watch until the verdict is sure, say it with its evidence, and exit by it
    #[command(after_help = DIAGNOSE_EXIT_CODES)]
    Diagnose(DiagnoseArgs),
    /// Say what works here, what does not and what that costs, with the line that fixes it; nothing stays attached
    #[command(after_help = CHECK_EXIT_CODES)]
    Check(CheckArgs),
    /// Explain a finding: meaning, proof, what else it could be, what to change; without a code, all of them
    Explain {
        /// Code of the finding, such as `probes_missing`
        #[arg(value_name = "CODE", value_parser = parse_code)]
        code: Option<Code>,
    },
    /// Print the completion script of a shell
    Completions {
        /// Shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the man page: `agent man | man -l -`
    Man,
}

const EXIT_CODES: &str = "Exit codes: 0 after a clean stop, 2 wrong usage, 3 cannot observe, 5 internal failure.\n\
    Every flag can be given in the environment, as AGENT_PORT, AGENT_NLB and so on; the flag wins.\n\
    RUST_LOG=debug shows the agent's own log on standard error, NO_COLOR turns colour off.";

const DIAGNOSE_EXIT_CODES: &str = "Exit codes: 0 healthy, 1 fault, 2 wrong usage, 3 cannot observe, 4 inconclusive, 5 internal failure.\n\
    Every flag can be given in the environment, as AGENT_PORT, AGENT_NLB and so on; the flag wins.\n\
    RUST_LOG=debug shows the agent's own log on standard error, NO_COLOR turns colour off.";

const CHECK_EXIT_CODES: &str = "Exit codes: 0 all that is needed works, 2 wrong usage or configuration, 3 something needed does not, 5 internal failure.\n\
    Every flag can be given in the environment, as AGENT_PORT, AGENT_NLB and so on; the flag wins.";

#[derive(Args)]
pub struct TraceArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub output: TraceOutputArgs,
    #[command(flatten)]
    pub hidden: HiddenArgs,
}

#[derive(Args)]
pub struct DiagnoseArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// How long to watch when nothing is sure earlier; auto: three intervals of the health check and five seconds
    #[arg(
        long, value_name = "auto|D", env = "AGENT_WAIT", default_value = "auto", value_parser = parse_wait,
        help_heading = "Output"
    )]
    pub wait: Wait,
    /// Output format
    #[arg(
        long,
        value_name = "text|json",
        env = "AGENT_OUTPUT",
        default_value = "text",
        value_parser = parse_answer_format,
        help_heading = "Output"
    )]
    pub output: Format,
    #[command(flatten)]
    pub hidden: HiddenArgs,
}

#[derive(Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Only whether a running agent is at work, from its --ready-file: for container health checks
    #[arg(long, help_heading = "Output")]
    pub live: bool,
    /// The file that the running agent keeps while everything is hooked up
    #[arg(long, value_name = "P", env = "AGENT_READY_FILE", help_heading = "Output")]
    pub ready_file: Option<PathBuf>,
    /// Output format
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AGENT_OUTPUT",
        default_value = "text",
        help_heading = "Output"
    )]
    pub output: Format,
    /// What `trace` is told to do when the target cannot be observed: a name that it survives is no failure then
    #[arg(
        long,
        value_name = "WHAT",
        env = "AGENT_ON_BLIND",
        default_value = "exit",
        help_heading = "Output"
    )]
    pub on_blind: OnBlind,
    #[command(flatten)]
    pub cloudwatch: CloudWatchArgs,
    #[command(flatten)]
    pub hidden: HiddenArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// Configuration file: these flags as TOML keys, such as `health_port = 9000`; flag and environment go first
    #[arg(long, value_name = "FILE", env = "AGENT_CONFIG", help_heading = "Configuration")]
    pub config: Option<PathBuf>,
    /// Ports to watch, at most 64 [default: those that are listened on]
    #[arg(long, value_name = "N[,N]", value_delimiter = ',', env = "AGENT_PORT", value_parser = parse_port)]
    pub port: Vec<u16>,
    /// Interface to watch [default: the one that holds the source address of the default route]
    #[arg(long, value_name = "IF", env = "AGENT_INTERFACE")]
    pub interface: Option<String>,
    /// Network namespace to watch, by path or by the id of a process in it; may be repeated [default: the agent's own]
    #[arg(long, value_name = "PATH|PID", value_delimiter = ',', env = "AGENT_NETNS")]
    pub netns: Vec<String>,
    /// Watch every network namespace of this node that has a listener on a named port, as they come and go
    #[arg(
        long, env = "AGENT_ALL_NETNS", value_parser = clap::builder::BoolishValueParser::new(),
        conflicts_with = "netns"
    )]
    pub all_netns: bool,
    /// Prefixes of clients that keep their address: VPC link subnets, the VPC
    #[arg(
        long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', env = "AGENT_CLIENT",
        value_parser = parse_network, help_heading = "Who sends"
    )]
    pub client: Vec<IpNet>,
    /// The NLB's nodes: addresses, prefixes, or the NLB's DNS name
    #[arg(
        long, value_name = "ADDR|CIDR|NAME", num_args = 1.., value_delimiter = ',', env = "AGENT_NLB",
        value_parser = parse_nlb, help_heading = "Who sends"
    )]
    pub nlb: Vec<Nlb>,
    /// Whether clients behind the NLB keep their address
    #[arg(
        long,
        value_name = "MODE",
        env = "AGENT_CLIENT_IP",
        default_value = "auto",
        help_heading = "Who sends"
    )]
    pub client_ip: ClientIpArg,
    /// Not healthy before clients were seen, too
    #[arg(
        long, env = "AGENT_EXPECT_CLIENTS", value_parser = clap::builder::BoolishValueParser::new(),
        help_heading = "Who sends"
    )]
    pub expect_clients: bool,
    /// Port of the health check, where it is not the traffic port; it is watched, too
    #[arg(long, value_name = "N", env = "AGENT_HEALTH_PORT", value_parser = parse_port, help_heading = "Health check")]
    pub health_port: Option<u16>,
    /// Interval of the health check [default: learned, else 30s]
    #[arg(
        long, value_name = "D", env = "AGENT_HEALTH_INTERVAL", value_parser = parse_health_interval,
        help_heading = "Health check"
    )]
    pub health_interval: Option<Duration>,
    /// Protocol of the health check [default: not known]
    #[arg(long, value_name = "P", env = "AGENT_HEALTH_PROTOCOL", help_heading = "Health check")]
    pub health_protocol: Option<HealthProtocolArg>,
    /// How long a node waits for the answer [default: 6s for http, else 10s]
    #[arg(
        long, value_name = "D", env = "AGENT_HEALTH_TIMEOUT", value_parser = parse_health_timeout,
        help_heading = "Health check"
    )]
    pub health_timeout: Option<Duration>,
}

#[derive(Args)]
pub struct TraceOutputArgs {
    /// Time between reports [default: 10s, with emf 60s]
    #[arg(long, value_name = "D", env = "AGENT_INTERVAL", value_parser = parse_duration, help_heading = "Output")]
    pub interval: Option<Duration>,
    /// Stop after this time
    #[arg(long, value_name = "D", env = "AGENT_DURATION", value_parser = parse_duration, help_heading = "Output")]
    pub duration: Option<Duration>,
    /// Output format
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AGENT_OUTPUT",
        default_value = "text",
        help_heading = "Output"
    )]
    pub output: Format,
    #[command(flatten)]
    pub naming: NamingArgs,
    #[command(flatten)]
    pub cloudwatch: CloudWatchArgs,
    /// Serve /metrics, /healthz and /readyz; a port alone means loopback [default: off]
    #[arg(
        long, value_name = "[ADDR:]PORT", env = "AGENT_LISTEN", value_parser = parse_address,
        help_heading = "Output"
    )]
    pub listen: Option<SocketAddr>,
    /// A file to create once everything is hooked up; it is removed at the end
    #[arg(long, value_name = "P", env = "AGENT_READY_FILE", help_heading = "Output")]
    pub ready_file: Option<PathBuf>,
    /// What to do when the target cannot be observed: end with exit code 2 or 3, or keep trying
    #[arg(
        long,
        value_name = "WHAT",
        env = "AGENT_ON_BLIND",
        default_value = "exit",
        help_heading = "Output"
    )]
    pub on_blind: OnBlind,
}

#[derive(Args, Default)]
#[command(next_help_heading = "Metrics")]
pub struct NamingArgs {
    /// Cluster that metrics of --output emf go by, for every target [default: the ECS cluster, else unknown]
    #[arg(long, value_name = "NAME", env = "AGENT_CLUSTER_NAME", value_parser = parse_dimension)]
    pub cluster_name: Option<String>,
    /// Service that metrics of --output emf go by, for every target [default: the ECS service or task family, else unknown]
    #[arg(long, value_name = "NAME", env = "AGENT_SERVICE_NAME", value_parser = parse_dimension)]
    pub service_name: Option<String>,
}

#[derive(Args, Default)]
#[command(next_help_heading = "CloudWatch Logs")]
pub struct CloudWatchArgs {
    /// Send every line to this log group, too, with the credentials of the AWS SDK's chain
    #[arg(long, value_name = "G", env = "AGENT_CLOUDWATCH_LOG_GROUP", value_parser = parse_group)]
    pub cloudwatch_log_group: Option<String>,
    /// Log stream in it; it is made when it is not there [default: agent/HOSTNAME]
    #[arg(
        long, value_name = "S", env = "AGENT_CLOUDWATCH_LOG_STREAM", value_parser = parse_stream,
        requires = "cloudwatch_log_group"
    )]
    pub cloudwatch_log_stream: Option<String>,
    /// Make the log group when it is not there, with 30 days of retention
    #[arg(
        long, env = "AGENT_CLOUDWATCH_CREATE", value_parser = clap::builder::BoolishValueParser::new(),
        requires = "cloudwatch_log_group"
    )]
    pub cloudwatch_create: bool,
}

#[derive(Args)]
pub struct HiddenArgs {
    /// Kernel type information, for tests of hosts that lack it
    #[arg(long, hide = true, value_name = "P", default_value = "/sys/kernel/btf/vmlinux")]
    pub btf: PathBuf,
    /// How to hook the tc programs up, for tests of older kernels' way
    #[arg(long, hide = true, value_name = "HOW", default_value = "auto")]
    pub attach: AttachArg,
    /// Size of the table of drops, for tests of its overflow
    #[arg(long, hide = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub drop_entries: Option<u32>,
    /// Size of the table of connections that began like a health check, for tests of its overflow
    #[arg(long, hide = true, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub probe_entries: u32,
    /// How often names are resolved again, for tests: as long as an NLB's records live (AWS, Route 53 and NLB name resolution)
    #[arg(long, hide = true, value_name = "D", default_value = "60s", value_parser = parse_duration)]
    pub resolve_every: Duration,
    /// Write what every conclusion rests on to this file, to replay it in tests
    #[arg(long, hide = true, value_name = "P")]
    pub record_evidence: Option<PathBuf>,
    /// Panic after this time, for tests that nothing is left behind then
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "D", value_parser = parse_duration)]
    pub panic_after: Option<Duration>,
}
