//! Each advice twice: filled in from all there is to know, and with placeholders where nothing is known.

mod special;

use std::{collections::BTreeMap, time::Duration};

use super::{Facts, Reach, Remedy, Traffic};
use crate::domain::{
    class::{Role, SourceClass},
    finding::Code,
    history::{History, Watch},
    rules::Rule,
    sample::{Listener, Sample},
    site::Site,
    sources::{Origin, SourceTable},
};

const PORT: u16 = 8080;
const NODES: [&str; 3] = ["10.0.1.23", "10.0.2.31", "10.0.32.40"];
const NLB: &str = "eu-west-1a.my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com";
const TRAFFIC: Traffic = Traffic { port: PORT, class: SourceClass::NlbProbe };

fn known() -> (History, SourceTable) {
    let mut sources = SourceTable::new(2000);
    let mut add = |network: &str, role, origin| {
        sources.add(network.parse().expect("a prefix"), role, origin, Duration::ZERO).expect("room");
    };
    NODES.iter().for_each(|node| add(&format!("{node}/32"), Role::Node, Origin::Dns(NLB.to_owned())));
    add("10.0.1.0/24", Role::Node, Origin::Flag);
    add("10.0.2.0/24", Role::Node, Origin::Flag);
    add("10.0.16.0/20", Role::Client, Origin::Flag);
    let text = |text: &str| Some(text.to_owned());
    let site = Site {
        region: text("eu-west-1"),
        cluster: text("main"),
        service: text("orders"),
        task_definition: text("orders:7"),
        vpc_id: text("vpc-1"),
        instance_id: text("i-1"),
        subnets: vec!["10.0.32.0/24".parse().expect("a prefix")],
        interface: text("eth0"),
    };
    let addresses = ["fe80::1", "10.0.32.10"].map(|address| address.parse().expect("an address"));
    let mut history =
        History::new(Watch { addresses: addresses.to_vec(), ports: vec![PORT], site, ..Watch::default() });
    let listeners = ["10.0.32.10", "127.0.0.1"].into_iter().zip([9001, 9002]);
    let listeners = listeners.map(|(address, port)| listener(address, port)).collect();
    history.observe(Sample { listeners: Some(listeners), ..Sample::default() }, &sources);
    (history, sources)
}

fn unknown() -> (History, SourceTable) {
    (History::new(Watch { ports: vec![PORT], ..Watch::default() }), SourceTable::new(1))
}

fn listener(address: &str, port: u16) -> Listener {
    let address = address.parse().expect("an address");
    Listener { address, port, v6_only: false, backlog: 0, backlog_limit: 128 }
}

fn rule(family: &'static str, table: &str, chain: &str) -> Rule {
    Rule { family, table: table.to_owned(), chain: chain.to_owned(), handle: 7 }
}

