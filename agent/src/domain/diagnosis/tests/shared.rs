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
fn behaviour_overturns_what_the_operator_said_and_the_note_says_so() {
    let mut story = Story::new();
    story.probes(50, |story| {
        for node in [NODE_A, NODE_B] {
            probe(story, node);
            client(story, node);
        }
    });
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Proven, nodes(&[A, B]))]);
    assert!(story.findings()[0].summary.contains("--client-ip preserved"), "{:?}", story.findings());
}

/// So many encrypted connections of A each second, while clients are said to keep their address.
fn encrypted(seconds: u64, number: impl Fn(u64) -> u64) -> Story {
    let mut story = Story::new();
    story.pass(seconds, |story, second| {
        for _ in 0..number(second) {
            client(story, NODE_A);
            story.tally(NODE_A).tls_openings += 1;
        }
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
    });
    story
}

#[test]
fn more_encrypted_connections_than_health_checks_can_be_overturn_what_the_operator_said() {
    let story = encrypted(40, |_| 4);
    assert_eq!(class(&story, NODE_A), "nlb_undecided");
    assert_eq!(class(&story, NODE_B), "nlb_probe");
    assert_eq!(story.conclusions(), [(Code::SharedSource, Confidence::Inferred, nodes(&[A]))]);
    let finding = &story.findings()[0];
    assert!(finding.summary.contains("--client-ip preserved"), "{}", finding.summary);
    assert_eq!(finding.evidence[0].name, "tls_handshakes");
}

#[test]
fn as_many_as_health_checks_may_be_or_a_burst_of_them_overturn_nothing() {
    let burst = |second: u64| if second == 20 { 200 } else { 0 };
    let clumps = |second: u64| if second.is_multiple_of(10) { 60 } else { 0 };
    for story in [encrypted(60, |_| 3), encrypted(60, burst), encrypted(60, clumps)] {
        assert_eq!(class(&story, NODE_A), "nlb_probe");
        assert_eq!(story.conclusions(), []);
    }
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

/// Clients of both nodes every second and health checks every interval, each coming to its own end.
fn ends(probe: impl Fn(&mut Story, TallyKey), client: impl Fn(&mut Story, TallyKey)) -> Story {
    let mut story = shared();
    story.pass(60, |story, second| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            if second.is_multiple_of(10) {
                probe(story, node);
            }
        }
    });
    story
}

/// A connection that is not answered well.
fn fail(story: &mut Story, key: TallyKey) -> &mut Tally {
    let tally = story.tally(key);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
    tally.unserved += 1;
    tally
}

fn cut_client(story: &mut Story, key: TallyKey) {
    let tally = fail(story, key);
    tally.clients += 1;
    tally.answers.clients_cut += 1;
}

fn cut_probe(story: &mut Story, key: TallyKey) {
    let tally = fail(story, key);
    tally.probes_unserved += 1;
    tally.answers.probes_cut += 1;
}

/// The faults, with whom each hits.
fn faults(story: &Story) -> Vec<(Code, &'static str, Vec<String>)> {
    let findings = story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault);
    findings.map(|finding| (finding.code, finding.class.name(), finding.sources)).collect()
}

#[test]
fn health_checks_that_fail_while_clients_are_served_are_the_health_checks_fault_alone() {
    let bad_status = |story: &mut Story, key| {
        let tally = fail(story, key);
        tally.probes_unserved += 1;
        tally.answers.probes_bad_status += 1;
        tally.answers.bad_status = 503;
    };
    let given_up = |story: &mut Story, key| {
        let tally = fail(story, key);
        tally.probes_unserved += 1;
        tally.answers.probes_given_up += 1;
    };
    let both = || nodes(&[A, B]);
    let story = ends(bad_status, client);
    assert_eq!(faults(&story), [(Code::ProbeHttpStatus, "nlb_probe", both())]);
    assert_eq!(story.verdict(&[]).state, State::Fault);
    assert_eq!(faults(&ends(given_up, client)), [(Code::ProbeTimeout, "nlb_probe", both())]);
    let story = ends(cut_probe, client);
    assert_eq!(faults(&story), [(Code::AppReset, "nlb_probe", both())], "however many clients are served");
    let summary = &story.findings()[0].summary;
    assert!(summary.starts_with("8 of 8 connections of nlb_probe"), "{summary}");
}

#[test]
fn clients_that_are_cut_off_while_health_checks_are_served_are_told_as_clients() {
    let story = ends(probe, cut_client);
    assert_eq!(faults(&story), [(Code::AppReset, "client_via_nlb", nodes(&[A, B]))]);
    assert_eq!(story.verdict(&[]).state, State::Fault, "served health checks make nothing healthy");
    let both = ends(cut_probe, cut_client);
    let of = |class| (Code::AppReset, class, nodes(&[A, B]));
    assert_eq!(faults(&both), [of("nlb_probe"), of("client_via_nlb")]);
}

#[test]
fn one_client_in_forty_that_is_cut_off_is_nobodys_fault_and_no_health_checks() {
    let mut story = shared();
    story.pass(80, |story, second| {
        client(story, NODE_A);
        client(story, NODE_B);
        if second.is_multiple_of(10) {
            probe(story, NODE_A);
            probe(story, NODE_B);
        }
        if second.is_multiple_of(40) {
            cut_client(story, NODE_A);
        }
    });
    assert_eq!(faults(&story), []);
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn what_may_be_an_encrypted_health_check_stays_undecided() {
    // As a health check over HTTPS ends on a port that speaks plain HTTP: like a client's connection.
    let encrypted = |story: &mut Story, key| {
        cut_client(story, key);
        story.tally(key).tls_openings += 1;
    };
    let mut story = shared();
    story.pass(60, |story, second| {
        for node in [NODE_A, NODE_B] {
            if second.is_multiple_of(2) {
                client(story, node);
            }
            if second.is_multiple_of(10) {
                encrypted(story, node);
            }
        }
    });
    let told: Vec<_> = faults(&story).into_iter().filter(|(code, ..)| *code != Code::ProbesMissing).collect();
    assert_eq!(told, [(Code::TlsMismatch, "nlb_undecided", nodes(&[A, B]))]);
}
