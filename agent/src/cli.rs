//! The command line.

mod arguments;
mod config;
#[cfg(test)]
mod deploy_tests;
mod documents;
#[cfg(test)]
mod tests;
mod values;

use std::{ffi::OsString, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use crate::{
    domain::{
        class::{ClientIp, Priors},
        health::Protocol,
        identity::Naming,
    },
    kernel::attach::AttachMode,
    kernel::facts,
    output::{emf, explain},
    run::Wanted,
    settings::{Format, OnBlind, Settings},
    ship::cloudwatch::Target,
};
use arguments::{
    CheckArgs, Cli, CloudWatchArgs, Command, DiagnoseArgs, HiddenArgs, NamingArgs, TargetArgs, TraceArgs,
    TraceOutputArgs,
};
use values::{AttachArg, ClientIpArg, HealthProtocolArg};

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
                naming: NamingArgs::default(),
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
            command:
                Command::Check(CheckArgs { target, live, ready_file, output, on_blind, cloudwatch, hidden }),
        }) => {
            let config = target.config.clone();
            let output = TraceOutputArgs {
                interval: Some(DIAGNOSE_REPORTS_ONCE),
                naming: NamingArgs::default(),
                listen: None,
                duration: None,
                output,
                cloudwatch,
                ready_file,
                on_blind,
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
        naming: Naming { cluster: output.naming.cluster_name, service: output.naming.service_name },
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
        probe_entries: hidden.probe_entries,
        resolve_every: hidden.resolve_every,
        record_evidence: hidden.record_evidence,
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
