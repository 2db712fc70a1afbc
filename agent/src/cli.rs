//! The command line.

mod arguments;
mod config;
#[cfg(test)]
mod deploy_tests;
mod documents;

use std::{ffi::OsString, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use crate::{
    domain::{
        class::{ClientIp, Priors},
        health::Protocol,
    },
    kernel::attach::AttachMode,
    kernel::facts,
    output::{emf, explain},
    run::Wanted,
    settings::{Format, OnBlind, Settings},
    ship::cloudwatch::Target,
};
use arguments::{
    AttachArg, CheckArgs, Cli, ClientIpArg, CloudWatchArgs, Command, DiagnoseArgs, HealthProtocolArg,
    HiddenArgs, TargetArgs, TraceArgs, TraceOutputArgs,
};

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Watch until told to stop.
    Trace(Box<Settings>),
    /// Watch until the verdict is sure.
    Diagnose(Box<Settings>),
    /// Say what works here.
    Check(Box<Wanted>),
    /// Print this text, which was asked for, and end well.
    Print(String),
}

/// Reads the command line and the environment.
///
/// # Errors
///
/// One line that says what is wrong with them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match read(&arguments)? {
        Ok(Cli { command: Command::Trace(TraceArgs { target, output, hidden }) }) => {
            checked(settings(target, output, hidden)).map(Request::Trace)
        }
        Ok(Cli { command: Command::Diagnose(DiagnoseArgs { target, wait, output, hidden }) }) => {
            let output = TraceOutputArgs {
                interval: Some(DIAGNOSE_REPORTS_ONCE),
                listen: None,
                duration: wait.0,
                output,
                cloudwatch: CloudWatchArgs::default(),
                ready_file: None,
                on_blind: OnBlind::Exit,
            };
            checked(settings(target, output, hidden)).map(Request::Diagnose)
        }
        Ok(Cli { command: Command::Explain { code } }) => {
            let text = code.map_or(explain::CATALOGUE, |code| explain::section(code).unwrap_or_default());
            Ok(Request::Print(format!("{}\n", text.trim_end())))
        }
        Ok(Cli {
            command: Command::Check(CheckArgs { target, live, ready_file, output, cloudwatch, hidden }),
        }) => {
            let config = target.config.clone();
            let output = TraceOutputArgs {
                interval: Some(DIAGNOSE_REPORTS_ONCE),
                listen: None,
                duration: None,
                output,
                cloudwatch,
                ready_file,
                on_blind: OnBlind::Exit,
            };
            let settings = *checked(settings(target, output, hidden))?;
            Ok(Request::Check(Box::new(Wanted { settings, config, live })))
        }
        Ok(Cli { command: Command::Completions { shell } }) => {
            Ok(Request::Print(documents::completions(shell)))
        }
        Ok(Cli { command: Command::Man }) => {
            documents::man().map(Request::Print).map_err(|error| error.to_string())
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Request::Print(error.render().to_string()))
        }
        Err(error) => Err(one_line(&error, &arguments)),
    }
}

/// The command line with the environment and the configuration file behind it. The outer error is the file's.
fn read(arguments: &[OsString]) -> Result<Result<Cli, clap::Error>, String> {
    let command = Cli::command();
    let matches = match command.clone().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return Ok(Err(error)),
    };
    let command = config::apply(command, &matches)?;
    let matches = command.try_get_matches_from(arguments);
    Ok(matches.and_then(|matches| Cli::from_arg_matches(&matches)))
}

/// Time between the reports of `trace`, where the operator names none.
const REPORT_EVERY: Duration = Duration::from_secs(10);

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
        all_namespaces: arguments.all_netns,
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
        health_protocol: arguments.health_protocol.map(|protocol| match protocol {
            HealthProtocolArg::Tcp => Protocol::Tcp,
            HealthProtocolArg::Http => Protocol::Http,
            HealthProtocolArg::Https => Protocol::Https,
        }),
        health_timeout: arguments.health_timeout,
        expect_clients: arguments.expect_clients,
        interval: output.interval.unwrap_or(match output.output {
            Format::Emf => emf::INTERVAL,
            Format::Text | Format::Json => REPORT_EVERY,
        }),
        duration: output.duration,
        format: output.output,
        cloudwatch: cloudwatch(output.cloudwatch),
        listen: output.listen,
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

fn cloudwatch(arguments: CloudWatchArgs) -> Option<Target> {
    let group = arguments.cloudwatch_log_group?;
    let stream = arguments.cloudwatch_log_stream;
    Some(Target {
        group,
        stream: stream.unwrap_or_else(|| Target::default_stream(&facts::host())),
        may_create_group: arguments.cloudwatch_create,
    })
}

