//! What the operator said of the health check, and what behaviour makes of it.

use super::*;
use crate::domain::{diagnosis::corrections, health::Protocol};

fn corrected(story: &Story) -> Vec<String> {
    corrections(&story.case())
}

/// Both nodes probe this often, for so long.
fn every(interval: u64, seconds: u64, given: Duration) -> Story {
    let mut story = Story::new();
    story.history.watch.health_interval = Some(given);
    story.pass(seconds, |story, second| {
        if second.is_multiple_of(interval) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    story
}

#[test]
fn health_checks_that_come_more_seldom_than_was_said_are_not_missed_once_their_rhythm_is_known() {
    let mut story = every(30, 200, Duration::from_secs(5));
    assert_eq!(story.conclusions(), []);
    let corrections = corrected(&story);
    assert!(
        corrections.len() == 1
            && corrections[0].contains("--health-interval 5s")
            && corrections[0].contains("every 30.0 s"),
        "{corrections:?}"
    );
    // And they are missed when they stop, as late as their own interval asks for.
    story.pass(130, |_, _| {});
    assert!(!story.conclusions().is_empty());
}

#[test]
fn what_was_said_and_holds_is_not_corrected() {
    // The last: two checkers of each node, say.
    for (interval, given) in [(10, 10), (10, 8), (10, 14), (10, 20)] {
        let story = every(interval, 200, Duration::from_secs(given));
        assert_eq!(corrected(&story), [""; 0], "{interval} {given}");
    }
}

#[test]
fn one_node_that_is_slow_overturns_nothing() {
    let mut story = Story::new();
    story.pass(400, |story, second| {
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
        }
        if second.is_multiple_of(30) {
            probe(story, NODE_B);
        }
    });
    assert_eq!(corrected(&story), [""; 0]);
    assert_eq!(story.history.window(), Duration::from_secs(35));
}

#[test]
fn the_protocol_that_is_seen_holds() {
    type Speaks = fn(&mut Tally);
    let speak: [(Protocol, Speaks); 3] = [
        (Protocol::Tcp, |_| {}),
        (Protocol::Http, |tally| tally.answers.http_answers += 1),
        (Protocol::Https, |tally| tally.tls_openings += 1),
    ];
    for (spoken, how) in speak {
        for given in [Protocol::Tcp, Protocol::Http, Protocol::Https] {
            let mut story = Story::new();
            story.history.watch.health_protocol = Some(given);
            story.probes(50, |story| {
                for node in [NODE_A, NODE_B] {
                    probe(story, node);
                    how(story.tally(node));
                }
            });
            let corrections = corrected(&story);
            let is_named =
                corrections.iter().any(|text| text.contains(&format!("--health-protocol {}", given.name())));
            assert_eq!(
                (is_named, corrections.len()),
                (spoken != given, usize::from(spoken != given)),
                "{corrections:?}"
            );
        }
    }
}

#[test]
fn too_few_health_checks_correct_nothing() {
    let mut story = Story::new();
    story.history.watch.health_protocol = Some(Protocol::Tcp);
    story.probes(15, |story| {
        probe(story, NODE_A);
        story.tally(NODE_A).answers.http_answers += 1;
    });
    assert_eq!(corrected(&story), [""; 0]);
}

/// `--client-ip translated`: no address of their own is said to be seen.
fn translated(connections: u64, key: TallyKey) -> Vec<String> {
    let mut story = Story::new();
    story.history.watch.priors.client_ip = ClientIp::Translated;
    story.probes(50, |story| {
        probe(story, NODE_A);
        probe(story, NODE_B);
    });
    story.pass(1, |story, _| (0..connections).for_each(|_| client(story, key)));
    corrected(&story)
}

#[test]
fn named_clients_with_addresses_of_their_own_overturn_that_they_carry_the_nodes() {
    let corrections = translated(3, CLIENTS);
    assert!(
        corrections.len() == 1
            && corrections[0]
                .contains("--client-ip translated was given, but 3 connections came from 10.0.16.0/20"),
        "{corrections:?}"
    );
}

#[test]
fn a_few_of_them_strangers_and_clients_of_a_node_overturn_nothing() {
    assert_eq!(translated(2, CLIENTS), [""; 0]);
    assert_eq!(translated(9, STRANGERS), [""; 0]);
    assert_eq!(translated(9, NODE_A), [""; 0]);
}

/// A connection that is only tried may have a made-up address.
#[test]
fn clients_that_never_finish_a_handshake_overturn_nothing() {
    let mut story = Story::new();
    story.history.watch.priors.client_ip = ClientIp::Translated;
    story.pass(9, |story, _| story.arrive(CLIENTS));
    assert_eq!(corrected(&story), [""; 0]);
}

/// Both nodes, found by this name.
fn resolved(name: &str) -> Story {
    let mut sources = SourceTable::new(100);
    for node in [A, B] {
        let network = format!("{node}/32").parse().expect("a prefix");
        sources.add(network, Role::Node, Origin::Dns(name.to_owned()), Duration::ZERO).expect("room");
    }
    let mut story = Story::with(sources);
    let (a, b) = (TallyKey { slot: 1, port: PORT }, TallyKey { slot: 2, port: PORT });
    story.probes(100, |story| {
        probe(story, a);
        probe(story, b);
    });
    story.probes(40, |story| probe(story, b));
    story
}

#[test]
fn the_name_of_an_alb_is_said_to_be_one_and_its_nodes_may_go() {
    let story = resolved("internal-my-alb-1234567890.eu-west-1.elb.amazonaws.com");
    let corrections = corrected(&story);
    assert!(corrections.len() == 1 && corrections[0].contains("the name of an ALB"), "{corrections:?}");
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Suspected, nodes(&[A]))]);
    for name in ["my-nlb-0123456789abcdef.elb.eu-west-1.amazonaws.com", "orders.internal"] {
        let story = resolved(name);
        assert_eq!(corrected(&story), [""; 0], "{name}");
        assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))], "{name}");
    }
}
