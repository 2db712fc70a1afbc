//! What is typed, and what becomes of it.

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
fn standard_output_is_the_only_outlet_unless_another_is_named() {
    for (flags, has_another) in [("", false), ("--output json", false), ("--listen 9400", true)] {
        let Ok(Request::Trace(settings)) = read(&format!("agent trace --port 80 {flags}")) else {
            panic!("it is right")
        };
        assert_eq!(settings.has_another_outlet(), has_another, "{flags}");
    }
}

#[test]
fn a_finding_is_explained_and_an_unknown_one_is_named_beside_the_known() {
    let Ok(Request::Print(text)) = read("agent explain host_firewall") else { panic!("it is right") };
    assert!(text.starts_with("## host_firewall\n") && text.contains("nft list ruleset"), "{text}");
    let Ok(Request::Print(all)) = read("agent explain") else { panic!("it is right") };
    assert!(all.len() > 10 * text.len());
    assert!(wrong("agent explain nonsense").contains("nonsense is no finding: there are probes_missing, "));
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
fn names_are_asked_for_again_as_often_as_their_records_end() {
    for (line, every) in [
        ("agent trace --nlb nlb.example", Duration::from_secs(60)),
        ("agent trace --nlb nlb.example --resolve-every 300ms", Duration::from_millis(300)),
    ] {
        let Ok(Request::Trace(settings)) = read(line) else { panic!("{line} is right") };
        assert_eq!(settings.resolve_every, every, "{line}");
    }
}

#[test]
fn metrics_are_called_as_the_operator_says() {
    let Ok(Request::Trace(settings)) = read("agent trace --port 80 --service-name orders") else {
        panic!("it is right")
    };
    assert_eq!((settings.naming.cluster, settings.naming.service.as_deref()), (None, Some("orders")));
    let blank = super::parse(["agent", "trace", "--cluster-name", " "].map(OsString::from));
    assert!(blank.is_err_and(|text| text.contains("an empty name is none")));
}

#[test]
fn check_is_told_what_trace_does_when_it_is_blind() {
    for (line, on_blind) in [("agent check", OnBlind::Exit), ("agent check --on-blind stay", OnBlind::Stay)] {
        let Ok(Request::Check(wanted)) = read(line) else { panic!("{line} is right") };
        assert_eq!(wanted.settings.on_blind, on_blind, "{line}");
    }
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
