//! The answer in one word.

use super::*;
use crate::domain::{sample::Loss, stage::Stage, verdict::hangs};

fn good(story: &mut Story) {
    story.serve(NODE_A);
    story.serve(NODE_B);
}

fn blind(stages: &[Stage]) -> BlindSpot {
    BlindSpot { id: "test", stages: stages.to_vec(), text: "a hook is missing".to_owned() }
}

#[test]
fn healthy_needs_every_expected_source_served() {
    let mut story = Story::new();
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    story.probes(30, good);
    let verdict = story.verdict(&[]);
    assert_eq!((verdict.state, verdict.blind_spots), (State::Healthy, vec![]));
}

/// `diagnose` ends with the first verdict that is sure: what is too young to be a fault is no proof of health.
#[test]
fn health_is_not_sure_while_attempts_hang() {
    let mut story = Story::new();
    story.probes(30, good);
    assert!(!hangs(&story.case()));
    // Answered a moment ago, and nobody came back.
    story.pass(1, |story, _| {
        story.arrive(CLIENTS);
        story.tally(CLIENTS).synacks += 1;
    });
    assert_eq!(story.verdict(&[]).state, State::Healthy);
    assert!(hangs(&story.case()));
    // The near miss: one under way among many that were finished.
    story.pass(1, |story, _| (0..40).for_each(|_| story.serve(CLIENTS)));
    assert!(!hangs(&story.case()));
    // A stranger's is nobody's concern.
    story.pass(1, |story, _| story.arrive(STRANGERS));
    assert!(!hangs(&story.case()));
}

#[test]
fn healthy_is_forbidden_while_a_table_of_the_kernel_cannot_be_read() {
    for (id, hide) in [
        ("socket_table", (|story: &mut Story| story.sample.listeners = None) as fn(&mut Story)),
        ("netstat", |story| story.sample.host.listen_overflows = None),
    ] {
        let mut story = Story::new();
        hide(&mut story);
        story.probes(30, good);
        let verdict = story.verdict(&[]);
        assert_eq!((verdict.state, verdict.blind_spots[0].id), (State::Inconclusive, id));
    }
}

#[test]
fn an_answer_in_the_reading_after_the_arrival_accounts_for_it() {
    let mut story = Story::new();
    for _ in 0..100 {
        story.pass(1, |story, second| {
            // A route that is missing for somebody else.
            story.count(|host| &mut host.out_no_routes, 1);
            story.count(|host| &mut host.listen_drops, 1);
            for node in [NODE_A, NODE_B] {
                match second % 10 {
                    5 => story.arrive(node),
                    6 => {
                        let tally = story.tally(node);
                        tally.synacks += 1;
                        tally.established += 1;
                        tally.served += 1;
                    }
                    _ => {}
                }
            }
        });
        assert_eq!(story.conclusions(), [], "{:?}", story.sample.at);
    }
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn handshakes_that_are_never_finished_forbid_healthy_whatever_their_cause() {
    let mut story = Story::new();
    // Overflows of another listener keep a lost reply from being proven.
    story.probes(40, |story| {
        good(story);
        story.count(|host| &mut host.listen_overflows, 1);
        story.serve(CLIENTS);
        story.arrive(CLIENTS);
        story.tally(CLIENTS).synacks += 1;
    });
    story.pass(3, |_, _| {});
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("answered and not finished"), "{:?}", verdict.reasons);
}

#[test]
fn what_came_before_the_first_reading_was_received_too() {
    let silent = |story: &mut Story| story.sample.host.interface_packets = Some(0);
    let mut story = Story::new();
    story.pass(20, |story, second| {
        silent(story);
        if second == 10 {
            good(story);
        }
    });
    assert_eq!(story.verdict(&[]).state, State::Healthy);
    let mut story = Story::new();
    story.pass(20, |story, _| silent(story));
    let reasons = story.verdict(&[]).reasons;
    assert!(reasons.contains(&"the interface received nothing at all".to_owned()), "{reasons:?}");
}

#[test]
fn healthy_is_forbidden_while_something_hides() {
    let mut story = Story::new();
    story.probes(30, good);
    assert_eq!(story.verdict(&[blind(&[Stage::Admitted])]).state, State::Inconclusive);
    let both = [blind(&[Stage::Arrived]), blind(&[Stage::Answered])];
    assert_eq!(story.verdict(&both).state, State::CannotObserve);
    story.sample.loss = Loss { drops: 1, ..Loss::default() };
    story.pass(1, |_, _| {});
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("see loss"), "{verdict:?}");
}

#[test]
fn expected_clients_have_to_be_seen() {
    let mut story = Story::new();
    story.history.watch.expect_clients = true;
    story.probes(30, good);
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    story.pass(1, |story, _| story.serve(CLIENTS));
    assert_eq!(story.verdict(&[]).state, State::Healthy);
}

#[test]
fn with_nobody_named_nothing_is_called_healthy() {
    let mut story = Story::without_names();
    story.probes(30, |story| story.serve(STRANGERS));
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert_eq!(verdict.reasons, ["no NLB node is known"]);
}

#[test]
fn a_suspicion_alone_is_inconclusive_and_a_fault_is_a_fault() {
    let mut story = Story::new();
    story.probes(11, |story| story.serve(NODE_B));
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    story.probes(30, |story| story.serve(NODE_B));
    assert_eq!(story.verdict(&[]).state, State::Fault);
}

#[test]
fn syns_that_nothing_accounts_for_keep_it_from_healthy() {
    let mut story = Story::new();
    story.probes(30, |story| {
        good(story);
        story.arrive(NODE_A);
    });
    story.pass(2, |_, _| {});
    assert_eq!(story.conclusions(), []);
    let verdict = story.verdict(&[]);
    assert_eq!(verdict.state, State::Inconclusive);
    assert!(verdict.reasons[0].contains("neither dropped nor answered"), "{verdict:?}");
}
