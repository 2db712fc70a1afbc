//! What came and falls silent: one node, all of them, or everybody.

use super::*;

/// Ten intervals in which both nodes probe and clients come.
fn settled() -> Story {
    let mut story = Story::new();
    story.probes(100, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
        story.serve(CLIENTS);
    });
    assert_eq!(story.conclusions(), []);
    story
}

#[test]
fn one_node_falls_silent_and_the_other_goes_on() {
    let mut story = settled();
    story.probes(30, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), []);
    story.probes(1, |story| story.serve(NODE_B));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A]))]);
}

#[test]
fn all_nodes_fall_silent_and_clients_go_on() {
    let mut story = settled();
    story.probes(31, |story| story.serve(CLIENTS));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Suspected, nodes(&[A, B]))]);
    story.probes(89, |story| story.serve(CLIENTS));
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A, B]))]);
}

#[test]
fn everybody_falls_silent_like_at_a_deploy() {
    let mut story = settled();
    story.pass(40, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ProbesWithdrawn, Confidence::Inferred, nodes(&[A, B]))]);
    story.pass(260, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A, B]))]);
}

/// A quiet service: its deploys look like this, too, and are no fault. What else it may be is said at once, with what settles it.
#[test]
fn all_nodes_of_a_service_without_clients_fall_silent_like_at_a_deploy() {
    let mut story = Story::new();
    story.probes(100, |story| {
        story.serve(NODE_A);
        story.serve(NODE_B);
    });
    story.pass(40, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ProbesWithdrawn, Confidence::Inferred, nodes(&[A, B]))]);
    let found = story.findings().into_iter().find(|finding| finding.code == Code::ProbesWithdrawn);
    let found = found.expect("the note");
    assert!(found.summary.ends_with("no client was seen that could go on"), "{}", found.summary);
    assert!(found.advice.contains("1. The task's security group must admit tcp/8080"), "{}", found.advice);
    assert_eq!(story.verdict(&[]).state, State::Inconclusive);
    story.pass(260, |_, _| {});
    assert_eq!(story.conclusions(), [(Code::ProbesStopped, Confidence::Inferred, nodes(&[A, B]))]);
}

/// However the last probes and the last clients lie to one another; the last clients may still come when the next probe is
/// already due.
#[test]
fn nodes_and_clients_that_leave_together_are_withdrawn_and_nothing_else_is_said_at_any_time() {
    const LAG: u64 = 9;
    for (earlier, ahead) in (0..10).flat_map(|earlier| (0..10 + LAG).map(move |ahead| (earlier, ahead))) {
        let mut story = Story::new();
        story.history.watch.expect_clients = true;
        let leaves = 100 + earlier;
        story.pass(200, |story, second| {
            if second + ahead < leaves + LAG {
                story.serve(CLIENTS);
            }
            if second < leaves && second.is_multiple_of(10) {
                story.serve(NODE_A);
                story.serve(NODE_B);
            }
            let said = story.conclusions();
            let wrong = said.iter().find(|(code, ..)| *code != Code::ProbesWithdrawn);
            assert!(second < 40 || wrong.is_none(), "{earlier} {ahead} {second}: {said:?}");
        });
        assert_eq!(story.conclusions().len(), 1, "{earlier} {ahead}");
    }
}
