//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use ipnet::IpNet;

use crate::{
    domain::{
        class::{ClientIp, Priors},
        finding::Code,
    },
    kernel::attach::AttachMode,
    output::explain,
    settings::{Format, Nlb, OnBlind, Settings, parse_duration, parse_network, parse_nlb, parse_port},
};

/// Tells why a load balancer calls a healthy service dead: which inbound connections are missing or refused at this
/// task, where they die, and what to change.
#[derive(Parser)]
#[command(name = "agent", version, propagate_version = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Watch the SYNs that reach a port, class by class and stage by stage, until stopped
    #[command(after_help = EXIT_CODES)]
    Trace(TraceArgs),
    /// Watch until the verdict is sure, say it with its evidence, and exit by it
    #[command(after_help = DIAGNOSE_EXIT_CODES)]
    Diagnose(DiagnoseArgs),
    /// Explain a finding: meaning, proof, what else it could be, what to change; without a code, all of them
    Explain {
        /// Code of the finding, such as `probes_missing`
        #[arg(value_name = "CODE", value_parser = parse_code)]
        code: Option<Code>,
    },
}

const EXIT_CODES: &str = "Exit codes: 0 after a clean stop, 2 wrong usage, 3 cannot observe, 5 internal failure.\n\
    Every flag can be given in the environment, as AGENT_PORT, AGENT_NLB and so on; the flag wins.\n\
    RUST_LOG=debug shows the agent's own log on standard error, NO_COLOR turns colour off.";

const DIAGNOSE_EXIT_CODES: &str = "Exit codes: 0 healthy, 1 fault, 2 wrong usage, 3 cannot observe, 4 inconclusive, 5 internal failure.\n\
    Every flag can be given in the environment, as AGENT_PORT, AGENT_NLB and so on; the flag wins.\n\
    RUST_LOG=debug shows the agent's own log on standard error, NO_COLOR turns colour off.";

#[derive(Args)]
struct TraceArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    output: TraceOutputArgs,
    #[command(flatten)]
    hidden: HiddenArgs,
}

#[derive(Args)]
struct DiagnoseArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How long to watch when nothing is sure earlier; auto: three intervals of the health check and five seconds
    #[arg(
        long, value_name = "auto|D", env = "AGENT_WAIT", default_value = "auto", value_parser = parse_wait,
        help_heading = "Output"
    )]
    wait: Wait,
    /// Output format
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AGENT_OUTPUT",
        default_value = "text",
        help_heading = "Output"
    )]
    output: Format,
    #[command(flatten)]
    hidden: HiddenArgs,
}

#[derive(Args)]
#[command(next_help_heading = "Target")]
struct TargetArgs {
    /// Ports to watch, at most 64 [default: those that are listened on]
    #[arg(long, value_name = "N[,N]", value_delimiter = ',', env = "AGENT_PORT", value_parser = parse_port)]
    port: Vec<u16>,
    /// Interface to watch [default: the one that holds the source address of the default route]
    #[arg(long, value_name = "IF", env = "AGENT_INTERFACE")]
    interface: Option<String>,
    /// Network namespace to watch, by path or by the id of a process in it; may be repeated [default: the agent's own]
    #[arg(long, value_name = "PATH|PID", value_delimiter = ',', env = "AGENT_NETNS")]
    netns: Vec<String>,
    /// Prefixes of clients that keep their address: VPC link subnets, the VPC
    #[arg(
        long, value_name = "CIDR", num_args = 1.., value_delimiter = ',', env = "AGENT_CLIENT",
        value_parser = parse_network, help_heading = "Who sends"
    )]
    client: Vec<IpNet>,
    /// The NLB's nodes: addresses, prefixes, or the NLB's DNS name
    #[arg(
        long, value_name = "ADDR|CIDR|NAME", num_args = 1.., value_delimiter = ',', env = "AGENT_NLB",
        value_parser = parse_nlb, help_heading = "Who sends"
    )]
    nlb: Vec<Nlb>,
    /// Whether clients behind the NLB keep their address
    #[arg(
        long,
        value_name = "MODE",
        env = "AGENT_CLIENT_IP",
        default_value = "auto",
        help_heading = "Who sends"
    )]
    client_ip: ClientIpArg,
    /// Not healthy before clients were seen, too
    #[arg(
        long, env = "AGENT_EXPECT_CLIENTS", value_parser = clap::builder::BoolishValueParser::new(),
        help_heading = "Who sends"
    )]
    expect_clients: bool,
    /// Port of the health check, where it is not the traffic port; it is watched, too
    #[arg(long, value_name = "N", env = "AGENT_HEALTH_PORT", value_parser = parse_port, help_heading = "Health check")]
    health_port: Option<u16>,
    /// Interval of the health check [default: learned, else 30s]
    #[arg(
        long, value_name = "D", env = "AGENT_HEALTH_INTERVAL", value_parser = parse_duration,
        help_heading = "Health check"
    )]
    health_interval: Option<Duration>,
}

