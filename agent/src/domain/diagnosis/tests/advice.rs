//! What each finding is handed to fill its advice in from.

use super::*;
use crate::domain::site::Site;

/// The advice about a code that a story leads to.
fn advice(story: &Story, code: Code) -> String {
    let found = story.findings().into_iter().find(|finding| finding.code == code);
    found.unwrap_or_else(|| panic!("no {}: {:?}", code.name(), story.conclusions())).advice
}

#[test]
fn absence_is_told_with_the_port_and_the_place_of_the_task() {
    let mut story = Story::new();
    story.history.watch.site = Site {
        region: Some("eu-west-1".to_owned()),
        subnets: vec!["10.0.32.0/24".parse().expect("a prefix")],
        ..Site::default()
    };
    story.pass(31, |_, _| {});
    let advice = advice(&story, Code::NothingArrives);
    for wanted in [
        "must admit tcp/8080 from the NLB's security group",
        "--region eu-west-1 --filters Name=addresses.private-ip-address,Values=10.0.32.10",
        "The network ACLs of the task's subnet (10.0.32.0/24)",
        "aws ec2 authorize-security-group-egress --region eu-west-1 --group-id <security group of the NLB> --protocol tcp \
         --port 8080 --cidr 10.0.32.0/24",
    ] {
        assert!(advice.contains(wanted), "{wanted} is not in {advice}");
    }
}

#[test]
fn the_health_checks_port_is_the_one_to_let_in() {
    let mut story = Story::new();
    story.history.watch.priors.health_port = Some(9000);
    story.history.watch.ports.push(9000);
    story.probes(60, |story| story.serve(NODE_B));
    let advice = advice(&story, Code::ProbesMissing);
    assert!(advice.contains("--protocol tcp --port 9000") && !advice.contains("--port 8080"), "{advice}");
}

#[test]
fn one_silent_node_is_looked_for_in_what_it_has_for_itself() {
    const EGRESS: &str = "IpPermissionsEgress";
    let mut one = Story::new();
    one.probes(60, |story| story.serve(NODE_B));
    let mut none = Story::new();
    none.pass(60, |story, _| story.serve(CLIENTS));
    assert!(!advice(&one, Code::ProbesMissing).contains(EGRESS));
    assert!(advice(&none, Code::ProbesMissing).contains(EGRESS));
    let both = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    for (survivor, names_egress) in [(NODE_B, false), (CLIENTS, true)] {
        let mut story = Story::new();
        story.probes(100, both);
        story.probes(130, |story| story.serve(survivor));
        assert_eq!(advice(&story, Code::ProbesStopped).contains(EGRESS), names_egress, "{survivor:?}");
    }
}

#[test]
fn the_listener_is_told_where_to_listen_and_how_long_its_queue_is() {
    let mut story = Story::new();
    let elsewhere = Listener { port: 9001, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
    story.sample.listeners = Some(vec![elsewhere]);
    let refuse = |story: &mut Story| {
        for node in [NODE_A, NODE_B] {
            story.drop(node, "NO_SOCKET");
            story.tally(node).refused += 1;
        }
    };
    story.probes(40, refuse);
    assert!(advice(&story, Code::NoListener).contains("What others can reach here is 9001."));
    story.sample.listeners = Some(vec![listener(Ipv4Addr::LOCALHOST.into())]);
    story.probes(40, refuse);
    let said = advice(&story, Code::ListenerElsewhere);
    assert!(
        said.starts_with("Bind 0.0.0.0:8080 (or [::]:8080 for both families); it listens on 127.0.0.1:8080."),
        "{said}"
    );

    let mut story = Story::new();
    let full = Listener { backlog: 6, backlog_limit: 5, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
    story.sample.listeners = Some(vec![full]);
    story.probes(40, |story| {
        story.arrive(NODE_A);
        story.count(|host| &mut host.listen_overflows, 1);
        story.count(|host| &mut host.listen_drops, 1);
    });
    story.pass(2, |_, _| {});
    assert!(advice(&story, Code::AcceptQueueFull).contains("the limit of 5, "));
}

#[test]
fn clients_are_let_in_on_the_port_that_is_theirs() {
    let mut story = Story::new();
    story.history.watch.expect_clients = true;
    story.history.watch.priors.health_port = Some(9000);
    story.history.watch.ports.push(9000);
    let probe = |key: TallyKey| TallyKey { port: 9000, ..key };
    story.probes(60, |story| {
        story.serve(probe(NODE_A));
        story.serve(probe(NODE_B));
    });
    let said = advice(&story, Code::ClientsMissing);
    assert!(said.contains("--protocol tcp --port 8080 --cidr 10.0.16.0/20"), "{said}");
}