/// What is said for a code, in each of its forms.
fn advice(facts: &Facts<'_>, code: Code) -> Vec<String> {
    let port = Some(PORT);
    let loopback = listener("127.0.0.1", PORT);
    let ports = |count: u64| BTreeMap::from([(9000, count)]);
    let remedy = |remedy| facts.remedy(remedy, TRAFFIC, "SOME_REASON");
    match code {
        Code::ProbesMissing => [Reach::All, Reach::SomeFromStart]
            .map(|reach| facts.missing_probes(port, reach))
            .into_iter()
            .chain([facts.another_port()])
            .collect(),
        Code::ProbesStopped | Code::ProbesWithdrawn => vec![facts.missing_probes(port, Reach::All)],
        Code::ProbesPartial => vec![facts.missing_probes(port, Reach::Some), facts.other_zones()],
        Code::ProbesOtherPort => vec![facts.other_port(&ports(3), &[9000]), facts.other_port(&ports(3), &[])],
        Code::ClientsMissing => [SourceClass::Client, SourceClass::ClientViaNlb]
            .map(|class| facts.missing_clients(port, class))
            .into(),
        Code::NothingArrives => vec![facts.missing_everybody(port), facts.missing_everybody(None)],
        Code::Hairpin => vec![facts.hairpin()],
        Code::AllowanceExceeded => vec![facts.allowance(true, true)],
        Code::HostFirewall => {
            vec![remedy(Remedy::LetIn), facts.let_in_by(&rule("inet", "local", "input"), TRAFFIC)]
        }
        Code::FirewallReject => vec![remedy(Remedy::LetInBeforeReject)],
        Code::ConntrackFull => vec![facts.enlarge_tracking(1000, TRAFFIC)],
        Code::ReversePathFilter => vec![remedy(Remedy::LoosenReversePath)],
        Code::BpfDrop => vec![remedy(Remedy::LetInProgram)],
        Code::BadChecksum => vec![remedy(Remedy::MendChecksum)],
        Code::HostDrop => [Remedy::ByReason, Remedy::ByAddress, Remedy::RelieveCpu].map(remedy).into(),
        Code::SlowStart => vec![facts.grace_period()],
        Code::NoListener => vec![facts.start_listening(PORT)],
        Code::ListenerElsewhere => vec![facts.listen_elsewhere(PORT, &[&loopback], false)],
        Code::AcceptQueueFull => vec![facts.accept_faster(PORT, 128)],
        Code::NoReturnRoute => vec![facts.add_route(TRAFFIC.class, "192.0.2.1")],
        Code::SynCookies => vec![facts.cookies_in_vain(TRAFFIC), facts.many_open(PORT)],
        Code::DuplicateTuple => vec![facts.duplicate_tuple()],
        Code::ReplyLost => vec![facts.lost_replies(TRAFFIC.class)],
        Code::ReplyDropped => [true, false].map(|by_rule| facts.let_out(PORT, by_rule, "SOME_REASON")).into(),
        Code::AppNotAccepting => vec![facts.accept(PORT)],
        Code::ProbeHttpStatus => vec![facts.bad_status(404)],
        Code::ProbeTimeout => vec![facts.slow_answer()],
        Code::AppReset => vec![facts.reset(PORT)],
        Code::TlsMismatch => vec![facts.tls(PORT)],
        Code::ProxyProtocolMismatch => vec![facts.proxy_header(PORT)],
        // Nothing is to be changed.
        Code::PortTranslated => Vec::new(),
        Code::SharedSource => vec![facts.shared_source(PORT), facts.health_port(9000, PORT)],
    }
}

fn said(about: &(History, SourceTable), code: Code) -> String {
    advice(&Facts { history: &about.0, sources: &about.1 }, code).join("\n")
}

/// The commands of an advice: what they are for, and themselves.
fn commands(text: &str) -> Vec<(&str, &str)> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| line.trim_start().split_once(": ").expect("what it is for")).collect()
}

