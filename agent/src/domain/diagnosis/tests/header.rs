//! The proxy protocol header in front of every connection of a node, and applications that take it or not.

use super::{
    endings::{cut_client, ends, fail, faults},
    *,
};

const fn headed(tally: &mut Tally) {
    tally.answers.proxy_openings += 1;
}

const fn answer(tally: &mut Tally, bad: bool) {
    tally.answers.http_answers += 1;
    tally.answers.bad_requests += bad as u64;
}

/// A health check over TCP: a header, and nothing behind it.
fn mute(story: &mut Story, key: TallyKey) {
    probe(story, key);
    headed(story.tally(key));
}

/// The same, where the header is answered with 400.
fn mute_refused(story: &mut Story, key: TallyKey) {
    bad_check(story, key, 400);
}

/// A health check over HTTP that is answered with this status.
fn bad_check(story: &mut Story, key: TallyKey, status: u64) {
    let tally = fail(story, key);
    tally.probes_unserved += 1;
    tally.answers.probes_bad_status += 1;
    tally.answers.bad_status = status;
    headed(tally);
    answer(tally, status == 400);
}

/// A health check over HTTP that passes.
fn check(story: &mut Story, key: TallyKey) {
    mute(story, key);
    answer(story.tally(key), false);
}

/// A client that gets an answer.
fn answered(story: &mut Story, key: TallyKey) {
    client(story, key);
    headed(story.tally(key));
    answer(story.tally(key), false);
}

/// A client that gets 400.
fn refused(story: &mut Story, key: TallyKey) {
    client(story, key);
    headed(story.tally(key));
    answer(story.tally(key), true);
}

fn cut(story: &mut Story, key: TallyKey) {
    cut_client(story, key);
    headed(story.tally(key));
}

fn of(code: Code, class: &'static str) -> (Code, &'static str, Vec<String>) {
    (code, class, nodes(&[A, B]))
}

#[test]
fn clients_that_are_cut_off_behind_a_header_that_is_taken_are_cut_off_for_another_reason() {
    assert_eq!(faults(&ends(check, cut)), [of(Code::AppReset, "client_via_nlb")]);
    // Over TCP health checks, other clients show it.
    let some = |story: &mut Story, key: TallyKey| {
        let is_odd = story.sample.at.as_secs() % 2 == 1;
        if is_odd { cut(story, key) } else { answered(story, key) }
    };
    assert_eq!(faults(&ends(mute, some)), [of(Code::AppReset, "client_via_nlb")]);
}

#[test]
fn clients_that_are_cut_off_behind_a_header_that_nobody_was_seen_to_take_do_not_find_it_taken() {
    assert_eq!(faults(&ends(mute, cut)), [of(Code::ProxyProtocolMismatch, "client_via_nlb")]);
    // Whoever is answered without one says nothing of it.
    let bare = |story: &mut Story, key: TallyKey| {
        cut(story, key);
        for _ in 0..3 {
            client(story, key);
            answer(story.tally(key), false);
        }
    };
    assert_eq!(faults(&ends(mute, bare)), [of(Code::ProxyProtocolMismatch, "client_via_nlb")]);
}

#[test]
fn before_a_health_check_ended_nothing_is_said_of_the_header_of_clients() {
    let mut story = shared();
    story.pass(9, |story, _| cut(story, NODE_A));
    assert_eq!(faults(&story), []);
    check(&mut story, NODE_A);
    story.pass(1, |story, _| cut(story, NODE_A));
    let cut_off = (Code::AppReset, "client_via_nlb", nodes(&[A]));
    assert!(faults(&story).contains(&cut_off), "{:?}", story.findings());
    // Health checks go to another port.
    let mut story = shared();
    story.pass(12, |story, _| cut(story, NODE_A));
    let mismatch = (Code::ProxyProtocolMismatch, "client_via_nlb", nodes(&[A]));
    assert!(faults(&story).contains(&mismatch), "{:?}", story.findings());
}

#[test]
fn clients_that_get_400_behind_a_header_find_it_not_taken() {
    let both =
        [of(Code::ProxyProtocolMismatch, "nlb_probe"), of(Code::ProxyProtocolMismatch, "client_via_nlb")];
    let story = ends(mute_refused, refused);
    assert_eq!(faults(&story), both);
    let summary = &story.findings()[1].summary;
    let told = |story: &Story| {
        let mismatch = |finding: &Finding| finding.code == Code::ProxyProtocolMismatch;
        story.findings().into_iter().filter(mismatch).map(|finding| finding.confidence).collect::<Vec<_>>()
    };
    assert_eq!(told(&story), [Confidence::Inferred; 2]);
    assert_eq!(told(&ends(|_, _| {}, refused)), [Confidence::Suspected], "health checks go to another port");
    assert!(summary.starts_with("72 of 72 connections of client_via_nlb"), "{summary}");
}

#[test]
fn clients_that_get_400_for_their_requests_are_the_applications_business() {
    assert_eq!(faults(&ends(check, refused)), [], "health checks behind the same header are served");
    assert_eq!(faults(&ends(mute, refused)), [], "the header alone is not refused");
    let few = |story: &mut Story, key: TallyKey| {
        let is_third = story.sample.at.as_secs().is_multiple_of(3);
        if is_third { refused(story, key) } else { answered(story, key) }
    };
    assert_eq!(faults(&ends(mute, few)), [], "others are served behind it");
    let bare = |story: &mut Story, key: TallyKey| {
        client(story, key);
        answer(story.tally(key), true);
    };
    assert_eq!(faults(&ends(probe, bare)), [], "there is no header");
    let of_checks = [of(Code::ProxyProtocolMismatch, "nlb_probe")];
    assert_eq!(faults(&ends(mute_refused, bare)), of_checks, "only health checks have one");
    let one_in_three = |story: &mut Story, key: TallyKey| {
        client(story, key);
        headed(story.tally(key));
        if story.sample.at.as_secs().is_multiple_of(3) {
            answer(story.tally(key), true);
        }
    };
    assert_eq!(faults(&ends(mute_refused, one_in_three)), of_checks, "most get another answer");
}

#[test]
fn a_path_that_answers_400_behind_a_header_that_is_taken_is_a_bad_status() {
    let story = ends(|story, key| bad_check(story, key, 400), answered);
    assert_eq!(faults(&story), [of(Code::ProbeHttpStatus, "nlb_probe")]);
    let most = |story: &mut Story, key: TallyKey| {
        let is_third = story.sample.at.as_secs().is_multiple_of(3);
        if is_third { answered(story, key) } else { refused(story, key) }
    };
    let story = ends(|story, key| bad_check(story, key, 400), most);
    assert_eq!(faults(&story), [of(Code::ProbeHttpStatus, "nlb_probe")], "clients get the same from it");
}
