//! TLS that does not come about.

use super::{
    endings::faults,
    served::{pass_check, pass_handshake, said},
    *,
};

#[test]
fn handshakes_that_are_answered_in_plain_http_are_a_mismatch_and_plain_clients_are_none() {
    let begin = |story: &mut Story, plain: bool| {
        story.serve(NODE_A);
        let tally = story.tally(NODE_A);
        tally.tls_openings += 1;
        tally.clients += 1;
        if plain {
            tally.answers.http_answers += 1;
        }
    };
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(5) {
            begin(story, true);
        }
    });
    assert!(story.conclusions().contains(&(Code::TlsMismatch, Confidence::Inferred, nodes(&[A]))));
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(5) {
            begin(story, false);
        }
    });
    assert!(story.conclusions().iter().all(|(code, ..)| *code != Code::TlsMismatch));
}

#[test]
fn an_alert_is_said_to_answer_what_its_own_source_sent() {
    let alert = |tally: &mut Tally| {
        tally.answers.tls_alerts += 1;
        tally.answers.tls_alert = 10;
    };
    let faults = said(alert, pass_handshake);
    assert!(faults[0].summary.contains("3 of 3 connections that are not TLS"), "{}", faults[0].summary);
    let in_a_handshake = |tally: &mut Tally| {
        alert(tally);
        tally.tls_openings += 1;
    };
    assert!(said(in_a_handshake, pass_check)[0].summary.contains("3 of 3 TLS handshakes"));
}

#[test]
fn a_source_that_is_answered_in_clear_is_found_beside_one_that_speaks_plain_http() {
    let begin = |story: &mut Story, key| {
        pass_handshake(story, key);
        story.tally(key).answers.http_answers += 1;
    };
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(5) {
            begin(story, NODE_A);
        }
        pass_check(story, NODE_B);
    });
    let mismatch = (Code::TlsMismatch, Confidence::Inferred, nodes(&[A]));
    assert!(story.conclusions().contains(&mismatch), "{:?}", story.conclusions());
    // Both on one port, and the node that sends both is served: that another sends TLS alone changes nothing.
    let mut story = Story::new();
    story.pass(40, |story, second| {
        if second.is_multiple_of(5) {
            begin(story, NODE_A);
            pass_handshake(story, NODE_B);
        }
        pass_check(story, NODE_A);
    });
    assert!(
        story.conclusions().iter().all(|(code, ..)| *code != Code::TlsMismatch),
        "{:?}",
        story.conclusions()
    );
}

/// Plain clients of both nodes every second, and handshakes of health checks every interval that come to this end.
fn among_plain_clients(answer: impl Fn(&mut Tally), handshake: impl Fn(&mut Tally)) -> Story {
    let mut story = shared();
    story.pass(60, |story, second| {
        for node in [NODE_A, NODE_B] {
            client(story, node);
            answer(story.tally(node));
            if second.is_multiple_of(10) {
                pass_handshake(story, node);
                handshake(story.tally(node));
            }
        }
    });
    story
}

const fn served_well(tally: &mut Tally) {
    tally.answers.http_answers += 1;
}

const fn bad_request(tally: &mut Tally) {
    tally.answers.http_answers += 1;
    tally.answers.bad_requests += 1;
}

const fn refused(tally: &mut Tally) {
    tally.answers.tls_alerts += 1;
    tally.answers.tls_alert = 70;
}

const fn gone_on(tally: &mut Tally) {
    tally.answers.tls_answers += 1;
}

fn mismatch() -> Vec<(Code, &'static str, Vec<String>)> {
    vec![(Code::TlsMismatch, "nlb_undecided", nodes(&[A, B]))]
}

#[test]
fn health_checks_that_are_refused_in_their_handshake_are_not_missing_as_well() {
    assert_eq!(faults(&among_plain_clients(bad_request, refused)), mismatch());
    assert_eq!(faults(&among_plain_clients(served_well, refused)), mismatch());
}

#[test]
fn a_refused_handshake_does_not_explain_health_checks_that_are_more_than_it() {
    let mut story = shared();
    story.pass(60, |story, second| {
        client(story, NODE_A);
        client(story, NODE_B);
        if second == 40 {
            pass_handshake(story, NODE_A);
            refused(story.tally(NODE_A));
        }
        if second.is_multiple_of(10) {
            pass_handshake(story, NODE_B);
            refused(story.tally(NODE_B));
        }
    });
    let missing = (Code::ProbesMissing, "nlb_undecided", nodes(&[A]));
    assert!(faults(&story).contains(&missing), "{:?}", story.findings());
}

#[test]
fn a_handshake_among_plain_requests_that_gets_what_is_no_request_gets_is_a_mismatch() {
    let story = among_plain_clients(served_well, bad_request);
    assert_eq!(faults(&story), mismatch());
    let summary = &story.findings()[0].summary;
    assert!(summary.starts_with("8 of 8 TLS handshakes"), "{summary}");
    // Clients get some of the same, too.
    assert_eq!(faults(&among_plain_clients(bad_request, bad_request)), mismatch());
}

#[test]
fn a_port_that_serves_tls_and_plain_http_has_no_mismatch() {
    let is_mismatch = |story: &Story| faults(story).iter().any(|(code, ..)| *code == Code::TlsMismatch);
    assert!(!is_mismatch(&among_plain_clients(served_well, gone_on)));
    assert!(!is_mismatch(&among_plain_clients(bad_request, gone_on)), "plain requests are turned away");
    assert!(!is_mismatch(&among_plain_clients(served_well, |_| {})), "an answer that was not seen");
    // Its answer is in the next reading.
    let mut story = shared();
    story.pass(40, |story, second| {
        client(story, NODE_A);
        bad_request(story.tally(NODE_A));
        match second % 10 {
            0 => pass_handshake(story, NODE_A),
            1 if second > 10 => gone_on(story.tally(NODE_A)),
            _ => {}
        }
    });
    assert!(!is_mismatch(&story));
    let mut story = shared();
    story.pass(20, |story, _| {
        client(story, NODE_A);
        bad_request(story.tally(NODE_A));
    });
    story.tally(NODE_A).tls_openings += 1;
    bad_request(story.tally(NODE_A));
    story.after(Duration::from_millis(400));
    assert!(!is_mismatch(&story), "a handshake that has just begun");
}

/// Handshakes of a node that go on, one every five seconds, and one that is refused in the end; what is said of it.
fn refused_in_the_end(mut story: Story) -> Vec<Confidence> {
    story.pass(41, |story, second| {
        if second.is_multiple_of(5) {
            pass_handshake(story, NODE_A);
            if second == 40 {
                refused(story.tally(NODE_A));
            } else {
                gone_on(story.tally(NODE_A));
            }
        }
    });
    let told = story.findings().into_iter().filter(|finding| finding.code == Code::TlsMismatch);
    told.map(|finding| finding.confidence).collect()
}

#[test]
fn the_first_health_check_that_is_refused_tells_and_a_handshake_that_may_be_a_client_s_does_not() {
    assert_eq!(refused_in_the_end(Story::new()), [Confidence::Inferred]);
    assert_eq!(refused_in_the_end(shared()), [Confidence::Suspected]);
}
