//! Health checks and clients behind one address.

use super::*;

/// Ten intervals in which both nodes probe, and clients come with their addresses.
fn settled() -> Story {
    let mut story = shared();
    story.pass(100, |story, second| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            if second.is_multiple_of(10) {
                probe(story, node);
            }
        }
    });
    story
}

#[test]
fn a_node_that_only_probes_is_a_probe_and_one_that_does_both_is_undecided() {
    let mut story = shared();
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    story.probes(40, |story| {
        probe(story, NODE_A);
        probe(story, NODE_B);
    });
    assert_eq!((class(&story, NODE_A), class(&story, NODE_B)), ("nlb_probe", "nlb_probe"));
    assert_eq!(story.verdict(&[]).state, State::Healthy);
    story.probes(10, |story| client(story, NODE_A));
    assert_eq!((class(&story, NODE_A), story.conclusions()), ("nlb_undecided", vec![]), "one may be a stray");
    story.pass(2, |story, _| client(story, NODE_A));
    assert_eq!((class(&story, NODE_A), class(&story, NODE_B)), ("nlb_undecided", "nlb_probe"));
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Proven, nodes(&[A]))]);
    assert_eq!(story.findings()[0].severity, Severity::Note);
}

#[test]
fn connections_that_began_before_the_agent_make_nobody_a_client() {
    let mut story = shared();
    story.pass(1, |story, _| client(story, NODE_A));
    story.probes(40, |story| {
        probe(story, NODE_A);
        probe(story, NODE_B);
    });
    assert_eq!(class(&story, NODE_A), "nlb_probe");
}

#[test]
fn health_checks_are_missed_although_clients_come_from_the_same_address() {
    let mut story = shared();
    let clients = |story: &mut Story, _| {
        client(story, NODE_A);
        client(story, NODE_B);
    };
    story.pass(15, clients);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A, B]))]);
    story.pass(20, clients);
    assert_eq!(story.conclusions(), [(Code::ProbesMissing, Confidence::Suspected, nodes(&[A, B]))]);
    let finding = &story.findings()[0];
    assert!(finding.summary.starts_with("clients, and no health check, from"), "{}", finding.summary);
    assert!(finding.advice.contains("--health-port"), "{}", finding.advice);
}

#[test]
fn an_application_that_hangs_ends_no_connection_and_no_health_check_is_missed_for_it() {
    let mut story = settled();
    story.pass(60, |story, _| {
        for node in [NODE_A, NODE_B] {
            let tally = story.tally(node);
            tally.arrived += 1;
            tally.synacks += 1;
            tally.established += 1;
        }
    });
    let codes: Vec<_> = story.conclusions().into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes, [Code::SharedSource]);
}

#[test]
fn what_is_encrypted_is_not_judged_by_behaviour() {
    let mut story = shared();
    story.pass(60, |story, _| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            story.tally(node).tls_openings += 1;
        }
    });
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    assert_eq!(story.conclusions(), []);
}

#[test]
fn health_checks_that_fail_forbid_healthy_although_clients_are_served() {
    let mut story = shared();
    story.pass(60, |story, second| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            if second.is_multiple_of(10) {
                story.arrive(node);
                let tally = story.tally(node);
                tally.synacks += 1;
                tally.established += 1;
                tally.unserved += 1;
                tally.probes_unserved += 1;
            }
        }
    });
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("health checks from 10.0.1.23"), "{:?}", verdict.reasons);
}

#[test]
fn clients_alone_make_nobody_healthy() {
    let mut story = shared();
    story.pass(3, |story, _| {
        client(story, NODE_A);
        client(story, NODE_B);
    });
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("health checks from 10.0.1.23"), "{:?}", verdict.reasons);
}

#[test]
fn one_connection_without_data_is_no_rhythm_that_could_stop() {
    let mut story = shared();
    story.history.watch.health_interval = None;
    story.pass(3, |story, _| {
        probe(story, NODE_A);
        client(story, NODE_A);
        client(story, NODE_B);
    });
    story.pass(300, |story, _| {
        client(story, NODE_A);
        client(story, NODE_B);
    });
    assert!(
        story.conclusions().iter().all(|(code, ..)| *code != Code::ProbesStopped),
        "{:?}",
        story.conclusions()
    );
}

#[test]
fn slow_health_checks_of_a_shared_address_do_not_stop_between_two_of_them() {
    let mut story = shared();
    story.history.watch.health_interval = None;
    for _ in 0..1200 {
        story.pass(1, |story, second| {
            for node in [NODE_A, NODE_B] {
                client(story, node);
                if second.is_multiple_of(120) {
                    probe(story, node);
                }
            }
        });
        let stopped = story.conclusions().into_iter().any(|(code, ..)| code == Code::ProbesStopped);
        assert!(!stopped, "{:?}", story.sample.at);
    }
}

#[test]
fn encrypted_health_checks_are_no_clients_that_had_to_come() {
    let mut story = shared();
    story.history.watch.expect_clients = true;
    story.probes(60, |story| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            story.tally(node).tls_openings += 1;
        }
    });
    let verdict = story.verdict(&[]);
    assert!(verdict.state != State::Healthy, "{verdict:?}");
}

#[test]
fn connections_that_are_still_open_may_be_the_clients_that_are_missed() {
    let mut story = shared();
    story.history.watch.expect_clients = true;
    story.probes(20, |story| {
        probe(story, NODE_A);
        probe(story, NODE_B);
        client(story, NODE_A);
        client(story, NODE_A);
        story.arrive(NODE_A);
        let tally = story.tally(NODE_A);
        tally.synacks += 1;
        tally.established += 1;
    });
    story.probes(60, |story| {
        probe(story, NODE_A);
        probe(story, NODE_B);
    });
    let missed: Vec<_> =
        story.conclusions().into_iter().filter(|(code, ..)| *code == Code::ClientsMissing).collect();
    assert_eq!(missed, [(Code::ClientsMissing, Confidence::Suspected, nodes(&[CLIENT_PREFIX]))]);
}