#[derive(Args)]
struct TraceOutputArgs {
    /// Time between reports
    #[arg(
        long, value_name = "D", env = "AGENT_INTERVAL", default_value = "10s", value_parser = parse_duration,
        help_heading = "Output"
    )]
    interval: Duration,
    /// Stop after this time
    #[arg(long, value_name = "D", env = "AGENT_DURATION", value_parser = parse_duration, help_heading = "Output")]
    duration: Option<Duration>,
    /// Output format
    #[arg(
        long,
        value_name = "FORMAT",
        env = "AGENT_OUTPUT",
        default_value = "text",
        help_heading = "Output"
    )]
    output: Format,
    /// A file to create once everything is hooked up; it is removed at the end
    #[arg(long, value_name = "P", env = "AGENT_READY_FILE", help_heading = "Output")]
    ready_file: Option<PathBuf>,
    /// What to do when the target cannot be observed: end with exit code 2 or 3, or keep trying
    #[arg(
        long,
        value_name = "WHAT",
        env = "AGENT_ON_BLIND",
        default_value = "exit",
        help_heading = "Output"
    )]
    on_blind: OnBlind,
}

#[derive(Args)]
struct HiddenArgs {
    /// Kernel type information, for tests of hosts that lack it
    #[arg(long, hide = true, value_name = "P", default_value = "/sys/kernel/btf/vmlinux")]
    btf: PathBuf,
    /// How to hook the tc programs up, for tests of older kernels' way
    #[arg(long, hide = true, value_name = "HOW", default_value = "auto")]
    attach: AttachArg,
    /// Size of the table of drops, for tests of its overflow
    #[arg(long, hide = true, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65536))]
    drop_entries: u32,
    /// Panic after this time, for tests that nothing is left behind then
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "D", value_parser = parse_duration)]
    panic_after: Option<Duration>,
}

#[derive(Clone, Copy, ValueEnum)]
enum ClientIpArg {
    /// They do: from a node come probes only
    Preserved,
    /// They carry a node's address
    Translated,
    /// Not known
    Auto,
}

#[derive(Clone, Copy, ValueEnum)]
enum AttachArg {
    Auto,
    Clsact,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Watch until told to stop.
    Trace(Box<Settings>),
    /// Watch until the verdict is sure.
    Diagnose(Box<Settings>),
    /// Print this text, which was asked for, and end well.
    Print(String),
}

/// Reads the command line and the environment.
///
/// # Errors
///
/// One line that says what is wrong with them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Trace(TraceArgs { target, output, hidden }) }) => {
            checked(settings(target, output, hidden)).map(Request::Trace)
        }
        Ok(Cli { command: Command::Diagnose(DiagnoseArgs { target, wait, output, hidden }) }) => {
            let output = TraceOutputArgs {
                interval: DIAGNOSE_REPORTS_ONCE,
                duration: wait.0,
                output,
                ready_file: None,
                on_blind: OnBlind::Exit,
            };
            checked(settings(target, output, hidden)).map(Request::Diagnose)
        }
        Ok(Cli { command: Command::Explain { code } }) => {
            let text = code.map_or(explain::CATALOGUE, |code| explain::section(code).unwrap_or_default());
            Ok(Request::Print(format!("{}\n", text.trim_end())))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Request::Print(error.render().to_string()))
        }
        Err(error) => Err(one_line(&error)),
    }
}

fn parse_code(text: &str) -> Result<Code, String> {
    Code::ALL.into_iter().find(|code| code.name() == text).ok_or_else(|| {
        let names = Code::ALL.map(Code::name);
        format!("{text} is no finding: there are {}", names.join(", "))
    })
}

/// `--wait`: `None` for auto.
#[derive(Clone, Copy, Debug)]
struct Wait(Option<Duration>);

fn parse_wait(text: &str) -> Result<Wait, String> {
    if text == "auto" { Ok(Wait(None)) } else { parse_duration(text).map(Some).map(Wait) }
}

/// `diagnose` looks as often as `trace` does at most, and reports once.
const DIAGNOSE_REPORTS_ONCE: Duration = Duration::from_secs(10);

fn checked(settings: Settings) -> Result<Box<Settings>, String> {
    settings.check().map_err(|error| error.to_string())?;
    Ok(Box::new(settings))
}

