//! Connections that were established and not answered well.

use super::*;
use crate::domain::answers::Answers;

/// A health check over HTTP that is answered well, and of which the user agent was seen.
pub(super) fn pass_check(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).probes_served += 1;
    story.tally(key).answers.http_answers += 1;
}

/// One that is not; `how` counts in which way.
pub(super) fn fail_check(story: &mut Story, key: TallyKey, how: impl Fn(&mut Answers)) {
    let tally = story.tally(key);
    tally.arrived += 1;
    tally.synacks += 1;
    tally.established += 1;
    tally.unserved += 1;
    tally.probes_unserved += 1;
    how(&mut tally.answers);
}

fn status(answers: &mut Answers, status: u64) {
    answers.http_answers += 1;
    answers.probes_bad_status += 1;
    answers.bad_status = status;
}

/// One node's health checks fail in this way, the other's pass.
fn told(how: impl Fn(&mut Answers) + Copy) -> Vec<(Code, Confidence, Vec<String>)> {
    let mut story = Story::new();
    story.probes(50, |story| {
        fail_check(story, NODE_A, how);
        pass_check(story, NODE_B);
    });
    let verdict = story.verdict(&[]).state;
    let conclusions = story.conclusions();
    assert_eq!(verdict == State::Fault, !conclusions.is_empty(), "{conclusions:?}");
    conclusions
}

#[test]
fn each_way_to_answer_badly_has_its_code() {
    let a = || nodes(&[A]);
    assert_eq!(told(|answers| status(answers, 404)), [(Code::ProbeHttpStatus, Confidence::Inferred, a())]);
    let gave_up = |answers: &mut Answers| {
        answers.probes_given_up += 1;
        answers.wait = Duration::from_secs(6);
    };
    assert_eq!(told(gave_up), [(Code::ProbeTimeout, Confidence::Proven, a())]);
    assert_eq!(told(|answers| answers.probes_cut += 1), [(Code::AppReset, Confidence::Proven, a())]);
    let alert = |answers: &mut Answers| {
        answers.tls_alerts += 1;
        answers.tls_alert = 70;
    };
    assert_eq!(told(alert), [(Code::TlsMismatch, Confidence::Inferred, a())]);
}

#[test]
fn behind_a_proxy_protocol_header_a_400_or_a_cut_is_a_mismatch() {
    let expected = [(Code::ProxyProtocolMismatch, Confidence::Inferred, nodes(&[A]))];
    let bad_request = |answers: &mut Answers| {
        answers.proxy_openings += 1;
        status(answers, 400);
    };
    assert_eq!(told(bad_request), expected);
    let cut = |answers: &mut Answers| {
        answers.proxy_openings += 1;
        answers.probes_cut += 1;
    };
    assert_eq!(told(cut), expected);
    let unavailable = |answers: &mut Answers| {
        answers.proxy_openings += 1;
        status(answers, 503);
    };
    assert_eq!(
        told(unavailable)[0].0,
        Code::ProbeHttpStatus,
        "the header was taken, and the check fails otherwise"
    );
}

