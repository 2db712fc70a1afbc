//! Health checks that go to a port nobody watches.

use super::*;

const OTHER: u16 = 9090;

impl Story {
    /// A connection attempt on a port that is not watched.
    fn stray(&mut self, key: TallyKey) {
        *self.sample.strays.entry((key.slot, OTHER)).or_default() += 1;
    }
}

fn other_port(story: &Story) -> Option<Finding> {
    story.findings().into_iter().find(|finding| finding.code == Code::ProbesOtherPort)
}

#[test]
fn nodes_that_only_probe_another_port_are_named_with_it_and_nothing_else_is_said_of_them() {
    let mut story = Story::new();
    story.probes(35, |story| {
        story.stray(NODE_A);
        story.stray(NODE_B);
        story.serve(CLIENTS);
    });
    assert_eq!(story.conclusions(), [(Code::ProbesOtherPort, Confidence::Proven, nodes(&[A, B]))]);
    let found = other_port(&story).expect("the finding");
    assert_eq!(
        found.summary,
        "6 connection attempts from 10.0.1.23 and 10.0.2.31 to port 9090, where nothing listens; none to port 8080 in 35 s"
    );
    assert!(found.advice.contains("make the application listen on 9090"), "{}", found.advice);
    assert_eq!(story.verdict(&[]).state, State::Fault);
}

#[test]
fn with_nobody_on_the_watched_port_it_is_not_said_that_nothing_arrives() {
    let mut story = Story::new();
    story.probes(35, |story| {
        story.stray(NODE_A);
        story.stray(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::ProbesOtherPort, Confidence::Proven, nodes(&[A, B]))]);
}

#[test]
fn a_node_that_goes_elsewhere_explains_nothing_of_one_that_is_missing_everywhere() {
    let mut story = Story::new();
    story.probes(35, |story| story.stray(NODE_A));
    assert_eq!(
        story.conclusions(),
        [
            (Code::ProbesOtherPort, Confidence::Proven, nodes(&[A])),
            (Code::ProbesMissing, Confidence::Inferred, nodes(&[B])),
        ]
    );
}

/// Both nodes probe another port, and `there` is who listens.
fn probed_elsewhere(there: impl FnOnce(&mut Story)) -> Finding {
    let mut story = Story::new();
    there(&mut story);
    story.probes(35, |story| {
        story.stray(NODE_A);
        story.stray(NODE_B);
        story.serve(CLIENTS);
    });
    assert_eq!(story.verdict(&[]).state, State::Fault);
    other_port(&story).expect("the finding")
}

/// It may check what listens there, while this one's health checks are shut out: both are named, with what settles either.
#[test]
fn something_that_listens_there_leaves_another_target_group_as_a_candidate() {
    let there = Listener { port: OTHER, ..listener(Ipv4Addr::UNSPECIFIED.into()) };
    let found = probed_elsewhere(|story| story.sample.listeners.as_mut().expect("listeners").push(there));
    assert_eq!(found.confidence, Confidence::Inferred);
    assert!(found.summary.contains("port 9090, where something listens;"), "{}", found.summary);
    for wanted in [
        "another target group of this task checks port 9090, this one's health checks are missing. Not told apart",
        "--health-check-port 8080",
        "1. The task's security group must admit tcp/8080",
        "authorize-security-group-ingress --group-id",
        "2. The NLB's security group must let tcp/8080 out",
    ] {
        assert!(found.advice.contains(wanted), "{wanted}: {}", found.advice);
    }
    assert!(found.advice.len() < 4096, "{}", found.advice.len());
}

#[test]
fn a_listener_that_only_the_host_itself_reaches_serves_no_other_target_group() {
    let there = Listener { port: OTHER, ..listener(Ipv4Addr::LOCALHOST.into()) };
    let found = probed_elsewhere(|story| story.sample.listeners.as_mut().expect("listeners").push(there));
    assert_eq!(found.confidence, Confidence::Proven);
    assert!(
        found.summary.contains("where nothing listens;") && !found.advice.contains("another target group")
    );
}

#[test]
fn where_the_socket_table_cannot_be_read_nothing_is_said_of_listeners() {
    let found = probed_elsewhere(|story| story.sample.listeners = None);
    assert_eq!(found.confidence, Confidence::Inferred);
    assert!(found.summary.contains("and what listens there is not known;"), "{}", found.summary);
    assert!(found.evidence.iter().all(|fact| fact.name != "stray_ports_listened_on"));
    assert!(found.advice.contains("this one's health checks are missing"), "{}", found.advice);
}

/// A client's SYN for a port that nobody serves looks like any other.
#[test]
fn where_clients_may_carry_the_nodes_addresses_it_is_inferred() {
    let mut story = shared();
    story.probes(35, |story| {
        story.stray(NODE_A);
        story.stray(NODE_B);
    });
    assert_eq!(story.conclusions(), [(Code::ProbesOtherPort, Confidence::Inferred, nodes(&[A, B]))]);
}

/// The health check port was changed while the agent watched.
#[test]
fn health_checks_that_moved_to_another_port_are_said_to_have_moved_and_not_to_have_stopped() {
    let mut story = Story::new();
    let both = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    story.probes(100, both);
    let mut seen = Vec::new();
    for _ in 0..40 {
        story.probes(1, |story| {
            story.stray(NODE_A);
            story.stray(NODE_B);
        });
        seen.extend(story.conclusions());
    }
    seen.dedup();
    assert_eq!(seen, [(Code::ProbesOtherPort, Confidence::Proven, nodes(&[A, B]))]);
    story.probes(20, both);
    assert_eq!(story.conclusions(), []);
}

#[test]
fn one_attempt_is_no_habit() {
    let mut story = Story::new();
    story.pass(1, |story, _| story.stray(NODE_A));
    story.probes(34, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

/// A security group is not blamed for sure while the next attempt may show where the health checks go.
#[test]
fn a_node_that_just_tried_another_port_is_no_more_than_suspected_to_be_missing() {
    let mut story = Story::new();
    story.pass(31, |story, second| {
        if second == 25 {
            story.stray(NODE_A);
        }
        if second.is_multiple_of(10) {
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A]))]);
    story.probes(20, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn a_node_whose_health_checks_come_may_send_elsewhere_what_it_likes() {
    let mut story = Story::new();
    story.pass(100, |story, second| {
        story.stray(NODE_A);
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn more_attempts_than_health_checks_can_be_are_those_of_clients_of_another_listener() {
    let mut story = Story::new();
    story.pass(35, |story, second| {
        (0..20).for_each(|_| story.stray(NODE_A));
        if second.is_multiple_of(10) {
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn a_node_that_is_merely_late_is_not_taken_to_have_moved() {
    let mut story = Story::new();
    let both = |story: &mut Story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    };
    story.probes(100, both);
    story.pass(15, |story, _| story.stray(NODE_A));
    assert_eq!(story.conclusions(), []);
}

/// Anybody may live in the NLB's subnets: a scanner there sends one SYN to each port, and a stranger's two prove nothing.
#[test]
fn in_a_prefix_it_takes_more_and_is_inferred() {
    let mut sources = SourceTable::new(600);
    let subnet = "10.0.1.0/24".parse().expect("a prefix");
    sources.add(subnet, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
    let somebody = TallyKey { slot: 1 + 23, port: PORT };
    let mut story = Story::with(sources);
    story.probes(29, |story| story.stray(somebody));
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&["10.0.1.0/24"]))]);
    story.probes(6, |story| story.stray(somebody));
    assert_eq!(story.conclusions(), [(Code::ProbesOtherPort, Confidence::Inferred, nodes(&[A]))]);
}