/// clap explains in paragraphs; this keeps what is wrong and where to read on.
fn one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "no command given: try `agent trace --port 8080`, or see `agent --help`".to_owned();
    }
    let text = sentence(error);
    let command = arguments.get(1).and_then(|word| word.to_str());
    let known = ["trace", "diagnose", "check", "explain", "completions", "man"];
    let command = command.filter(|word| known.contains(word));
    let help = command.map_or("agent --help".to_owned(), |command| format!("agent {command} --help"));
    format!("{text}; see `{help}`")
}

/// What is wrong, in one line.
fn sentence(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let before_usage = text.split("\nUsage:").next().unwrap_or_default();
    let words: Vec<&str> = before_usage
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    let text = words.join(" ");
    text.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Request, String> {
        super::parse(line.split_whitespace().map(OsString::from))
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
    fn the_health_check_reaches_the_diagnosis() {
        let Ok(Request::Trace(settings)) = read(
            "agent trace --port 80 --health-port 81 --health-protocol https --health-interval 5s --health-timeout 2s",
        ) else {
            panic!("it is right")
        };
        let watch = settings.watch(Vec::new(), vec![80, 81]);
        assert_eq!(watch.health_protocol, Some(Protocol::Https));
        assert_eq!(watch.health_timeout, Some(Duration::from_secs(2)));
        assert_eq!(watch.health_interval, Some(Duration::from_secs(5)));
        let Ok(Request::Trace(settings)) = read("agent trace --port 80") else { panic!("it is right") };
        assert_eq!((settings.health_protocol, settings.health_timeout), (None, None));
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
    fn a_log_group_is_shipped_to_where_that_is_built_in() {
        let text = "agent trace --output json --cloudwatch-log-group /ecs/orders --cloudwatch-create";
        match read(text) {
            Ok(Request::Trace(settings)) => {
                let target = settings.cloudwatch.expect("a target");
                assert_eq!((target.group.as_str(), target.may_create_group), ("/ecs/orders", true));
                assert!(target.stream.starts_with("agent/"), "{}", target.stream);
                let text = wrong("agent trace --cloudwatch-log-group g");
                assert!(text.contains("add --output json"), "{text}");
            }
            Err(text) => assert!(text.contains("built without shipping to CloudWatch Logs"), "{text}"),
            Ok(_) => panic!("it is a trace"),
        }
        assert_eq!(crate::ship::cloudwatch::IS_BUILT_IN, read(text).is_ok());
        for (line, part) in [
            ("agent trace --cloudwatch-create", "--cloudwatch-log-group"),
            ("agent trace --cloudwatch-log-stream s", "--cloudwatch-log-group"),
            ("agent trace --cloudwatch-log-group a*b", "not allowed"),
            ("agent trace --cloudwatch-log-group g --cloudwatch-log-stream a:b", "no name of a log stream"),
            ("agent diagnose --cloudwatch-log-group g", "unexpected argument"),
        ] {
            let text = wrong(line);
            assert!(text.contains(part), "{line}: {text}");
        }
    }

    #[test]
    fn a_report_comes_every_ten_seconds_and_a_document_every_minute() {
        for (line, seconds) in [
            ("agent trace --port 80", 10),
            ("agent trace --port 80 --output json", 10),
            ("agent trace --port 80 --output emf", 60),
            ("agent trace --port 80 --output emf --interval 30s", 30),
        ] {
            let Ok(Request::Trace(settings)) = read(line) else { panic!("{line} is right") };
            assert_eq!(settings.interval, Duration::from_secs(seconds), "{line}");
            assert_eq!(settings.listen, None, "nothing is served unless asked for");
        }
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
            ("agent trace --health-interval 301s", "every 5 to 300 seconds"),
            ("agent trace --health-timeout 121s", "2 to 120 seconds"),
            ("agent trace --health-protocol udp", "invalid value 'udp'"),
            ("agent trace --output xml", "invalid value 'xml'"),
            ("agent trace --all-netns", "--all-netns needs --port"),
            ("agent trace --port 80 --all-netns --netns 1", "cannot be used with"),
            ("agent trace --prot 80", "unexpected argument '--prot'"),
            ("agent trace --listen nonsense", "nonsense is no address to listen on"),
            ("agent trace --listen 10.0.0.1", "10.0.0.1 is no address to listen on"),
            ("agent diagnose --output emf", "emf is no format of one answer"),
            ("agent diagnose --listen 9400", "unexpected argument '--listen'"),
            ("agent tarce", "unrecognized subcommand 'tarce'"),
        ] {
            let text = wrong(line);
            assert!(text.contains(part), "{line}: {text}");
            assert!(!text.contains('\n') && !text.contains("error:"), "{text}");
            assert!(text.contains("--help`") || !text.contains("see"), "{text}");
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