#[test]
fn one_bad_answer_in_many_is_nobodys_fault() {
    let mut story = Story::new();
    story.pass(100, |story, second| {
        for node in [NODE_A, NODE_B] {
            (0..4).for_each(|_| pass_check(story, node));
        }
        if second == 95 {
            fail_check(story, NODE_A, |answers| status(answers, 503));
            fail_check(story, NODE_A, |answers| answers.probes_given_up += 1);
        }
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn clients_that_are_cut_off_count_only_when_they_are_many() {
    let mut story = Story::new();
    let cut = |story: &mut Story, each: u64| {
        story.pass(40, |story, second| {
            (0..20).for_each(|_| story.serve(CLIENTS));
            if second.is_multiple_of(10) {
                story.serve(NODE_A);
                story.serve(NODE_B);
            }
            if second.is_multiple_of(each) {
                fail_check(story, CLIENTS, |answers| answers.clients_cut += 1);
            }
        });
    };
    cut(&mut story, 2);
    assert_eq!(story.conclusions(), [], "one in forty");
    let mut story = Story::new();
    story.pass(40, |story, second| {
        story.serve(CLIENTS);
        fail_check(story, CLIENTS, |answers| answers.clients_cut += 1);
        if second.is_multiple_of(10) {
            story.serve(NODE_A);
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), [(Code::AppReset, Confidence::Proven, nodes(&[CLIENT_PREFIX]))]);
}

/// A handshake that is served, whatever it was for.
pub(super) fn pass_handshake(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).clients += 1;
    story.tally(key).tls_openings += 1;
}

/// What is said, whole, where one node's connections fail in this way and the other's come to this good end.
pub(super) fn said(how: impl Fn(&mut Tally) + Copy, good: impl Fn(&mut Story, TallyKey)) -> Vec<Finding> {
    let mut story = Story::new();
    story.probes(47, |story| {
        fail_check(story, NODE_A, |_| {});
        how(story.tally(NODE_A));
        good(story, NODE_B);
    });
    let faults = story.findings().into_iter().filter(|finding| finding.severity == Severity::Fault);
    let faults: Vec<_> = faults.collect();
    assert!(faults.iter().all(|finding| finding.sources == [A]), "{faults:?}");
    faults
}

fn fact(finding: &Finding, name: &str) -> Option<String> {
    finding.evidence.iter().find(|fact| fact.name == name).map(|fact| format!("{:?}", fact.value))
}

#[test]
fn tls_of_a_source_that_is_served_says_nothing_of_one_that_is_cut_off() {
    let cut = |tally: &mut Tally| tally.answers.probes_cut += 1;
    let faults = said(cut, pass_handshake);
    assert_eq!(faults[0].code, Code::AppReset, "{faults:?}");
    assert_eq!(fact(&faults[0], "tls_handshakes"), None);
    let cut_in_a_handshake = |tally: &mut Tally| {
        cut(tally);
        tally.tls_openings += 1;
    };
    let faults = said(cut_in_a_handshake, pass_handshake);
    assert_eq!(faults[0].code, Code::TlsMismatch, "{faults:?}");
    assert_eq!(fact(&faults[0], "tls_handshakes"), Some("Count(3)".to_owned()), "its own, not those of both");
}

#[test]
fn a_proxy_protocol_header_of_a_source_that_is_served_says_nothing_of_another() {
    let header = |story: &mut Story, key| {
        pass_check(story, key);
        story.tally(key).answers.proxy_openings += 1;
    };
    let cut = |tally: &mut Tally| tally.answers.probes_cut += 1;
    assert_eq!(said(cut, header)[0].code, Code::AppReset);
    let bad_request = |tally: &mut Tally| status(&mut tally.answers, 400);
    assert_eq!(said(bad_request, header)[0].code, Code::ProbeHttpStatus);
    let behind_one = |tally: &mut Tally| {
        bad_request(tally);
        tally.answers.proxy_openings += 1;
    };
    let faults = said(behind_one, header);
    assert_eq!(faults[0].code, Code::ProxyProtocolMismatch);
    assert_eq!(fact(&faults[0], "proxy_protocol_headers"), Some("Count(3)".to_owned()));
}

#[test]
fn a_status_that_another_source_gets_no_more_is_not_said_of_this_one() {
    let mut story = Story::new();
    story.probes(20, |story| {
        pass_check(story, NODE_A);
        fail_check(story, NODE_B, |answers| status(answers, 503));
    });
    story.pass(25, |story, second| {
        fail_check(story, NODE_A, |answers| status(answers, 404));
        if second.is_multiple_of(2) {
            pass_check(story, NODE_B);
        }
    });
    let bad = |finding: &Finding| finding.code == Code::ProbeHttpStatus;
    let finding = story.findings().into_iter().find(bad).expect("health checks that fail");
    assert_eq!(finding.sources, [A]);
    assert!(finding.summary.contains("status 404"), "{}", finding.summary);
}
