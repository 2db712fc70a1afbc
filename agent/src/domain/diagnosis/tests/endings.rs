//! How connections of a shared address end, and whose they are.

use super::*;

/// Clients of both nodes every second and health checks every interval, each coming to its own end.
pub(super) fn ends(probe: impl Fn(&mut Story, TallyKey), client: impl Fn(&mut Story, TallyKey)) -> Story {
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
pub(super) fn fail(story: &mut Story, key: TallyKey) -> &mut Tally {
    let tally = story.tally(key);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
    tally.unserved += 1;
    tally
}

pub(super) fn cut_client(story: &mut Story, key: TallyKey) {
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
pub(super) fn faults(story: &Story) -> Vec<(Code, &'static str, Vec<String>)> {
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