#[test]
fn what_is_known_is_filled_in() {
    let known = known();
    for (code, wanted) in [
        (
            Code::ProbesMissing,
            "describe-security-groups --region eu-west-1 --group-ids $(aws ec2 describe-network-interfaces --region eu-west-1 --filters Name=addresses.private-ip-address,Values=10.0.32.10 Name=vpc-id,Values=vpc-1 --query 'NetworkInterfaces[].Groups[].GroupId' --output text)",
        ),
        (Code::ProbesMissing, "--protocol tcp --port 8080 --source-group <security group of the NLB>"),
        (
            Code::ProbesStopped,
            "--ip-permissions 'IpProtocol=tcp,FromPort=8080,ToPort=8080,IpRanges=[{CidrIp=10.0.1.0/24},{CidrIp=10.0.2.0/24},{CidrIp=10.0.32.0/24}]'",
        ),
        (
            Code::ProbesStopped,
            "aws elbv2 describe-load-balancers --region eu-west-1 --names my-nlb --query 'LoadBalancers[].SecurityGroups[]'",
        ),
        (
            Code::ProbesWithdrawn,
            "aws ec2 describe-network-acls --region eu-west-1 --filters Name=vpc-id,Values=vpc-1",
        ),
        (
            Code::ProbesMissing,
            "aws elbv2 describe-load-balancer-attributes --region eu-west-1 --load-balancer-arn $(aws elbv2 describe-load-balancers --region eu-west-1 --names my-nlb",
        ),
        (
            Code::ProbesPartial,
            "aws elbv2 describe-target-group-attributes --region eu-west-1 --target-group-arn <ARN of the target group>",
        ),
        (
            Code::SharedSource,
            "aws ec2 authorize-security-group-ingress --region eu-west-1 --group-id <security group of the task> --ip-permissions 'IpProtocol=tcp,FromPort=8080,ToPort=8080,IpRanges=[{CidrIp=10.0.1.0/24}",
        ),
        (
            Code::SharedSource,
            "aws elbv2 modify-target-group --region eu-west-1 --target-group-arn <ARN of the target group> --health-check-port 9000",
        ),
        (Code::ProbesPartial, "AvailabilityZones[].[ZoneName,SubnetId]"),
        (Code::ProbesOtherPort, "--health-check-port 8080"),
        (Code::ClientsMissing, "--protocol tcp --port 8080 --cidr 10.0.16.0/20"),
        (Code::ClientsMissing, "aws apigatewayv2 get-vpc-links --region eu-west-1"),
        (
            Code::NothingArrives,
            "\"TargetHealthDescriptions[?Target.Id=='10.0.32.10' || Target.Id=='i-1'].[Target.Port,HealthCheckPort,TargetHealth]\"",
        ),
        (
            Code::NothingArrives,
            "aws ecs describe-services --region eu-west-1 --cluster main --services orders",
        ),
        (Code::Hairpin, "aws elbv2 modify-target-group-attributes --region eu-west-1"),
        (Code::AllowanceExceeded, "aws ec2 describe-instances --region eu-west-1 --instance-ids i-1"),
        (
            Code::HostFirewall,
            "nft insert rule inet local input handle 7 ip saddr { 10.0.1.0/24, 10.0.2.0/24, 10.0.32.0/24 } tcp dport 8080 accept",
        ),
        (Code::FirewallReject, "tcp dport 8080 accept"),
        (Code::ConntrackFull, "sysctl -w net.netfilter.nf_conntrack_max=2000"),
        (Code::ReversePathFilter, "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
        (Code::BpfDrop, "bpftool net show dev eth0"),
        (Code::BadChecksum, "ethtool -k eth0"),
        (Code::HostDrop, "The drop reason, SOME_REASON,"),
        (
            Code::SlowStart,
            "aws ecs update-service --region eu-west-1 --cluster main --service orders --health-check-grace-period-seconds ",
        ),
        (Code::NoListener, "What others can reach here is 9001."),
        (Code::NoListener, "--task-definition orders:7"),
        (
            Code::ListenerElsewhere,
            "Bind 0.0.0.0:8080 (or [::]:8080 for both families); it listens on 127.0.0.1:8080.",
        ),
        (
            Code::AcceptQueueFull,
            "the limit of 128, the smaller of its own listen backlog (nginx: `listen 8080 backlog=4096`)",
        ),
        (Code::NoReturnRoute, "ip route add 10.0.1.0/24 via 10.0.32.1 dev eth0"),
        (Code::SynCookies, "ss -tn state syn-recv 'sport = :8080'"),
        (Code::DuplicateTuple, "Key=preserve_client_ip.enabled,Value=false"),
        (Code::ReplyLost, "From=1024,To=65535 --cidr-block 10.0.1.0/24 --rule-action allow"),
        (Code::ReplyDropped, "tcp sport 8080 accept"),
        (Code::AppNotAccepting, "ss -ltnp 'sport = :8080'"),
        (Code::ProbeHttpStatus, "--matcher 'HttpCode=\"200-399,404\"'"),
        (Code::ProbeTimeout, "--health-check-timeout-seconds "),
        (Code::AppReset, "aws elbv2 describe-target-group-attributes --region eu-west-1"),
        (Code::TlsMismatch, "--health-check-protocol "),
        (Code::ProxyProtocolMismatch, "`listen 8080 proxy_protocol`"),
        (Code::SharedSource, "--health-check-port "),
    ] {
        let said = said(&known, code);
        assert!(said.contains(wanted), "{}: {wanted} is not in {said}", code.name());
    }
}

#[test]
fn what_is_not_known_is_marked() {
    let unknown = unknown();
    for (code, wanted) in [
        (
            Code::ProbesMissing,
            "aws ec2 authorize-security-group-ingress --group-id <security group of the task> --protocol tcp --port 8080 --cidr <subnet CIDR of the NLB>",
        ),
        (Code::ProbesMissing, "Name=addresses.private-ip-address,Values=<address of the task> --query"),
        (Code::ProbesMissing, "aws elbv2 describe-load-balancers --names <name of the NLB>"),
        (Code::NothingArrives, "--protocol tcp --port <port> --source-group"),
        (Code::ClientsMissing, "--cidr <subnet CIDR of the clients>"),
        (
            Code::HostFirewall,
            "nft insert rule <family> <table> <chain> ip saddr <subnet CIDR of the NLB> tcp dport 8080 accept",
        ),
        (Code::NoReturnRoute, "ip route add <subnet CIDR of the NLB> via <gateway> dev <interface>"),
        (Code::SlowStart, "aws ecs update-service --cluster <cluster> --service <service>"),
        (Code::AllowanceExceeded, "--instance-types <instance type>"),
        (Code::ReplyLost, "--cidr-block <subnet CIDR of the NLB>"),
    ] {
        let said = said(&unknown, code);
        assert!(said.contains(wanted), "{}: {wanted} is not in {said}", code.name());
    }
}

#[test]
fn a_rule_names_groups_and_subnets_and_no_node() {
    for about in [known(), unknown()] {
        for code in Code::ALL {
            let said = said(&about, code);
            assert!(NODES.iter().all(|node| !said.contains(node)), "{}: {said}", code.name());
        }
    }
}

/// `agent explain` and `deploy/iam/discovery.json` go by the same commands.
#[test]
fn each_candidate_has_a_command_that_the_catalogue_knows_and_that_changes_nothing() {
    let catalogue =
        include_str!("../../../../../../docs/findings.md").split_whitespace().collect::<Vec<_>>().join(" ");
    for about in [known(), unknown()] {
        for code in Code::ALL {
            for (purpose, command) in commands(&said(&about, code)) {
                let words: Vec<_> = command.split([' ', '(']).collect();
                for called in words.windows(3).filter(|words| words[0].ends_with("aws")) {
                    let command = format!("aws {} {}", called[1], called[2]);
                    assert!(catalogue.contains(&command), "{}: {command} is not explained", code.name());
                    let only_looks = called[2].starts_with("describe-") || called[2].starts_with("get-");
                    let is_look = purpose == "look" || purpose == "its ARN";
                    assert!(only_looks || !is_look, "{}: {command}", code.name());
                }
            }
        }
    }
    for code in [Code::ProbesMissing, Code::ProbesPartial, Code::ClientsMissing, Code::NothingArrives] {
        let said = said(&known(), code);
        let lines: Vec<_> = said.lines().collect();
        let is_candidate = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
        let settled = lines.windows(2).filter(|pair| is_candidate(pair[0]));
        let settled: Vec<_> = settled.map(|pair| pair[1].starts_with("   look: aws ")).collect();
        assert!(settled.len() >= 4 && settled.iter().all(|has_command| *has_command), "{said}");
    }
}

#[test]
fn an_advice_fits_a_line_of_json_many_times() {
    for code in Code::ALL {
        for advice in advice(&Facts { history: &known().0, sources: &known().1 }, code) {
            assert!(advice.len() < 4096, "{}: {}", code.name(), advice.len());
            assert!(!advice.is_empty() && advice.lines().all(|line| !line.trim().is_empty()), "{advice}");
        }
    }
}
