use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::*;
use crate::{
    cli::{Request, parse},
    domain::health::Protocol,
    settings::{Format, Settings},
};

/// A file with this text, removed at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("agent-config-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn run(&self, command: &str) -> Result<Request, String> {
        let mut line: Vec<OsString> = command.split_whitespace().map(OsString::from).collect();
        line.extend(["--config".into(), self.0.clone().into_os_string()]);
        parse(line)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("removing the file");
    }
}

fn trace(file: &File, command: &str) -> Settings {
    match file.run(command) {
        Ok(Request::Trace(settings)) => *settings,
        other => panic!("{command}: {other:?}"),
    }
}

const ALL: &str = r#"
# as in production
port = [8080, 8443]
nlb = ["10.0.1.0/24", "my-nlb-0123.elb.eu-west-1.amazonaws.com"]
client = "10.0.16.0/20"
client_ip = "preserved"
expect_clients = true
health_port = 9_000
health_protocol = "http"
health_interval = "20s"
interval = "30s"
output = "json"
cluster_name = "prod"
service_name = "orders"
wait = "40s"
"#;

#[test]
fn every_kind_of_value_reaches_the_settings() {
    let file = File::new("all", ALL);
    let settings = trace(&file, "agent trace");
    assert_eq!(settings.ports, [8080, 8443]);
    assert_eq!((settings.nlbs.len(), settings.clients.len()), (2, 1));
    assert_eq!((settings.priors.health_port, settings.expect_clients), (Some(9000), true));
    assert_eq!(settings.health_protocol, Some(Protocol::Http));
    assert_eq!(
        (settings.health_interval, settings.interval),
        (Some(Duration::from_secs(20)), Duration::from_secs(30))
    );
    assert_eq!((settings.format, settings.duration), (Format::Json, None));
    let names = (settings.naming.cluster.as_deref(), settings.naming.service.as_deref());
    assert_eq!(names, (Some("prod"), Some("orders")));
    // The same file serves another command, with the keys that it has.
    let Ok(Request::Diagnose(settings)) = file.run("agent diagnose") else { panic!("it is right") };
    assert_eq!(settings.duration, Some(Duration::from_secs(40)));
}

#[test]
fn the_flag_goes_before_the_file_and_the_file_before_the_default() {
    let file = File::new("flag", ALL);
    let settings = trace(&file, "agent trace --port 80 --interval 5s --nlb 10.0.2.7");
    assert_eq!((settings.ports.as_slice(), settings.nlbs.len()), ([80].as_slice(), 1));
    assert_eq!(settings.interval, Duration::from_secs(5));
    let file = File::new("default", "port = 80");
    assert_eq!(trace(&file, "agent trace").interval, Duration::from_secs(10));
    let file = File::new("empty", "");
    assert_eq!(trace(&file, "agent trace --port 80").ports, [80]);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (name, text, line, part) in [
        (
            "unknown",
            "port = 80\n\nhelth_port = 1",
            3,
            "helth_port is no key: there are all_netns, client, client_ip, ",
        ),
        ("kebab", "health-port = 80", 1, "health-port is no key"),
        ("hidden", "attach = \"clsact\"", 1, "attach is no key"),
        ("itself", "config = \"a\"", 1, "config is no key"),
        ("value", "port = 80\ninterval = \"soon\"", 2, "soon is no time"),
        ("range", "port = [80, 70000]", 1, "70000 is no port"),
        ("network", "client = \"10.0.0.1/8\"", 1, "did you mean 10.0.0.0/8?"),
        ("choice", "client_ip = \"kept\"", 1, "invalid value 'kept'"),
        ("other", "wait = \"soon\"", 1, "soon is no time"),
        ("switch", "expect_clients = \"yes\"", 1, "expect_clients is true or false"),
        ("many", "interval = [\"1s\", \"2s\"]", 1, "interval takes one text in quotes, or a number"),
        ("table", "[port]\nnumber = 80", 1, "port takes a text, a number, or a list of them"),
        ("nested", "port = [[80]]", 1, "port takes a text, a number, or a list"),
        ("twice", "port = 80\nport = 81", 2, "duplicate key"),
        ("syntax", "port = 80\n\nnlb = [\"10.0.0.1\"", 3, ""),
    ] {
        let file = File::new(name, text);
        let error = file.run("agent trace").expect_err(name);
        assert!(error.contains(&format!(".toml line {line}: ")) && error.contains(part), "{name}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    let wrong = parse(["agent", "trace", "--config", "/nonexistent/agent.toml"].map(OsString::from));
    let error = wrong.expect_err("there is none");
    assert!(error.contains("reading --config /nonexistent/agent.toml: No such file"), "{error}");
    let long = File::new("long", &"# long\n".repeat(10_000));
    assert!(long.run("agent trace").expect_err("it is too long").contains("longer than 65536 bytes"));
}

#[test]
fn settings_that_contradict_each_other_are_refused_wherever_they_stand() {
    let file = File::new("both", "client = \"10.0.0.0/8\"");
    let error = file.run("agent trace --nlb 10.0.0.0/8").expect_err("one prefix, two classes");
    assert!(error.contains("given both to --nlb and to --client"), "{error}");
}

#[test]
fn a_file_is_validated_by_check() {
    let file = File::new("check", ALL);
    let Ok(Request::Check(wanted)) = file.run("agent check --live") else { panic!("it is right") };
    assert_eq!((wanted.config.as_ref(), wanted.live), (Some(&file.0), true));
    assert_eq!(wanted.settings.ports, [8080, 8443]);
}