fn settings(arguments: TargetArgs, output: TraceOutputArgs, hidden: HiddenArgs) -> Settings {
    let health_port_is_shared = arguments.health_port.is_some_and(|port| arguments.port.contains(&port));
    Settings {
        namespaces: arguments.netns,
        interface: arguments.interface,
        ports: arguments.port,
        clients: arguments.client,
        nlbs: arguments.nlb,
        priors: Priors {
            client_ip: match arguments.client_ip {
                ClientIpArg::Preserved => ClientIp::Preserved,
                ClientIpArg::Translated => ClientIp::Translated,
                ClientIpArg::Auto => ClientIp::Auto,
            },
            health_port: arguments.health_port,
            health_port_is_shared,
        },
        health_interval: arguments.health_interval,
        expect_clients: arguments.expect_clients,
        interval: output.interval,
        duration: output.duration,
        format: output.output,
        ready_file: output.ready_file,
        on_blind: output.on_blind,
        btf: hidden.btf,
        attach: match hidden.attach {
            AttachArg::Auto => AttachMode::Auto,
            AttachArg::Clsact => AttachMode::Clsact,
        },
        drop_entries: hidden.drop_entries,
        #[cfg(debug_assertions)]
        panic_after: hidden.panic_after,
    }
}

/// clap explains in paragraphs; this keeps what is wrong and where to read on.
fn one_line(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given: try `agent trace --port 8080`, or see `agent --help`".to_owned();
    }
    let text = error.render().to_string();
    let before_usage = text.split("\nUsage:").next().unwrap_or_default();
    let words: Vec<&str> = before_usage
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let text = words.join(" ");
    format!("{}; see `agent trace --help`", text.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn wrong(line: &str) -> String {
        match read(line) {
            Err(text) => text,
            Ok(_) => panic!("{line} was accepted"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_take_commas_and_blanks() {
        let Ok(Request::Trace(settings)) = read(
            "agent trace --port 80,8080 --port 443 --nlb 10.0.1.0/24 nlb.example --client 10.0.0.0/16,fd00::/8",
        ) else {
            panic!("it is right")
        };
        assert_eq!(settings.ports, [80, 8080, 443]);
        assert_eq!((settings.nlbs.len(), settings.clients.len()), (2, 2));
        assert_eq!(settings.names(), ["nlb.example"]);
    }

    #[test]
    fn a_finding_is_explained_and_an_unknown_one_is_named_beside_the_known() {
        let Ok(Request::Print(text)) = read("agent explain host_firewall") else { panic!("it is right") };
        assert!(text.starts_with("## host_firewall\n") && text.contains("nft list ruleset"), "{text}");
        let Ok(Request::Print(all)) = read("agent explain") else { panic!("it is right") };
        assert!(all.len() > 10 * text.len());
        assert!(
            wrong("agent explain nonsense").contains("nonsense is no finding: there are probes_missing, ")
        );
    }

    #[test]
    fn diagnose_waits_as_long_as_it_is_told() {
        for (line, wait) in [
            ("agent diagnose --port 80", None),
            ("agent diagnose --port 80 --wait auto", None),
            ("agent diagnose --port 80 --wait 20s", Some(Duration::from_secs(20))),
        ] {
            let Ok(Request::Diagnose(settings)) = read(line) else { panic!("{line} is right") };
            assert_eq!(settings.duration, wait, "{line}");
        }
        assert!(wrong("agent diagnose --wait soon").contains("soon is no time"));
        assert!(wrong("agent diagnose --interval 1s").contains("unexpected argument '--interval'"));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (line, part) in [
            ("agent", "no command given"),
            ("agent trace --port 0", "0 is no port"),
            ("agent trace --port 70000", "70000 is no port"),
            ("agent trace --client 10.0.0.1/8", "did you mean 10.0.0.0/8?"),
            ("agent trace --client nonsense", "neither an address nor a prefix"),
            ("agent trace --nlb 10.0.0.0/8 --client 10.0.0.0/8", "given both"),
            ("agent trace --interval 0s", "out of range"),
            ("agent trace --output xml", "invalid value 'xml'"),
            ("agent trace --prot 80", "unexpected argument '--prot'"),
            ("agent tarce", "unrecognized subcommand 'tarce'"),
        ] {
            let text = wrong(line);
            assert!(text.contains(part), "{line}: {text}");
            assert!(!text.contains('\n') && !text.contains("error:"), "{text}");
        }
    }

    #[test]
    fn more_ports_than_can_be_told_apart_are_refused() {
        let ports = |count: u16| (1..=count).map(|port| port.to_string()).collect::<Vec<_>>().join(",");
        assert!(read(&format!("agent trace --port {}", ports(64))).is_ok());
        assert!(wrong(&format!("agent trace --port {}", ports(65))).contains("at most 64"));
        assert!(wrong(&format!("agent trace --port {} --health-port 9000", ports(64))).contains("65 ports"));
    }
}
